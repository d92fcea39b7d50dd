//! The tiny cluster of `scene` with a group: what the decisions about groups read is taken from it, their steps change it,
//! and stand-ins for the csi-snapshotter and the driver answer.
//!
//! Group `ns/g` with UID `gu` selects the claims `p` and `q` of the volumes `vol-p` and `vol-q`; class `gk`, driver `d`.

use std::collections::BTreeSet;
use std::sync::Arc;

use controller::testing::objects::finalizers;
use controller::{Action, Next};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};
use crds::names::group as names;
use crds::v1::VolumeSnapshot;
use serde_json::{Value, json};
use snapshot_controller::plan::group::content::ObservedGroupContent;
use snapshot_controller::plan::group::{
    ObservedGroup, ObservedMember, Plan, SelectedClaim, Step, content, content_name, create, is_ready,
    member, plan,
};
use snapshot_controller::plan::{Lookup, Options, Step as Single, is_deleting};

use crate::group_world::{GROUP_BEING_DELETED, GROUP_CONTENT_FINALIZER, GROUP_FINALIZER};
use crate::scene::{BEING_DELETED, CONTENT_BOUND, NOW, Refused, Scene, now};

/// Rounds of one run, as in the frame.
const MOST_ROUNDS: usize = 12;

#[derive(Clone, Debug, Default)]
pub struct GroupScene {
    /// Groups are of kind `vgs`, their contents `vgsc`, their classes `vgclass`.
    pub cluster: Scene,
    /// A POST of the content had an unclear outcome.
    pub content_unknown: bool,
    /// The groups that the driver holds.
    pub held: BTreeSet<String>,
    /// The driver's snapshots are ready at once.
    pub ready_at_once: bool,
}

pub fn group(rest: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": "g", "namespace": "ns", "uid": "gu", "resourceVersion": "10"},
        "spec": {"volumeGroupSnapshotClassName": "gk", "source": {"selector": {"matchLabels": {"app": "db"}}}},
    });
    json_patch::merge(&mut object, rest);
    object
}

pub fn class(name: &str, driver: &str, is_default: bool) -> Value {
    let annotations = match is_default {
        true => json!({"groupsnapshot.storage.kubernetes.io/is-default-class": "true"}),
        false => json!({}),
    };
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": name, "annotations": annotations}, "driver": driver, "deletionPolicy": "Delete",
    })
}

/// The content that the controller makes for [`group`].
pub fn content_of_g(rest: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotContent",
        "metadata": {"name": "groupsnapcontent-gu", "uid": "gcu", "resourceVersion": "50",
            "finalizers": [GROUP_CONTENT_FINALIZER]},
        "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"volumeHandles": ["vol-p", "vol-q"]},
            "volumeGroupSnapshotClassName": "gk",
            "volumeGroupSnapshotRef": {"name": "g", "namespace": "ns", "uid": "gu"}},
    });
    json_patch::merge(&mut object, rest);
    object
}

/// What the driver says of the volumes.
pub fn infos(ready: bool) -> Value {
    let info = |claim: &str| {
        json!({"volumeHandle": format!("vol-{claim}"), "snapshotHandle": format!("snap-{claim}"),
            "creationTime": 23, "readyToUse": ready, "restoreSize": 5_368_709_120_i64})
    };
    json!([info("p"), info("q")])
}

impl GroupScene {
    pub fn new() -> Self {
        let mut scene = Self::default();
        scene.cluster.version = 100;
        for claim in ["p", "q"] {
            let volume = format!("v{claim}");
            scene.cluster.put(
                "pvc",
                json!({"metadata": {"name": claim, "namespace": "ns", "uid": format!("u{claim}"),
                    "resourceVersion": "20"},
                    "spec": {"volumeName": volume}, "status": {"phase": "Bound"}}),
            );
            scene.cluster.put(
                "pv",
                json!({"metadata": {"name": volume, "uid": format!("uv{claim}"), "resourceVersion": "30"},
                    "spec": {"csi": {"driver": "d", "volumeHandle": format!("vol-{claim}")},
                        "claimRef": {"namespace": "ns", "name": claim, "uid": format!("u{claim}")}}}),
            );
        }
        scene.cluster.put("vgclass", class("gk", "d", false));
        scene
    }

    fn groups(&self) -> Option<Arc<VolumeGroupSnapshot>> {
        self.cluster.typed("vgs", "g")
    }

    fn contents(&self) -> Vec<Arc<VolumeGroupSnapshotContent>> {
        let names = self.cluster.names("vgsc").into_iter();
        names
            .filter_map(|name| self.cluster.typed("vgsc", &name))
            .collect()
    }

