use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[derive(Default)]
struct Objects(BTreeMap<(String, String), Value>);

impl Lookup for Objects {
    fn get(&self, _group: &str, resource: &str, _namespace: &str, name: &str) -> Option<Value> {
        self.0.get(&(resource.to_owned(), name.to_owned())).cloned()
    }

    fn list(&self, _group: &str, resource: &str) -> Vec<Value> {
        self.0
            .iter()
            .filter(|((other, _), _)| other == resource)
            .map(|(_, value)| value.clone())
            .collect()
    }
}

fn class(name: &str, rest: Value) -> Objects {
    let mut class = json!({"metadata": {"name": name}, "provisioner": "ebs.csi.aws.com"});
    for (field, value) in rest.as_object().unwrap() {
        class[field] = value.clone();
    }
    Objects(BTreeMap::from([(
        ("storageclasses".to_owned(), name.to_owned()),
        class,
    )]))
}

fn claim(size: &str, phase: &str) -> Value {
    json!({
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "gp3", "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": size}}, "volumeName": "v",
        },
        "status": {"phase": phase, "capacity": {"storage": "5Gi"}},
    })
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[name] = value;
    object
}

fn without(mut object: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    object
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(name);
    object
}

fn errors(group: &str, kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    validate(group, kind, new, old, &Objects::default())
        .iter()
        .map(ToString::to_string)
        .collect()
}

const IMMUTABLE: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn resize_4_1_claims_are_validated_as_the_api_server_does() {
    let bound = claim("5Gi", "Bound");
    let pending = claim("5Gi", "Pending");
    let unbound = without(pending.clone(), "/spec/volumeName");
    let expanding = with(claim("10Gi", "Bound"), "/status/capacity/storage", json!("5Gi"));
    let attributed = with(
        with(bound.clone(), "/spec/volumeAttributesClassName", json!("gold")),
        "/status/currentVolumeAttributesClassName",
        json!("gold"),
    );
    let cases: Vec<(&str, Value, Option<&Value>, &[&str])> = vec![
        ("good", bound.clone(), None, &[]),
        (
            "no modes",
            with(bound.clone(), "/spec/accessModes", json!([])),
            None,
            &["spec.accessModes: Required value: at least 1 access mode is required"],
        ),
        (
            "bad mode",
            with(bound.clone(), "/spec/accessModes", json!(["Sometimes"])),
            None,
            &[
                "spec.accessModes: Unsupported value: \"Sometimes\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            ],
        ),
        (
            "no size",
            without(bound.clone(), "/spec/resources"),
            None,
            &["spec.resources[storage]: Required value"],
        ),
        (
            "zero",
            claim("0", "Pending"),
            None,
            &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
        ),
        (
            "growth of a bound claim",
            claim("6Gi", "Bound"),
            Some(&bound),
            &[],
        ),
        (
            "growth of a pending claim",
            claim("6Gi", "Pending"),
            Some(&pending),
            &[IMMUTABLE],
        ),
        ("binding", pending.clone(), Some(&unbound), &[]),
        (
            "another volume",
            with(bound.clone(), "/spec/volumeName", json!("w")),
            Some(&bound),
            &[IMMUTABLE],
        ),
        (
            "another class",
            with(bound.clone(), "/spec/storageClassName", json!("io2")),
            Some(&bound),
            &[IMMUTABLE],
        ),
        (
            "recovery above capacity",
            with(
                expanding.clone(),
                "/spec/resources/requests/storage",
                json!("6Gi"),
            ),
            Some(&expanding),
            &[],
        ),
        (
            "down to capacity",
            with(
                expanding.clone(),
                "/spec/resources/requests/storage",
                json!("5Gi"),
            ),
            Some(&expanding),
            &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
        ),
        (
            "class of attributes",
            with(bound.clone(), "/spec/volumeAttributesClassName", json!("gold")),
            Some(&bound),
            &[],
        ),
        (
            "class taken away",
            without(attributed.clone(), "/spec/volumeAttributesClassName"),
            Some(&attributed),
            &[
                "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil",
            ],
        ),
        (
            "class emptied",
            with(attributed.clone(), "/spec/volumeAttributesClassName", json!("")),
            Some(&attributed),
            &[
                "spec.volumeAttributesClassName: Forbidden: update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil",
            ],
        ),
        (
            "mode changed",
            with(bound.clone(), "/spec/volumeMode", json!("Block")),
            Some(&bound),
            &[
                IMMUTABLE,
                "volumeMode: Invalid value: \"Block\": field is immutable",
            ],
        ),
    ];
    for (name, new, old, expected) in cases {
        assert_eq!(errors("", "PersistentVolumeClaim", &new, old), expected, "{name}");
    }
}

#[test]
fn resize_4_2_growth_needs_a_bound_claim_and_a_willing_class() {
    let willing = class("gp3", json!({"allowVolumeExpansion": true}));
    let unwilling = class("gp3", json!({}));
    let refused = Err(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    );
    let old = claim("5Gi", "Bound");
    let admitted = |new: Value, old: &Value, classes: &Objects| {
        admit("", "PersistentVolumeClaim", &mut new.clone(), Some(old), classes)
    };
    assert_eq!(admitted(claim("6Gi", "Bound"), &old, &willing), Ok(()));
    assert_eq!(admitted(claim("6Gi", "Bound"), &old, &unwilling), refused);
    assert_eq!(
        admitted(claim("6Gi", "Bound"), &old, &Objects::default()),
        refused
    );
    assert_eq!(
        admitted(claim("4Gi", "Bound"), &old, &unwilling),
        Ok(()),
        "shrink is not looked at"
    );
    assert_eq!(
        admitted(claim("5120Mi", "Bound"), &old, &unwilling),
        Ok(()),
        "the same size"
    );
    let pending = claim("5Gi", "Pending");
    assert_eq!(
        admitted(claim("6Gi", "Pending"), &pending, &willing),
        Err("Only bound persistent volume claims can be expanded")
    );
    let empty = |claim| with(claim, "/spec/storageClassName", json!(""));
    assert_eq!(
        admitted(empty(claim("6Gi", "Bound")), &empty(old), &willing),
        refused
    );
}

fn volume() -> Value {
    json!({
        "metadata": {"name": "v"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}, "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": "d", "volumeHandle": "h"},
        },
    })
}

