//! The decisions, case by case.

mod cases;
mod properties;
mod scene;
