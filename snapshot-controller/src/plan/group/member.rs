//! Members of groups: a VolumeSnapshot and a VolumeSnapshotContent for each snapshot that the driver made (spec snapshot
//! 4.3, 4.5). Each object is written once: the snapshot, then its content with the snapshot's UID, then the content's
//! status; the snapshot's own status follows the content as that of any snapshot does.

use std::collections::BTreeMap;

use controller::patch::{self, Change, Members};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent, VolumeSnapshotInfo};
use crds::names::{self, group as group_names};
use crds::v1::{
    VolumeSnapshot, VolumeSnapshotContent, VolumeSnapshotContentSource, VolumeSnapshotContentSpec,
    VolumeSnapshotSource, VolumeSnapshotSpec,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use runtime::objects::Volume;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::bind::guarded;
use super::super::create::snapshot_finalizers;
use super::{
    Lookup, ObservedGroup, ObservedMember, Refusal, Source, Step, is_deleting, is_ready, owned_content,
};
use crate::events::group::CONTENT_CREATION_FAILED;
use crate::plan::{self as single, Observed, Source as Single};

const KIND: &str = "VolumeGroupSnapshot";

/// The name of the member for a volume.
#[must_use]
pub fn name(group_uid: &str, volume_handle: &str) -> String {
    let hash = Sha256::new()
        .chain_update(group_uid)
        .chain_update(volume_handle)
        .finalize();
    group_names::member_name(&hex::encode(hash))
}

/// The reference to the group that owns a snapshot, whatever the version of the group's API (spec snapshot Q31).
#[must_use]
pub fn owner(snapshot: &VolumeSnapshot) -> Option<&OwnerReference> {
    snapshot.owner_references().iter().find(|owner| {
        owner.kind == KIND
            && owner
                .api_version
                .strip_prefix(group_names::GROUP)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// The name of the group in whose status this snapshot is to name it.
#[must_use]
pub fn group_name(observed: &Observed) -> Option<&str> {
    observed.group.found()?.metadata.name.as_deref()
}

/// The PATCH that makes a ready pre-provisioned snapshot a member of its group: the owner reference. Nothing when it has
/// one. Source: spec snapshot 4.5.
#[must_use]
pub fn join(observed: &Observed) -> Option<single::Step> {
    let snapshot = &observed.snapshot;
    let group = observed.group.found().filter(|group| !is_deleting(&***group))?;
    let is_given = matches!(Single::of(snapshot), Single::PreProvisioned(_));
    if !is_given || !single::is_ready(snapshot) || owner(snapshot).is_some() {
        return None;
    }
    let path = ["metadata", "ownerReferences"];
    let present = snapshot.metadata.owner_references.as_ref();
    let mut operations = vec![patch::test(&path, json!(present))];
    operations.push(match present {
        None => patch::add(&path, json!([reference(group)])),
        Some(_) => patch::add(&["metadata", "ownerReferences", "-"], json!(reference(group))),
    });
    guarded(snapshot.metadata.uid.as_deref(), operations).map(single::Step::PatchSnapshot)
}

fn reference(group: &VolumeGroupSnapshot) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/v1", group_names::GROUP),
        kind: KIND.to_owned(),
        name: group.name_any(),
        uid: group.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }
}

/// What is to be written next of the members of a group that is not ready yet: first all snapshots, then all contents,
/// then what the driver said. Nothing when all of it is there. What is being deleted is left alone.
///
/// # Errors
/// An object of a member's name belongs to somebody else.
pub fn missing(observed: &ObservedGroup, content: &VolumeGroupSnapshotContent) -> Result<Vec<Step>, Refusal> {
    let group = &observed.group;
    let handle = content
        .status
        .as_ref()
        .and_then(|status| status.volume_group_snapshot_handle.as_deref());
    let is_made = matches!(Source::of(group), Source::Dynamic(_)) && owned_content(observed).is_some();
    let Some(handle) = handle.filter(|_| is_made && !is_ready(group)) else {
        return Ok(Vec::new());
    };
    let members = asked_for(observed, content);
    for member in &members {
        strangers(group, member)?;
    }
    let made = Made {
        group,
        content,
        handle,
        records_mode: observed.options.record_volume_mode,
    };
    for stage in [Made::snapshot, Made::content_of, Made::status_of] {
        let steps: Vec<Step> = members.iter().filter_map(|member| stage(&made, member)).collect();
        if !steps.is_empty() {
            return Ok(steps);
        }
    }
    Ok(Vec::new())
}

/// Those of the volumes that were asked for: what a driver cuts along with them is of claims that nobody selected, or of none
/// (decision 106). A driver that names none of them as it was asked has forms of its own, and then all count.
fn asked_for<'a>(
    observed: &'a ObservedGroup,
    content: &VolumeGroupSnapshotContent,
) -> Vec<&'a ObservedMember> {
    let asked = content.spec.source.volume_handles.as_deref().unwrap_or_default();
    let is_asked = |member: &ObservedMember| {
        let volume = member.info.volume_handle.as_deref();
        asked.iter().any(|one| Some(one.as_str()) == volume)
    };
    let any = observed.members.iter().any(is_asked);
    let members = observed.members.iter();
    members.filter(|member| !any || is_asked(member)).collect()
}

