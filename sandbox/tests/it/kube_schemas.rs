//! The embedded schemas of the built-in kinds are those of the crate `k8s-openapi`, with the merge keys below.

use std::path::Path;

use k8s_openapi::api::{apps, authentication, authorization, batch, coordination, core, rbac, storage};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::schemars::generate::SchemaSettings;
use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

const UPDATE: &str = "UPDATE_SCHEMAS";
const PREFIX: &str = "#/components/schemas/";

/// Lists and maps that a strategic merge patch does not replace: definition, field, strategy, merge key.
///
/// Source: the `patchStrategy` and `patchMergeKey` of the Kubernetes API types.
const MERGED: &[(&str, &str, &str, &str)] = &[
    (
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "ownerReferences",
        "merge",
        "uid",
    ),
    (
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "finalizers",
        "merge",
        "",
    ),
    (
        "api.core.v1.PersistentVolumeClaimStatus",
        "conditions",
        "merge",
        "type",
    ),
    ("api.core.v1.Container", "ports", "merge", "containerPort"),
    ("api.core.v1.Container", "env", "merge", "name"),
    ("api.core.v1.Container", "volumeMounts", "merge", "mountPath"),
    ("api.core.v1.Container", "volumeDevices", "merge", "devicePath"),
    (
        "api.core.v1.EphemeralContainer",
        "ports",
        "merge",
        "containerPort",
    ),
    ("api.core.v1.EphemeralContainer", "env", "merge", "name"),
    (
        "api.core.v1.EphemeralContainer",
        "volumeMounts",
        "merge",
        "mountPath",
    ),
    (
        "api.core.v1.EphemeralContainer",
        "volumeDevices",
        "merge",
        "devicePath",
    ),
    (
        "api.core.v1.ContainerStatus",
        "volumeMounts",
        "merge",
        "mountPath",
    ),
    (
        "api.core.v1.ContainerStatus",
        "allocatedResourcesStatus",
        "merge",
        "name",
    ),
    ("api.core.v1.PodSpec", "volumes", "merge,retainKeys", "name"),
    ("api.core.v1.PodSpec", "initContainers", "merge", "name"),
    ("api.core.v1.PodSpec", "containers", "merge", "name"),
    ("api.core.v1.PodSpec", "ephemeralContainers", "merge", "name"),
    ("api.core.v1.PodSpec", "imagePullSecrets", "merge", "name"),
    ("api.core.v1.PodSpec", "hostAliases", "merge", "ip"),
    (
        "api.core.v1.PodSpec",
        "topologySpreadConstraints",
        "merge",
        "topologyKey",
    ),
    ("api.core.v1.PodSpec", "schedulingGates", "merge", "name"),
    (
        "api.core.v1.PodSpec",
        "resourceClaims",
        "merge,retainKeys",
        "name",
    ),
    ("api.core.v1.PodStatus", "conditions", "merge", "type"),
    ("api.core.v1.PodStatus", "hostIPs", "merge", "ip"),
    ("api.core.v1.PodStatus", "podIPs", "merge", "ip"),
    (
        "api.core.v1.PodStatus",
        "resourceClaimStatuses",
        "merge,retainKeys",
        "name",
    ),
    ("api.core.v1.ServiceSpec", "ports", "merge", "port"),
    ("api.core.v1.ServiceStatus", "conditions", "merge", "type"),
    ("api.core.v1.ServiceAccount", "secrets", "merge", "name"),
    ("api.core.v1.NodeSpec", "podCIDRs", "merge", ""),
    ("api.core.v1.NodeStatus", "conditions", "merge", "type"),
    ("api.core.v1.NodeStatus", "addresses", "merge", "type"),
    ("api.core.v1.NamespaceStatus", "conditions", "merge", "type"),
    ("api.apps.v1.DeploymentSpec", "strategy", "retainKeys", ""),
    ("api.apps.v1.DeploymentStatus", "conditions", "merge", "type"),
    ("api.apps.v1.DaemonSetStatus", "conditions", "merge", "type"),
    ("api.apps.v1.ReplicaSetStatus", "conditions", "merge", "type"),
    ("api.apps.v1.StatefulSetStatus", "conditions", "merge", "type"),
    ("api.storage.v1.CSINodeSpec", "drivers", "merge", "name"),
];

