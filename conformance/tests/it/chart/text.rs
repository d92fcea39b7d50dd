//! Values that YAML could read as something else, and values that a template takes for none.

use serde_json::{Value, json};

use super::values::merged;
use super::{CONTROLLER, Helm, NODE, args};
use crate::pods::{containers, named};

/// Each value of a map, where there is one, is a text.
fn are_texts(map: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&map[name], value, "{name} in {map}");
    }
}

#[test]
fn journeys_case_124_numbers_and_booleans_become_texts_where_kubernetes_wants_them() {
    let Some(helm) = Helm::find() else { return };
    let given = json!({ "number": 4_000_000, "truth": true, "text": "1" });
    let texts = json!({ "number": "4000000", "truth": "true", "text": "1" });
    let pods = json!({ "podLabels": given, "podAnnotations": given, "nodeSelector": given });
    let objects = helm.rendered(&json!({
        "customLabels": { "level": 3 }, "controller": merged(&[pods.clone(), json!({ "extraVolumeTags": given })]), "node": pods,
        "storageClasses": [{ "name": "c", "labels": given, "annotations": given, "parameters": given }],
    }));
    for (kind, name) in [("Deployment", CONTROLLER), ("DaemonSet", NODE)] {
        let object = named(&objects, kind, name).unwrap();
        let template = &object["spec"]["template"];
        are_texts(&object["metadata"]["labels"], &json!({ "level": "3" }));
        are_texts(&template["metadata"]["labels"], &texts);
        are_texts(&template["metadata"]["annotations"], &texts);
        are_texts(&template["spec"]["nodeSelector"], &texts);
    }
    let class = named(&objects, "StorageClass", "c").unwrap();
    for map in [
        &class["metadata"]["labels"],
        &class["metadata"]["annotations"],
        &class["parameters"],
    ] {
        are_texts(map, &texts);
    }
    let told = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
    assert!(
        told.contains(&"--extra-tags=number=4000000,text=1,truth=true"),
        "{told:?}"
    );
}

#[test]
fn journeys_case_124_a_text_stays_a_text() {
    let Some(helm) = Helm::find() else { return };
    for mode in ["dropin", "allInOne"] {
        let objects = helm.rendered(&json!({
            "slackwater": { "mode": mode },
            "controller": { "userAgentExtra": "team: storage", "k8sTagClusterId": "a #1", "region": "1" },
            "node": { "metadataSources": "imds: x" },
        }));
        let told = args(&objects, "Deployment", CONTROLLER, "ebs-plugin");
        for flag in ["user-agent-extra=team: storage", "k8s-tag-cluster-id=a #1"] {
            assert!(told.iter().any(|arg| arg.ends_with(flag)), "{flag} in {told:?}");
        }
        let told = args(&objects, "DaemonSet", NODE, "ebs-plugin");
        assert!(told.contains(&"--metadata-sources=imds: x"), "{told:?}");
        let plugin = &containers(named(&objects, "Deployment", CONTROLLER).unwrap())[0];
        let region = json!({ "name": "AWS_REGION", "value": "1" });
        assert!(plugin["env"].as_array().unwrap().contains(&region));
    }
}

/// Over `node` a set may say no, 0 and nothing.
#[test]
fn journeys_case_124_a_set_of_nodes_may_say_no() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.rendered(&json!({
        "node": { "legacyXFS": true, "metadataSources": "imds", "nodeSelector": { "a": "b" } },
        "additionalDaemonSets": { "x": {
            "tolerateAllTaints": false, "legacyXFS": false, "metadataSources": "", "nodeSelector": { "c": "d" },
        } },
    }));
    let set = named(&objects, "DaemonSet", "ebs-csi-node-x").unwrap();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"][0]["effect"], "NoExecute");
    assert_eq!(
        pod["nodeSelector"],
        json!({ "kubernetes.io/os": "linux", "a": "b", "c": "d" })
    );
    let told = args(&objects, "DaemonSet", "ebs-csi-node-x", "ebs-plugin");
    assert!(
        !told
            .iter()
            .any(|arg| arg.contains("legacy-xfs") || arg.contains("metadata-sources")),
        "{told:?}"
    );
}
