//! The rules of each queue, with what they work on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use controller::{Editor, Objects};

use crate::calls::Calls;
use crate::capacity::{self, Refresh};
use crate::claims::{Claims, Ended};
use crate::grants::Grants;
use crate::guards::{Guarded, Guards, Origins};
use crate::lookups::Lookups;
use crate::places::Nodes;
use crate::volumes::Volumes;

use super::term::Term;
use super::{NAME, Prepared};

impl Prepared {
    pub(super) fn ended(&self, term: &Term) -> Ended {
        Ended {
            busy: term.busy.clone(),
            snapshots: self.queues.snapshots.clone(),
            clones: self.queues.clones.clone(),
        }
    }

    pub(super) fn origins(&self, term: &Term) -> Origins {
        let client = &self.sidecar.function().context().client;
        let snapshots = Lookups::new(term.snapshots.clone(), client, NAME);
        let contents = Lookups::new(term.contents.clone(), client, NAME);
        let claims = Lookups::new(Some(term.claims.clone()), client, NAME);
        Origins {
            claims: Arc::new(claims),
            volumes: term.volumes.clone(),
            snapshots: Arc::new(snapshots.where_served(term.serves_snapshots)),
            contents: Arc::new(contents.where_served(term.serves_snapshots)),
        }
    }

    pub(super) fn claim_rules(&self, term: &Term, origins: &Origins) -> Claims {
        let client = &self.sidecar.function().context().client;
        let attributes = term.attributes.clone();
        Claims {
            claims: Objects::new(term.claims.clone(), client, NAME),
            claim_editor: term.claim_editor.clone(),
            volumes: Objects::new(term.volumes.clone(), client, NAME),
            classes: term.classes.clone(),
            attributes: Lookups::new(attributes, client, NAME)
                .in_version_of(&term.all_attributes)
                .where_served(term.serves_attributes),
            snapshots: origins.snapshots.clone(),
            snapshot_editor: term.snapshot_editor.clone(),
            contents: origins.contents.clone(),
            origins: Lookups::kept(term.claims.clone(), client, NAME),
            origin_volumes: Lookups::kept(term.volumes.clone(), client, NAME),
            grants: term.grants.clone().map(Grants),
            nodes: self.nodes(term),
            refresh: refresh_of(term),
            busy: term.busy.clone(),
            former: term.former.clone(),
            ended: self.ended(term),
            calls: self.calls(),
            metrics: self.metrics.clone(),
            settings: term.settings.clone(),
            is_strict: self.config.strict_topology,
            is_immediate: self.config.immediate_topology,
        }
    }

    /// None for a driver without topology.
    fn nodes(&self, term: &Term) -> Option<Nodes> {
        match (term.settings.topology, &self.local, &term.nodes) {
            (false, _, _) | (true, None, None) => None,
            (true, Some(local), _) => Some(Nodes::Local(local.clone())),
            (true, None, Some((labels, drivers))) => Some(Nodes::Cluster {
                labels: labels.clone(),
                drivers: drivers.clone(),
                placeless: term.placeless.clone(),
            }),
        }
    }

    pub(super) fn volume_rules(&self, term: &Term) -> Volumes {
        let client = &self.sidecar.function().context().client;
        Volumes {
            volumes: Objects::new(term.volumes.clone(), client, NAME),
            classes: term.classes.clone(),
            attachments: term.attachments.clone(),
            calls: self.calls(),
            refresh: refresh_of(term),
            metrics: self.metrics.clone(),
            settings: term.settings.clone(),
        }
    }

    pub(super) fn guards<K: Guarded>(
        &self,
        term: &Term,
        origins: &Origins,
        sources: &Arc<Lookups<K>>,
        editor: &Arc<Editor<K>>,
    ) -> Guards<K> {
        Guards {
            sources: sources.clone(),
            origins: origins.clone(),
            editor: editor.clone(),
            claims: term.claims.clone(),
            classes: term.classes.clone(),
            grants: term.grants.clone().map(Grants),
            busy: term.busy.clone(),
            settings: term.settings.clone(),
            sweep_interval: self.config.sweep_interval,
        }
    }

    pub(super) fn calls(&self) -> Calls {
        Calls {
            channel: self.sidecar.channel().clone(),
            timeout: self.config.driver.timeout,
            running: Mutex::new(BTreeMap::new()),
        }
    }
}

fn refresh_of(term: &Term) -> Option<Refresh> {
    term.capacity.as_ref().map(capacity::Term::refresh)
}
