//! What has which object looked at.

use base::Scope;
use controller::Enqueue;

use crate::plan::source::Kind;
use crate::{guards, triggers};

use super::Prepared;
use super::term::Term;

impl Prepared {
    pub(super) fn follow_claims(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let queue = &self.queues.claims;
        let settings = term.settings.clone();
        let of_claims = enqueue.on(&term.claims, queue, move |change| {
            triggers::of_claim(change, &settings)
        });
        of_claims.resync_every(self.config.resync_period, scope);
        let (pending, classes) = (self.pending.clone(), term.classes.clone());
        let settings = term.settings.clone();
        enqueue.tell(&term.claims, move |change| {
            pending.count(change, &classes, &settings)
        });
        let claims = term.claims.clone();
        enqueue.on(&term.classes, queue, move |change| {
            triggers::of_class(change, &claims)
        });
        if let Some(attributes) = &term.attributes {
            let claims = term.claims.clone();
            enqueue.on(attributes, queue, move |change| {
                triggers::of_attributes(change, &claims)
            });
        }
        if let Some((labels, drivers)) = &term.nodes {
            let (claims, placeless) = (term.claims.clone(), term.placeless.clone());
            enqueue.on(labels, queue, move |change| {
                triggers::of_labels(change, &claims, &placeless)
            });
            let (claims, placeless) = (term.claims.clone(), term.placeless.clone());
            let driver = term.settings.driver.name.clone();
            enqueue.on(drivers, queue, move |change| {
                triggers::of_driver(change, &claims, &driver, &placeless)
            });
        }
    }

    /// Claims wait for their sources, and sources for the end of their use.
    pub(super) fn follow_sources(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let (queues, ended, local) = (&self.queues, self.ended(term), self.local.clone());
        enqueue.tell(&term.claims, move |change| {
            for source in triggers::ended_sources(change, local.as_ref()) {
                ended.tell(source);
            }
        });
        if self.local.is_some() {
            // How long nobody has used a source counts from its latest use by any node; and the last claim that named it may have
            // been for no node, or for one that is gone.
            let ended = self.ended(term);
            enqueue.tell(&term.claims, move |change| {
                for source in change.sides().flat_map(triggers::sources) {
                    ended.look_at(source);
                }
            });
        }
        self.follow_reasons(term, enqueue);
        let claims = term.claims.clone();
        enqueue.on(&term.claims, &queues.claims, move |change| {
            triggers::of_source(&claims, Kind::Claim, change.key)
        });
        enqueue.on(&term.claims, &queues.clones, |change| {
            let is_due = change.sides().any(guards::is_due);
            is_due.then(|| change.key.clone()).into_iter().collect()
        });
        let claims = term.claims.clone();
        enqueue.on(&term.volumes, &queues.claims, move |change| {
            triggers::of_bound(change, &claims)
        });
        // The volume tells whose its claim is, and may come after it.
        let claims = term.claims.clone();
        enqueue.on(&term.volumes, &queues.clones, move |change| {
            let claim = triggers::claim_of_new(change);
            let due = claim.filter(|key| claims.get(key).is_some_and(|claim| guards::is_due(&*claim)));
            due.into_iter().collect()
        });
        if let Some(grants) = &term.grants {
            let claims = term.claims.clone();
            enqueue.on(grants, &queues.claims, move |change| {
                triggers::of_grant(change, &claims)
            });
        }
        if let Some(contents) = &term.contents {
            let claims = term.claims.clone();
            enqueue.on(contents, &queues.claims, move |change| {
                triggers::of_content(change, &claims)
            });
        }
        let Some(snapshots) = &term.snapshots else {
            return;
        };
        let claims = term.claims.clone();
        enqueue.on(snapshots, &queues.claims, move |change| {
            triggers::of_source(&claims, Kind::Snapshot, change.key)
        });
        if !self.config.sweep_interval.is_zero() {
            let swept = enqueue.on(snapshots, &queues.snapshots, |change| {
                let is_due = change.sides().any(guards::is_due);
                is_due.then(|| change.key.clone()).into_iter().collect()
            });
            swept.resync_every(self.config.sweep_interval, scope);
        }
    }

    /// A claim may count no longer for its source, though it still names it.
    fn follow_reasons(&self, term: &Term, enqueue: &mut Enqueue) {
        let (ended, claims) = (self.ended(term), term.claims.clone());
        enqueue.tell(&term.classes, move |change| {
            for source in triggers::sources_under_class(&claims, &change.key.name) {
                ended.look_at(source);
            }
        });
        if let Some(grants) = &term.grants {
            let (ended, claims) = (self.ended(term), term.claims.clone());
            enqueue.tell(grants, move |change| {
                for source in triggers::sources_under_grant(&claims, &change.key.namespace) {
                    ended.look_at(source);
                }
            });
        }
    }

    pub(super) fn follow_volumes(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let queue = &self.queues.volumes;
        let of_volumes = enqueue.on(&term.volumes, queue, |change| {
            let concerns = triggers::concerns_volume(change);
            concerns.then(|| change.key.clone()).into_iter().collect()
        });
        of_volumes.resync_every(self.config.resync_period, scope);
        if let Some(attachments) = &term.attachments {
            let volumes = term.volumes.clone();
            enqueue.on(attachments, queue, move |change| {
                triggers::of_attachment(change, &volumes)
            });
        }
    }
}
