//! What manifests say of containers.

use serde_json::Value;

/// Those of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one of this kind and name.
pub fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    let mut of_kind = of_kind(objects, kind).into_iter();
    of_kind.find(|object| object["metadata"]["name"] == name)
}

/// The containers of a Deployment or a DaemonSet.
pub fn containers(object: &Value) -> &[Value] {
    let containers = &object["spec"]["template"]["spec"]["containers"];
    containers.as_array().unwrap()
}

/// Taints that the node service has to tolerate: its own one, and those of nodes that are going.
const NEEDED: [&str; 4] = [
    "ebs.csi.aws.com/agent-not-ready",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
];

/// A DaemonSet does not tolerate everything, but these taints and what it needs.
pub fn tolerates_only(object: &Value, keys: &[&str]) {
    let tolerations = &object["spec"]["template"]["spec"]["tolerations"];
    let tolerations = tolerations.as_array().unwrap();
    let tolerates_all = |one: &Value| one["key"].is_null() && one["effect"].is_null();
    assert!(!tolerations.iter().any(tolerates_all), "{tolerations:?}");
    let tolerated = tolerations.iter().filter_map(|one| one["key"].as_str());
    let expected = keys.iter().chain(&NEEDED).copied();
    assert_eq!(tolerated.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// A list of texts.
pub fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap()).collect()
}

/// Our binary takes the arguments of each container.
pub fn flags_are_known(object: &Value) {
    for container in containers(object) {
        let command = texts(&container["command"]);
        let ended = std::process::Command::new(conformance::slackwater().unwrap())
            .args(&command[1..])
            .args(texts(&container["args"]))
            .arg("--version")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}: {ended:?}", container["name"]);
    }
}

/// The documents of a text in YAML, without empty ones.
pub fn documents(text: &str) -> Vec<Value> {
    let parts = format!("\n{text}");
    let parts = parts.split("\n---").map(serde_saphyr::from_str::<Value>);
    let read = parts.map(|part| part.unwrap_or_else(|error| panic!("{error} in {text}")));
    read.filter(|part| !part.is_null()).collect()
}