    pub fn observe(&self) -> Option<ObservedGroup> {
        let group = self.groups()?;
        let named = content_name(&group);
        let content: Lookup<Arc<VolumeGroupSnapshotContent>> =
            match self.cluster.look("vgsc", named.as_deref()) {
                Lookup::Absent if self.content_unknown => Lookup::Unknown,
                content => content,
            };
        let class_name = group.spec.volume_group_snapshot_class_name.as_deref();
        let all = self.cluster.names("vgclass").into_iter();
        let classes = all.filter_map(|name| self.cluster.typed::<VolumeGroupSnapshotClass>("vgclass", &name));
        let owned = self.cluster.names("vs").into_iter();
        let owned = owned.filter_map(|name| self.cluster.typed::<VolumeSnapshot>("vs", &name));
        let is_owned = |snapshot: &Arc<VolumeSnapshot>| {
            member::owner(snapshot).is_some_and(|owner| group.metadata.uid.as_ref() == Some(&owner.uid))
        };
        Some(ObservedGroup {
            members: self.members(&group, content.found()),
            class: self.cluster.look("vgclass", class_name),
            default_classes: classes.filter(|class| create::is_default(class)).collect(),
            owned: owned.filter(is_owned).collect(),
            restores: match is_deleting(&*group) {
                true => self.cluster.restores.clone(),
                false => Vec::new(),
            },
            is_live: true,
            sees_users: true,
            options: Options::default(),
            content,
            group,
        })
    }

    fn members(
        &self,
        group: &VolumeGroupSnapshot,
        content: Option<&Arc<VolumeGroupSnapshotContent>>,
    ) -> Vec<ObservedMember> {
        let status = content.and_then(|content| content.status.as_ref());
        let (Some(status), false) = (status, is_ready(group)) else {
            return Vec::new();
        };
        let member = |info: &crds::group::v1::VolumeSnapshotInfo| {
            let handle = info.volume_handle.as_deref().unwrap_or_default();
            let name = member::name("gu", handle);
            ObservedMember {
                info: info.clone(),
                snapshot: self.cluster.look("vs", Some(&name)),
                content: self
                    .cluster
                    .look("vsc", names::member_content_name(&name).as_deref()),
                volume: self.cluster.typed("pv", &handle.replacen("vol-", "v", 1)),
            }
        };
        let infos = status.volume_snapshot_info_list.iter().flatten();
        infos.map(member).collect()
    }

    /// The claims that every selector selects.
    pub fn selected(&self) -> Vec<SelectedClaim> {
        let claims = self.cluster.names("pvc").into_iter();
        let with_volume = |name: String| {
            let claim: Arc<runtime::objects::Claim> = self.cluster.typed("pvc", &name)?;
            Some(SelectedClaim {
                volume: self.cluster.look("pv", claim.volume_name.as_deref()),
                claim,
            })
        };
        claims.filter_map(with_volume).collect()
    }

    pub fn plan_content(&self, name: &str, is_read: bool) -> Option<Plan> {
        let content: Arc<VolumeGroupSnapshotContent> = self.cluster.typed("vgsc", name)?;
        let reference = content.spec.volume_group_snapshot_ref.name.clone();
        Some(content::plan(&ObservedGroupContent {
            group: self.cluster.look("vgs", reference.as_deref()),
            content,
            is_read,
        }))
    }

    /// One round of everybody; true when something was sent. Each process dies before the request after `requests`.
    pub fn round(&mut self, requests: usize) -> bool {
        let mut sent = self.run_group(requests);
        for name in self.cluster.names("vgsc") {
            sent += self.run_content(&name, requests);
        }
        for name in self.cluster.names("vs") {
            sent += self.run_member(&name, requests);
        }
        for name in self.cluster.names("vsc") {
            sent += self.run_member_content(&name, requests);
        }
        sent += self.sidecar();
        sent > 0
    }

    fn run_group(&mut self, requests: usize) -> usize {
        let (mut selected, mut sent) = (None, 0);
        for _ in 0..MOST_ROUNDS {
            let Some(observed) = self.observe() else {
                return sent;
            };
            let plan = plan(&observed, selected.take().as_deref(), now());
            let content = observed
                .content
                .found()
                .and_then(|content| content.metadata.name.clone());
            let content = content.unwrap_or_default();
            for step in plan.steps() {
                if sent == requests {
                    return sent;
                }
                // A LIST brings something and changes nothing.
                sent += usize::from(!matches!(step, Step::ListClaims { .. }));
                match step {
                    Step::ListClaims { .. } => selected = Some(self.selected()),
                    _ if self.take(&content, step).is_err() => return sent,
                    _ => {}
                }
            }
            if plan.next != Next::Again {
                return sent;
            }
        }
        panic!("it does not settle within a run: {:#?}", self.cluster.objects);
    }

