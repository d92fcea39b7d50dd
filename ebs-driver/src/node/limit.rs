//! How many volumes may be attached to an instance. Source: spec 4.7; EC2's guide on volume limits; case 89.
//!
//! By family and size, not by a list of all types: what a type holds besides (instance store volumes, accelerators) is
//! counted on the machine ([`super::metadata::local`]). Where the guide names no number the smallest of its kind is
//! taken: a limit that is too small keeps pods off the node, one that is too large leaves them on it without volumes.

use super::metadata::InstanceInfo;

/// Volumes of instances that run on Xen.
const XEN: i64 = 39;
/// Attachments of any kind of the other instances, without the first network interface.
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
pub enum Kind {
    /// For volumes alone, the root volume among them.
    Dedicated(i64),
    /// Network interfaces, instance store volumes and accelerators count too.
    Shared(i64),
}

/// Families of the generations that run on Xen, with the exception of their metal sizes.
const XEN_FAMILIES: [&str; 26] = [
    "c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hs1", "i2", "i3", "m1", "m2", "m3",
    "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e",
];

/// Families with a limit for volumes alone that goes by size.
const DEDICATED_BY_SIZE: [&str; 12] = [
    "c7a", "c7i", "c7i-flex", "c8g", "m7a", "m7i", "m7i-flex", "m8g", "r7a", "r7i", "r7iz", "r8g",
];

/// Families with a limit for volumes alone whose sizes the guide does not list.
const DEDICATED: [&str; 20] = [
    "f2",
    "g6",
    "g6e",
    "gr6",
    "hpc7a",
    "i7ie",
    "i8g",
    "p5",
    "p5e",
    "p5en",
    "trn2",
    "trn2u",
    "u7i-6tb",
    "u7i-8tb",
    "u7i-12tb",
    "u7in-16tb",
    "u7in-24tb",
    "u7in-32tb",
    "u7inh-32tb",
    "x8g",
];

/// The smallest dedicated limit.
const DEDICATED_LEAST: i64 = 27;

/// The dedicated limit of a size.
fn by_size(size: &str) -> i64 {
    match size {
        "medium" | "large" | "xlarge" | "2xlarge" | "4xlarge" | "8xlarge" | "12xlarge" => 32,
        "16xlarge" => 48,
        "24xlarge" => 64,
        "32xlarge" => 88,
        "48xlarge" => 128,
        "metal-16xl" | "metal-24xl" => 39,
        "metal-32xl" | "metal-48xl" => 79,
        _ => DEDICATED_LEAST,
    }
}

/// How the attachments of this instance type are counted.
#[must_use]
pub fn kind(instance_type: &str) -> Kind {
    let (family, size) = instance_type.split_once('.').unwrap_or((instance_type, ""));
    if XEN_FAMILIES.contains(&family) && !size.starts_with("metal") {
        Kind::Dedicated(XEN)
    } else if DEDICATED_BY_SIZE.contains(&family) {
        Kind::Dedicated(by_size(size))
    } else if DEDICATED.contains(&family) {
        Kind::Dedicated(DEDICATED_LEAST)
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
        Kind::Shared(limit) => {
            let interfaces = (i64::from(instance.interfaces) - 1).max(0);
            limit - reserved - interfaces - i64::from(instance.local_devices)
        }
    };
    left.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(instance_type: &str, interfaces: u32, extra_volumes: u32) -> InstanceInfo {
        InstanceInfo {
            instance_type: instance_type.into(),
            interfaces,
            extra_volumes,
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
        let with_stores = InstanceInfo {
            local_devices: 4,
            ..instance("m5d.24xlarge", 1, 0)
        };
        let dedicated_with_stores = InstanceInfo {
            local_devices: 4,
            ..instance("m7i.24xlarge", 8, 0)
        };
        let rows = [
            (none, instance("new.large", 1, 0), 26),
            (none, instance("new.large", 3, 2), 22),
            (none, with_stores, 22),
            (none, dedicated_with_stores, 63),
            (none, instance("m7i-flex.large", 3, 1), 30),
            (none, instance("r8g.metal-48xl", 1, 0), 78),
            (none, instance("m7i.huge", 1, 0), 26),
            (none, instance("p5.48xlarge", 30, 0), 26),
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
}
