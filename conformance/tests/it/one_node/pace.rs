//! How long a pod waits for a new volume.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::person::{Person, claim, pod};
use super::{Cluster, LAYER};
use crate::shared::say;

/// How many pods of each kind.
const PODS: usize = 3;

/// The time is told, not judged: other programs may use the same processors.
#[tokio::test]
async fn a_pod_with_a_new_claim_runs_after_one_without() {
    let Some(cluster) = Cluster::alone().await else {
        return;
    };
    let person = cluster.person("waiting");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..PODS {
        let name = format!("without-{number}");
        let mut plain = pod(&name, &["data"]);
        plain["spec"]["volumes"] = json!([{ "name": "data", "emptyDir": {} }]);
        without.push(runs_after(&person, &name, &[plain]));
        person.writes(&name, "/data/data");
        let name = format!("with-{number}");
        let objects = [claim(&name, "ebs-sc", "1Gi", Value::Null), pod(&name, &[&name])];
        with.push(runs_after(&person, &name, &objects));
        let file = format!("/{name}/data");
        let written = person.writes(&name, &file);
        person.holds(&name, &file, &written);
    }
    let [without, with] = [without, with].map(median);
    say(&format!(
        "layer {LAYER}: from apply to Running {with:.2} s with a new claim, {without:.2} s with an emptyDir: {:.2} s more",
        with - without
    ));
    person.leaves();
    cluster.nothing_is_left().await;
}

fn runs_after(person: &Person, name: &str, objects: &[Value]) -> Duration {
    let begun = Instant::now();
    person.apply(objects);
    person.wait(&format!("pod/{name}"), "jsonpath={.status.phase}=Running");
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}
