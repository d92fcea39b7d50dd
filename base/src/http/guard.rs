//! Encryption of a listener, and a limit of its scrapes: what upstream's driver has beside the sidecars.
//! Source: ebs-driver.md 5, 6.

use super::tls::Tls;
use crate::RateLimit;

/// What a listener demands.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Speak HTTPS with this certificate and key. They are read once: a renewed one needs a new process, as upstream.
    pub tls: Option<Tls>,
    /// Scrapes beyond this rate are answered 429.
    pub scrapes: Option<RateLimit>,
}
