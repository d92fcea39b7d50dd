//! What a person does in the story: apply manifests, look at objects, delete them.

use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::Instant;

/// How often an object is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A person with a client of the sandbox.
pub struct Person {
    client: Client,
}

/// What can go wrong for the person.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused something.
    #[error("{action} failed: {source}")]
    Api {
        /// What was tried.
        action: String,
        /// What the API said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A manifest without kind, API version or name.
    #[error("a manifest has no {0}")]
    Incomplete(&'static str),
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; last seen: {last}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What the object looked like.
        last: String,
    },
}

/// An object: kind, namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug)]
pub struct Reference {
    resource: ApiResource,
    namespace: Option<String>,
    /// Name of the object.
    pub name: String,
}

impl Reference {
    /// The object of a manifest.
    ///
    /// # Errors
    /// [`Error::Incomplete`].
    pub fn of(manifest: &Value) -> Result<Self, Error> {
        let text = |pointer: &str, what| {
            manifest
                .pointer(pointer)
                .and_then(Value::as_str)
                .ok_or(Error::Incomplete(what))
        };
        let (api_version, kind) = (text("/apiVersion", "apiVersion")?, text("/kind", "kind")?);
        let namespace = manifest.pointer("/metadata/namespace").and_then(Value::as_str);
        Ok(Self::new(
            api_version,
            kind,
            namespace,
            text("/metadata/name", "name")?,
        ))
    }

    /// An object by its parts.
    #[must_use]
    pub fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        Self {
            resource: ApiResource::from_gvk(&gvk),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// As kubectl spells it: `volumesnapshot.snapshot.storage.k8s.io/name`.
    #[must_use]
    pub fn spelled(&self) -> String {
        let kind = self.resource.kind.to_lowercase();
        match self.resource.group.as_str() {
            "" => format!("{kind}/{}", self.name),
            group => format!("{kind}.{group}/{}", self.name),
        }
    }
}

impl Person {
    /// A person who uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Applies a manifest as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn apply(&self, manifest: &Value) -> Result<Reference, Error> {
        let reference = Reference::of(manifest)?;
        self.api(&reference)
            .patch(
                &reference.name,
                &PatchParams::apply("kubectl"),
                &Patch::Apply(manifest),
            )
            .await
            .map_err(|source| failed(format!("applying {}", reference.spelled()), source))?;
        Ok(reference)
    }

    /// Changes an object by a strategic merge patch, as `kubectl patch` and `kubectl edit` do.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn patch(&self, reference: &Reference, change: &Value) -> Result<(), Error> {
        self.api(reference)
            .patch(
                &reference.name,
                &PatchParams::default(),
                &Patch::Strategic(change),
            )
            .await
            .map_err(|source| failed(format!("patching {}", reference.spelled()), source))?;
        Ok(())
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// What the API refuses; absence is no error.
    pub async fn look(&self, reference: &Reference) -> Result<Option<Value>, Error> {
        let found = self
            .api(reference)
            .get_opt(&reference.name)
            .await
            .map_err(|source| failed(format!("reading {}", reference.spelled()), source))?;
        Ok(found.and_then(|object| serde_json::to_value(object).ok()))
    }

    /// Asks for the deletion of an object.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn delete(&self, reference: &Reference) -> Result<(), Error> {
        self.api(reference)
            .delete(&reference.name, &DeleteParams::default())
            .await
            .map_err(|source| failed(format!("deleting {}", reference.spelled()), source))?;
        Ok(())
    }

    /// Waits until the object (`None` when absent) is as wanted; `see` is shown every look.
    ///
    /// # Errors
    /// [`Error::TooLate`] after `within`, and what the API refuses.
    pub async fn wait(
        &self,
        reference: &Reference,
        what: &str,
        within: Duration,
        mut wanted: impl FnMut(Option<&Value>) -> bool,
    ) -> Result<Option<Value>, Error> {
        let deadline = Instant::now() + within;
        loop {
            let seen = self.look(reference).await?;
            if wanted(seen.as_ref()) {
                return Ok(seen);
            }
            if Instant::now() >= deadline {
                let last = seen.map_or_else(|| "absent".to_owned(), |object| object["status"].to_string());
                let what = format!("{}: {what}", reference.spelled());
                return Err(Error::TooLate {
                    what,
                    seconds: within.as_secs(),
                    last,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn api(&self, reference: &Reference) -> Api<DynamicObject> {
        match &reference.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &reference.resource),
            None => Api::all_with(self.client.clone(), &reference.resource),
        }
    }
}

fn failed(action: String, source: kube::Error) -> Error {
    Error::Api {
        action,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_spelled_as_kubectl_does() {
        let snapshot = Reference::new(
            "snapshot.storage.k8s.io/v1",
            "VolumeSnapshot",
            Some("default"),
            "s",
        );
        assert_eq!(snapshot.spelled(), "volumesnapshot.snapshot.storage.k8s.io/s");
        assert_eq!(snapshot.resource.plural, "volumesnapshots");
        let class = Reference::new("snapshot.storage.k8s.io/v1", "VolumeSnapshotClass", None, "c");
        assert_eq!(class.resource.plural, "volumesnapshotclasses");
        assert_eq!(
            Reference::new("v1", "PersistentVolume", None, "test-pv").spelled(),
            "persistentvolume/test-pv"
        );
    }

    #[test]
    fn an_incomplete_manifest_is_refused() {
        let error = Reference::of(&serde_json::json!({ "apiVersion": "v1", "metadata": {} })).unwrap_err();
        assert_eq!(error.to_string(), "a manifest has no kind");
    }
}
