//! Random histories of an API server, shown late by its watch and early by our own writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use super::kept::Place;
use super::store::{Entry, Listed, Store};
use super::version::Version;
use crate::objects::{Claim, ObjectKey, Volume};

#[derive(Clone, Debug)]
enum Step {
    /// Somebody creates or changes an object; if it is us, the answer is recorded.
    Write {
        name: u8,
        own: bool,
    },
    /// Somebody deletes an object; if it is us, that is recorded.
    Delete {
        name: u8,
        own: bool,
    },
    /// The answer to an own write comes only now (of those that are still out, this one).
    Answer(u8),
    /// The watch shows this many events.
    Show(u8),
    /// The watch is lost, and the present state listed; events up to now are not shown any more.
    Relist,
    Bookmark,
}

/// The server, its history, and what the watch has shown of it.
#[derive(Default)]
struct Server {
    version: u64,
    uids: u64,
    objects: BTreeMap<u8, Claim>,
    /// Deleted, and the object with the version of the event.
    history: Vec<(bool, Claim)>,
    shown: usize,
}

impl Server {
    fn write(&mut self, name: u8) -> Claim {
        self.version += 1;
        let uid = self
            .objects
            .get(&name)
            .and_then(|claim| claim.metadata.uid.clone());
        let uid = uid.unwrap_or_else(|| {
            self.uids += 1;
            format!("u{}", self.uids)
        });
        let claim = claim(name, &uid, self.version);
        self.objects.insert(name, claim.clone());
        self.history.push((false, claim.clone()));
        claim
    }

    fn delete(&mut self, name: u8) -> Option<Claim> {
        let claim = self.objects.remove(&name)?;
        self.version += 1;
        let mut event = claim.clone();
        event.metadata.resource_version = Some(self.version.to_string());
        self.history.push((true, event));
        Some(claim)
    }

    fn show(&mut self, events: usize, store: &mut Store<Claim>) {
        for (deleted, claim) in self.history.iter().skip(self.shown).take(events) {
            if *deleted {
                store.apply_deleted(
                    &ObjectKey::of(claim),
                    claim.metadata.uid.as_deref().unwrap(),
                    Version::of(claim),
                );
            } else {
                store.apply(claim.clone());
            }
            self.shown += 1;
        }
    }

    fn has_shown_deletion(&self, name: u8, after: u64) -> bool {
        self.history[..self.shown].iter().any(|(deleted, claim)| {
            *deleted && ObjectKey::of(claim) == key(name) && Version::of(claim).number() > Some(after)
        })
    }

    fn relist(&mut self, store: &mut Store<Claim>) {
        let listed = Listed {
            objects: self
                .objects
                .values()
                .cloned()
                .map(|claim| store.item(claim))
                .collect(),
            unreadable: BTreeSet::new(),
            version: self.version.to_string(),
        };
        assert!(
            store.replace(listed, false).is_ok(),
            "it is not older than what was shown"
        );
        self.shown = self.history.len();
    }
}

fn claim(name: u8, uid: &str, version: u64) -> Claim {
    Claim {
        metadata: ObjectMeta {
            namespace: Some("shop".to_owned()),
            name: Some(name.to_string()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        },
        ..Claim::default()
    }
}

fn key(name: u8) -> ObjectKey {
    ObjectKey::new("shop", name.to_string())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_u8, any::<bool>()).prop_map(|(name, own)| Step::Write { name, own }),
        3 => (0..3_u8, any::<bool>()).prop_map(|(name, own)| Step::Delete { name, own }),
        4 => any::<u8>().prop_map(Step::Answer),
        4 => (1..4_u8).prop_map(Step::Show),
        1 => Just(Step::Relist),
        1 => Just(Step::Bookmark),
    ];
    prop::collection::vec(step, 1..80)
}

/// The answers to own writes and deletions that are on their way.
enum Answer {
    Written(Claim),
    Deleted(Claim),
}

