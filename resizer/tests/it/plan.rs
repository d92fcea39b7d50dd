//! The decisions, case by case.

mod cases;
mod modify;
mod properties;
mod scene;
