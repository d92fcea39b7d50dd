//! Snapshots, their locks and their fast restores.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::disk::Disk;
use super::super::tags::Tags;
use super::super::xml::Xml;
use super::percent;

/// A snapshot.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct Snapshot {
    pub(in crate::ec2) id: String,
    pub(in crate::ec2) volume_id: String,
    pub(in crate::ec2) size_gib: u32,
    pub(in crate::ec2) owner_id: String,
    /// Whether other accounts may use it.
    pub(in crate::ec2) public: bool,
    pub(in crate::ec2) description: String,
    pub(in crate::ec2) encrypted: bool,
    pub(in crate::ec2) kms_key_id: Option<String>,
    pub(in crate::ec2) outpost_arn: Option<String>,
    pub(in crate::ec2) tags: Tags,
    pub(in crate::ec2) started_at: Timestamp,
    pub(in crate::ec2) completed_at: Timestamp,
    /// Whether it ends in state `error`.
    pub(in crate::ec2) fails: bool,
    /// From when on the Describe actions see it.
    pub(in crate::ec2) seen_from: Timestamp,
    /// Until when they do, once it is deleted.
    pub(in crate::ec2) seen_until: Timestamp,
    pub(in crate::ec2) lock: Option<Lock>,
    /// By zone name.
    pub(in crate::ec2) fast_restores: BTreeMap<String, FastRestore>,
    /// The images that are made of it.
    pub(in crate::ec2) images: BTreeSet<String>,
    /// What lay on the volume.
    pub(in crate::ec2) disk: Disk,
}

/// A lock that keeps a snapshot from being deleted.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct Lock {
    pub(in crate::ec2) compliance: bool,
    pub(in crate::ec2) days: u32,
    pub(in crate::ec2) cool_off_hours: Option<u32>,
    pub(in crate::ec2) cool_off_ends: Option<Timestamp>,
    pub(in crate::ec2) created_at: Timestamp,
    pub(in crate::ec2) counted_from: Timestamp,
    pub(in crate::ec2) expires_at: Timestamp,
}

/// The fast restore of a snapshot in one zone.
#[derive(Clone, Debug)]
pub(in crate::ec2) struct FastRestore {
    pub(in crate::ec2) zone_id: String,
    pub(in crate::ec2) enabling_at: Timestamp,
    pub(in crate::ec2) optimizing_at: Timestamp,
    pub(in crate::ec2) enabled_at: Timestamp,
}

impl Lock {
    /// `compliance-cooloff`, `governance`, `compliance` or `expired`.
    pub(in crate::ec2) fn state(&self, now: Timestamp) -> &'static str {
        if now >= self.expires_at {
            "expired"
        } else if !self.compliance {
            "governance"
        } else if self.cool_off_ends.is_some_and(|ends| now < ends) {
            "compliance-cooloff"
        } else {
            "compliance"
        }
    }

    /// The fields of a lock, beside the snapshot's ID.
    pub(in crate::ec2) fn write(&self, xml: &mut Xml, now: Timestamp) {
        xml.field("lockState", self.state(now));
        xml.field("lockDuration", self.days);
        xml.optional("coolOffPeriod", self.cool_off_hours);
        if let Some(ends) = self.cool_off_ends {
            xml.time("coolOffPeriodExpiresOn", ends);
        }
        xml.time("lockCreatedOn", self.created_at);
        xml.time("lockDurationStartTime", self.counted_from);
        xml.time("lockExpiresOn", self.expires_at);
    }
}

impl FastRestore {
    /// `enabling`, `optimizing` or `enabled`.
    pub(in crate::ec2) fn state(&self, now: Timestamp) -> &'static str {
        if now < self.optimizing_at {
            "enabling"
        } else if now < self.enabled_at {
            "optimizing"
        } else {
            "enabled"
        }
    }

    /// The fields of a fast restore.
    pub(in crate::ec2) fn write(&self, xml: &mut Xml, snapshot: &Snapshot, zone: &str, now: Timestamp) {
        let state = self.state(now);
        xml.field("snapshotId", &snapshot.id);
        xml.field("availabilityZone", zone);
        xml.field("availabilityZoneId", &self.zone_id);
        xml.field("state", state);
        xml.field("ownerId", &snapshot.owner_id);
        xml.field("stateTransitionReason", "Client.UserInitiated");
        xml.time("enablingTime", self.enabling_at);
        if state != "enabling" {
            xml.time("optimizingTime", self.optimizing_at);
        }
        if state == "enabled" {
            xml.time("enabledTime", self.enabled_at);
        }
    }
}

impl Snapshot {
    /// `pending`, `completed` or `error`.
    pub(in crate::ec2) fn status(&self, now: Timestamp) -> &'static str {
        if now < self.completed_at {
            "pending"
        } else if self.fails {
            "error"
        } else {
            "completed"
        }
    }

    /// How much of it is copied, in percent.
    pub(in crate::ec2) fn percent(&self, now: Timestamp) -> u32 {
        match self.status(now) {
            "error" => 0,
            _ => percent(self.started_at, self.completed_at, now),
        }
    }

    /// Whether the Describe actions see it.
    pub(in crate::ec2) fn seen(&self, now: Timestamp) -> bool {
        (self.seen_from..self.seen_until).contains(&now)
    }

    /// Whether a lock keeps it from being deleted.
    pub(in crate::ec2) fn locked(&self, now: Timestamp) -> bool {
        self.lock
            .as_ref()
            .is_some_and(|lock| lock.state(now) != "expired")
    }

    fn write_common(&self, xml: &mut Xml, now: Timestamp) {
        xml.time("startTime", self.started_at);
        xml.field("progress", format_args!("{}%", self.percent(now)));
        xml.field("ownerId", &self.owner_id);
        xml.field("volumeSize", self.size_gib);
        xml.field("description", &self.description);
        xml.field("encrypted", self.encrypted);
    }

    /// The fields of a snapshot in the answer of CreateSnapshots, whose state has another name.
    pub(in crate::ec2) fn write_of_set(&self, xml: &mut Xml, now: Timestamp) {
        xml.field("snapshotId", &self.id);
        xml.field("volumeId", &self.volume_id);
        xml.field("state", self.status(now));
        self.write_common(xml, now);
        xml.optional("outpostArn", self.outpost_arn.as_ref());
        self.tags.write(xml, now);
    }

    /// The fields of a snapshot.
    pub(in crate::ec2) fn write(&self, xml: &mut Xml, now: Timestamp) {
        let status = self.status(now);
        xml.field("snapshotId", &self.id);
        xml.field("volumeId", &self.volume_id);
        xml.field("status", status);
        if status == "error" {
            xml.field("statusMessage", "The snapshot could not be completed.");
        }
        self.write_common(xml, now);
        xml.optional("kmsKeyId", self.kms_key_id.as_ref());
        xml.optional("outpostArn", self.outpost_arn.as_ref());
        xml.field("storageTier", "standard");
        if status == "completed" {
            xml.time("completionTime", self.completed_at);
        }
        self.tags.write(xml, now);
    }
}
