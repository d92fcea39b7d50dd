//! Command line groups of every controller, beside those of [`base::args`], with upstream's names and defaults.
//!
//! A mode flattens [`CommonArgs`], or the groups it needs, into its own clap struct and reads it with
//! [`base::args::parse`]. Sources: sidecars 1.1, snapshot 5.1.
//!
//! | Module | Subject |
//! |---|---|
//! | `common` | the groups that every controller has |
//! | `connection` | API server and its limits |
//! | `election` | leader election |

mod common;
mod connection;
mod election;

pub use common::{CommonArgs, CommonArgsError, CommonConfig};
pub use connection::KubeArgs;
pub use election::{ElectionArgsError, LeaderElectionArgs, parse_labels};
