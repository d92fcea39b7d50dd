//! Looks at a volume and does what the plan says.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{Failure, Subject};
use super::expansion::{Expanded, capacity};
use super::plan::{Mounted, Observed, PodMount, Progress, Step, Wanted, plan};
use super::registration::{Driver, WAIT_FOR_DRIVER};
use super::{BACKOFF, Kubelet};
use crate::actors::csi_volume::CsiVolume;
use crate::actors::{
    ATTACHMENTS, CLAIMS, NODES, PODS, VOLUMES, attempt, has_ended, is_deleting, items, set, text,
};
use crate::kube::validation::quantity::Quantity;

/// What is known of a volume.
struct Look {
    object: Value,
    source: Option<CsiVolume>,
    claim: Option<Value>,
    driver: Option<Driver>,
    observed: Observed,
}

/// Go on with the next step, or look again after this time.
type Next = ControlFlow<Option<Duration>>;

const GO_ON: Next = ControlFlow::Continue(());

impl Kubelet {
    /// Brings a volume step by step to what its pods want.
    pub(super) async fn volume(&self, name: &str) -> Option<Duration> {
        loop {
            let look = self.look(name);
            let step = plan(&look.observed);
            if let ControlFlow::Break(wait) = self.execute(name, &look, step).await {
                return wait;
            }
        }
    }

    fn look(&self, name: &str) -> Look {
        let object = self.object(VOLUMES, "", name).unwrap_or_default();
        let source = CsiVolume::of(&object);
        let claim = self.claim_of(&object);
        let wanted = claim.as_ref().map(|claim| self.wanted(claim)).unwrap_or_default();
        let state = self.state();
        let mounted = state.volumes.get(name).cloned();
        let driver = source
            .as_ref()
            .and_then(|source| state.drivers.get(&source.driver).cloned());
        drop(state);
        let observed = Observed {
            wanted,
            mounted,
            attached: source.as_ref().is_none_or(|source| self.is_attached(source)),
            foreign: source.is_none(),
            stages: driver.as_ref().is_some_and(|driver| driver.stages),
            desired: capacity(&object),
        };
        Look {
            object,
            source,
            claim,
            driver,
            observed,
        }
    }

    /// The claim that is bound to a volume.
    fn claim_of(&self, volume: &Value) -> Option<Value> {
        let about = &volume["spec"]["claimRef"];
        let claim = self.object(CLAIMS, text(about, "/namespace"), text(about, "/name"))?;
        let bound = text(&claim, "/metadata/uid") == text(about, "/uid")
            && text(&claim, "/status/phase") == "Bound"
            && text(&claim, "/spec/volumeName") == text(volume, "/metadata/name");
        bound.then_some(claim)
    }

    fn wanted(&self, claim: &Value) -> Vec<Wanted> {
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        let users = self.state().users.of(namespace, name);
        let pods = users.iter().filter_map(|pod| self.object(PODS, namespace, pod));
        pods.filter(|pod| self.is_here(pod) && !is_deleting(pod) && !has_ended(pod))
            .map(|pod| Wanted {
                uid: text(&pod, "/metadata/uid").to_owned(),
                namespace: namespace.to_owned(),
                name: text(&pod, "/metadata/name").to_owned(),
                read_only: items(&pod, "/spec/volumes").iter().any(|volume| {
                    text(volume, "/persistentVolumeClaim/claimName") == name
                        && volume["persistentVolumeClaim"]["readOnly"] == true
                }),
            })
            .collect()
    }

    fn is_attached(&self, source: &CsiVolume) -> bool {
        if !self.attached.contains(&source.driver) || !source.is_attachable(&self.store) {
            return true;
        }
        let attachment = self.object(ATTACHMENTS, "", &source.attachment_name(&self.node.name));
        attachment
            .is_some_and(|attachment| attachment["status"]["attached"] == true && !is_deleting(&attachment))
    }

    async fn execute(&self, name: &str, look: &Look, step: Step) -> Next {
        match step {
            Step::Nothing | Step::WaitForAttachment => ControlFlow::Break(None),
            Step::Begin => self.begin(name, look),
            Step::End => self.end(name),
            Step::Ready(uid) => {
                self.change(name, |mounted| {
                    if let Some(mount) = mounted.pods.get_mut(&uid) {
                        mount.ready = true;
                    }
                });
                self.tell_pod(look, &uid);
                GO_ON
            }
            step => {
                let patience = look.observed.mounted.as_ref().map(|mounted| mounted.patience);
                match patience.and_then(|patience| patience.left()) {
                    Some(left) => ControlFlow::Break(Some(left)),
                    None => self.call(name, look, step).await,
                }
            }
        }
    }

