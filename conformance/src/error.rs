//! What can go wrong with the judges themselves.

use std::path::PathBuf;
use std::time::Duration;

/// Why a judge cannot be used, or what it said instead of the expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program was not built.
    #[error("{name} is not there; build it with `{command}`")]
    Missing {
        /// The program.
        name: String,
        /// What builds it.
        command: String,
    },
    /// The operating system refused.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: String,
        /// Its answer.
        #[source]
        source: std::io::Error,
    },
    /// A process ended that should run.
    #[error("{name} ended with {status}; the end of {}:\n{tail}", log.display())]
    Ended {
        /// The process.
        name: String,
        /// How.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// Something did not become true in time.
    #[error("{what}: not within {patience:?}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        patience: Duration,
    },
    /// A request that must succeed did not.
    #[error("{what}: {answer}")]
    Refused {
        /// The request.
        what: String,
        /// The answer.
        answer: String,
    },
    /// The client of the API server.
    #[error("client: {0}")]
    Client(String),
}

impl Error {
    /// For `map_err` of what the operating system is asked for.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System {
            what: what.into(),
            source,
        }
    }
}
