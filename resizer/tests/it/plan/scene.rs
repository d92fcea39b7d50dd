//! What is observed, changed step by step.

use std::time::Duration;

use controller::patch::Change;
use controller::{Next, Retries};
use jiff::Timestamp;
use resizer::observe::{Attempt, Grown, Memory, Modifying, Observed, Settings, Usage};
use resizer::patch;
use resizer::plan::{Plan, Step, plan};
use runtime::objects::{Claim, Quantity, Volume};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Scene {
    pub claim: Value,
    pub volume: Value,
    pub memory: Memory,
    pub usage: Usage,
    pub settings: Settings,
}

pub fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub fn gib(number: i64) -> Quantity {
    Quantity::from_bytes(number << 30)
}

/// Claim `ns/c` and volume `v` of 10Gi.
pub fn scene() -> Scene {
    Scene {
        claim: json!({
            "metadata": {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
            "spec": {"volumeName": "v", "resources": {"requests": {"storage": "10Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}},
        }),
        volume: json!({
            "metadata": {"name": "v", "uid": "w"},
            "spec": {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "claimRef": {"namespace": "ns", "name": "c", "uid": "u"},
                "csi": {"driver": "d.csi", "volumeHandle": "h"},
            },
        }),
        memory: Memory::default(),
        usage: Usage::Unknown,
        settings: Settings {
            driver: "d.csi".into(),
            controller_expands: true,
            single_node_multi_writer: false,
            handle_in_use: true,
            annotate: true,
            recover: true,
            retry_interval_start: Duration::from_secs(1),
            retry_interval_max: Duration::from_secs(300),
            modifying: Modifying::On,
            extra_modify_metadata: false,
        },
    }
}

impl Scene {
    pub fn wanted(mut self, size: &str) -> Self {
        self.claim["spec"]["resources"]["requests"]["storage"] = json!(size);
        self
    }

    pub fn proven(mut self, size: &str) -> Self {
        self.claim["status"]["capacity"]["storage"] = json!(size);
        self
    }

    pub fn allocated(mut self, size: &str) -> Self {
        self.claim["status"]["allocatedResources"] = json!({ "storage": size });
        self
    }

    pub fn stage(mut self, stage: &str) -> Self {
        self.claim["status"]["allocatedResourceStatuses"] = json!({ "storage": stage });
        self
    }

    pub fn condition(mut self, kind: &str) -> Self {
        let condition = json!({"type": kind, "status": "True"});
        match self.claim["status"]["conditions"].as_array_mut() {
            Some(conditions) => conditions.push(condition),
            None => self.claim["status"]["conditions"] = json!([condition]),
        }
        self
    }

    pub fn grown(mut self, size: &str) -> Self {
        self.volume["spec"]["capacity"]["storage"] = json!(size);
        self
    }

    pub fn annotated(mut self, size: &str) -> Self {
        self.volume["metadata"]["annotations"] =
            json!({"volume.alpha.kubernetes.io/pre-resize-capacity": size});
        self
    }

    pub fn only_nodes_expand(mut self) -> Self {
        self.settings.controller_expands = false;
        self
    }

    /// The steps of the plan.
    pub fn steps(&self) -> Vec<Step> {
        self.plan().steps().cloned().collect()
    }

    pub fn plan(&self) -> Plan {
        self.plan_at(now())
    }

    pub fn plan_at(&self, now: Timestamp) -> Plan {
        let claim: Claim = serde_json::from_value(self.claim.clone()).unwrap();
        let volume: Volume = serde_json::from_value(self.volume.clone()).unwrap();
        let observed = Observed {
            claim: &claim,
            volume: Some(&volume),
            secret: None,
            begins_class: None,
            usage: self.usage,
            memory: &self.memory,
            retries: &Retries::default(),
            settings: &self.settings,
        };
        plan(&observed, now)
    }

    /// Takes the steps as the API server and a driver that rounds up by `more` would. Returns the size that was
    /// asked for, and what is next.
    pub fn take(&mut self, plan: Plan, more: i64, node_stage: bool) -> (Option<Quantity>, Next) {
        let claim: Claim = serde_json::from_value(self.claim.clone()).unwrap();
        let volume: Volume = serde_json::from_value(self.volume.clone()).unwrap();
        let mut asked = None;
        self.memory = plan.memory.clone();
        for step in plan.steps() {
            match step {
                Step::Claim(change) => apply(&mut self.claim, &patch::of_claim(&claim, change)),
                Step::Volume(change) => apply(&mut self.volume, &patch::of_volume(&volume, *change)),
                Step::Expand(call) => {
                    asked = Some(call.target);
                    self.memory.attempt = Some(Attempt {
                        target: call.target,
                        volume_uid: "w".into(),
                        before: claim.capacity,
                        outcome: Ok(Grown {
                            capacity: Quantity::from_bytes(call.target.bytes() + more),
                            node_stage,
                        }),
                    });
                }
            }
        }
        (asked, plan.next)
    }

    /// Runs until the plan rests. Returns the sizes asked for.
    pub fn run(&mut self, more: i64, node_stage: bool) -> Vec<Quantity> {
        let mut asked = Vec::new();
        for _ in 0..12 {
            let plan = self.plan();
            let (size, next) = self.take(plan, more, node_stage);
            asked.extend(size);
            if next != Next::Again {
                return asked;
            }
        }
        panic!("does not settle: {self:?}");
    }

    /// What kubelet writes when it has grown the file system.
    pub fn node_finishes(&mut self) {
        let status = &mut self.claim["status"];
        status["capacity"]["storage"] = status["allocatedResources"]["storage"].clone();
        status["allocatedResourceStatuses"] = json!({});
        status["conditions"] = json!([]);
    }
}

pub fn apply(target: &mut Value, change: &Change) {
    let Change::Merge(patch) = change else {
        panic!("no merge patch: {change:?}");
    };
    merge(target, patch);
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key.clone()).or_insert(json!({})), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}
