//! The server as its owner holds it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base::{Clock, Random, Scope};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::access::Denial;
use super::audit::AuditRecord;
use super::builtin;
use super::certificate::{CertificateError, Identity};
use super::object::Object;
use super::resource::{GroupResource, ResourceType};
use super::service::ApiService;
use super::state::State;
use super::store::Store;
use super::write::{self, NAMESPACES, Operation, Target};

/// An in-memory Kubernetes API server. Clones are handles of the same server.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) inner: Arc<Inner>,
}

/// What all handles share.
pub(crate) struct Inner {
    state: Mutex<State>,
    /// Whose turn it is among the requests: so they wait for the state without holding up a thread.
    pub turn: tokio::sync::Mutex<()>,
    /// Owns the tasks of the server over HTTP.
    pub scope: Scope,
    /// Ends the watches.
    pub stopping: CancellationToken,
    /// Made when the server is first reached over sockets.
    identity: OnceLock<Identity>,
}

impl Inner {
    /// The state, for one operation. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate and its key.
    pub fn identity(&self) -> Result<&Identity, CertificateError> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let made = Identity::new()?;
        Ok(self.identity.get_or_init(|| made))
    }
}

impl ApiServer {
    /// A server with the built-in types and the namespaces `default` and `kube-system`. It ends with `scope`.
    /// Names and UIDs come from `random`, time stamps from `clock`, waiting is on the tokio clock.
    #[must_use]
    pub fn new(clock: Clock, random: Random, scope: &Scope) -> Self {
        let scope = scope.child();
        let server = Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State::new(clock, random)),
                turn: tokio::sync::Mutex::new(()),
                stopping: scope.stopping_token(),
                scope,
                identity: OnceLock::new(),
            }),
        };
        for name in ["default", "kube-system"] {
            // A new server takes them.
            let _ = server.create_namespace(name);
        }
        server
    }

    fn create_namespace(&self, name: &str) -> Result<Arc<Object>, super::ApiError> {
        let mut state = self.inner.lock();
        let namespaces = state
            .collection(NAMESPACES)
            .map(|collection| collection.resource.clone());
        let target = Target {
            resource: namespaces.ok_or_else(super::ApiError::no_such_resource)?,
            version: "v1",
            namespace: "",
            name: "",
            subresource: "",
            manager: "kube-apiserver",
            dry_run: false,
        };
        let labels = json!({"kubernetes.io/metadata.name": name});
        let namespace =
            json!({"metadata": {"name": name, "labels": labels}, "spec": {"finalizers": ["kubernetes"]}});
        write::create(&mut state, &target, namespace, Operation::Update)
    }

    /// The API as `user` reaches it, without sockets: give it to `kube::Client::new`.
    #[must_use]
    pub fn service(&self, user: &str) -> ApiService {
        ApiService::new(self.inner.clone(), user)
    }

    /// Direct access to the objects as `user`, for the actors that stand for a control plane.
    #[must_use]
    pub fn store(&self, user: &str) -> Store {
        Store::new(self.inner.clone(), user)
    }

    /// Every request so far (the latest 200,000), oldest first. Accesses through [`ApiServer::store`] are none.
    #[must_use]
    pub fn audit(&self) -> Vec<AuditRecord> {
        self.audit_since(0)
    }

    /// The requests after the one with this number.
    #[must_use]
    pub fn audit_since(&self, number: u64) -> Vec<AuditRecord> {
        self.inner.lock().audit.since(number)
    }

    /// Denies `user` something from now on: 403, and access reviews say so.
    pub fn deny(&self, user: &str, denial: Denial) {
        self.inner.lock().denials.add(user, denial);
    }

    /// Allows `user` everything again.
    pub fn allow_all(&self, user: &str) {
        self.inner.lock().denials.clear(user);
    }

    /// Lets claims name sources of other namespaces from now on: the gate CrossNamespaceVolumeDataSource.
    pub fn let_sources_cross(&self) {
        self.inner.lock().sources_may_cross = true;
    }

    /// Serves a built-in kind in this version alone from now on, as older API servers do. Objects that are there already keep
    /// theirs: there should be none.
    pub fn serve_only(&self, resource: GroupResource<'_>, version: &str) {
        let is_it = |kind: &ResourceType| kind.group == resource.group && kind.plural == resource.plural;
        if let Some(mut kind) = builtin::types().find(is_it) {
            for served in &mut kind.versions {
                version.clone_into(&mut served.name);
            }
            self.inner.lock().register(kind);
        }
    }

    /// Forgets the history of changes: watches and pages from older resourceVersions are answered 410.
    pub fn forget_history(&self) {
        self.inner.lock().forget_history();
    }

    /// The resourceVersion of the latest write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.inner.lock().revision
    }

    /// All objects by `plural.group` and then by key, for comparing final states.
    #[must_use]
    pub fn dump(&self) -> Value {
        let state = self.inner.lock();
        let mut dump = Map::new();
        for collection in state
            .collections()
            .filter(|collection| !collection.objects.is_empty())
        {
            let objects = collection
                .objects
                .iter()
                .map(|(key, object)| (key.clone(), object.value().clone()));
            dump.insert(collection.resource.qualified(), Value::Object(objects.collect()));
        }
        Value::Object(dump)
    }

    /// The number of objects of a type.
    #[must_use]
    pub fn count(&self, resource: GroupResource<'_>) -> usize {
        self.inner
            .lock()
            .collection(resource)
            .map_or(0, |collection| collection.objects.len())
    }
}
