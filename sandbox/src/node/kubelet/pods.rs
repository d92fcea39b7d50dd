//! Pods: they run once their volumes are mounted, and go once these are unmounted.

use std::time::Duration;

use serde_json::Value;

use super::Kubelet;
use crate::actors::workloads::run;
use crate::actors::{PODS, attempt, claims_of, has_ended, is_deleting, text};

impl Kubelet {
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<Duration> {
        let pod = self.object(PODS, namespace, name)?;
        if !self.is_here(&pod) {
            return None;
        }
        let uid = text(&pod, "/metadata/uid");
        if is_deleting(&pod) {
            if self.volumes_of_pod(uid).is_empty() {
                attempt(self.store.delete(PODS, namespace, name, Some(uid)));
            }
            return None;
        }
        let running = text(&pod, "/status/phase") == "Running";
        if !running && !has_ended(&pod) && self.all_mounted(namespace, &pod) {
            let now = self.now();
            attempt(
                self.store
                    .update_status(PODS, namespace, name, |pod| run(pod, &now)),
            );
        }
        None
    }

    fn all_mounted(&self, namespace: &str, pod: &Value) -> bool {
        let uid = text(pod, "/metadata/uid");
        claims_of(pod).all(|claim| {
            let Some(volume) = self.volume_of(namespace, &claim) else {
                return false;
            };
            let state = self.state();
            let mount = state.volumes.get(&volume).and_then(|volume| volume.pods.get(uid));
            mount.is_some_and(|mount| mount.ready)
        })
    }
}