/// The server, our cache of it, and what our own writes have told us.
struct World {
    server: Server,
    store: Store<Claim>,
    /// Answers on their way.
    out: Vec<Answer>,
    /// The version of the newest answer, by name.
    known: BTreeMap<u8, u64>,
    /// UIDs whose deletion was answered.
    gone: BTreeSet<String>,
    /// The newest version of which a deletion was answered, by name: what is older is of a predecessor.
    buried: BTreeMap<u8, u64>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let (mut server, mut store) = (Server::default(), Store::new(false, None));
        server.relist(&mut store);
        Self {
            server,
            store,
            out: Vec::new(),
            known: BTreeMap::new(),
            gone: BTreeSet::new(),
            buried: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { name, own } => {
                let claim = self.server.write(*name);
                if *own {
                    self.out.push(Answer::Written(claim));
                }
            }
            Step::Delete { name, own } => {
                // We delete what we know of only.
                let shown = self
                    .store
                    .get(&key(*name))
                    .and_then(|claim| claim.metadata.uid.clone());
                if let Some(claim) = self.server.delete(*name)
                    && *own
                    && claim.metadata.uid == shown
                {
                    self.out.push(Answer::Deleted(claim));
                }
            }
            Step::Answer(which) if !self.out.is_empty() => {
                let answer = self.out.remove(usize::from(*which) % self.out.len());
                self.answer(answer);
            }
            Step::Answer(_) => {}
            Step::Show(events) => self.server.show(usize::from(*events), &mut self.store),
            Step::Relist => self.server.relist(&mut self.store),
            Step::Bookmark if self.server.shown == self.server.history.len() => {
                self.store
                    .advance(Version::parse(&self.server.version.to_string()));
            }
            Step::Bookmark => {}
        }
        self.assert_own_writes_hold();
    }

    fn answer(&mut self, answer: Answer) {
        let (Answer::Written(claim) | Answer::Deleted(claim)) = &answer;
        let name: u8 = claim.metadata.name.as_deref().unwrap().parse().unwrap();
        let version = Version::of(claim).number().unwrap();
        let uid = claim.metadata.uid.clone().unwrap();
        match answer {
            Answer::Written(claim) => {
                self.store.record(claim, self.now);
                let buried =
                    self.gone.contains(&uid) || self.buried.get(&name).is_some_and(|last| version < *last);
                if !buried && self.known.get(&name).is_none_or(|known| *known < version) {
                    self.known.insert(name, version);
                }
            }
            Answer::Deleted(claim) => {
                let place = ObjectKey::of(&claim);
                self.store
                    .record_deleted(&place, &uid, Version::default(), self.now);
                if self.known.get(&name).is_some_and(|known| *known <= version) {
                    self.known.remove(&name);
                }
                self.gone.insert(uid);
                let last = self.buried.entry(name).or_default();
                *last = version.max(*last);
            }
        }
    }

    /// What we know by own writes is never undone.
    fn assert_own_writes_hold(&self) {
        for (name, version) in &self.known {
            match self.store.get(&key(*name)) {
                Some(claim) => {
                    let shown = Version::of(claim.as_ref()).number().unwrap();
                    assert!(
                        shown >= *version,
                        "{name}: {shown} is older than the own write {version}"
                    );
                }
                // Somebody deleted it, and the watch has shown that.
                None => assert!(self.server.has_shown_deletion(*name, *version), "{name} vanished"),
            }
        }
        for (_, claim) in self.store.all() {
            let uid = claim.metadata.uid.as_deref().unwrap();
            assert!(!self.gone.contains(uid), "a deleted object came back");
        }
    }

    /// All answers arrive, and the watch shows everything.
    fn end(mut self) {
        for answer in std::mem::take(&mut self.out) {
            self.answer(answer);
        }
        self.server.show(usize::MAX, &mut self.store);
        let shown: Vec<_> = self
            .store
            .all()
            .map(|(_, claim)| claim.as_ref().clone())
            .collect();
        let real: Vec<_> = self.server.objects.into_values().collect();
        assert_eq!(shown, real, "in the end the cache shows what the server has");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn own_writes_are_never_undone_and_the_cache_ends_right(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.end();
    }
}

#[test]
fn tombstones_do_not_pile_up() {
    let mut store = Store::<Claim>::new(false, None);
    let start = Instant::now();
    for number in 0..100_u32 {
        // The watch was faster than the answer: no event will clear these.
        let now = start + Duration::from_secs(60) * number;
        let key = ObjectKey::new("shop", number.to_string());
        store.record_deleted(&key, "u", Version::default(), now);
    }
    assert_eq!(store.tombstones(), 10);
    // Those of which a version is known go with the event or with a list.
    let mut store = Store::<Claim>::new(false, None);
    for name in 0..3_u8 {
        store.apply(claim(name, &format!("u{name}"), u64::from(name) + 1));
        store.record_deleted(&key(name), &format!("u{name}"), Version::default(), start);
    }
    assert_eq!((store.tombstones(), store.len()), (3, 0));
    let deleted = claim(0, "u0", 9);
    store.apply_deleted(&ObjectKey::of(&deleted), "u0", Version::of(&deleted));
    assert_eq!(store.tombstones(), 2);
    let listed = Listed {
        objects: Vec::new(),
        unreadable: BTreeSet::new(),
        version: "10".to_owned(),
    };
    store.replace(listed, false).unwrap();
    assert_eq!(store.tombstones(), 0);
}

/// The room that an object takes: its slot in a tree whose nodes are half full and its two allocations, each with
/// sixteen bytes for the allocator.
fn room<K>(key: &ObjectKey, packed: &[u8]) -> usize {
    let slot = size_of::<Place>() + size_of::<Entry<K>>();
    let text = key.namespace.len() + 1 + key.name.len();
    slot * 2 + text + 16 + packed.len() + 16
}

/// Issue 6: at most 300 bytes a claim or volume that nobody asks us anything about.
#[test]
fn an_unrelated_claim_or_volume_takes_at_most_300_bytes() {
    let uid = "8f14e45f-ceea-467f-a8b1-9d3c5b6e7f80";
    let claim: Claim = serde_json::from_value(json!({
        "metadata": {
            "namespace": "shop-production", "name": "data-database-cluster-0", "uid": uid,
            "resourceVersion": "123456789", "finalizers": ["kubernetes.io/pvc-protection"],
        },
        "spec": {
            "volumeName": format!("pvc-{uid}"), "storageClassName": "of-another-driver",
            "resources": {"requests": {"storage": "20Gi"}},
        },
        "status": {"phase": "Bound", "capacity": {"storage": "20Gi"}},
    }))
    .unwrap();
    let taken = room::<Claim>(&ObjectKey::of(&claim), &claim.packed());
    assert!(taken <= 300, "{taken} bytes a claim");
    let zone = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]});
    let volume: Volume = serde_json::from_value(json!({
        "metadata": {
            "name": format!("pvc-{uid}"), "uid": "01234567-89ab-cdef-0123-456789abcdef",
            "resourceVersion": "123456789", "finalizers": ["kubernetes.io/pv-protection"],
        },
        "spec": {
            "csi": {"driver": "csi.another.vendor", "volumeHandle": "some-handle-0123456789abcdef0"},
            "claimRef": {
                "namespace": "shop-production", "name": "data-database-cluster-0", "uid": uid,
            },
            "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "capacity": {"storage": "20Gi"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}},
        },
    }))
    .unwrap();
    let taken = room::<Volume>(&ObjectKey::of(&volume), &volume.packed());
    assert!(taken <= 300, "{taken} bytes a volume");
}