#[test]
fn resize_case_117_only_a_csi_volume_may_have_an_attributes_class() {
    let own = with(volume(), "/spec/volumeAttributesClassName", json!("gold"));
    let in_tree = with(
        without(own.clone(), "/spec/csi"),
        "/spec/awsElasticBlockStore",
        json!({"volumeID": "vol-1"}),
    );
    assert_eq!(errors("", "PersistentVolume", &own, None), [""; 0]);
    assert_eq!(
        errors("", "PersistentVolume", &in_tree, None),
        ["spec.csi: Required value: has to be specified when using volumeAttributesClassName"]
    );
}

#[test]
fn resize_4_1_volumes_are_validated_as_the_api_server_does() {
    let good = volume();
    let cases: Vec<(Value, Option<&Value>, &[&str])> = vec![
        (good.clone(), None, &[]),
        (
            with(good.clone(), "/spec/capacity/storage", json!("1Gi")),
            Some(&good),
            &[],
        ),
        (
            with(good.clone(), "/spec/capacity/storage", json!("0")),
            Some(&good),
            &["spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"],
        ),
        (
            without(good.clone(), "/spec/csi"),
            None,
            &["spec: Required value: must specify a volume type"],
        ),
        (
            with(good.clone(), "/spec/nfs", json!({})),
            None,
            &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            without(good.clone(), "/spec/csi/volumeHandle"),
            None,
            &["spec.csi.volumeHandle: Required value"],
        ),
        (
            with(good.clone(), "/spec/csi/volumeHandle", json!("i")),
            Some(&good),
            &[
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
            ],
        ),
        (
            with(
                good.clone(),
                "/spec/csi/controllerExpandSecretRef",
                json!({"name": "s"}),
            ),
            Some(&good),
            &[],
        ),
        (
            with(good.clone(), "/spec/persistentVolumeReclaimPolicy", json!("Keep")),
            None,
            &[
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
            ],
        ),
    ];
    for (new, old, expected) in cases {
        assert_eq!(errors("", "PersistentVolume", &new, old), expected, "{new}");
    }
}

/// A volume that is reached where this label has this value.
fn volume_at(key: &str, value: &str) -> Value {
    let zone = json!({"key": key, "operator": "In", "values": [value]});
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}});
    with(volume(), "/spec/nodeAffinity", affinity)
}

#[test]
fn the_affinity_of_a_volume_names_nodes() {
    let affinity = |affinity: Value| with(volume(), "/spec/nodeAffinity", affinity);
    for (affinity, expected) in [
        (
            affinity(json!({})),
            "spec.nodeAffinity.required: Required value: must specify required node constraints",
        ),
        (
            affinity(json!({"required": {"nodeSelectorTerms": []}})),
            "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term",
        ),
    ] {
        assert_eq!(errors("", "PersistentVolume", &affinity, None), [expected]);
    }
    assert_eq!(
        errors("", "PersistentVolume", &volume_at("zone", "a"), None),
        [""; 0]
    );
}

#[test]
fn the_affinity_of_a_volume_stays_but_for_labels_that_got_another_name() {
    let (beta, stable) = (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    );
    let refused = |shown: &str| {
        vec![format!(
            "nodeAffinity: Invalid value: {shown}: field is immutable, except for updating from beta label to GA"
        )]
    };
    let at = |key: &str, value: &str| {
        refused(&format!(
            "{{\"Required\":{{\"NodeSelectorTerms\":[{{\"MatchExpressions\":[{{\"Key\":\"{key}\",\"Operator\":\"In\",\
             \"Values\":[\"{value}\"]}}],\"MatchFields\":null}}]}}}}"
        ))
    };
    for (old, new, expected) in [
        (volume(), volume_at("zone", "a"), Vec::new()),
        (volume_at("zone", "a"), volume_at("zone", "a"), Vec::new()),
        (volume_at("zone", "a"), volume_at("zone", "b"), at("zone", "b")),
        (volume_at("zone", "a"), volume(), refused("null")),
        (volume_at(beta, "a"), volume_at(stable, "a"), Vec::new()),
        (volume_at(beta, "a"), volume_at(stable, "b"), at(stable, "b")),
        (volume_at(stable, "a"), volume_at(beta, "a"), at(beta, "a")),
    ] {
        assert_eq!(
            errors("", "PersistentVolume", &new, Some(&old)),
            expected,
            "{new}"
        );
    }
}

