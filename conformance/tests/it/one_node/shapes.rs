//! The suite in its other shape.

use serde_json::Value;

use super::Cluster;
use super::person::{Person, claim, from_snapshot, snapshot};
use super::suite::Shape;

#[tokio::test]
async fn the_suite_in_one_container_takes_over_under_a_workload() {
    let Some(mut cluster) = Cluster::alone().await else {
        return;
    };
    let person = cluster.person("one-container");
    person.apply(&[claim("before", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("running", &["before"]);
    let written = person.writes("running", "/before/data");
    cluster.install(Shape::AllInOne);
    assert_eq!(containers(&cluster), ["ebs-plugin"]);
    restores(&person);
    person.holds("running", "/before/data", &written);
    person.leaves();
    cluster.nothing_is_left().await;
}

/// The containers of the controller's pods but for those that are going: the former shape's pod takes its time.
fn containers(cluster: &Cluster) -> Vec<String> {
    let selector = "app=ebs-csi-controller";
    let pods = ["get", "pods", "-n", "kube-system", "-l", selector, "-o", "json"];
    let pods: Value = serde_json::from_str(&cluster.kubectl().ok(&pods).unwrap()).unwrap();
    let staying = pods["items"].as_array().unwrap().iter();
    let staying = staying.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let containers = staying.flat_map(|pod| pod["spec"]["containers"].as_array().unwrap());
    let names = containers.map(|container| container["name"].as_str().unwrap().to_owned());
    names.collect()
}

/// A claim, a pod, a snapshot, a change, and the restored volume beside the first.
pub fn restores(person: &Person) {
    person.apply(&[claim("data", "ebs-sc", "1Gi", Value::Null)]);
    person.pod("writer", &["data"]);
    let before = person.writes("writer", "/data/data");
    person.apply(&[snapshot("taken", "data")]);
    person.wait("volumesnapshot/taken", "jsonpath={.status.readyToUse}=true");
    let after = person.writes("writer", "/data/data");
    person.apply(&[claim("copy", "ebs-sc", "1Gi", from_snapshot("taken"))]);
    person.pod("reader", &["data", "copy"]);
    person.holds("reader", "/data/data", &after);
    person.holds("reader", "/copy/data", &before);
}
