//! On which nodes pods may run.

use serde_json::{Value, json};

use super::Helm;
use crate::pods::{documents, named, of_kind};
use crate::shared::repository;

#[test]
fn journeys_case_123_the_snapshot_controller_goes_where_the_values_say() {
    let Some(helm) = Helm::find() else { return };
    let tolerations = json!([{ "key": "pool", "operator": "Exists" }]);
    let affinity = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [] } });
    let placed = json!({
        "enabled": true, "nodeSelector": { "pool": "system" }, "tolerations": tolerations, "affinity": affinity,
    });
    for (values, selector) in [
        (placed, json!({ "kubernetes.io/os": "linux", "pool": "system" })),
        (json!({ "enabled": true }), json!({ "kubernetes.io/os": "linux" })),
    ] {
        let objects = helm.rendered(&json!({ "slackwater": { "snapshotController": values } }));
        let deployment = named(&objects, "Deployment", "snapshot-controller").unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["nodeSelector"], selector);
        for field in ["tolerations", "affinity"] {
            assert_eq!(pod.get(field), values.get(field), "{field}");
        }
    }
}

/// The files of a folder and of those in it.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let found = entries.map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    found.collect::<Vec<_>>().concat()
}

/// A node of Windows has not our programs.
#[test]
fn journeys_case_123_every_pod_of_the_manifests_wants_linux() {
    let mut pods = 0;
    for file in files(&repository().join("deploy")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let objects = documents(&text);
        let templates = [of_kind(&objects, "Deployment"), of_kind(&objects, "DaemonSet")].concat();
        let templates = templates.iter().map(|one| &one["spec"]["template"]["spec"]);
        let alone = of_kind(&objects, "Pod").into_iter().map(|one| &one["spec"]);
        // A patch of a component has no selector of its own.
        let whole = |pod: &&Value| pod["serviceAccountName"].is_string();
        for pod in templates.chain(alone).filter(whole) {
            assert_eq!(
                pod["nodeSelector"]["kubernetes.io/os"],
                "linux",
                "{}",
                file.display()
            );
            pods += 1;
        }
    }
    assert!(pods >= 7, "{pods}");
}