struct Table {
    generator: SchemaGenerator,
    kinds: Map<String, Value>,
}

impl Table {
    fn add<T: JsonSchema + k8s_openapi::Resource>(&mut self) {
        self.generator.subschema_for::<T>();
        let kind = format!("{}/{}", T::API_VERSION, T::KIND);
        self.kinds.insert(kind, json!(T::schema_name()));
    }

    fn finish(mut self) -> Value {
        let mut definitions = Value::Object(self.generator.take_definitions(true));
        tidy(&mut definitions);
        for (definition, field, strategy, key) in MERGED {
            let schema = &mut definitions[format!("io.k8s.{definition}")]["properties"][field];
            assert!(schema.is_object(), "{definition} has no field {field}");
            if !strategy.is_empty() {
                schema["x-kubernetes-patch-strategy"] = json!(strategy);
            }
            if !key.is_empty() {
                schema["x-kubernetes-patch-merge-key"] = json!(key);
            }
        }
        json!({"kinds": self.kinds, "definitions": definitions})
    }
}

/// Puts schemas into the form of the API server: references inside of `allOf`, nothing that says nothing.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                *reference = reference.trim_start_matches(PREFIX).to_owned();
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn table() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = false);
    let mut table = Table {
        generator: settings.into_generator(),
        kinds: Map::new(),
    };
    table.add::<core::v1::ConfigMap>();
    table.add::<core::v1::Event>();
    table.add::<core::v1::Namespace>();
    table.add::<core::v1::Node>();
    table.add::<core::v1::PersistentVolume>();
    table.add::<core::v1::PersistentVolumeClaim>();
    table.add::<core::v1::Pod>();
    table.add::<core::v1::ResourceQuota>();
    table.add::<core::v1::Secret>();
    table.add::<core::v1::Service>();
    table.add::<core::v1::ServiceAccount>();
    table.add::<apps::v1::DaemonSet>();
    table.add::<apps::v1::Deployment>();
    table.add::<apps::v1::ReplicaSet>();
    table.add::<apps::v1::StatefulSet>();
    table.add::<authentication::v1::SelfSubjectReview>();
    table.add::<authorization::v1::SelfSubjectAccessReview>();
    table.add::<authorization::v1::SelfSubjectRulesReview>();
    table.add::<batch::v1::CronJob>();
    table.add::<coordination::v1::Lease>();
    table.add::<rbac::v1::ClusterRole>();
    table.add::<rbac::v1::ClusterRoleBinding>();
    table.add::<rbac::v1::Role>();
    table.add::<rbac::v1::RoleBinding>();
    table.add::<storage::v1::CSIDriver>();
    table.add::<storage::v1::CSINode>();
    table.add::<storage::v1::CSIStorageCapacity>();
    table.add::<storage::v1::StorageClass>();
    table.add::<storage::v1::VolumeAttachment>();
    table.add::<storage::v1::VolumeAttributesClass>();
    table.add::<apiextensions::v1::CustomResourceDefinition>();
    table.finish()
}

#[test]
fn schemas_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kube/openapi/builtin.deflate");
    let wanted = table();
    if std::env::var_os(UPDATE).is_some() {
        let text = serde_json::to_vec(&wanted).unwrap();
        std::fs::write(&path, miniz_oxide::deflate::compress_to_vec(&text, 10)).unwrap();
    }
    let text = miniz_oxide::inflate::decompress_to_vec(&std::fs::read(&path).unwrap()).unwrap();
    let found: Value = serde_json::from_slice(&text).unwrap();
    assert!(
        found == wanted,
        "the schemas are not those of k8s-openapi; run `{UPDATE}=1 cargo test -p sandbox schemas_are_current`"
    );
}
