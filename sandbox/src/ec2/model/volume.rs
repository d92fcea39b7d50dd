//! Volumes, their attachments and their latest modification.

use std::time::Duration;

use jiff::Timestamp;

use super::super::disk::Disk;
use super::super::limits::TypeLimits;
use super::super::options::Zone;
use super::super::tags::Tags;
use super::super::xml::Xml;
use super::{after, percent};

/// A volume.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct Volume {
    pub(in crate::ec2) id: String,
    pub(in crate::ec2) shape: Shape,
    pub(in crate::ec2) zone: Zone,
    pub(in crate::ec2) outpost_arn: Option<String>,
    pub(in crate::ec2) encrypted: bool,
    pub(in crate::ec2) kms_key_id: Option<String>,
    pub(in crate::ec2) snapshot_id: Option<String>,
    pub(in crate::ec2) source_volume_id: Option<String>,
    pub(in crate::ec2) multi_attach: bool,
    pub(in crate::ec2) tags: Tags,
    pub(in crate::ec2) created_at: Timestamp,
    /// From when on it can be used.
    pub(in crate::ec2) ready_at: Timestamp,
    /// Whether creation ends in state `error`.
    pub(in crate::ec2) fails: bool,
    /// From when on the Describe actions see it.
    pub(in crate::ec2) seen_from: Timestamp,
    /// Until when it is shown as `deleting`.
    pub(in crate::ec2) deleted_until: Option<Timestamp>,
    pub(in crate::ec2) attachments: Vec<Attachment>,
    /// The last attachment to each instance that it was detached from: instances may show it for a while.
    pub(in crate::ec2) former: Vec<Attachment>,
    /// The latest modification.
    pub(in crate::ec2) modification: Option<Modification>,
    /// The one before, which is described until the latest one is seen.
    pub(in crate::ec2) former_modification: Option<Modification>,
    /// When modifications began.
    pub(in crate::ec2) modified_at: Vec<Timestamp>,
    /// MiB/s that were asked for filling it from a snapshot.
    pub(in crate::ec2) initialization_rate: Option<u32>,
    /// When it is filled.
    pub(in crate::ec2) initialized_at: Timestamp,
    /// When its latest snapshot was begun.
    pub(in crate::ec2) snapshot_at: Option<Timestamp>,
    /// What lies on it.
    pub(in crate::ec2) disk: Disk,
}

/// What a modification changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ec2) struct Shape {
    pub(in crate::ec2) size_gib: u32,
    pub(in crate::ec2) limits: &'static TypeLimits,
    pub(in crate::ec2) iops: Option<u32>,
    pub(in crate::ec2) throughput: Option<u32>,
}

/// A volume at an instance.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct Attachment {
    pub(in crate::ec2) instance_id: String,
    /// The ARN of the HyperPod cluster that the instance is a node of.
    pub(in crate::ec2) cluster: Option<String>,
    pub(in crate::ec2) device: String,
    pub(in crate::ec2) card: Option<u32>,
    pub(in crate::ec2) delete_on_termination: bool,
    pub(in crate::ec2) begun_at: Timestamp,
    pub(in crate::ec2) attached_at: Timestamp,
    /// When it is gone, once detaching has begun.
    pub(in crate::ec2) gone_at: Option<Timestamp>,
    /// Whether it is detached without regard to what the instance does with it.
    pub(in crate::ec2) is_forced: bool,
}

/// A change of a volume.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct Modification {
    pub(in crate::ec2) original: Shape,
    pub(in crate::ec2) target: Shape,
    pub(in crate::ec2) original_multi_attach: bool,
    pub(in crate::ec2) target_multi_attach: bool,
    pub(in crate::ec2) started_at: Timestamp,
    /// From when on the target shape holds.
    pub(in crate::ec2) effective_at: Timestamp,
    pub(in crate::ec2) completed_at: Timestamp,
    pub(in crate::ec2) seen_from: Timestamp,
    /// Whether it ends in state `failed` instead of taking effect.
    pub(in crate::ec2) fails: bool,
    /// Whether the target shape was written to the volume.
    pub(in crate::ec2) applied: bool,
}