    fn run_content(&mut self, name: &str, requests: usize) -> usize {
        let (mut is_read, mut sent) = (false, 0);
        for _ in 0..MOST_ROUNDS {
            let Some(plan) = self.plan_content(name, is_read) else {
                return sent;
            };
            for step in plan.steps() {
                if sent == requests {
                    return sent;
                }
                match step {
                    Step::ReadGroup { .. } => is_read = true,
                    _ if self.take(name, step).is_err() => return sent,
                    _ => sent += 1,
                }
            }
            if plan.next != Next::Again {
                return sent;
            }
        }
        panic!("it does not settle within a run: {:#?}", self.cluster.objects);
    }

    /// The group of a snapshot, as the caches tell it: by its owner, else its status.
    fn group_of(&self, name: &str) -> Lookup<Arc<VolumeGroupSnapshot>> {
        let Some(snapshot) = self.cluster.typed::<VolumeSnapshot>("vs", name) else {
            return Lookup::NotReferenced;
        };
        let by_status = snapshot.status.as_ref();
        let by_status = by_status.and_then(|status| status.volume_group_snapshot_name.clone());
        match member::owner(&snapshot) {
            None => self.cluster.look("vgs", by_status.as_deref()),
            Some(owner) => match self.cluster.look("vgs", Some(&owner.name)) {
                Lookup::Found(group) if group_uid(&group) == owner.uid => Lookup::Found(group),
                _ => Lookup::Absent,
            },
        }
    }

    fn run_member(&mut self, name: &str, requests: usize) -> usize {
        if self.cluster.get("vs", name).is_none() {
            return 0;
        }
        self.cluster.group = self.group_of(name);
        let plan = self.cluster.plan(name);
        self.carry_out(name, &plan.actions, requests)
    }

    fn run_member_content(&mut self, name: &str, requests: usize) -> usize {
        if self.cluster.get("vsc", name).is_none() {
            return 0;
        }
        let mut plan = self.cluster.plan_content(name, false);
        if plan
            .steps()
            .any(|step| matches!(step, Single::ReadSnapshot { .. }))
        {
            plan = self.cluster.plan_content(name, true);
        }
        self.carry_out(name, &plan.actions, requests)
    }

    fn carry_out(&mut self, name: &str, actions: &[Action<Single>], requests: usize) -> usize {
        let mut sent = 0;
        for action in actions {
            let is_step = matches!(action, Action::Step(_));
            if is_step && sent == requests || self.cluster.apply(name, action).is_err() {
                break;
            }
            sent += usize::from(is_step);
        }
        sent
    }

    /// `content` is the name of the content that was observed.
    fn take(&mut self, content: &str, step: &Step) -> Result<(), Refused> {
        match step {
            Step::PatchGroup(change) | Step::PatchGroupStatus(change) => {
                self.cluster.patch("vgs", "g", change)
            }
            Step::PatchContent { change, .. } => self.cluster.patch("vgsc", content, change),
            Step::DeleteContent => {
                self.cluster.delete("vgsc", content);
                Ok(())
            }
            Step::CreateContent(made) => {
                let group = self.cluster.get("vgs", "g").unwrap();
                assert!(
                    finalizers(group).contains(&json!(GROUP_FINALIZER)),
                    "it would leak: {group:#}"
                );
                self.create("vgsc", serde_json::to_value(made).unwrap())
            }
            Step::CreateMember(made) => self.create("vs", serde_json::to_value(made).unwrap()),
            Step::CreateMemberContent(made) => self.create("vsc", serde_json::to_value(made).unwrap()),
            Step::PatchMemberContentStatus { content, change } => {
                let name = content.metadata.name.clone().unwrap();
                self.cluster.patch("vsc", &name, change)
            }
            Step::DeleteMember(member) => {
                self.cluster
                    .delete("vs", member.metadata.name.as_deref().unwrap());
                Ok(())
            }
            Step::DeleteMemberContent(content) => {
                self.cluster
                    .delete("vsc", content.metadata.name.as_deref().unwrap());
                Ok(())
            }
            Step::ReadContent { .. } => {
                self.content_unknown = false;
                Ok(())
            }
            Step::ListClaims { .. } | Step::ReadGroup { .. } | Step::ReadMemberContent { .. } => Ok(()),
        }
    }

