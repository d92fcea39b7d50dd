//! How many volumes may be attached to an instance. Source: spec 4.7; EC2's guide on volume limits; cases 89, 137, 138.
//!
//! EC2 knows the figure of each type, and is asked once where the role of the node allows it ([`ask`]); else a table of ours
//! has it. Either has taken off already what a type has of its own (instance store volumes, accelerators), where they count.

mod ask;
mod table;

pub use ask::ask;

use super::metadata::InstanceInfo;

/// The most attachments of any type that shares them.
const MOST_SHARED: u32 = 31;

/// What the flags and EC2 say of the number of volumes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// `--volume-attach-limit`: this many; 0 is read as no limit by Kubernetes.
    pub fixed: Option<u32>,
    /// `--reserved-volume-attachments`: kept for other uses; by default what was attached from the beginning.
    pub reserved: Option<u32>,
    /// What EC2 itself says of the instance's type ([`ask`]).
    pub of_ec2: Option<Kind>,
}

/// How the attachments of an instance type are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// For volumes alone, the root volume among them.
    Dedicated(u32),
    /// Network interfaces after the first count too.
    Shared(u32),
}

impl Kind {
    /// What EC2's answer for this type means. Of Xen's types and of some metal sizes EC2 says that they share their
    /// attachments, and names more than can be shared: their limit is for volumes alone.
    #[must_use]
    pub fn told(instance_type: &str, attachments: u32, is_shared: bool) -> Self {
        if let Some((family, size)) = instance_type.split_once('.')
            && table::is_xen(family, size)
        {
            table::limit(instance_type)
        } else if is_shared && attachments <= MOST_SHARED {
            Self::Shared(attachments)
        } else {
            Self::Dedicated(attachments)
        }
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
    let kind = limits
        .of_ec2
        .unwrap_or_else(|| table::limit(&instance.instance_type));
    let left = match kind {
        Kind::Dedicated(limit) => i64::from(limit) - reserved,
        Kind::Shared(limit) => i64::from(limit) - reserved - (i64::from(instance.interfaces) - 1).max(0),
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
            ..none
        };
        let reserved = Limits {
            reserved: Some(5),
            ..none
        };
        let told = |kind| Limits {
            of_ec2: Some(kind),
            ..none
        };
        let rows = [
            (none, instance("new.large", 1, 0), 26),
            (none, instance("new.large", 3, 2), 22),
            (none, instance("m5d.24xlarge", 1, 0), 22),
            (none, instance("m7i.24xlarge", 8, 0), 63),
            (none, instance("m7i-flex.large", 3, 1), 30),
            (none, instance("t2.micro", 3, 0), 38),
            (none, instance("new.large", 40, 0), 1),
            (none, instance("", 1, 0), 26),
            (reserved, instance("new.large", 1, 2), 22),
            (fixed(0), instance("new.large", 1, 0), 0),
            (fixed(7), instance("new.large", 1, 0), 7),
            (told(Kind::Dedicated(90)), instance("m5.large", 3, 1), 88),
            (told(Kind::Shared(20)), instance("m7i.large", 3, 1), 16),
        ];
        for (limits, instance, expected) in rows {
            assert_eq!(
                attachment_limit(&limits, &instance),
                expected,
                "{limits:?} {instance:?}"
            );
        }
    }

    /// The figures that EC2 gave in August 2026, less the root volume.
    #[test]
    fn ebs_case_137_the_table_has_ec2s_figures() {
        let rows = [
            ("g5.48xlarge", 8),
            ("p4d.24xlarge", 27),
            ("trn1.32xlarge", 27),
            ("dl1.24xlarge", 26),
            ("g6.48xlarge", 127),
            ("i7ie.48xlarge", 127),
            ("f2.48xlarge", 127),
            ("m8gd.48xlarge", 127),
            ("c8gn.48xlarge", 127),
            ("p5.48xlarge", 63),
            ("p6-b200.48xlarge", 63),
            ("trn2.48xlarge", 63),
            ("r8i.large", 31),
            ("r8i.96xlarge", 127),
            ("r8i.metal-48xl", 63),
            ("r8in.metal-96xl", 77),
            ("r8g.metal-48xl", 78),
            ("r8gn.metal-48xl", 77),
            ("c8a.metal-24xl", 63),
            ("m8azn.12xlarge", 63),
            ("hpc7a.96xlarge", 26),
            ("i3.metal", 26),
            ("m5.metal", 30),
            ("mac2.metal", 9),
            ("d3en.12xlarge", 2),
            ("i7i.18xlarge", 47),
            ("x8g.32xlarge", 87),
            ("u7i-12tb.224xlarge", 127),
        ];
        for (instance_type, expected) in rows {
            let limit = attachment_limit(&Limits::default(), &instance(instance_type, 1, 0));
            assert_eq!(limit, expected, "{instance_type}");
        }
    }

    #[test]
    fn ebs_case_138_what_ec2_calls_shared_is_so_up_to_31() {
        let rows = [
            ("m5.large", 27, true, Kind::Shared(27)),
            ("m5.metal", 31, true, Kind::Shared(31)),
            ("i7ie.metal-48xl", 79, true, Kind::Dedicated(79)),
            ("p4d.24xlarge", 28, false, Kind::Dedicated(28)),
            ("t2.micro", 40, true, Kind::Dedicated(39)),
            ("none", 5, true, Kind::Shared(5)),
        ];
        for (instance_type, attachments, is_shared, expected) in rows {
            assert_eq!(
                Kind::told(instance_type, attachments, is_shared),
                expected,
                "{instance_type}"
            );
        }
    }
}
