//! Whose the published objects are: they go with it. Source: sidecars.md 2.11, `--capacity-ownerref-level`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt as _};

/// Why there is no owner.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// An object on the way cannot be read.
    #[error("--capacity-ownerref-level: cannot read {kind} {namespace}/{name}: {source}")]
    Unread {
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name; for the first the pod's.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nobody controls an object on the way.
    #[error(
        "--capacity-ownerref-level: {kind} {namespace}/{name} has no owner that controls it; take a lower level"
    )]
    Ownerless {
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// The owner that stands so many levels above the pod. The last one is not read: its kind may be none that our role shows.
///
/// # Errors
/// [`OwnerError`].
pub(crate) async fn owner(
    client: &Client,
    namespace: &str,
    pod: &str,
    levels: u32,
) -> Result<OwnerReference, OwnerError> {
    let mut at = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    if levels == 0 {
        at.uid = read(client, namespace, &at).await?.uid().unwrap_or_default();
    }
    for _ in 0..levels {
        let object = read(client, namespace, &at).await?;
        let mut owners = object.owner_references().iter();
        let above = owners.find(|owner| owner.controller == Some(true));
        let Some(above) = above else {
            return Err(OwnerError::Ownerless {
                kind: at.kind,
                namespace: namespace.to_owned(),
                name: at.name,
            });
        };
        at = OwnerReference {
            block_owner_deletion: None,
            ..above.clone()
        };
    }
    Ok(at)
}

async fn read(client: &Client, namespace: &str, of: &OwnerReference) -> Result<DynamicObject, OwnerError> {
    let (group, version) = of.api_version.split_once('/').unwrap_or(("", &of.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &of.kind));
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    objects.get(&of.name).await.map_err(|source| OwnerError::Unread {
        kind: of.kind.clone(),
        namespace: namespace.to_owned(),
        name: of.name.clone(),
        source: Box::new(source),
    })
}
