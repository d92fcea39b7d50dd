//! Which sources of another namespace a ReferenceGrant allows. Source: sidecars.md 2.7.

use csi_provisioner::grants::ReferenceGrant;
use runtime::objects::DataSource;
use serde_json::json;

#[test]
fn sidecars_case_66_a_grant_allows_what_it_names() {
    let snapshot = DataSource {
        api_group: Some("snapshot.storage.k8s.io".to_owned()),
        kind: "VolumeSnapshot".to_owned(),
        name: "snap".to_owned(),
        namespace: Some("default".to_owned()),
    };
    let from = json!({"group": "", "kind": "PersistentVolumeClaim", "namespace": "other"});
    let to = json!({"group": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot"});
    for (from, to, allowed) in [
        (from.clone(), to.clone(), true),
        (
            from.clone(),
            json!({"group": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"}),
            true,
        ),
        (
            from.clone(),
            json!({"group": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": ""}),
            true,
        ),
        (
            from.clone(),
            json!({"group": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "else"}),
            false,
        ),
        (
            from.clone(),
            json!({"group": "", "kind": "VolumeSnapshot"}),
            false,
        ),
        (
            from,
            json!({"group": "snapshot.storage.k8s.io", "kind": "Foo"}),
            false,
        ),
        (
            json!({"group": "", "kind": "Pod", "namespace": "other"}),
            to.clone(),
            false,
        ),
        (
            json!({"group": "", "kind": "PersistentVolumeClaim", "namespace": "third"}),
            to.clone(),
            false,
        ),
        (
            json!({"group": "x", "kind": "PersistentVolumeClaim", "namespace": "other"}),
            to,
            false,
        ),
    ] {
        let grant =
            json!({"metadata": {"name": "g", "namespace": "default"}, "spec": {"from": [from], "to": [to]}});
        let grant: ReferenceGrant = serde_json::from_value(grant.clone()).unwrap();
        assert_eq!(grant.allows("other", &snapshot), allowed, "{grant:?}");
    }
}
