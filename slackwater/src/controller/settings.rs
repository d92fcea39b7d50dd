//! Which functions run, and how.

use std::collections::BTreeMap;

use base::RateLimit;
use base::args::HttpAddress;
use base::http::{Guard, Tls, TlsError};
use controller::Start;

use super::registry::Function;

/// Scrapes of a driver, as upstream limits them (spec 6).
const SCRAPES: RateLimit = RateLimit { qps: 5.0, burst: 10 };

/// What becomes of a function whose lease is lost (decision 2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenLost {
    /// The process ends with exit 1, as upstream's.
    Exit,
    /// The function alone stops and competes again.
    CompeteAgain,
}

/// The checked flags of every function that runs.
#[derive(Debug)]
pub struct Settings {
    /// The driver, where it runs.
    pub driver: Option<ebs_driver::Config>,
    /// The others that run.
    pub functions: BTreeMap<Function, Box<dyn Start>>,
    /// What becomes of a function whose lease is lost.
    pub when_lost: WhenLost,
}

impl Settings {
    /// The functions that run, in the order in which they start.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let runs = |function: &Function| match *function {
            Function::DRIVER => self.driver.is_some(),
            function => self.functions.contains_key(&function),
        };
        Function::ALL.into_iter().filter(runs).collect()
    }

    /// Where a function serves metrics and health.
    #[must_use]
    pub fn http(&self, function: Function) -> Option<HttpAddress> {
        match function {
            Function::DRIVER => self.driver.as_ref().and_then(driver_http),
            function => self.functions.get(&function)?.common().http.clone(),
        }
    }
}

/// What the listener of a driver demands: HTTPS where a certificate is named, and upstream's rate of scrapes.
///
/// # Errors
/// When the certificate or its key cannot be used.
pub fn driver_guard(config: &ebs_driver::Config) -> Result<Guard, TlsError> {
    let files = config.metrics_tls.as_ref();
    let tls = files.map(|(certificate, key)| Tls::from_files(certificate, key));
    Ok(Guard {
        tls: tls.transpose()?,
        scrapes: Some(SCRAPES),
        ..Guard::default()
    })
}

/// Where a driver serves metrics and health.
#[must_use]
pub fn driver_http(config: &ebs_driver::Config) -> Option<HttpAddress> {
    Some(HttpAddress {
        address: config.http_endpoint.clone()?,
        metrics_path: "/metrics".to_owned(),
        election_health: false,
    })
}
