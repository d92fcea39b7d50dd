//! Decisions without I/O: what was asked and what there is, in; what to do or why not, out.
//!
//! | Module | Subject |
//! |---|---|
//! | [`size`] | how large a volume becomes |
//! | [`usage`] | what a volume may be used as |
//! | [`parameters`] | parameters of classes |
//! | [`topology`] | from where a volume can be reached |
//! | [`volume`] | making, publishing, growing and deleting volumes |
//! | [`snapshot`] | snapshots and groups of them |
//! | [`page`] | lists in pages |

pub mod page;
pub mod parameters;
pub mod size;
pub mod snapshot;
pub mod topology;
pub mod usage;
pub mod volume;

use thiserror::Error;

use crate::capability::Capability;

/// Why a call is refused. Its class is the gRPC code that CSI names for it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// A field cannot be worked with: InvalidArgument.
    #[error("{field} {problem}")]
    Invalid {
        /// Its name in the message of CSI.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// What is named is not there: NotFound.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// Such as `volume`.
        what: &'static str,
        /// What was named.
        id: String,
    },
    /// The name is taken by something else than is asked for: AlreadyExists.
    #[error("{0}")]
    AlreadyExists(String),
    /// No size fits: OutOfRange.
    #[error("{0}")]
    OutOfRange(String),
    /// There is no room: ResourceExhausted.
    #[error("{0}")]
    Exhausted(String),
    /// Something must be done first: FailedPrecondition.
    #[error("{0}")]
    Precondition(String),
    /// A token of a list that is none: Aborted.
    #[error("starting_token {0:?} is none of this driver's; begin the list anew")]
    Token(String),
    /// The driver was started without this: Unimplemented.
    #[error("this driver lacks {0}: it was started with --without={0}")]
    Lacking(Capability),
}

impl Refusal {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            problem: problem.into(),
        }
    }

    pub(crate) fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound {
            what,
            id: id.to_owned(),
        }
    }
}

/// Refuses an empty field.
///
/// # Errors
/// [`Refusal::Invalid`] naming it.
pub fn required<'a>(value: &'a str, field: &'static str) -> Result<&'a str, Refusal> {
    if value.is_empty() {
        return Err(Refusal::invalid(field, "is missing"));
    }
    Ok(value)
}
