//! Start-up and work.

use std::sync::Arc;

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{
    Command, ConfigError, Driver as _, Enqueue, Entry, Error, Objects, Ready, Sidecar, SidecarOptions, Start,
};
use csi::{Address, Channel};
use runtime::args::{CommonArgs, CommonConfig};
use runtime::objects::{Claim, Volume};
use runtime::{Cache, Context, ObjectKey, Selection};

use crate::args::{Args, Config};
use crate::calls::Calls;
use crate::claims::Claims;
use crate::driver::Driver;
use crate::observe::Settings;
use crate::usage::Usages;
use crate::{events, triggers};

/// The function's name.
const NAME: &str = "csi-resizer";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "expand volumes to the sizes that PersistentVolumeClaims ask for",
    address: ":3304",
    workers_flag: "workers",
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

    /// Meets the driver. Source: resize.md 1.1.
    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let options = SidecarOptions {
            name: NAME,
            lease: |driver| format!("external-resizer-{driver}"),
            component: events::component,
            driver: self.driver.clone(),
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        if self.modify_demanded {
            tracing::warn!(
                "feature gate VolumeAttributesClass is switched on, but changing volumes by class is not built yet"
            );
        } else if sidecar.driver().modifies {
            tracing::info!(
                "the CSI driver can change volumes by VolumeAttributesClass; that is not built yet"
            );
        }
        let name = format!("{}-pvc", sidecar.driver().name());
        let queue = sidecar.function().queue(name, self.workers)?;
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            queue,
        }))
    }
}

/// The function after its start-up: the driver is known and ready.
struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    queue: Queue<ObjectKey>,
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
    /// Works until the scope is stopping and running claims are done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let _term = self.queue.term();
        let watches = &self.sidecar.function().context().watches;
        let claims: Cache<Claim> = watches.cache(Selection::default());
        let volumes: Cache<Volume> = watches.cache(Selection::default());
        tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            _ = async { tokio::join!(claims.caught_up(), volumes.caught_up()) } => {}
        }
        let mut enqueue = Enqueue::new();
        let (known, settings) = (volumes.clone(), self.settings());
        let of_claims = enqueue.on(&claims, &self.queue, move |change| {
            let concerned = triggers::of_claim(change, &known, &settings);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_claims.resync_every(self.config.resync_period, &scope);
        let (known, settings) = (claims.clone(), self.settings());
        enqueue.on(&volumes, &self.queue, move |change| {
            triggers::of_volume(change, &known, &settings)
                .into_iter()
                .collect()
        });
        let rules = self.rules(claims, volumes, &scope);
        let reconciler = self.sidecar.function().reconciler(rules);
        self.queue.run(&scope, Arc::new(reconciler)).await;
        Ok(())
    }

    fn settings(&self) -> Settings {
        let (start, max) = self.config.common.retry_intervals;
        let driver = self.sidecar.driver();
        Settings {
            driver: driver.name().to_owned(),
            controller_expands: driver.controller_expands,
            single_node_multi_writer: driver.single_node_multi_writer,
            handle_in_use: self.config.handle_volume_inuse_error,
            annotate: self.config.annotate,
            recover: self.config.recover,
            retry_interval_start: start,
            retry_interval_max: max,
        }
    }

    fn rules(&self, claims: Cache<Claim>, volumes: Cache<Volume>, scope: &Scope) -> Claims {
        let context = self.sidecar.function().context();
        let (client, clock) = (&context.client, &context.clock);
        Claims {
            claims: Objects::new(claims, client, NAME),
            volumes: Objects::new(volumes, client, NAME),
            usages: Usages::new(
                client.clone(),
                clock.clone(),
                context.random.fork(),
                scope,
                self.queue.clone(),
            ),
            calls: Calls {
                channel: self.sidecar.channel().clone(),
                timeout: self.config.resize_timeout,
            },
            settings: self.settings(),
        }
    }
}
