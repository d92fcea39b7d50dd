//! Columns and cells of pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, Row, age, text, wide};

pub(super) const COLUMNS: &[Column] = &[
    text("Name"),
    text("Ready"),
    text("Status"),
    text("Restarts"),
    text("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

pub(super) fn cells(row: &Row<'_>) -> Vec<Value> {
    let summary = Summary::of(row);
    let mut address = row.items("/status/podIPs").filter_map(|item| item["ip"].as_str());
    let gates: Vec<&Value> = row.items("/spec/readinessGates").collect();
    let open = gates
        .iter()
        .filter(|gate| condition(row, gate["conditionType"].as_str().unwrap_or_default()));
    let gates = match gates.len() {
        0 => "<none>".to_owned(),
        count => format!("{}/{count}", open.count()),
    };
    vec![
        row.name(),
        json!(format!("{}/{}", summary.ready, summary.containers)),
        json!(summary.status),
        json!(summary.restarts(row.now)),
        row.age(),
        json!(address.next().unwrap_or("<none>")),
        json!(row.text_or("/spec/nodeName", "<none>")),
        json!(row.text_or("/status/nominatedNodeName", "<none>")),
        json!(gates),
    ]
}

fn condition(row: &Row<'_>, kind: &str) -> bool {
    row.items("/status/conditions")
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// What the containers of a pod come to.
struct Summary {
    ready: usize,
    containers: usize,
    status: String,
    restarts: i64,
    last_restart: Option<String>,
}

impl Summary {
    fn of(row: &Row<'_>) -> Self {
        let phase = row.text("/status/phase");
        let mut status = row.text_or("/status/reason", phase).to_owned();
        if row
            .items("/status/conditions")
            .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated")
        {
            "SchedulingGated".clone_into(&mut status);
        }
        let sidecars = row
            .items("/spec/initContainers")
            .filter(|container| is_sidecar(container));
        let mut summary = Self {
            ready: 0,
            containers: row.items("/spec/containers").count() + sidecars.count(),
            status,
            restarts: 0,
            last_restart: None,
        };
        let initializing = summary.count_first(row);
        if !initializing || condition(row, "Initialized") {
            summary.count_main(row);
        }
        if row.is_deleting() && row.text("/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.status);
        } else if row.is_deleting() && !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.status);
        }
        summary
    }

    /// The init containers; true while one of them has not ended well. Only the restarts of those that
    /// go on beside the others count once all began.
    fn count_first(&mut self, row: &Row<'_>) -> bool {
        let total = row.items("/spec/initContainers").count();
        let (mut restarts, mut last) = (0, None);
        for (index, container) in row.items("/status/initContainerStatuses").enumerate() {
            self.count_restarts(container);
            let sidecar = row
                .items("/spec/initContainers")
                .any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
            if sidecar {
                restarts += container["restartCount"].as_i64().unwrap_or(0);
                last = later(last, finished(container));
            }
            let state = &container["state"];
            if state["terminated"].is_object() && state["terminated"]["exitCode"] == 0 {
                continue;
            }
            if sidecar && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            self.status = if state["terminated"].is_object() {
                format!("Init:{}", ended(&state["terminated"]))
            } else {
                match state["waiting"]["reason"].as_str().unwrap_or_default() {
                    "" | "PodInitializing" => format!("Init:{index}/{total}"),
                    reason => format!("Init:{reason}"),
                }
            };
            return true;
        }
        (self.restarts, self.last_restart) = (restarts, last);
        false
    }

    fn count_main(&mut self, row: &Row<'_>) {
        let (mut running, mut failure) = (false, None);
        let statuses: Vec<&Value> = row.items("/status/containerStatuses").collect();
        for container in statuses.into_iter().rev() {
            self.count_restarts(container);
            let state = &container["state"];
            let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.status);
            } else if state["terminated"].is_object() {
                self.status = ended(&state["terminated"]);
                if state["terminated"]["exitCode"] != 0 {
                    failure = Some(self.status.clone());
                }
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.status != "Completed" {
            return;
        }
        if running && condition(row, "Ready") {
            "Running".clone_into(&mut self.status);
        } else if let Some(failure) = failure {
            self.status = failure;
        } else if running {
            "NotReady".clone_into(&mut self.status);
        }
    }

    fn count_restarts(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or(0);
        self.last_restart = later(self.last_restart.take(), finished(container));
    }

    fn restarts(&self, now: Timestamp) -> String {
        match self.last_restart.as_deref().filter(|_| self.restarts > 0) {
            Some(moment) => format!("{} ({} ago)", self.restarts, age::since(Some(moment), now)),
            None => self.restarts.to_string(),
        }
    }
}

/// An init container that goes on beside the others.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// When the former run of a container ended.
fn finished(container: &Value) -> Option<String> {
    let moment = container["lastState"]["terminated"]["finishedAt"].as_str();
    moment.map(str::to_owned)
}

/// The later of two moments, which are written alike.
fn later(left: Option<String>, right: Option<String>) -> Option<String> {
    left.max(right)
}

fn ended(terminated: &Value) -> String {
    match terminated["reason"].as_str().unwrap_or_default() {
        "" => match terminated["signal"].as_i64().unwrap_or(0) {
            0 => format!("ExitCode:{}", terminated["exitCode"]),
            signal => format!("Signal:{signal}"),
        },
        reason => reason.to_owned(),
    }
}