    async fn call(&self, name: &str, look: &Look, step: Step) -> Next {
        let Some(mounted) = &look.observed.mounted else {
            return ControlFlow::Break(None);
        };
        if look.source.is_none() && mounted.handle.is_empty() {
            return self.without_driver(name, look, step);
        }
        match step {
            Step::Unpublish(uid) => return self.unpublish(name, look, mounted, &uid).await,
            Step::Unstage => return self.unstage(name, look, mounted).await,
            _ => {}
        }
        let (Some(source), Some(driver)) = (&look.source, &look.driver) else {
            return self.wait_for_driver(look);
        };
        let subject = Subject {
            object: &look.object,
            source,
            driver,
        };
        match step {
            Step::Stage => self.stage(name, look, &subject, mounted).await,
            Step::Publish(pod) => self.publish(name, look, &subject, (mounted, pod)).await,
            Step::Expand(uid) => self.grow(name, look, &subject, (mounted, &uid)).await,
            _ => ControlFlow::Break(None),
        }
    }

    fn change(&self, name: &str, act: impl FnOnce(&mut Mounted)) {
        if let Some(mounted) = self.state().volumes.get_mut(name) {
            act(mounted);
        }
    }

    fn begin(&self, name: &str, look: &Look) -> Next {
        let claim = look.claim.as_ref();
        let size = claim.and_then(|claim| claim.pointer("/status/capacity/storage"));
        let mut mounted = Mounted {
            size: size.and_then(Quantity::read),
            ..Mounted::default()
        };
        if let Some(source) = &look.source {
            mounted.driver.clone_from(&source.driver);
            mounted.handle.clone_from(&source.handle);
            mounted.block = source.block;
        }
        self.state().volumes.insert(name.to_owned(), mounted);
        self.list_in_use();
        GO_ON
    }

    fn end(&self, name: &str) -> Next {
        self.state().volumes.remove(name);
        self.list_in_use();
        ControlFlow::Break(None)
    }

    /// `status.volumesInUse` of the node: attach-detach leaves these attached.
    fn list_in_use(&self) {
        let state = self.state();
        let volumes = state.volumes.values().filter(|volume| !volume.handle.is_empty());
        let mut names: Vec<String> = volumes
            .map(|volume| format!("kubernetes.io/csi/{}^{}", volume.driver, volume.handle))
            .collect();
        drop(state);
        names.sort();
        attempt(self.store.update_status(NODES, "", &self.node.name, |node| {
            set(node, "/status", "volumesInUse", json!(names));
        }));
    }

    /// A volume that is no driver's: kubelet has nothing to do for it.
    fn without_driver(&self, name: &str, look: &Look, step: Step) -> Next {
        match step {
            Step::Publish(pod) => {
                self.change(name, |mounted| {
                    let mount = PodMount::of(&pod, String::new());
                    let mount = mounted.pods.entry(pod.uid.clone()).or_insert(mount);
                    mount.published = Progress::Yes;
                });
                GO_ON
            }
            Step::Unpublish(uid) => {
                self.forget_pod(name, look, &uid);
                GO_ON
            }
            _ => ControlFlow::Break(None),
        }
    }

    fn wait_for_driver(&self, look: &Look) -> Next {
        let driver = look.source.as_ref().map(|source| source.driver.as_str());
        if let Some(driver) = driver.filter(|driver| !self.node.drivers.contains_key(*driver)) {
            let text = format!("driver name {driver} not found in the list of registered CSI drivers");
            self.tell_failure(look, "MountVolume.MountDevice", &text);
            return ControlFlow::Break(None);
        }
        ControlFlow::Break(Some(WAIT_FOR_DRIVER))
    }

    /// An event on each pod that waits.
    fn tell_failure(&self, look: &Look, operation: &str, text: &str) {
        let volume = look.object["metadata"]["name"].as_str().unwrap_or_default();
        let message = format!("{operation} failed for volume \"{volume}\" : {text}");
        for pod in &look.observed.wanted {
            if let Some(pod) = self.object(PODS, &pod.namespace, &pod.name) {
                self.events.warning(&pod, "FailedMount", &message);
            }
        }
    }

    /// Notes what became of a call: after a failure it waits.
    fn note<T>(&self, name: &str, outcome: &Result<T, Failure>) -> Next {
        let mut next = GO_ON;
        self.change(name, |mounted| match outcome {
            Ok(_) => mounted.patience.succeeded(),
            Err(_) => next = ControlFlow::Break(Some(mounted.patience.failed(&BACKOFF, &self.random))),
        });
        next
    }

    async fn stage(&self, name: &str, look: &Look, subject: &Subject<'_>, mounted: &Mounted) -> Next {
        let former = mounted.staged;
        self.change(name, |mounted| mounted.staged = Progress::Maybe);
        let outcome = self.call_stage(subject, mounted).await;
        self.change(name, |mounted| {
            mounted.staged = after(&outcome, former);
        });
        if let Err(failure) = &outcome {
            self.tell_failure(look, "MountVolume.MountDevice", &failure.text());
        }
        self.note(name, &outcome)
    }

