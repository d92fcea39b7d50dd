//! Start-up and work.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{
    Command, ConfigError, Driver as _, Enqueue, Entry, Error, Objects, Ready, Sidecar, SidecarOptions, Start,
};
use csi::{Address, Channel};
use runtime::args::{CommonArgs, CommonConfig, KubeArgs};
use runtime::objects::{AttributesClass, Claim, Volume};
use runtime::{Cache, Context, ObjectKey, Selection, migration};

use crate::args::{Args, Config};
use crate::calls::Calls;
use crate::claims::Claims;
use crate::driver::Driver;
use crate::metrics::Metrics;
use crate::modifications::Modifications;
use crate::observe::{Modifying, Settings};
use crate::plan::is_ours;
use crate::status::StatusWriter;
use crate::usage::Usages;
use crate::{attributes_api, events, kept, triggers};

/// The function's name.
const NAME: &str = "csi-resizer";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "expand and change volumes as PersistentVolumeClaims ask for",
    address: ":3304",
    workers_flag: "workers",
    by_default: true,
    parse: Entry::parsed::<Args>,
};

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn kube(&self, _environment: &Environment) -> KubeArgs {
        self.connection()
    }

    fn check(&self, environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config(environment)?))
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
            component: |driver, _| events::component(driver),
            driver: self.driver.clone(),
            longest_call: Some(self.resize_timeout.max(self.modify_timeout)),
            tells_migrated: true,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let driver = sidecar.driver();
        if !driver.expands() && !self.modify {
            // As upstream: it has its lease, and no work but to tell so on claims that name a class.
            tracing::warn!(
                driver = driver.name(),
                "the driver supports only changes by VolumeAttributesClass, and the feature gate of that name is off: no volume is \
                 changed"
            );
        }
        let name = |end: &str| format!("{}-{end}", driver.name());
        let function = sidecar.function();
        let expansions = function.queue(name("pvc"), self.workers)?;
        let modifications = function.queue(name("modify"), self.workers)?;
        let context = function.context();
        let metrics = Metrics::new(&context.registry, &context.clock, driver.name())?;
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            expansions,
            modifications,
            metrics,
        }))
    }
}

/// The function after its start-up: the driver is known and ready.
struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    expansions: Queue<ObjectKey>,
    modifications: Queue<ObjectKey>,
    metrics: Metrics,
}