    fn create(&mut self, kind: &'static str, mut object: Value) -> Result<(), Refused> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if self.cluster.get(kind, &name).is_some() {
            return Err(Refused::Exists);
        }
        object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        object["metadata"]["resourceVersion"] = json!(self.cluster.next_version());
        self.cluster.put(kind, object);
        Ok(())
    }

    /// The csi-snapshotter: cuts groups, makes what is cut ready, lets go of what is marked, and deletes by the policy.
    fn sidecar(&mut self) -> usize {
        let mut sent = 0;
        for content in self.contents() {
            sent += usize::from(self.attend_group(&content));
        }
        for name in self.cluster.names("vsc") {
            sent += usize::from(self.attend_member(&name));
        }
        sent
    }

    fn attend_group(&mut self, content: &VolumeGroupSnapshotContent) -> bool {
        let name = content.metadata.name.as_deref().unwrap();
        let object = self.cluster.get("vgsc", name).unwrap().clone();
        let status = &object["status"];
        let source = &object["spec"]["source"]["groupSnapshotHandles"]["volumeGroupSnapshotHandle"];
        if is_deleting(content) {
            let marked = !object["metadata"]["annotations"][GROUP_BEING_DELETED].is_null();
            if !marked || !finalizers(&object).contains(&json!(GROUP_CONTENT_FINALIZER)) {
                return false;
            }
            if object["spec"]["deletionPolicy"] == "Delete" {
                self.nobody_uses(&object);
                let stored = [status["volumeGroupSnapshotHandle"].as_str(), source.as_str()];
                for handle in stored.into_iter().flatten() {
                    self.held.remove(handle);
                }
            }
            self.release("vgsc", name, GROUP_CONTENT_FINALIZER);
            return true;
        }
        let is_dynamic = object["spec"]["source"]["volumeHandles"].is_array();
        if status["readyToUse"] == true
            || !is_dynamic && source.as_str().is_none_or(|handle| handle.trim().is_empty())
        {
            return false;
        }
        let ready = self.ready_at_once || status["volumeGroupSnapshotHandle"].is_string();
        let handle = source.as_str().unwrap_or("group-1").to_owned();
        let mut told = json!({"volumeGroupSnapshotHandle": handle, "readyToUse": ready, "creationTime": NOW,
            "error": null});
        if is_dynamic {
            told["volumeSnapshotInfoList"] = infos(ready);
        }
        self.held.insert(handle);
        self.cluster.set("vgsc", name, json!({"status": told}));
        true
    }

    /// No living group is bound to it.
    fn nobody_uses(&self, content: &Value) {
        let group = self.cluster.get("vgs", "g");
        let bound = group.is_some_and(|group| {
            group["metadata"]["deletionTimestamp"].is_null()
                && group["metadata"]["uid"] == content["spec"]["volumeGroupSnapshotRef"]["uid"]
        });
        assert!(!bound, "deleted under a living group: {content:#}");
    }

    fn attend_member(&mut self, name: &str) -> bool {
        let object = self.cluster.get("vsc", name).unwrap().clone();
        let metadata = &object["metadata"];
        if !metadata["deletionTimestamp"].is_null() {
            let marked = !metadata["annotations"][BEING_DELETED].is_null();
            let held = finalizers(&object).contains(&json!(CONTENT_BOUND));
            if marked && held {
                self.release("vsc", name, CONTENT_BOUND);
            }
            return marked && held;
        }
        let is_cut = object["status"]["snapshotHandle"].is_string();
        if !is_cut || object["status"]["readyToUse"] == true {
            return false;
        }
        self.cluster.set(
            "vsc",
            name,
            json!({"status": {"readyToUse": true, "error": null}}),
        );
        true
    }

    fn release(&mut self, kind: &'static str, name: &str, finalizer: &str) {
        let object = self.cluster.get(kind, name).unwrap();
        let left: Vec<Value> = finalizers(object)
            .iter()
            .filter(|one| **one != finalizer)
            .cloned()
            .collect();
        if left.is_empty() {
            self.cluster.remove(kind, name);
        } else {
            self.cluster
                .set(kind, name, json!({"metadata": {"finalizers": left}}));
        }
    }
}

fn group_uid(group: &VolumeGroupSnapshot) -> &str {
    group.metadata.uid.as_deref().unwrap_or_default()
}
