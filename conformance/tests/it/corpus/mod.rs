//! Layer 5: the same requests to the sandbox and to a real kube-apiserver.

pub mod diff;
pub mod listed;
mod protobuf;
mod quantities;
mod random;
mod rules;
mod script;
mod side;

use std::collections::BTreeMap;

use base::{Clock, Random, Scope};
use sandbox::kube::ApiServer;
use serde_json::Value;

use crate::shared;
use diff::differences;
use listed::Listed;
use rules::Table;
use script::{Scene, Step};
use side::Side;

const LAYER: &str = "5 corpus";
/// Other draws make another corpus, and perhaps another list of differences.
const SEED: u64 = 6;

/// How many requests the corpus has at least.
const AT_LEAST: usize = 1_400;

#[tokio::test(flavor = "multi_thread")]
async fn corpus_the_sandbox_answers_as_the_real_one() {
    let begun = std::time::Instant::now();
    let Some(plane) = shared::quiet_control_plane(LAYER).await else {
        return;
    };
    let real = Side {
        client: plane.hand().await.unwrap().client(),
    };
    let scope = Scope::new();
    let server = ApiServer::new(Clock::system(), Random::seeded(6), &scope);
    let ours = Side {
        client: kube::Client::new(server.service("kubernetes-admin"), "default"),
    };
    for side in [&ours, &real] {
        furnish(side, custom()).await;
    }
    let mut scenes = script::scenes();
    scenes.extend(random::scenes(SEED));
    let sizes = quantities::scenes(SEED);
    let number: usize = scenes.iter().chain(&sizes).map(|scene| scene.steps.len()).sum();
    assert!(number >= AT_LEAST, "only {number} requests");
    let mut report = Report::default();
    for scene in &scenes {
        let (ours, real) = (ours.play(scene).await, real.play(scene).await);
        report.add(scene, &ours, &real);
    }
    for scene in &sizes {
        let (ours, real) = (ours.play(scene).await, real.play(scene).await);
        report.add(scene, &ours, &real);
        quantities::check(scene, &real);
    }
    let number = number + judge_rules(&ours, &real, &mut report).await;
    report.end();
    let read = protobuf::check(&real.client).await;
    let seconds = begun.elapsed().as_secs_f64();
    shared::say(&format!(
        "layer {LAYER}: {number} requests, {read} objects in protobuf, in {seconds:.1} s"
    ));
}

/// The definitions of the custom kinds.
fn custom() -> Vec<Value> {
    let mut definitions = crds::definitions::snapshots();
    let widgets = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/widgets.json"));
    definitions.push(serde_json::from_str(widgets).unwrap());
    definitions
}

/// Asks both for each rule alone, and then for objects of the rules that both take. Returns how many requests that were.
async fn judge_rules(ours: &Side, real: &Side, report: &mut Report) -> usize {
    let table = Table::read();
    let alone = table.definitions();
    let (our_answers, real_answers) = (ours.play(&alone).await, real.play(&alone).await);
    report.add(&alone, &our_answers, &real_answers);
    let taken: Vec<bool> = our_answers
        .iter()
        .zip(&real_answers)
        .map(|(ours, real)| ours["status"] == 201 && real["status"] == 201)
        .collect();
    let (definitions, objects) = table.objects(&taken);
    for side in [ours, real] {
        furnish(side, definitions.clone()).await;
    }
    let (our_answers, real_objects) = (ours.play(&objects).await, real.play(&objects).await);
    report.add(&objects, &our_answers, &real_objects);
    table.check(&real_answers, &objects, &real_objects);
    alone.steps.len() + objects.steps.len()
}

/// Makes custom kinds and waits until they are served.
async fn furnish(side: &Side, definitions: Vec<Value>) {
    let (mut steps, mut served) = (Vec::new(), Vec::new());
    for definition in definitions {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let [group, plural] = [&spec["group"], &spec["names"]["plural"]].map(text);
        for version in spec["versions"].as_array().unwrap() {
            if version["served"] == true {
                let ask = format!("GET /apis/{group}/{}/{plural}", text(&version["name"]));
                served.push(Step::new(String::new(), ask, None));
            }
        }
        let ask = "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned();
        steps.push(Step::new(String::new(), ask, Some(definition)));
    }
    let scene = |steps| Scene {
        scene: "furnish".to_owned(),
        steps,
    };
    for answer in side.play(&scene(steps)).await {
        assert_eq!(answer["status"], 201, "{answer}");
    }
    let served = scene(served);
    for _ in 0..600 {
        let answers = side.play(&served).await;
        if answers.iter().all(|answer| answer["status"] == 200) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the definitions are not served");
}

/// How far the two agree.
struct Report {
    listed: Listed,
    unknown: Vec<String>,
    /// By scene: answers, equal, with listed differences.
    scenes: BTreeMap<String, [usize; 3]>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            listed: Listed::read("kube-apiserver"),
            unknown: Vec::new(),
            scenes: BTreeMap::new(),
        }
    }
}

impl Report {
    fn add(&mut self, scene: &Scene, ours: &[Value], real: &[Value]) {
        let counts = self.scenes.entry(scene.scene.clone()).or_default();
        for ((step, ours), real) in scene.steps.iter().zip(ours).zip(real) {
            let mut found = Vec::new();
            if ours["status"] == real["status"] {
                differences("answer", ours, real, &mut found);
            } else {
                differences("status", &ours["status"], &real["status"], &mut found);
            }
            let name = format!("{}: {}", scene.scene, step.name);
            counts[0] += 1;
            let before = self.unknown.len();
            let count = found.len();
            for difference in found {
                if !self.listed.covers(&name, &difference.path) {
                    self.unknown.push(format!(
                        "{name} | {}\n  sandbox {}\n  real    {}",
                        difference.path, difference.sandbox, difference.other
                    ));
                }
            }
            match (count, self.unknown.len() > before) {
                (0, _) => counts[1] += 1,
                (_, false) => counts[2] += 1,
                _ => {}
            }
        }
    }

    fn end(self) {
        println!(
            "{:<22} {:>8} {:>6} {:>7} {:>8}",
            "scene", "requests", "equal", "listed", "unknown"
        );
        let mut all = [0; 3];
        for (scene, counts) in &self.scenes {
            let [requests, equal, listed] = *counts;
            let unknown = requests - equal - listed;
            println!("{scene:<22} {requests:>8} {equal:>6} {listed:>7} {unknown:>8}");
            for (sum, count) in all.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        println!("{:<22} {:>8} {:>6} {:>7}", "all", all[0], all[1], all[2]);
        let unknown = self.unknown.join("\n");
        assert!(
            unknown.is_empty(),
            "differences that docs/sandbox.md does not list:\n{unknown}"
        );
        let unused = self.listed.unused();
        assert!(unused.is_empty(), "listed, but equal by now: {unused:#?}");
    }
}
