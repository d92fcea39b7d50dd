//! Start-up and work.

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{Command, ConfigError, Entry, Error, Ready, Sidecar, SidecarOptions, Start};
use csi::{Address, Channel};
use runtime::args::{CommonArgs, CommonConfig};
use runtime::{Context, ObjectKey};

use crate::args::{Args, Config};
use crate::driver::Driver;
use crate::events;

/// The function's name.
const NAME: &str = "csi-provisioner";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "make and delete volumes as PersistentVolumeClaims and PersistentVolumes ask for",
    address: ":3302",
    workers_flag: "worker-threads",
    by_default: true,
    parse: Entry::parsed::<Args>,
};

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self, _environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config()?))
    }
}

#[async_trait]
impl Start for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn driver(&self) -> Option<&Address> {
        Some(&self.driver.address)
    }

    /// Meets the driver. Source: sidecars.md 1.3.
    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let options = SidecarOptions {
            name: NAME,
            lease: |driver| driver.replace('/', "-"),
            component: events::component,
            driver: self.driver.clone(),
            tells_migrated: true,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let claims = sidecar.function().queue("claims".into(), self.workers)?;
        Ok(Box::new(Prepared { sidecar, claims }))
    }
}

/// The function after its start-up: the driver is known and ready.
struct Prepared {
    sidecar: Sidecar<Driver>,
    claims: Queue<ObjectKey>,
}

#[async_trait]
impl Ready for Prepared {
    fn leader_health(&self) -> Option<LeaderHealth> {
        self.sidecar.function().leader_health()
    }

    async fn run(&self) -> Result<(), Error> {
        self.sidecar.run(|scope| self.work(scope)).await
    }
}

impl Prepared {
    /// Works until the scope is stopping and what runs is done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let _term = self.claims.term();
        scope.stopping().await;
        Ok(())
    }
}
