//! The snapshots of a group, as CreateVolumeGroupSnapshot answers them. Source: snapshot.md 4.2.

use std::collections::BTreeSet;

use crds::group::v1::VolumeSnapshotInfo;

use crate::content::Content;
use crate::observe::Snapshot;

/// Why an answer makes no whole group: it has not one snapshot of each volume that was asked for, or not those of before. None for
/// a snapshot.
pub(super) fn flaw(content: &dyn Content, answered: &Snapshot) -> Option<String> {
    if !content.words().is_group {
        return None;
    }
    let (group, volumes) = (&answered.handle, content.volumes().unwrap_or_default());
    let members = &answered.members;
    if !volumes.is_empty() && !is_whole(volumes, members) {
        let of: Vec<&str> = members.iter().map(|one| one.volume_handle.as_str()).collect();
        let lacks: Vec<&str> = volumes
            .iter()
            .map(String::as_str)
            .filter(|one| !of.contains(one))
            .collect();
        let mut text = format!(
            "the driver answered {} snapshots for the {} volumes of group {group}: they are of {}",
            members.len(),
            volumes.len(),
            named(&of)
        );
        if !lacks.is_empty() {
            text = format!("{text}; there is none of {}", lacks.join(", "));
        }
        return Some(text);
    }
    let (before, now) = (known(content), handles(answered));
    (!before.is_subset(&now)).then(|| {
        format!(
            "the driver answered the snapshots {} of group {group} where it had answered {} before; those are kept",
            joined(&now),
            joined(&before)
        )
    })
}

/// One snapshot of each volume that was asked for. Drivers cut others along that are stored together with one of them: these go
/// with the group (decision 106).
fn is_whole(volumes: &[String], members: &[Snapshot]) -> bool {
    let taken = |volume: &String| members.iter().filter(|one| one.volume_handle == *volume).count();
    volumes.iter().all(|volume| taken(volume) == 1)
}

fn named(volumes: &[&str]) -> String {
    let mut names = volumes.to_vec();
    for name in names.iter_mut().filter(|name| name.is_empty()) {
        *name = "no volume";
    }
    names.join(", ")
}

/// What `volumeSnapshotInfoList` becomes, if anything else: it is written with the first answer, with one that has more, and
/// again when the group turns ready, so that a poll writes nothing.
pub(super) fn infos(content: &dyn Content, answered: &Snapshot) -> Option<Vec<VolumeSnapshotInfo>> {
    let status = content.status().unwrap_or_default();
    let turns_ready = answered.ready && status.ready != Some(true);
    let infos: Vec<VolumeSnapshotInfo> = answered.members.iter().map(info).collect();
    let is_due = content.volumes().is_some() && (grows(content, answered) || turns_ready);
    (is_due && infos != status.members).then_some(infos)
}

/// The answer has all the snapshots that are known, and more.
pub(super) fn grows(content: &dyn Content, answered: &Snapshot) -> bool {
    let (before, now) = (known(content), handles(answered));
    before.is_subset(&now) && before.len() < now.len()
}

/// What the driver does not say stays unset.
fn info(member: &Snapshot) -> VolumeSnapshotInfo {
    let taken = member.creation_time.map(jiff::Timestamp::as_nanosecond);
    VolumeSnapshotInfo {
        creation_time: taken.and_then(|taken| i64::try_from(taken).ok()),
        ready_to_use: Some(member.ready),
        restore_size: Some(member.size_bytes).filter(|size| *size > 0),
        snapshot_handle: Some(member.handle.clone()),
        volume_handle: Some(member.volume_handle.clone()).filter(|volume| !volume.is_empty()),
    }
}

fn known(content: &dyn Content) -> BTreeSet<&str> {
    let infos = content.status().unwrap_or_default().members.iter();
    infos.filter_map(|info| info.snapshot_handle.as_deref()).collect()
}

fn handles(answered: &Snapshot) -> BTreeSet<&str> {
    let members = answered.members.iter();
    members.map(|member| member.handle.as_str()).collect()
}

fn joined(handles: &BTreeSet<&str>) -> String {
    handles.iter().copied().collect::<Vec<_>>().join(", ")
}
