//! The Secrets that a class names. Source: sidecars.md 2.5.

use controller::template::{SecretTemplate, Tokens};
use runtime::objects::SecretName;

use crate::observe::Parameters;

/// By what parameters a class names the Secret of one purpose.
struct Keys {
    name: &'static str,
    namespace: &'static str,
    /// The same before there were prefixes; the driver is given them too.
    old: Option<(&'static str, &'static str)>,
}

const PROVISIONER: Keys = Keys {
    name: "csi.storage.k8s.io/provisioner-secret-name",
    namespace: "csi.storage.k8s.io/provisioner-secret-namespace",
    old: Some(("csiProvisionerSecretName", "csiProvisionerSecretNamespace")),
};
const CONTROLLER_PUBLISH: Keys = Keys {
    name: "csi.storage.k8s.io/controller-publish-secret-name",
    namespace: "csi.storage.k8s.io/controller-publish-secret-namespace",
    old: Some((
        "csiControllerPublishSecretName",
        "csiControllerPublishSecretNamespace",
    )),
};
const NODE_STAGE: Keys = Keys {
    name: "csi.storage.k8s.io/node-stage-secret-name",
    namespace: "csi.storage.k8s.io/node-stage-secret-namespace",
    old: Some(("csiNodeStageSecretName", "csiNodeStageSecretNamespace")),
};
const NODE_PUBLISH: Keys = Keys {
    name: "csi.storage.k8s.io/node-publish-secret-name",
    namespace: "csi.storage.k8s.io/node-publish-secret-namespace",
    old: Some(("csiNodePublishSecretName", "csiNodePublishSecretNamespace")),
};
const CONTROLLER_EXPAND: Keys = Keys {
    name: "csi.storage.k8s.io/controller-expand-secret-name",
    namespace: "csi.storage.k8s.io/controller-expand-secret-namespace",
    old: None,
};
const NODE_EXPAND: Keys = Keys {
    name: "csi.storage.k8s.io/node-expand-secret-name",
    namespace: "csi.storage.k8s.io/node-expand-secret-namespace",
    old: None,
};
const CONTROLLER_MODIFY: Keys = Keys {
    name: "csi.storage.k8s.io/controller-modify-secret-name",
    namespace: "csi.storage.k8s.io/controller-modify-secret-namespace",
    old: None,
};
/// For every purpose that has no keys of its own.
const DEFAULT: Keys = Keys {
    name: "csi.storage.k8s.io/secret-name",
    namespace: "csi.storage.k8s.io/secret-namespace",
    old: None,
};
const ALL: [&Keys; 8] = [
    &PROVISIONER,
    &CONTROLLER_PUBLISH,
    &NODE_STAGE,
    &NODE_PUBLISH,
    &CONTROLLER_EXPAND,
    &NODE_EXPAND,
    &CONTROLLER_MODIFY,
    &DEFAULT,
];

/// Whether a parameter under the reserved prefix names a Secret.
#[must_use]
pub fn is_key(key: &str) -> bool {
    ALL.iter().any(|keys| keys.name == key || keys.namespace == key)
}

/// What templates may use. Annotations choose a name, never a namespace.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Name of the volume.
    pub volume: &'a str,
    /// Namespace and name of the claim, where there is one.
    pub claim: Option<(&'a str, &'a str)>,
    /// The claim's annotations.
    pub annotations: Option<&'a Parameters>,
}

/// The Secrets of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// For CreateVolume and DeleteVolume.
    pub provisioner: Option<SecretName>,
    /// For ControllerPublishVolume.
    pub controller_publish: Option<SecretName>,
    /// For NodeStageVolume.
    pub node_stage: Option<SecretName>,
    /// For NodePublishVolume.
    pub node_publish: Option<SecretName>,
    /// For ControllerExpandVolume.
    pub controller_expand: Option<SecretName>,
    /// For NodeExpandVolume.
    pub node_expand: Option<SecretName>,
    /// For ControllerModifyVolume.
    pub controller_modify: Option<SecretName>,
}

/// The Secrets that the class names for this volume.
///
/// # Errors
/// One that is named by half, twice, or by what can be no name.
pub fn of(parameters: &Parameters, about: &About<'_>) -> Result<Secrets, String> {
    let of = |keys| one(parameters, keys, about);
    Ok(Secrets {
        provisioner: of(&PROVISIONER)?,
        controller_publish: of(&CONTROLLER_PUBLISH)?,
        node_stage: of(&NODE_STAGE)?,
        node_publish: of(&NODE_PUBLISH)?,
        controller_expand: of(&CONTROLLER_EXPAND)?,
        node_expand: of(&NODE_EXPAND)?,
        controller_modify: of(&CONTROLLER_MODIFY)?,
    })
}

/// That for DeleteVolume alone.
///
/// # Errors
/// As [`of`].
pub fn of_provisioner(parameters: &Parameters, about: &About<'_>) -> Result<Option<SecretName>, String> {
    one(parameters, &PROVISIONER, about)
}

/// Under which of the two keys a class says it; none where under neither.
fn key_in_use(
    parameters: &Parameters,
    key: &'static str,
    old: Option<&'static str>,
) -> Result<Option<&'static str>, String> {
    let is_there = |key: &&str| parameters.contains_key(*key);
    match (Some(key).filter(is_there), old.filter(is_there)) {
        (Some(key), Some(old)) => Err(format!(
            "the class names one secret twice, by {old:?} and {key:?}; keep the latter"
        )),
        (new, old) => Ok(new.or(old)),
    }
}

fn one(parameters: &Parameters, keys: &Keys, about: &About<'_>) -> Result<Option<SecretName>, String> {
    // Name and namespace may stand under one old and one new key.
    let name = key_in_use(parameters, keys.name, keys.old.map(|(name, _)| name))?;
    let namespace = key_in_use(
        parameters,
        keys.namespace,
        keys.old.map(|(_, namespace)| namespace),
    )?;
    let (name_key, namespace_key) = match (name, namespace) {
        (None, None) => (DEFAULT.name, DEFAULT.namespace),
        (name, namespace) => (name.unwrap_or(keys.name), namespace.unwrap_or(keys.namespace)),
    };
    if parameters.contains_key(name_key) != parameters.contains_key(namespace_key) {
        return Err(format!(
            "the class names a secret by half: {name_key:?} and {namespace_key:?} must both be there"
        ));
    }
    let annotated: Vec<(String, &str)> = about
        .annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| (format!("pvc.annotations['{key}']"), value.as_str()))
        .collect();
    let mut for_namespace = Tokens::from([("pv.name", about.volume)]);
    let mut for_name = for_namespace.clone();
    if let Some((namespace, name)) = about.claim {
        for_namespace.insert("pvc.namespace", namespace);
        for_name.insert("pvc.namespace", namespace);
        for_name.insert("pvc.name", name);
    }
    for_name.extend(annotated.iter().map(|(token, value)| (token.as_str(), *value)));
    let template = SecretTemplate {
        name_key,
        namespace_key,
        for_name: &for_name,
        for_namespace: &for_namespace,
    };
    template.resolve(parameters).map_err(|error| error.to_string())
}
