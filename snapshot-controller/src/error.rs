//! Why the function ends, and how a round of one key fails.

use runtime::ApiError;
use runtime::crds::CrdsMissing;

/// Why [`crate::run()`] ends. The process then ends with exit 1. The failure of one object never ends it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The snapshot definitions did not appear in time.
    #[error(transparent)]
    CrdsMissing(#[from] CrdsMissing),
    /// Another replica has taken the lease.
    #[error("lost the lease {lease}")]
    LeaseLost {
        /// Its name.
        lease: String,
    },
    /// A metric of this function is in its registry already.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A step that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was observed was not the present state; the cache has been brought up to date.
    Outdated,
    /// The API server did not do it.
    Api(ApiError),
}
