//! Every namespace has a ServiceAccount `default`.

use serde_json::json;

use super::{Actor, NAMESPACES, SERVICE_ACCOUNTS, attempt, is_deleting, text};
use crate::kube::{Change, GroupResource, Store};

/// The service account controller.
pub(super) struct Accounts {
    store: Store,
}

impl Accounts {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Actor for Accounts {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![NAMESPACES, SERVICE_ACCOUNTS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let namespace = match text(change.object.value(), "/kind") {
            "Namespace" => change.object.name(),
            _ => change.object.namespace(),
        };
        let living = self
            .store
            .get(NAMESPACES, "", namespace)
            .is_some_and(|object| !is_deleting(object.value()));
        if living && self.store.get(SERVICE_ACCOUNTS, namespace, "default").is_none() {
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": namespace},
            });
            attempt(self.store.create(SERVICE_ACCOUNTS, account));
        }
    }
}
