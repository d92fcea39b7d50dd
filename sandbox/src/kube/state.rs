//! Everything the server holds, behind one lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, Random};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::access::Denials;
use super::audit::Audit;
use super::builtin;
use super::collection::{Change, ChangeKind, Collection};
use super::object::{Object, key_of, metadata_mut, time_text};
use super::resource::{GroupResource, ResourceType};

/// Changes of one type that a watch can still be given.
const HISTORY_LIMIT: usize = 4096;

/// Collections by group and plural name.
type Groups = BTreeMap<String, BTreeMap<String, Collection>>;

/// Everything the server holds. Every operation runs under its lock from start to end.
pub(crate) struct State {
    pub clock: Clock,
    pub random: Random,
    pub audit: Audit,
    pub denials: Denials,
    /// The gate CrossNamespaceVolumeDataSource.
    pub sources_may_cross: bool,
    /// The last resourceVersion given.
    pub revision: u64,
    groups: Groups,
    subscribers: Vec<Subscriber>,
}

/// Receives some changes.
struct Subscriber {
    wanted: Wanted,
    sender: mpsc::UnboundedSender<Change>,
}

/// Which changes, by type and kind.
type Wanted = Box<dyn Fn(GroupResource<'_>, ChangeKind) -> bool + Send>;

impl State {
    pub fn new(clock: Clock, random: Random) -> Self {
        let mut state = Self {
            clock,
            random,
            audit: Audit::default(),
            denials: Denials::default(),
            sources_may_cross: false,
            revision: 0,
            groups: BTreeMap::new(),
            subscribers: Vec::new(),
        };
        for resource in builtin::types() {
            state.register(resource);
        }
        state
    }

    /// The present moment as object fields show it.
    pub fn now(&self) -> String {
        time_text(self.clock.now())
    }

    /// Serves a type, or serves it in another way from now on.
    pub fn register(&mut self, resource: ResourceType) {
        let group = self.groups.entry(resource.group.clone()).or_default();
        match group.get_mut(&resource.plural) {
            Some(collection) => collection.resource = Arc::new(resource),
            None => {
                let plural = resource.plural.clone();
                group.insert(plural, Collection::new(resource, HISTORY_LIMIT, self.revision));
            }
        }
    }

    /// Serves a type no more; its watches end when they have told all.
    pub fn unregister(&mut self, id: GroupResource<'_>) {
        if let Some(group) = self.groups.get_mut(id.group) {
            if let Some(collection) = group.remove(id.plural) {
                collection.end();
            }
            if group.is_empty() {
                self.groups.remove(id.group);
            }
        }
    }

    pub fn collection(&self, id: GroupResource<'_>) -> Option<&Collection> {
        self.groups.get(id.group)?.get(id.plural)
    }

    fn collection_mut(&mut self, id: GroupResource<'_>) -> Option<&mut Collection> {
        self.groups.get_mut(id.group)?.get_mut(id.plural)
    }

    /// All collections, in order of group and plural name.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.groups.values().flat_map(BTreeMap::values)
    }

    /// The served types of a group, in order of their plural names; none when the group is not there.
    pub fn group(&self, name: &str) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.groups
            .get(name)
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|collection| &collection.resource)
    }

    /// The names of all groups but core, in order.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups
            .keys()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    pub fn object(&self, id: GroupResource<'_>, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.collection(id)?.objects.get(&key_of(namespace, name))
    }

    /// Stores a state of an object under the next resourceVersion.
    pub fn put(&mut self, id: GroupResource<'_>, key: String, value: Value) -> Arc<Object> {
        let previous = self
            .collection(id)
            .and_then(|collection| collection.objects.get(&key))
            .cloned();
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.record(id, kind, key, value, previous)
    }

    /// Removes an object. The answer is its last state, with the resourceVersion of the removal.
    pub fn remove(&mut self, id: GroupResource<'_>, previous: &Arc<Object>) -> Arc<Object> {
        let (key, value) = (previous.key().to_owned(), previous.value().clone());
        self.record(id, ChangeKind::Deleted, key, value, Some(previous.clone()))
    }

    /// Removes an object whose last write, `value`, took the last thing that kept it.
    pub fn remove_as(&mut self, id: GroupResource<'_>, previous: &Arc<Object>, value: Value) -> Arc<Object> {
        self.record(
            id,
            ChangeKind::Deleted,
            previous.key().to_owned(),
            value,
            Some(previous.clone()),
        )
    }

    fn record(
        &mut self,
        id: GroupResource<'_>,
        kind: ChangeKind,
        key: String,
        mut value: Value,
        previous: Option<Arc<Object>>,
    ) -> Arc<Object> {
        self.revision += 1;
        let revision = self.revision;
        metadata_mut(&mut value).insert("resourceVersion".to_owned(), json!(revision.to_string()));
        let object = Arc::new(Object::new(key, revision, value));
        let change = Change {
            kind,
            object: object.clone(),
            previous,
        };
        self.subscribers.retain(|subscriber| {
            if (subscriber.wanted)(id, kind) {
                subscriber.sender.send(change.clone()).is_ok()
            } else {
                !subscriber.sender.is_closed()
            }
        });
        if let Some(collection) = self.collection_mut(id) {
            collection.record(change);
        }
        object
    }

    /// Forgets all history: older resourceVersions are Gone from now on.
    pub fn forget_history(&mut self) {
        let revision = self.revision;
        for collection in self.groups.values_mut().flat_map(BTreeMap::values_mut) {
            collection.forget(revision);
        }
    }

    /// Sends every present object of these types, then every change.
    pub fn subscribe(&mut self, interests: &[GroupResource<'_>]) -> mpsc::UnboundedReceiver<Change> {
        let owned = interests
            .iter()
            .map(|id| (id.group.to_owned(), id.plural.to_owned()));
        let owned: Vec<(String, String)> = owned.collect();
        let wanted = move |id: GroupResource<'_>, _| {
            owned
                .iter()
                .any(|(group, plural)| group == id.group && plural == id.plural)
        };
        let present = interests.iter().filter_map(|id| self.collection(*id));
        let present = present.flat_map(|collection| collection.objects.values());
        let present: Vec<Arc<Object>> = present.cloned().collect();
        self.subscribed(present, Box::new(wanted))
    }

    /// Sends every present object that is wanted as added, then every change that is wanted.
    pub fn subscribe_where(
        &mut self,
        wanted: impl Fn(GroupResource<'_>, ChangeKind) -> bool + Send + 'static,
    ) -> mpsc::UnboundedReceiver<Change> {
        let present = self
            .collections()
            .filter(|collection| wanted(collection.resource.id(), ChangeKind::Added))
            .flat_map(|collection| collection.objects.values());
        let present: Vec<Arc<Object>> = present.cloned().collect();
        self.subscribed(present, Box::new(wanted))
    }

    fn subscribed(&mut self, present: Vec<Arc<Object>>, wanted: Wanted) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for object in present {
            let change = Change {
                kind: ChangeKind::Added,
                object,
                previous: None,
            };
            // The receiver is ours: it is there.
            let _ = sender.send(change);
        }
        self.subscribers.push(Subscriber { wanted, sender });
        receiver
    }
}
