//! The driver over the simulated EC2, on a paused clock.
