//! Which functions run, and how.

use std::fmt;

use base::RateLimit;
use base::args::HttpAddress;
use base::http::{Guard, Tls, TlsError};
use runtime::args::CommonConfig;

/// Scrapes of a driver, as upstream limits them (spec 6).
const SCRAPES: RateLimit = RateLimit { qps: 5.0, burst: 10 };

/// A function: what one upstream image does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Function {
    /// The EBS CSI driver.
    Driver,
    /// The snapshot-controller.
    SnapshotController,
    /// The csi-snapshotter.
    CsiSnapshotter,
    /// The csi-resizer.
    CsiResizer,
}

impl Function {
    /// Every function, in the order in which they start.
    pub const ALL: [Self; 4] = [
        Self::Driver,
        Self::SnapshotController,
        Self::CsiSnapshotter,
        Self::CsiResizer,
    ];

    /// Its name in `--functions`, in the prefix of its flags, and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::SnapshotController => "snapshot-controller",
            Self::CsiSnapshotter => "csi-snapshotter",
            Self::CsiResizer => "csi-resizer",
        }
    }

    /// The function of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What becomes of a function whose lease is lost (decision 2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenLost {
    /// The process ends with exit 1, as upstream's.
    Exit,
    /// The function alone stops and competes again.
    CompeteAgain,
}

/// The checked flags of every function that runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The driver, where it runs.
    pub driver: Option<ebs_driver::Config>,
    /// The snapshot-controller, where it runs.
    pub snapshot_controller: Option<snapshot_controller::Config>,
    /// The csi-snapshotter, where it runs.
    pub csi_snapshotter: Option<csi_snapshotter::Config>,
    /// The csi-resizer, where it runs.
    pub csi_resizer: Option<resizer::Config>,
    /// What becomes of a function whose lease is lost.
    pub when_lost: WhenLost,
}

impl Settings {
    /// The functions that run.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let runs = |function| match function {
            Function::Driver => self.driver.is_some(),
            Function::SnapshotController => self.snapshot_controller.is_some(),
            Function::CsiSnapshotter => self.csi_snapshotter.is_some(),
            Function::CsiResizer => self.csi_resizer.is_some(),
        };
        Function::ALL
            .into_iter()
            .filter(|function| runs(*function))
            .collect()
    }

    /// What every controller has, of this one; the driver has it not.
    #[must_use]
    pub fn common(&self, function: Function) -> Option<&CommonConfig> {
        match function {
            Function::Driver => None,
            Function::SnapshotController => self.snapshot_controller.as_ref().map(|config| &config.common),
            Function::CsiSnapshotter => self.csi_snapshotter.as_ref().map(|config| &config.common),
            Function::CsiResizer => self.csi_resizer.as_ref().map(|config| &config.common),
        }
    }

    /// Where a function serves metrics and health.
    #[must_use]
    pub fn http(&self, function: Function) -> Option<HttpAddress> {
        if function != Function::Driver {
            return self.common(function)?.http.clone();
        }
        self.driver.as_ref().and_then(driver_http)
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
