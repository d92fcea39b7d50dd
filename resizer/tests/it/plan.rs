//! The decisions, case by case.

mod cases;
mod fate;
mod interleavings;
mod modify;
mod modify_interleavings;
mod properties;
mod scene;
mod short;
mod waits;
