//! Encryption of a listener, and a limit of its scrapes: what upstream's driver has beside the sidecars.
//! Source: ebs-driver.md 5, 6; case 151.

use std::time::Duration;

use super::tls::Tls;
use crate::{RateLimit, Scope};

/// How often the files of a certificate are looked at, as those of the conversion webhook.
const RELOAD: Duration = Duration::from_secs(10);

/// What a listener demands.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Speak HTTPS with this certificate and key.
    pub tls: Option<Tls>,
    /// How often their files are looked at: a renewed pair is served to the next connection.
    pub reload: Duration,
    /// Scrapes beyond this rate are answered 429.
    pub scrapes: Option<RateLimit>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            tls: None,
            reload: RELOAD,
            scrapes: None,
        }
    }
}

/// Follows the files of a certificate until the scope stops.
pub(super) fn follow(tls: &Tls, period: Duration, scope: &Scope) {
    let (tls, stopping) = (tls.clone(), scope.stopping_token());
    scope.spawn_named("certificate of metrics and health", async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = tls.reload_every(period) => {}
        }
    });
}
