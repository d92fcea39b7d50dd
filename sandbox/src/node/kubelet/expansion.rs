//! The node's half of an expansion (spec resize 4.4).

use serde_json::{Value, json};
use tonic::{Code, Status};

use super::Kubelet;
use super::calls::{Failure, Subject};
use super::plan::Mounted;
use crate::actors::{CLAIMS, attempt, items, set, text};
use crate::kube::validation::quantity::Quantity;

const NOT_REQUIRED: &str = "volume.kubernetes.io/node-expansion-not-required";
const OWN_CONDITIONS: [&str; 4] = [
    "Resizing",
    "FileSystemResizePending",
    "ControllerResizeError",
    "NodeResizeError",
];

/// Whether and how the volume of a claim is expanded.
#[derive(Clone, Debug, PartialEq)]
enum Decision {
    /// Not now: the claim does not allow it.
    Skip,
    /// To this size.
    Expand {
        /// As it will stand in the claim.
        size: Value,
        /// The claim is told of the beginning and of errors: not where it predates that.
        marks: bool,
        /// The claim was told of the end already, by another node.
        told: bool,
    },
}

/// What became of it.
pub(super) enum Expanded {
    /// Nothing was to be done now.
    Skipped,
    /// The file system has at least this size.
    Done(Option<Quantity>),
    /// The driver does not expand it while it is in use here.
    Refused,
    /// To be repeated.
    Failed,
}

fn decide(claim: &Value, volume: &Value) -> Decision {
    let state = text(claim, "/status/allocatedResourceStatuses/storage");
    let allocated = claim.pointer("/status/allocatedResources/storage");
    let Some(target) = allocated else {
        if !state.is_empty() {
            return Decision::Skip;
        }
        return Decision::Expand {
            size: volume["spec"]["capacity"]["storage"].clone(),
            marks: false,
            told: false,
        };
    };
    let expand = |told: bool| Decision::Expand {
        size: target.clone(),
        marks: !told,
        told,
    };
    if matches!(state, "NodeResizePending" | "NodeResizeInProgress") {
        return expand(false);
    }
    let capacity = claim.pointer("/status/capacity/storage").and_then(Quantity::read);
    let shared = items(claim, "/spec/accessModes")
        .iter()
        .any(|mode| mode == "ReadWriteMany");
    let wanted = claim["metadata"]["annotations"].get(NOT_REQUIRED).is_none();
    if state.is_empty() && capacity >= Quantity::read(target) && shared && wanted {
        return expand(true);
    }
    Decision::Skip
}

impl Kubelet {
    /// Expands a volume that is published at `target` for a pod, if its claim allows it.
    pub(super) async fn expand(
        &self,
        subject: &Subject<'_>,
        mounted: &Mounted,
        (pod, target, read_only): (&Value, &str, bool),
    ) -> Expanded {
        let about = &subject.object["spec"]["claimRef"];
        let (namespace, name) = (text(about, "/namespace"), text(about, "/name"));
        let Some(claim) = self.object(CLAIMS, namespace, name) else {
            return Expanded::Skipped;
        };
        if read_only {
            let message = "requested read-only file system";
            self.events.warning(pod, "FileSystemResizeFailed", message);
            return Expanded::Done(capacity(subject.object));
        }
        let Decision::Expand { size, marks, told } = decide(&claim, subject.object) else {
            return Expanded::Skipped;
        };
        let wanted = Quantity::read(&size);
        if marks {
            self.mark(namespace, name, "NodeResizeInProgress");
        }
        let bytes = wanted.as_ref().map_or(0, Quantity::bytes);
        let outcome = if subject.driver.expands {
            self.call_expand(subject, mounted, target, bytes).await
        } else if told {
            Ok(())
        } else {
            let text = "NodeExpand is not supported by the CSI driver";
            Err(Failure::Driver(Status::unimplemented(text)))
        };
        match outcome {
            Ok(()) => {
                if !told {
                    self.finish(namespace, name, &size);
                }
                let message = format!(
                    "MountVolume.NodeExpandVolume succeeded for volume \"{}\" {}",
                    subject.source.name, self.node.name
                );
                self.events.normal(pod, "FileSystemResizeSuccessful", &message);
                self.events.normal(&claim, "FileSystemResizeSuccessful", &message);
                Expanded::Done(wanted)
            }
            Err(failure) => {
                let message = format!(
                    "NodeExpandVolume.NodeExpandVolume failed for volume \"{}\" : {}",
                    subject.source.name,
                    failure.text()
                );
                self.events.warning(pod, "VolumeResizeFailed", &message);
                self.failed(namespace, name, &failure, &size)
            }
        }
    }