fn strangers(group: &VolumeGroupSnapshot, member: &ObservedMember) -> Result<(), Refusal> {
    let Some(snapshot) = member.snapshot.found() else {
        return Ok(());
    };
    let is_ours = owner(snapshot).is_some_and(|owner| Some(&owner.uid) == group.metadata.uid.as_ref());
    let strange = match member.content.found() {
        _ if !is_ours => Some(format!("VolumeSnapshot {}", snapshot.name_any())),
        Some(content) if !single::may_bind(content, snapshot) => {
            Some(format!("VolumeSnapshotContent {}", content.name_any()))
        }
        _ => None,
    };
    let Some(strange) = strange else { return Ok(()) };
    Err(Refusal::lowering(
        CONTENT_CREATION_FAILED,
        format!("{strange} has the name of a member of this group and is none; delete it"),
    ))
}

/// A group that the driver has made.
struct Made<'a> {
    group: &'a VolumeGroupSnapshot,
    content: &'a VolumeGroupSnapshotContent,
    handle: &'a str,
    records_mode: bool,
}

impl Made<'_> {
    fn snapshot(&self, member: &ObservedMember) -> Option<Step> {
        let (volume_handle, _) = handles(&member.info)?;
        if member.snapshot != Lookup::Absent {
            return None;
        }
        let group = self.group;
        let mut finalizers = vec![names::SNAPSHOT_IN_GROUP_FINALIZER.to_owned()];
        let of_policy = snapshot_finalizers(self.content.spec.deletion_policy);
        finalizers.extend(of_policy.iter().map(ToString::to_string));
        let metadata = ObjectMeta {
            name: Some(name(&group.uid().unwrap_or_default(), volume_handle)),
            namespace: group.metadata.namespace.clone(),
            owner_references: Some(vec![reference(group)]),
            finalizers: Some(finalizers),
            ..ObjectMeta::default()
        };
        let spec = VolumeSnapshotSpec {
            source: VolumeSnapshotSource {
                persistent_volume_claim_name: Some(claim(group, member.volume.as_deref())),
                volume_snapshot_content_name: None,
            },
            volume_snapshot_class_name: None,
        };
        Some(Step::CreateMember(Box::new(VolumeSnapshot {
            metadata,
            spec,
            status: None,
        })))
    }

    fn content_of(&self, member: &ObservedMember) -> Option<Step> {
        let (volume_handle, _) = handles(&member.info)?;
        let snapshot = member
            .snapshot
            .found()
            .filter(|snapshot| !is_deleting(&***snapshot))?;
        let name = group_names::member_content_name(&snapshot.name_any())?;
        match &member.content {
            Lookup::Unknown => return Some(Step::ReadMemberContent { name }),
            Lookup::Found(_) => return None,
            Lookup::Absent | Lookup::NotReferenced => {}
        }
        let spec = &self.content.spec;
        Some(Step::CreateMemberContent(Box::new(VolumeSnapshotContent {
            metadata: ObjectMeta {
                name: Some(name),
                annotations: Some(self.annotations()),
                finalizers: Some(vec![names::CONTENT_FINALIZER.to_owned()]),
                ..ObjectMeta::default()
            },
            spec: VolumeSnapshotContentSpec {
                deletion_policy: spec.deletion_policy,
                driver: spec.driver.clone(),
                source: VolumeSnapshotContentSource {
                    volume_handle: Some(volume_handle.to_owned()),
                    snapshot_handle: None,
                },
                source_volume_mode: member
                    .volume
                    .as_ref()
                    .and_then(|volume| volume.mode)
                    .map(|mode| mode.as_str().to_owned())
                    .filter(|_| self.records_mode),
                volume_snapshot_class_name: None,
                volume_snapshot_ref: ObjectReference {
                    api_version: Some(format!("{}/v1", names::GROUP)),
                    kind: Some("VolumeSnapshot".to_owned()),
                    name: snapshot.metadata.name.clone(),
                    namespace: snapshot.metadata.namespace.clone(),
                    uid: snapshot.metadata.uid.clone(),
                    ..ObjectReference::default()
                },
            },
            status: None,
        })))
    }

    /// The group's handle, by which the sidecar knows a member, and the Secret of the group (spec snapshot 3.6, Q41).
    fn annotations(&self) -> BTreeMap<String, String> {
        let of_group = |key: &str| self.content.annotations().get(key).cloned();
        let pairs = [
            (names::GROUP_HANDLE_ANNOTATION, Some(self.handle.to_owned())),
            (
                names::DELETION_SECRET_NAME_ANNOTATION,
                of_group(group_names::DELETION_SECRET_NAME_ANNOTATION),
            ),
            (
                names::DELETION_SECRET_NAMESPACE_ANNOTATION,
                of_group(group_names::DELETION_SECRET_NAMESPACE_ANNOTATION),
            ),
        ];
        let present = pairs.into_iter();
        present
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect()
    }

    fn status_of(&self, member: &ObservedMember) -> Option<Step> {
        let (_, snapshot_handle) = handles(&member.info)?;
        let content = member
            .content
            .found()
            .filter(|content| !is_deleting(&***content))?;
        let status = content.status.as_ref();
        if status.is_some_and(|status| status.snapshot_handle.is_some()) {
            return None;
        }
        let info = &member.info;
        let of_group = || {
            let status = self.content.status.as_ref()?;
            i64::try_from(status.creation_time.as_ref()?.0.as_nanosecond()).ok()
        };
        let cut = info.creation_time.or_else(of_group);
        let mut fields: Members = vec![
            ("snapshotHandle", Some(json!(snapshot_handle))),
            ("volumeGroupSnapshotHandle", Some(json!(self.handle))),
            ("readyToUse", Some(json!(info.ready_to_use == Some(true)))),
        ];
        fields.extend(cut.map(|cut| ("creationTime", Some(json!(cut)))));
        let size = info.restore_size.filter(|size| *size > 0);
        fields.extend(size.map(|size| ("restoreSize", Some(json!(size)))));
        let operations = patch::status(&content.metadata, status.is_some(), fields);
        Some(Step::PatchMemberContentStatus {
            content: content.clone(),
            change: Change::json(operations),
        })
    }
}

/// Handles of volume and snapshot; what lacks one names nothing.
fn handles(info: &VolumeSnapshotInfo) -> Option<(&str, &str)> {
    let is_name = |handle: &&str| !handle.trim().is_empty();
    let volume = info.volume_handle.as_deref().filter(is_name)?;
    Some((volume, info.snapshot_handle.as_deref().filter(is_name)?))
}

/// The claim of the volume; the empty name where none of the group's namespace is known.
fn claim(group: &VolumeGroupSnapshot, volume: Option<&Volume>) -> String {
    let claim = volume.and_then(|volume| volume.claim.as_ref());
    let claim = claim.filter(|claim| Some(&claim.namespace) == group.metadata.namespace.as_ref());
    claim.map(|claim| claim.name.clone()).unwrap_or_default()
}
