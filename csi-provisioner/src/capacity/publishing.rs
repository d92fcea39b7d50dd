//! Start-up and work of what publishes capacity.

use std::sync::Arc;

use base::queue::QueueTerm;
use base::{Bucket, Queue, Scope};
use controller::{Enqueue, Error, Objects, Sidecar};
use k8s_openapi::api::storage::v1::{CSINode, CSIStorageCapacity, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use runtime::objects::NodeLabels;
use runtime::{Cache, ObjectKey, Selection};

use super::ledger::{Gauges, Ledger, Refresh};
use super::objects::{BY_ABOUT, Capacities, about_of, differs};
use super::owner::owner;
use super::topology::{ALL, Places, Whereabouts};
use super::{DRIVER_LABEL, MANAGER_LABEL, manager};
use crate::args::CapacityConfig;
use crate::calls::Calls;
use crate::driver::Driver;
use crate::local::LocalNode;
use crate::triggers;

/// What it takes over all terms of leadership.
pub(crate) struct Publishing {
    config: CapacityConfig,
    owner: Option<OwnerReference>,
    manager: String,
    driver: String,
    objects: Queue<ObjectKey>,
    places: Queue<ObjectKey>,
    gauges: Gauges,
}

/// What one term works on.
pub(crate) struct Term {
    objects: Cache<CSIStorageCapacity>,
    places: Places,
}

impl Publishing {
    /// None where nobody asks for it, or the driver has nothing to tell.
    ///
    /// # Errors
    /// There is no such owner.
    pub(crate) async fn prepare(
        config: Option<CapacityConfig>,
        sidecar: &Sidecar<Driver>,
        local: Option<&LocalNode>,
    ) -> Result<Option<Self>, Error> {
        let Some(config) = config else {
            return Ok(None);
        };
        if !sidecar.driver().tells_room {
            tracing::error!(
                "--enable-capacity: the driver lacks GET_CAPACITY, so that no capacity is published"
            );
            return Ok(None);
        }
        let function = sidecar.function();
        let context = function.context();
        let owner = match &config.owner {
            None => None,
            Some((levels, pod)) => {
                let found = owner(&context.client, &config.namespace, pod, *levels).await;
                Some(found.map_err(|error| Error::Surroundings(error.to_string()))?)
            }
        };
        Ok(Some(Self {
            objects: function.queue("csistoragecapacity".into(), config.workers)?,
            places: function.queue("csitopology".into(), 1)?,
            gauges: Gauges::new(&context.registry)?,
            manager: manager(local.map(|local| local.name.as_str())),
            driver: controller::Driver::name(sidecar.driver()).to_owned(),
            owner,
            config,
        }))
    }

    /// What is left in the queues goes with these.
    pub(crate) fn queues(&self) -> (QueueTerm<ObjectKey>, QueueTerm<ObjectKey>) {
        (self.objects.term(), self.places.term())
    }

    /// The objects in memory, and the places that they are about.
    ///
    /// # Errors
    /// Another function of the process indexes them differently.
    pub(crate) fn begin(
        &self,
        watches: &runtime::Watches,
        classes: &Cache<StorageClass>,
        whereabouts: Whereabouts,
    ) -> Result<Term, Error> {
        let ours = format!("{DRIVER_LABEL}={},{MANAGER_LABEL}={}", self.driver, self.manager);
        let selection = Selection::labels(ours).within(self.config.namespace.clone());
        let objects: Cache<CSIStorageCapacity> = watches.cache(selection);
        objects.index(BY_ABOUT, about_of)?;
        let places = Places {
            classes: classes.clone(),
            whereabouts,
            driver: self.driver.clone(),
            immediate: self.config.immediate,
            refresh: Refresh {
                ledger: Ledger::new(self.gauges.clone()),
                queue: self.objects.clone(),
            },
        };
        Ok(Term { objects, places })
    }

    /// What is wanted is known before the first object is looked at: it would be taken for one that nobody wants.
    fn follow(&self, term: &Term) -> Enqueue {
        let mut enqueue = Enqueue::new();
        let places = &term.places;
        let refresh = places.refresh.clone();
        refresh.enqueue(refresh.ledger.want(places.wanted()));
        enqueue.tell(&term.objects, move |change| {
            let about = refresh.ledger.note(change);
            if differs(change) {
                refresh.enqueue(about);
            }
        });
        let all = || vec![ObjectKey::cluster(ALL)];
        let refresh = places.refresh.clone();
        enqueue.on(&places.classes, &self.places, move |change| {
            if triggers::is_another(change) {
                refresh.class(&change.key.name);
            }
            all()
        });
        let Whereabouts::Cluster { labels, drivers } = &places.whereabouts else {
            return enqueue;
        };
        enqueue.on(labels, &self.places, move |change| {
            let labels = |node: &NodeLabels| node.labels.clone();
            let is_same = change.old.map(labels) == change.new.map(labels);
            if is_same { Vec::new() } else { all() }
        });
        let driver = self.driver.clone();
        enqueue.on(drivers, &self.places, move |change| {
            let keys = |node: Option<&CSINode>| triggers::registration(node, &driver);
            let is_same = keys(change.old) == keys(change.new);
            if is_same { Vec::new() } else { all() }
        });
        enqueue
    }

    /// Works until the scope is stopping. Objects that our role does not show are waited for here alone: volumes are made all
    /// the same.
    pub(crate) async fn run(&self, term: &Term, sidecar: &Sidecar<Driver>, calls: Calls, scope: &Scope) {
        tokio::select! {
            biased;
            () = scope.stopping() => return,
            () = term.objects.caught_up() => {}
        }
        let _following = self.follow(term);
        let function = sidecar.function();
        let places = &term.places;
        let capacities = Capacities {
            objects: Objects::new(term.objects.clone(), &function.context().client, function.name()),
            classes: places.classes.clone(),
            ledger: places.refresh.ledger.clone(),
            owner: self.owner.clone(),
            namespace: self.config.namespace.clone(),
            manager: self.manager.clone(),
            driver: self.driver.clone(),
            poll: self.config.poll,
            limit: self.config.limit.map(Bucket::new),
            calls,
        };
        tokio::join!(
            biased;
            self.places.run(scope, Arc::new(function.reconciler(places.clone()))),
            self.objects.run(scope, Arc::new(function.reconciler(capacities))),
        );
    }
}

impl Term {
    pub(crate) fn refresh(&self) -> Refresh {
        self.places.refresh.clone()
    }
}