impl Attachment {
    /// `attaching`, `attached` or `detaching`.
    pub(in crate::ec2) fn status(&self, now: Timestamp) -> &'static str {
        if self.gone_at.is_some() {
            "detaching"
        } else if now < self.attached_at {
            "attaching"
        } else {
            "attached"
        }
    }

    /// The fields of an attachment, as they stand in volumes and in the answers of attach and detach.
    pub(in crate::ec2) fn write(&self, xml: &mut Xml, volume_id: &str, now: Timestamp) {
        xml.field("volumeId", volume_id);
        match &self.cluster {
            None => xml.field("instanceId", &self.instance_id),
            Some(cluster) => {
                xml.field("associatedResource", format!("{cluster}-{}", self.instance_id));
                xml.field("instanceOwningService", "sagemaker.amazonaws.com");
            }
        }
        xml.field("device", &self.device);
        xml.field("status", self.status(now));
        xml.time("attachTime", self.begun_at);
        xml.field("deleteOnTermination", self.delete_on_termination);
        xml.optional("ebsCardIndex", self.card);
    }
}

impl Modification {
    /// `modifying`, `optimizing`, `completed` or `failed`.
    pub(in crate::ec2) fn state(&self, now: Timestamp) -> &'static str {
        if now < self.effective_at {
            "modifying"
        } else if self.fails {
            "failed"
        } else if now < self.completed_at {
            "optimizing"
        } else {
            "completed"
        }
    }

    /// Whether it still runs.
    pub(in crate::ec2) fn runs(&self, now: Timestamp) -> bool {
        matches!(self.state(now), "modifying" | "optimizing")
    }

    /// Percent of all of it, optimizing included.
    pub(in crate::ec2) fn progress(&self, now: Timestamp) -> u32 {
        match self.state(now) {
            "failed" => 0,
            _ => percent(self.started_at, self.completed_at, now),
        }
    }

    /// The fields of a modification.
    pub(in crate::ec2) fn write(&self, xml: &mut Xml, volume_id: &str, now: Timestamp) {
        let state = self.state(now);
        xml.field("volumeId", volume_id);
        xml.field("modificationState", state);
        if state == "failed" {
            xml.field("statusMessage", "The modification failed.");
        }
        for (prefix, shape, multi_attach) in [
            ("target", &self.target, self.target_multi_attach),
            ("original", &self.original, self.original_multi_attach),
        ] {
            xml.field(&format!("{prefix}Size"), shape.size_gib);
            xml.optional(&format!("{prefix}Iops"), shape.iops);
            xml.field(&format!("{prefix}VolumeType"), shape.limits.name);
            xml.optional(&format!("{prefix}Throughput"), shape.throughput);
            xml.field(&format!("{prefix}MultiAttachEnabled"), multi_attach);
        }
        xml.field("progress", self.progress(now));
        xml.time("startTime", self.started_at);
        match state {
            "completed" => xml.time("endTime", self.completed_at),
            "failed" => xml.time("endTime", self.effective_at),
            _ => {}
        }
    }
}

impl Volume {
    /// Its attachment to an instance as DescribeInstances shows it, which is this much behind, and the state of that.
    pub(in crate::ec2) fn shown_at(
        &self,
        instance_id: &str,
        now: Timestamp,
        lag: Duration,
    ) -> Option<(&Attachment, &'static str)> {
        let here = |one: &&Attachment| one.instance_id == instance_id;
        let present = self.attachments.iter().find(here);
        if let Some(one) = present.filter(|one| after(one.begun_at, lag) <= now) {
            return Some((one, one.status(now)));
        }
        let former = self.former.iter().find(here)?;
        let is_shown = former.gone_at.is_some_and(|gone| now < after(gone, lag));
        is_shown.then_some((former, "attached"))
    }

