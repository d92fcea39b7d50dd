//! Sources that no API server of ours keeps: of other namespaces (sidecars.md 2.7).

use controller::Retries;
use csi::v1::TopologyRequirement;
use csi_provisioner::Driver;
use csi_provisioner::args::UidLength;
use csi_provisioner::observe::{Lookup, Memory, Observed, Settings};
use csi_provisioner::plan::{Plan, Step, plan};
use csi_provisioner::topology::Trouble;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::Claim;
use serde_json::json;
use std::time::Duration;

pub(crate) fn settings(cross_namespace: bool) -> Settings {
    Settings {
        driver: Driver {
            name: "d.csi".to_owned(),
            makes_volumes: true,
            snapshots: true,
            ..Driver::default()
        },
        in_tree: None,
        name_prefix: "pvc".to_owned(),
        uid_length: UidLength::Whole,
        extra_create_metadata: false,
        default_fs_type: String::new(),
        publish_read_only: false,
        prevent_mode_conversion: true,
        attributes_classes: true,
        lacks_attributes: false,
        cross_namespace,
        topology: false,
        identity: "i".to_owned(),
        timeout: Duration::from_secs(10),
        retry_interval_max: Duration::from_secs(300),
        local: None,
    }
}

/// A claim of namespace `other` for snapshot `default/snap`.
fn planned(cross_namespace: bool, is_granted: bool) -> Plan {
    let claim: Claim = serde_json::from_value(json!({
        "metadata": {"name": "c", "namespace": "other", "uid": "u", "annotations": {
            "volume.kubernetes.io/storage-provisioner": "d.csi",
        }},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "s",
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSourceRef": {
                "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap", "namespace": "default",
            },
        },
    }))
    .unwrap();
    let class = json!({"metadata": {"name": "s", "uid": "k"}, "provisioner": "d.csi"});
    let class: StorageClass = serde_json::from_value(class).unwrap();
    let topology: Result<Option<TopologyRequirement>, Trouble> = Ok(None);
    let observed = Observed {
        claim: &claim,
        is_present: true,
        class: Some(&class),
        has_volume: false,
        may_be_made: false,
        snapshot: Lookup::Unread,
        content: Lookup::Unread,
        origin: Lookup::Absent,
        origin_volume: Lookup::Absent,
        is_granted,
        is_let_go: false,
        attributes: Lookup::Absent,
        topology: &topology,
        secret: None,
        answer: None,
        owner: None,
        memory: &Memory::default(),
        retries: &Retries::default(),
        settings: &settings(cross_namespace),
    };
    plan(&observed, Timestamp::UNIX_EPOCH)
}

#[test]
fn sidecars_case_66_a_source_of_another_namespace_takes_the_gate_and_a_grant() {
    let text = |plan: &Plan| format!("{:?}", plan.actions);
    assert!(text(&planned(false, true)).contains("feature gate CrossNamespaceVolumeDataSource"));
    assert!(text(&planned(true, false)).contains("no ReferenceGrant in namespace default"));
    let granted = planned(true, true);
    let steps: Vec<&Step> = granted.steps().collect();
    assert!(
        matches!(steps[..], [Step::ReadSnapshot(key)] if key.namespace == "default"),
        "{granted:?}"
    );
}