#[test]
fn classes_secrets_events_and_leases_have_their_rules() {
    let class = json!({"provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
    let changed = json!({"provisioner": "q", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "parameters": {"a": "b"}});
    let group = "storage.k8s.io";
    assert!(errors(group, "StorageClass", &class, None).is_empty());
    assert_eq!(
        errors(group, "StorageClass", &changed, Some(&class)),
        [
            "parameters: Invalid value: null: field is immutable",
            "provisioner: Invalid value: null: field is immutable"
        ]
    );
    let attributes = json!({"driverName": "d", "parameters": {"iops": "1"}});
    let faster = json!({"driverName": "d", "parameters": {"iops": "2"}});
    assert_eq!(
        errors(group, "VolumeAttributesClass", &faster, Some(&attributes)),
        ["parameters: Forbidden: updates to parameters are forbidden."]
    );
    let frozen = json!({"type": "Opaque", "immutable": true, "data": {"a": "YQ=="}});
    let thawed = json!({"type": "Opaque", "data": {"a": "Yg=="}});
    assert_eq!(errors("", "Secret", &thawed, Some(&frozen)).len(), 2);
    let event = json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}});
    assert_eq!(
        errors("", "Event", &event, None),
        ["involvedObject.namespace: Invalid value: \"b\": does not match event.namespace"]
    );
    let lease = json!({"spec": {"leaseDurationSeconds": 0}});
    assert_eq!(
        errors("coordination.k8s.io", "Lease", &lease, None),
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
    );
}

#[test]
fn creation_fills_in_what_the_api_server_does() {
    let mut claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}});
    default("", "PersistentVolumeClaim", &mut claim);
    let marked = json!({"metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    admit(
        "",
        "PersistentVolumeClaim",
        &mut claim,
        None,
        &class("gp3", marked),
    )
    .unwrap();
    assert_eq!(
        claim,
        json!({
            "metadata": {"name": "c", "finalizers": ["kubernetes.io/pvc-protection"]},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem", "storageClassName": "gp3"},
            "status": {"phase": "Pending"},
        })
    );
    let mut secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}});
    default("", "Secret", &mut secret);
    assert_eq!(
        secret,
        json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"k": "dg=="}})
    );
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "r:5000/b:1"}, {"name": "b", "image": "b"}]}});
    default("", "Pod", &mut pod);
    assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(pod["spec"]["containers"][1]["imagePullPolicy"], "Always");
    assert_eq!(pod["status"]["phase"], "Pending");
}

#[test]
fn the_empty_class_is_a_class() {
    let marked = json!({"metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    let mut claim = json!({"metadata": {}, "spec": {"storageClassName": ""}});
    admit(
        "",
        "PersistentVolumeClaim",
        &mut claim,
        None,
        &class("gp3", marked),
    )
    .unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "");
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        "[0-9.]{1,4}(Gi|M|e3)?".prop_map(Value::from),
    ];
    let names = prop_oneof![
        ".{0,4}",
        proptest::sample::select(vec![
            "metadata",
            "spec",
            "status",
            "source",
            "resources",
            "requests",
            "storage",
            "capacity",
            "accessModes",
            "containers",
            "template",
            "selector",
            "csi",
            "data",
            "stringData",
            "finalizers",
            "annotations",
            "labels",
            "driver",
            "deletionPolicy",
            "volumeSnapshotRef",
            "name",
            "namespace",
            "parameters",
            "error",
            "restoreSize",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(names.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_rules_panic(new in any_json(), old in any_json()) {
        let kinds = [
            ("", "PersistentVolumeClaim"), ("", "PersistentVolume"), ("storage.k8s.io", "StorageClass"),
            ("storage.k8s.io", "VolumeAttributesClass"), ("", "Secret"), ("", "ConfigMap"), ("", "Event"),
            ("coordination.k8s.io", "Lease"), ("", "Pod"), ("apps", "Deployment"), ("batch", "CronJob"),
            ("", "Namespace"),
        ];
        for (group, kind) in kinds {
            let mut object = new.clone();
            default(group, kind, &mut object);
            let _ = admit(group, kind, &mut object, None, &Objects::default());
            let _ = admit(group, kind, &mut object, Some(&old), &Objects::default());
            let _ = validate(group, kind, &object, Some(&old), &Objects::default());
        }
    }
}
