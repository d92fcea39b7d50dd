//! Layer 1: the script of `examples/15-scheduled`, under the Role of its folder and by the real kubectl, as the CronJob would run
//! it. Nobody makes Jobs of CronJobs here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use conformance::{User, until};
use serde_json::{Value, json};

use crate::everyday::Scene;
use crate::expansion::CLAIMS;
use crate::journey::{SNAPSHOTS, path};
use crate::shared::PATIENCE;

const CONFIG: &str = "/api/v1/namespaces/default/configmaps/nightly";
const CRON_JOB: &str = "/apis/batch/v1/namespaces/default/cronjobs/nightly";
/// The time between two runs.
const PERIOD: Duration = Duration::from_secs(4);
/// GiB of a volume whose snapshot takes three periods.
const SLOW: u32 = 22;

/// The folder, applied, and its service account.
struct Schedule<'a> {
    scene: &'a Scene,
    folder: String,
    user: User,
    script: PathBuf,
    environment: BTreeMap<String, String>,
}

/// What a run came to.
struct Ran {
    success: bool,
    said: String,
    /// Requests by action; those that ask for no resource are not counted.
    requests: BTreeMap<String, usize>,
}

impl<'a> Schedule<'a> {
    /// Applies the folder as its README says; the API server judges every field.
    async fn applied(scene: &'a Scene, keep: usize) -> Self {
        let folder = scene.stage.example(&scene.plane, "15-scheduled", "");
        let user = scene.plane.service_account("default", "nightly").await.unwrap();
        let config = scene.stage.find(CONFIG).await.unwrap();
        let script = scene.stage.suite.folder().join("schedule.sh");
        std::fs::write(&script, config["data"]["schedule.sh"].as_str().unwrap()).unwrap();
        let job = scene.stage.find(CRON_JOB).await.unwrap();
        let container = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        let all = container["env"].as_array().unwrap().iter();
        let fixed = |one: &Value| {
            Some((
                one["name"].as_str()?.to_owned(),
                one["value"].as_str()?.to_owned(),
            ))
        };
        let mut environment: BTreeMap<String, String> = all.filter_map(fixed).collect();
        environment.insert("HOME".to_owned(), path(scene.stage.suite.folder()));
        environment.insert("KEEP".to_owned(), keep.to_string());
        Self {
            scene,
            folder,
            user,
            script,
            environment,
        }
    }

    /// What the Job of this name does.
    fn run(&self, job: &str) -> Ran {
        let kubectl = self.scene.plane.programs().path("kubectl");
        let programs = path(kubectl.parent().unwrap());
        let begun = self.scene.plane.audit().mark();
        let output = Command::new("sh")
            .arg(&self.script)
            .envs(&self.environment)
            .env("RUN", job)
            .env("KUBECONFIG", &self.user.kubeconfig)
            .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
            .output()
            .unwrap();
        let mut requests = BTreeMap::new();
        for record in self.scene.plane.audit().since(begun).unwrap() {
            if record.user == self.user.name && !record.resource.is_empty() {
                assert!(!record.is_denied(), "{record:?}");
                *requests.entry(record.action()).or_default() += 1;
            }
        }
        Ran {
            success: output.status.success(),
            said: String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
            requests,
        }
    }

    /// Names of the snapshots in a state of which this is so.
    async fn snapshots(&self, so: impl Fn(&Value) -> bool) -> Vec<String> {
        let snapshots = self.scene.stage.list(SNAPSHOTS).await.unwrap();
        let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
        snapshots.iter().filter(|one| so(one)).map(name).collect()
    }

    async fn all_ready(&self) {
        until("all snapshots are ready", PATIENCE, async || {
            self.snapshots(|one| !is_ready(one))
                .await
                .is_empty()
                .then_some(())
        })
        .await
        .unwrap();
    }

    /// Waits until no more is left of the series than this.
    async fn are_left(&self, names: &[&str]) {
        until(&format!("{names:?} are left"), PATIENCE, async || {
            (self.snapshots(|_| true).await == names).then_some(())
        })
        .await
        .unwrap();
    }

    fn removed(&self) {
        let kubectl = self.scene.plane.kubectl();
        kubectl
            .ok(&["delete", "-k", &self.folder, "--timeout=120s"])
            .unwrap();
    }
}

fn is_ready(snapshot: &Value) -> bool {
    snapshot["status"]["readyToUse"] == true
}

/// The claim has the label that the schedule selects.
async fn select(scene: &Scene, claim: &str) {
    let label = json!({ "metadata": { "labels": { "snapshots": "nightly" } } });
    scene.stage.merge(&format!("{CLAIMS}/{claim}"), &label).await;
}