    fn mark(&self, namespace: &str, name: &str, state: &str) {
        attempt(self.store.update_status(CLAIMS, namespace, name, |claim| {
            set(
                claim,
                "/status/allocatedResourceStatuses",
                "storage",
                json!(state),
            );
        }));
    }

    fn finish(&self, namespace: &str, name: &str, size: &Value) {
        attempt(self.store.update_status(CLAIMS, namespace, name, |claim| {
            set(claim, "/status/capacity", "storage", size.clone());
            let Some(status) = claim["status"].as_object_mut() else {
                return;
            };
            if let Some(Value::Object(states)) = status.get_mut("allocatedResourceStatuses") {
                states.remove("storage");
                if states.is_empty() {
                    status.remove("allocatedResourceStatuses");
                }
            }
            if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
                conditions.retain(|one| !OWN_CONDITIONS.contains(&text(one, "/type")));
                if conditions.is_empty() {
                    status.remove("conditions");
                }
            }
        }));
    }

    /// Writes an error that is final into the claim.
    fn failed(&self, namespace: &str, name: &str, failure: &Failure, size: &Value) -> Expanded {
        let Failure::Driver(status) = failure else {
            return Expanded::Failed;
        };
        if !failure.is_final() {
            return Expanded::Failed;
        }
        let message = format!("failed to expand pvc with {}", failure.text());
        let now = self.now();
        let infeasible = matches!(
            status.code(),
            Code::InvalidArgument | Code::OutOfRange | Code::NotFound
        );
        let refused = status.code() == Code::FailedPrecondition;
        attempt(self.store.update_status(CLAIMS, namespace, name, |claim| {
            let requested = claim
                .pointer("/spec/resources/requests/storage")
                .and_then(Quantity::read);
            if infeasible || !refused && requested != Quantity::read(size) {
                let state = json!("NodeResizeInfeasible");
                set(claim, "/status/allocatedResourceStatuses", "storage", state);
            }
            let mut conditions = items(claim, "/status/conditions").to_vec();
            if !conditions
                .iter()
                .any(|one| text(one, "/type") == "NodeResizeError")
            {
                conditions.push(json!({
                    "type": "NodeResizeError", "status": "True", "message": message,
                    "lastProbeTime": null, "lastTransitionTime": now,
                }));
                set(claim, "/status", "conditions", Value::Array(conditions));
            }
        }));
        if refused {
            Expanded::Refused
        } else {
            Expanded::Failed
        }
    }
}

/// The size that a PersistentVolume says.
pub(super) fn capacity(volume: &Value) -> Option<Quantity> {
    volume.pointer("/spec/capacity/storage").and_then(Quantity::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resize_4_4_a_claim_allows_the_node_stage_or_not() {
        let volume = json!({"spec": {"capacity": {"storage": "20Gi"}}});
        let status = |state: Option<&str>, allocated: Option<&str>, mode: &str| {
            let mut claim = json!({
                "metadata": {}, "spec": {"accessModes": [mode]}, "status": {"capacity": {"storage": "10Gi"}},
            });
            if let Some(state) = state {
                claim["status"]["allocatedResourceStatuses"] = json!({"storage": state});
            }
            if let Some(allocated) = allocated {
                claim["status"]["allocatedResources"] = json!({"storage": allocated});
            }
            claim
        };
        let expand = |size: &str, marks, told| Decision::Expand {
            size: json!(size),
            marks,
            told,
        };
        let rows = [
            (None, None, "ReadWriteOnce", expand("20Gi", false, false)),
            (
                Some("NodeResizePending"),
                Some("19Gi"),
                "ReadWriteOnce",
                expand("19Gi", true, false),
            ),
            (
                Some("NodeResizeInProgress"),
                Some("19Gi"),
                "ReadWriteOnce",
                expand("19Gi", true, false),
            ),
            (
                Some("NodeResizeInfeasible"),
                Some("19Gi"),
                "ReadWriteOnce",
                Decision::Skip,
            ),
            (
                Some("ControllerResizeInProgress"),
                Some("19Gi"),
                "ReadWriteOnce",
                Decision::Skip,
            ),
            (None, Some("19Gi"), "ReadWriteOnce", Decision::Skip),
            (None, Some("10Gi"), "ReadWriteOnce", Decision::Skip),
            (None, Some("10Gi"), "ReadWriteMany", expand("10Gi", false, true)),
        ];
        for (state, allocated, mode, expected) in rows {
            let claim = status(state, allocated, mode);
            assert_eq!(
                decide(&claim, &volume),
                expected,
                "{state:?} {allocated:?} {mode}"
            );
        }
        let mut claim = status(None, Some("10Gi"), "ReadWriteMany");
        claim["metadata"]["annotations"] = json!({NOT_REQUIRED: "true"});
        assert_eq!(decide(&claim, &volume), Decision::Skip);
    }
}