    /// Its modification as DescribeVolumesModifications shows it.
    pub(in crate::ec2) fn shown_modification(&self, now: Timestamp) -> Option<&Modification> {
        let is_seen = |latest: &&Modification| now >= latest.seen_from;
        let latest = self.modification.as_ref().filter(is_seen);
        latest.or(self.former_modification.as_ref())
    }

    /// `creating`, `available`, `in-use`, `deleting` or `error`.
    pub(in crate::ec2) fn status(&self, now: Timestamp) -> &'static str {
        if self.deleted_until.is_some() {
            "deleting"
        } else if now < self.ready_at {
            "creating"
        } else if self.fails {
            "error"
        } else if self.attachments.is_empty() {
            "available"
        } else {
            "in-use"
        }
    }

    /// Whether it can be attached, modified and snapshotted.
    pub(in crate::ec2) fn usable(&self, now: Timestamp) -> bool {
        matches!(self.status(now), "available" | "in-use")
    }

    /// Whether the Describe actions see it.
    pub(in crate::ec2) fn seen(&self, now: Timestamp) -> bool {
        now >= self.seen_from
    }

    /// Writes down what time has brought: finished detachments and the effect of a modification.
    pub(in crate::ec2) fn settle(&mut self, now: Timestamp) {
        let is_gone = |one: &mut Attachment| one.gone_at.is_some_and(|gone| gone <= now);
        let gone: Vec<Attachment> = self.attachments.extract_if(.., is_gone).collect();
        for one in gone {
            self.former.retain(|other| other.instance_id != one.instance_id);
            self.former.push(one);
        }
        if let Some(modification) = &mut self.modification
            && !modification.applied
            && !modification.fails
            && now >= modification.effective_at
        {
            modification.applied = true;
            self.shape = modification.target;
            self.multi_attach = modification.target_multi_attach;
        }
    }

    /// Whether [`Self::settle`] has nothing to write down however late it is called, and the volume stays.
    pub(in crate::ec2) fn is_settled(&self) -> bool {
        let stays = |attachment: &Attachment| attachment.gone_at.is_none();
        let ended = |modification: &Modification| modification.applied || modification.fails;
        self.deleted_until.is_none()
            && self.attachments.iter().all(stays)
            && self.modification.as_ref().is_none_or(ended)
    }

    /// Whether it was taken from its last instance by force.
    pub(in crate::ec2) fn was_pulled_out(&self) -> bool {
        self.former.last().is_some_and(|one| one.is_forced)
    }

    /// How much of it is filled from its snapshot, in percent.
    pub(in crate::ec2) fn initialized_percent(&self, now: Timestamp) -> u32 {
        percent(self.created_at, self.initialized_at, now)
    }

    /// How long filling it from its snapshot still takes.
    pub(in crate::ec2) fn initialization_left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.initialized_at.duration_since(now)).unwrap_or(Duration::ZERO)
    }

    /// The fields of a volume.
    pub(in crate::ec2) fn write(&self, xml: &mut Xml, now: Timestamp) {
        xml.field("volumeId", &self.id);
        xml.field("size", self.shape.size_gib);
        xml.field("snapshotId", self.snapshot_id.as_deref().unwrap_or_default());
        xml.optional("sourceVolumeId", self.source_volume_id.as_ref());
        xml.field("availabilityZone", &self.zone.name);
        xml.field("availabilityZoneId", &self.zone.id);
        xml.optional("outpostArn", self.outpost_arn.as_ref());
        xml.field("status", self.status(now));
        xml.time("createTime", self.created_at);
        xml.list("attachmentSet", &self.attachments, |xml, attachment| {
            attachment.write(xml, &self.id, now);
        });
        self.tags.write(xml, now);
        xml.field("volumeType", self.shape.limits.name);
        xml.optional("iops", self.shape.iops);
        xml.optional("throughput", self.shape.throughput);
        xml.field("encrypted", self.encrypted);
        xml.optional("kmsKeyId", self.kms_key_id.as_ref());
        xml.field("multiAttachEnabled", self.multi_attach);
        xml.optional("volumeInitializationRate", self.initialization_rate);
    }
}
