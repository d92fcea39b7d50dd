//! NodeGetInfo: topology and the attachment limit. Source: spec 4.6, 4.7; case 89.

use csi::v1::{NodeGetInfoResponse, Topology};
use tonic::Status;

use super::Core;
use super::metadata::InstanceInfo;
use crate::names::{TOPOLOGY_LEGACY_ZONE, TOPOLOGY_OS};
use crate::topology::{Segments, segments_of};

/// Volumes of instances that run on Xen.
const XEN: i64 = 39;
/// Attachments of any kind of instances whose type is not known better.
const SHARED: i64 = 27;

/// What the flags say of the number of volumes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// `--volume-attach-limit`: this many; 0 is read as no limit by Kubernetes.
    pub fixed: Option<u32>,
    /// `--reserved-volume-attachments`: kept for other uses; by default what was attached from the beginning.
    pub reserved: Option<u32>,
}

/// How the attachments of an instance type are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// For volumes alone.
    Dedicated(i64),
    /// Network interfaces count too.
    Shared(i64),
}

/// Families of the generations that run on Xen, with the exception of their metal sizes.
const XEN_FAMILIES: [&str; 26] = [
    "c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hs1", "i2", "i3", "m1", "m2", "m3",
    "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e",
];

fn kind(instance_type: &str) -> Kind {
    let (family, size) = instance_type.split_once('.').unwrap_or((instance_type, ""));
    if XEN_FAMILIES.contains(&family) && !size.starts_with("metal") {
        Kind::Dedicated(XEN)
    } else {
        Kind::Shared(SHARED)
    }
}

/// How many volumes may be attached to an instance.
#[must_use]
pub fn attachment_limit(limits: &Limits, instance: &InstanceInfo) -> i64 {
    if let Some(fixed) = limits.fixed {
        return fixed.into();
    }
    let reserved = limits
        .reserved
        .map_or_else(|| i64::from(instance.extra_volumes) + 1, i64::from);
    let left = match kind(&instance.instance_type) {
        Kind::Dedicated(limit) => limit - reserved,
        Kind::Shared(limit) => limit - reserved - (i64::from(instance.interfaces) - 1).max(0),
    };
    left.max(1)
}

/// The segments by which Kubernetes places volumes.
#[must_use]
pub fn segments(instance: &InstanceInfo) -> Segments {
    let mut segments = segments_of(&instance.zone, instance.outpost_arn.as_deref());
    segments.insert(TOPOLOGY_LEGACY_ZONE.to_owned(), instance.zone.clone());
    segments.insert(TOPOLOGY_OS.to_owned(), "linux".to_owned());
    segments
}

pub(super) async fn info(core: &Core) -> Result<NodeGetInfoResponse, Status> {
    let instance = core.metadata.instance().await;
    let instance = instance.map_err(|error| Status::internal(error.to_string()))?;
    Ok(NodeGetInfoResponse {
        max_volumes_per_node: attachment_limit(&core.config.limits, &instance),
        accessible_topology: Some(Topology {
            segments: segments(&instance),
        }),
        node_id: instance.instance_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(instance_type: &str, interfaces: u32, extra_volumes: u32) -> InstanceInfo {
        InstanceInfo {
            instance_type: instance_type.into(),
            interfaces,
            extra_volumes,
            zone: "us-east-1a".into(),
            ..InstanceInfo::default()
        }
    }

    #[test]
    fn ebs_case_89_the_limit_follows_flags_and_type() {
        let none = Limits::default();
        let fixed = |number| Limits {
            fixed: Some(number),
            reserved: None,
        };
        let reserved = Limits {
            fixed: None,
            reserved: Some(5),
        };
        let rows = [
            (none, instance("new.large", 1, 0), 26),
            (none, instance("new.large", 3, 2), 22),
            (none, instance("t2.micro", 3, 0), 38),
            (none, instance("i3.metal", 1, 0), 26),
            (none, instance("new.large", 40, 0), 1),
            (reserved, instance("new.large", 1, 2), 22),
            (fixed(0), instance("new.large", 1, 0), 0),
            (fixed(7), instance("new.large", 1, 0), 7),
        ];
        for (limits, instance, expected) in rows {
            assert_eq!(attachment_limit(&limits, &instance), expected, "{instance:?}");
        }
    }

    #[test]
    fn both_zone_keys_are_reported() {
        let segments = segments(&instance("m5.large", 1, 0));
        for key in ["topology.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone"] {
            assert_eq!(segments[key], "us-east-1a");
        }
        assert_eq!(segments["kubernetes.io/os"], "linux");
        assert_eq!(segments.len(), 3);
    }
}