    async fn unstage(&self, name: &str, look: &Look, mounted: &Mounted) -> Next {
        let outcome = self.call_unstage(name, mounted).await;
        if outcome.is_ok() {
            self.change(name, |mounted| mounted.staged = Progress::No);
        } else if let Err(failure) = &outcome {
            tracing::debug!(
                volume = name,
                error = failure.text(),
                wanted = look.observed.wanted.len(),
                "not unstaged"
            );
        }
        self.note(name, &outcome)
    }

    async fn publish(
        &self,
        name: &str,
        look: &Look,
        subject: &Subject<'_>,
        (mounted, pod): (&Mounted, Wanted),
    ) -> Next {
        let target = self.target_path(name, mounted.block, &pod.uid);
        let mut mount = PodMount::of(&pod, target);
        let former = mounted
            .pods
            .get(&pod.uid)
            .map(|mount| mount.published)
            .unwrap_or_default();
        mount.read_only |= subject.source.read_only;
        mount.published = Progress::Maybe;
        self.change(name, |mounted| {
            mounted.pods.insert(pod.uid.clone(), mount.clone());
        });
        let outcome = self.call_publish(subject, mounted, &mount).await;
        let published = after(&outcome, former);
        self.change(name, |mounted| {
            if published == Progress::No {
                mounted.pods.remove(&pod.uid);
            } else if let Some(mount) = mounted.pods.get_mut(&pod.uid) {
                mount.published = published;
            }
        });
        if let Err(failure) = &outcome {
            self.tell_failure(look, "MountVolume.SetUp", &failure.text());
        }
        self.note(name, &outcome)
    }

    async fn unpublish(&self, name: &str, look: &Look, mounted: &Mounted, uid: &str) -> Next {
        let target = mounted
            .pods
            .get(uid)
            .map(|mount| mount.target.clone())
            .unwrap_or_default();
        let outcome = self.call_unpublish(mounted, &target).await;
        if outcome.is_ok() {
            self.forget_pod(name, look, uid);
        }
        self.note(name, &outcome)
    }

    fn forget_pod(&self, name: &str, look: &Look, uid: &str) {
        self.change(name, |mounted| {
            mounted.pods.remove(uid);
        });
        self.tell_pod(look, uid);
    }

    /// Looks at a pod for which something has changed.
    fn tell_pod(&self, look: &Look, uid: &str) {
        let mounts = look.observed.mounted.as_ref().map(|mounted| &mounted.pods);
        if let Some(mount) = mounts.and_then(|mounts| mounts.get(uid)) {
            self.pod(&mount.namespace, &mount.name);
        }
    }

    async fn grow(
        &self,
        name: &str,
        look: &Look,
        subject: &Subject<'_>,
        (mounted, uid): (&Mounted, &str),
    ) -> Next {
        let Some(mount) = mounted.pods.get(uid) else {
            return ControlFlow::Break(None);
        };
        let Some(pod) = self.object(PODS, &mount.namespace, &mount.name) else {
            return ControlFlow::Break(None);
        };
        let expanded = self
            .expand(subject, mounted, (&pod, &mount.target, mount.read_only))
            .await;
        let ready = |mounted: &mut Mounted| {
            if let Some(mount) = mounted.pods.get_mut(uid) {
                mount.ready = true;
            }
        };
        match expanded {
            Expanded::Skipped if mount.ready => ControlFlow::Break(None),
            Expanded::Skipped => {
                self.change(name, ready);
                self.tell_pod(look, uid);
                GO_ON
            }
            Expanded::Done(size) => {
                // A driver that rounds up: the claim ends below the volume, and so does what is known here.
                let is_more = size > mounted.size;
                self.change(name, |mounted| {
                    mounted.size = size.max(mounted.size.take());
                    mounted.patience.succeeded();
                    ready(mounted);
                });
                self.tell_pod(look, uid);
                if is_more { GO_ON } else { ControlFlow::Break(None) }
            }
            Expanded::Refused => {
                self.change(name, |mounted| mounted.refused = true);
                GO_ON
            }
            Expanded::Failed => {
                let mut wait = None;
                self.change(name, |mounted| {
                    wait = Some(mounted.patience.failed(&BACKOFF, &self.random))
                });
                ControlFlow::Break(wait)
            }
        }
    }
}

/// How far a call has brought it.
fn after<T>(outcome: &Result<T, Failure>, former: Progress) -> Progress {
    match outcome {
        Ok(_) => Progress::Yes,
        Err(failure) if failure.is_final() && former == Progress::No => Progress::No,
        Err(_) => Progress::Maybe,
    }
}

impl PodMount {
    fn of(pod: &Wanted, target: String) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            target,
            read_only: pod.read_only,
            published: Progress::No,
            ready: false,
        }
    }
}