/// What a term of leadership works on.
struct Term {
    claims: Cache<Claim>,
    volumes: Cache<Volume>,
    /// None where classes are not applied.
    classes: Option<Cache<AttributesClass>>,
    settings: Settings,
    statuses: StatusWriter,
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
        let _terms = (
            self.expansions.term(),
            self.modifications.term(),
            self.metrics.term(),
        );
        let term = tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            term = self.begin() => term?,
        };
        let mut enqueue = Enqueue::new();
        if self.sidecar.driver().expands() {
            self.follow_sizes(&term, &mut enqueue, &scope);
        }
        self.follow_classes(&term, &mut enqueue, &scope);
        self.count(&term, &mut enqueue);
        let function = self.sidecar.function();
        let expansions = function.reconciler(self.expansion_rules(&term, &scope));
        let modifications = function.reconciler(self.modification_rules(&term));
        // An expansion that begins with a change by class marks both, so it goes first.
        tokio::join!(
            biased;
            self.expansions.run(&scope, Arc::new(expansions)),
            self.modifications.run(&scope, Arc::new(modifications)),
        );
        Ok(())
    }

    /// The caches, up to date.
    async fn begin(&self) -> Result<Term, Error> {
        let context = self.sidecar.function().context();
        let watches = &context.watches;
        let (all_classes, modifying) = match self.classes().await {
            Ok(all) => (Some(all), Modifying::On),
            Err(why) => (None, Modifying::Off(why)),
        };
        let driver = self.sidecar.driver().name();
        let volumes: Cache<Volume> = watches.cache_keeping(driver, migration::volumes_of(driver));
        // Which claims are kept is seen from the volumes.
        volumes.caught_up().await;
        let claims: Cache<Claim> = watches.cache_keeping(
            &format!("csi-resizer of {driver}"),
            kept::claims(driver, volumes.clone()),
        );
        let classes: Option<Cache<AttributesClass>> = all_classes.map(|all| watches.cache(all));
        claims.index(triggers::BY_CLASS, triggers::classes_of)?;
        let of_classes = async {
            if let Some(classes) = &classes {
                classes.caught_up().await;
            }
        };
        tokio::join!(claims.caught_up(), of_classes);
        Ok(Term {
            statuses: StatusWriter::new(Objects::new(claims.clone(), &context.client, NAME)),
            settings: self.settings(modifying),
            claims,
            volumes,
            classes,
        })
    }

    /// The classes that are applied, or why none is, found out once a term: no request is ever denied or without a kind.
    async fn classes(&self) -> Result<Selection, String> {
        let driver = self.sidecar.driver();
        if !self.config.modify {
            let why = "the feature gate VolumeAttributesClass of the csi-resizer is off";
            return Err(why.to_owned());
        }
        if !driver.modifies {
            return Err(format!(
                "the CSI driver {} cannot change volumes: it lacks the capability MODIFY_VOLUME",
                driver.name()
            ));
        }
        let context = self.sidecar.function().context();
        let (client, random) = (&context.client, context.random.fork());
        let all = attributes_api::all(client, &random, self.config.attributes_fallback).await;
        all.inspect_err(|why| tracing::warn!("no volume is changed by VolumeAttributesClass: {why}"))
    }

    fn follow_sizes(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let (known, settings) = (term.volumes.clone(), term.settings.clone());
        let of_claims = enqueue.on(&term.claims, &self.expansions, move |change| {
            let concerned = triggers::of_claim(change, &known, &settings);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_claims.resync_every(self.config.resync_period, scope);
        let (known, settings) = (term.claims.clone(), term.settings.clone());
        enqueue.on(&term.volumes, &self.expansions, move |change| {
            triggers::of_volume(change, &known, &settings)
                .into_iter()
                .collect()
        });
    }

    fn follow_classes(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let (known, settings) = (term.volumes.clone(), term.settings.clone());
        let of_claims = enqueue.on(&term.claims, &self.modifications, move |change| {
            let concerned = triggers::class_of_claim(change, &known, &settings);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_claims.resync_every(self.config.resync_period, scope);
        let (known, settings) = (term.claims.clone(), term.settings.clone());
        enqueue.on(&term.volumes, &self.modifications, move |change| {
            triggers::class_of_volume(change, &known, &settings)
                .into_iter()
                .collect()
        });
        if let Some(classes) = &term.classes {
            let known = term.claims.clone();
            enqueue.on(classes, &self.modifications, move |change| {
                triggers::of_class(change, &known)
            });
        }
    }

    fn count(&self, term: &Term, enqueue: &mut Enqueue) {
        let (metrics, volumes, settings) =
            (self.metrics.clone(), term.volumes.clone(), term.settings.clone());
        let is_ours = move |claim: &Claim| {
            let volume = claim.volume_name.as_ref();
            let volume = volume.and_then(|name| volumes.get(&ObjectKey::cluster(name)));
            volume.is_some_and(|volume| is_ours(claim, &volume, &settings))
        };
        enqueue.tell(&term.claims, move |change| metrics.count(change, &is_ours));
    }

    fn settings(&self, modifying: Modifying) -> Settings {
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
            modifying,
            extra_modify_metadata: self.config.extra_modify_metadata,
        }
    }

    fn expansion_rules(&self, term: &Term, scope: &Scope) -> Claims {
        let context = self.sidecar.function().context();
        let (client, clock) = (&context.client, &context.clock);
        Claims {
            statuses: term.statuses.clone(),
            classes: term.classes.clone(),
            volumes: Objects::new(term.volumes.clone(), client, NAME),
            usages: Usages::new(
                &term.settings.driver,
                client.clone(),
                clock.clone(),
                context.random.fork(),
                scope,
                self.expansions.clone(),
            ),
            calls: self.calls(self.config.resize_timeout),
            settings: term.settings.clone(),
        }
    }

    fn modification_rules(&self, term: &Term) -> Modifications {
        let client = &self.sidecar.function().context().client;
        Modifications {
            statuses: term.statuses.clone(),
            volumes: Objects::new(term.volumes.clone(), client, NAME),
            classes: term.classes.clone(),
            calls: self.calls(self.config.modify_timeout),
            settings: term.settings.clone(),
        }
    }

    fn calls(&self, timeout: Duration) -> Calls {
        Calls {
            channel: self.sidecar.channel().clone(),
            timeout,
        }
    }
}