fn counts(all: &[(&str, usize)]) -> BTreeMap<String, usize> {
    all.iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[tokio::test]
async fn scheduled_runs_ask_for_one_list_of_each_kind_and_for_nothing_that_they_may_not() {
    let Some(scene) = Scene::with_ec2("schedule", true).await else {
        return;
    };
    for claim in ["data", "log", "other"] {
        scene.claim_of("default", claim, 4).await;
    }
    select(&scene, "data").await;
    select(&scene, "log").await;
    let schedule = Schedule::applied(&scene, 1).await;
    let lists = [("list persistentvolumeclaims", 1), ("list volumesnapshots", 1)];
    let first = schedule.run("nightly-1");
    assert!(first.success, "{}", first.said);
    assert_eq!(
        first.said,
        "claim data: takes snapshot data-nightly-1\nclaim log: takes snapshot log-nightly-1\n"
    );
    assert_eq!(
        first.requests,
        counts(&[lists[0], lists[1], ("create volumesnapshots", 2)])
    );
    schedule.all_ready().await;

    let again = schedule.run("nightly-1");
    assert!(
        again.success && again.said.contains("data-nightly-1 is there already"),
        "{}",
        again.said
    );
    assert_eq!(again.requests, counts(&lists));
    // Times of creation are whole seconds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(schedule.run("nightly-2").success);
    schedule.all_ready().await;
    let third = schedule.run("before-upgrade");
    assert!(third.success, "{}", third.said);
    let all = [
        lists[0],
        lists[1],
        ("create volumesnapshots", 2),
        ("delete volumesnapshots", 2),
    ];
    assert_eq!(third.requests, counts(&all));
    assert!(
        third
            .said
            .contains("claim log: deletes snapshot log-nightly-1, as 1 newer ones are ready"),
        "{}",
        third.said
    );
    let left = [
        "data-before-upgrade",
        "data-nightly-2",
        "log-before-upgrade",
        "log-nightly-2",
    ];
    schedule.are_left(&left).await;
    schedule.removed();
    scene.ends().await;
}

#[tokio::test]
async fn scheduled_runs_do_not_count_what_failed_and_end_with_an_error_for_it() {
    let Some(scene) = Scene::with_ec2("failing", true).await else {
        return;
    };
    scene.claim_of("default", "data", 4).await;
    select(&scene, "data").await;
    let mut schedule = Schedule::applied(&scene, 1).await;
    assert!(schedule.run("nightly-1").success);
    schedule.all_ready().await;
    let class = schedule
        .environment
        .insert("CLASS".to_owned(), "none".to_owned())
        .unwrap();
    assert!(schedule.run("nightly-2").success, "it fails later");
    until("it has failed", PATIENCE, async || {
        let failed = schedule.snapshots(|one| one["status"]["error"].is_object()).await;
        (failed == ["data-nightly-2"]).then_some(())
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    schedule.environment.insert("CLASS".to_owned(), class);
    let third = schedule.run("nightly-3");
    assert!(!third.success);
    assert!(
        third
            .said
            .contains("claim data: snapshot data-nightly-2 has failed"),
        "{}",
        third.said
    );
    until("the third is ready", PATIENCE, async || {
        let ready = schedule.snapshots(is_ready).await;
        (ready == ["data-nightly-1", "data-nightly-3"]).then_some(())
    })
    .await
    .unwrap();
    let fourth = schedule.run("nightly-3");
    assert!(!fourth.success);
    assert_eq!(fourth.requests["delete volumesnapshots"], 2, "{}", fourth.said);
    schedule.are_left(&["data-nightly-3"]).await;
    assert!(schedule.run("nightly-3").success, "nothing is wrong any more");
    schedule.removed();
    scene.ends().await;
}

#[tokio::test]
async fn journeys_case_24_slow_snapshots_are_rotated_when_they_are_ready_and_none_is_left_in_ec2() {
    let Some(scene) = Scene::with_ec2("slow", false).await else {
        return;
    };
    scene.claim_of("default", "data", SLOW).await;
    select(&scene, "data").await;
    let schedule = Schedule::applied(&scene, 2).await;
    let mut most_ready = 0;
    for number in 10..20 {
        let next = tokio::time::Instant::now() + PERIOD;
        let ran = schedule.run(&format!("nightly-{number}"));
        assert!(ran.success, "{}", ran.said);
        let ready = schedule.snapshots(is_ready).await.len();
        most_ready = most_ready.max(ready.min(2));
        assert!(
            ready >= most_ready,
            "good ones went before others were ready: {ready}"
        );
        tokio::time::sleep_until(next).await;
    }
    assert_eq!(most_ready, 2);
    schedule.all_ready().await;
    assert!(schedule.run("nightly-19").success);
    schedule.are_left(&["data-nightly-18", "data-nightly-19"]).await;
    until("as many snapshots are in EC2", PATIENCE, async || {
        (scene.stage.snapshots_in_ec2().len() == 2).then_some(())
    })
    .await
    .unwrap();
    scene.stage.nothing_lost_or_doubled().await;
    schedule.removed();
    scene.ends().await;
}
