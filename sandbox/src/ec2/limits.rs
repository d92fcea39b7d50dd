//! What EC2 allows of each volume type. Source: spec ebs-driver 2.4.

use super::errors::Ec2Error;

/// How the IOPS of a volume type come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iops {
    /// The type has none to speak of.
    None,
    /// Given by the size, and not to be asked for.
    PerGib {
        /// IOPS for each GiB.
        factor: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// Asked for; `default` when not asked, if the type has one.
    Provisioned {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
        /// The most for each GiB.
        per_gib: u32,
        /// What it has when nothing is asked for.
        default: Option<u32>,
    },
}

/// The limits of one volume type.
#[derive(Debug, PartialEq, Eq)]
pub struct TypeLimits {
    /// As in requests: `gp3`.
    pub name: &'static str,
    /// Smallest size in GiB.
    pub min_gib: u32,
    /// Largest size in GiB.
    pub max_gib: u32,
    /// IOPS rules.
    pub iops: Iops,
    /// Smallest (and default) and largest throughput in MiB/s, where it can be asked for.
    pub throughput: Option<(u32, u32)>,
    /// Whether one volume may be attached to several instances.
    pub multi_attach: bool,
    /// How many snapshots of one volume may be pending at the same time.
    pub pending_snapshots: usize,
}

const fn limits(name: &'static str, min_gib: u32, max_gib: u32, iops: Iops) -> TypeLimits {
    TypeLimits {
        name,
        min_gib,
        max_gib,
        iops,
        throughput: None,
        multi_attach: false,
        pending_snapshots: 5,
    }
}

const fn provisioned(min: u32, max: u32, per_gib: u32, default: Option<u32>) -> Iops {
    Iops::Provisioned {
        min,
        max,
        per_gib,
        default,
    }
}

/// Every volume type.
pub static TYPES: [TypeLimits; 7] = [
    TypeLimits {
        throughput: Some((125, 2000)),
        ..limits("gp3", 1, 65_536, provisioned(3000, 80_000, 500, Some(3000)))
    },
    limits(
        "gp2",
        1,
        16_384,
        Iops::PerGib {
            factor: 3,
            min: 100,
            max: 16_000,
        },
    ),
    TypeLimits {
        multi_attach: true,
        ..limits("io1", 4, 16_384, provisioned(100, 64_000, 50, None))
    },
    TypeLimits {
        multi_attach: true,
        ..limits("io2", 4, 65_536, provisioned(100, 256_000, 1000, None))
    },
    TypeLimits {
        pending_snapshots: 1,
        ..limits("st1", 125, 16_384, Iops::None)
    },
    TypeLimits {
        pending_snapshots: 1,
        ..limits("sc1", 125, 16_384, Iops::None)
    },
    limits("standard", 1, 1024, Iops::None),
];

/// The type of a volume when none is asked for.
pub(super) const DEFAULT_TYPE: &str = "gp2";

/// The limits of a volume type.
///
/// # Errors
/// `UnknownVolumeType`.
pub(super) fn volume_type(name: &str) -> Result<&'static TypeLimits, Ec2Error> {
    TYPES
        .iter()
        .find(|limits| limits.name == name)
        .ok_or_else(|| Ec2Error::new("UnknownVolumeType", format!("Unknown volume type '{name}'.")))
}

impl TypeLimits {
    /// Checks the size in GiB.
    pub(super) fn check_size(&self, gib: u32) -> Result<(), Ec2Error> {
        let (name, min, max) = (self.name, self.min_gib, self.max_gib);
        if gib < min {
            return Err(Ec2Error::invalid(format!(
                "Volume of {gib}GiB is too small for volume type {name}; minimum is {min}GiB."
            )));
        }
        if gib > max {
            return Err(Ec2Error::invalid(format!(
                "Volume of {gib}GiB is too large for volume type {name}; maximum is {max}GiB."
            )));
        }
        Ok(())
    }

    /// The IOPS that a volume of this size gets, checked if they were asked for.
    pub(super) fn iops(&self, gib: u32, asked: Option<u32>) -> Result<Option<u32>, Ec2Error> {
        match (self.iops, asked) {
            (Iops::None, None) => Ok(None),
            (Iops::PerGib { factor, min, max }, None) => Ok(Some(gib.saturating_mul(factor).clamp(min, max))),
            (Iops::None | Iops::PerGib { .. }, Some(_)) => Err(self.unsupported("iops")),
            (
                Iops::Provisioned {
                    default: Some(iops), ..
                },
                None,
            ) => Ok(Some(iops)),
            (Iops::Provisioned { default: None, .. }, None) => Err(Ec2Error::new(
                "MissingParameter",
                format!("The parameter iops must be specified for {} volumes.", self.name),
            )),
            (
                Iops::Provisioned {
                    min, max, per_gib, ..
                },
                Some(iops),
            ) => check_iops(gib, iops, min, max, per_gib).map(|()| Some(iops)),
        }
    }

    /// The throughput in MiB/s that a volume with these IOPS gets, checked if it was asked for.
    pub(super) fn throughput(&self, iops: Option<u32>, asked: Option<u32>) -> Result<Option<u32>, Ec2Error> {
        let (min, max) = match (self.throughput, asked) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(self.unsupported("throughput")),
            (Some((default, _)), None) => return Ok(Some(default)),
            (Some(range), Some(_)) => range,
        };
        let asked = asked.unwrap_or(min);
        if asked < min {
            return Err(Ec2Error::invalid(format!(
                "Throughput (MiBps) of {asked} is too low; minimum is {min} MiBps."
            )));
        }
        if asked > max {
            return Err(Ec2Error::invalid(format!(
                "Throughput (MiBps) of {asked} is too high; maximum is {max} MiBps."
            )));
        }
        let iops = iops.unwrap_or_default().max(1);
        if u64::from(asked) * 4 > u64::from(iops) {
            return Err(Ec2Error::invalid(format!(
                "Throughput (MiBps) to iops ratio of {:.6} is too high; maximum is 0.250000 MiBps per iops.",
                f64::from(asked) / f64::from(iops)
            )));
        }
        Ok(Some(asked))
    }

    /// Checks the wish to attach a volume to several instances.
    pub(super) fn check_multi_attach(&self, asked: bool) -> Result<(), Ec2Error> {
        if asked && !self.multi_attach {
            return Err(self.unsupported("multiAttachEnabled"));
        }
        Ok(())
    }

    fn unsupported(&self, parameter: &str) -> Ec2Error {
        Ec2Error::combination(format!(
            "The parameter {parameter} is not supported for {} volumes.",
            self.name
        ))
    }
}

fn check_iops(gib: u32, iops: u32, min: u32, max: u32, per_gib: u32) -> Result<(), Ec2Error> {
    if iops < min {
        return Err(Ec2Error::invalid(format!(
            "Volume iops of {iops} is too low; minimum is {min}."
        )));
    }
    if iops > max {
        return Err(Ec2Error::invalid(format!(
            "Volume iops of {iops} is too high; maximum is {max}."
        )));
    }
    // The minimum is granted at any size.
    if iops > min && u64::from(iops) > u64::from(gib) * u64::from(per_gib) {
        return Err(Ec2Error::invalid(format!(
            "Iops to volume size ratio of {:.6} is too high; maximum is {per_gib} IOPS per GiB.",
            f64::from(iops) / f64::from(gib.max(1))
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iops_follow_the_table() {
        type Row = (&'static str, u32, Option<u32>, Result<Option<u32>, &'static str>);
        let rows: [Row; 14] = [
            ("gp3", 1, None, Ok(Some(3000))),
            ("gp3", 1, Some(3000), Ok(Some(3000))),
            (
                "gp3",
                1,
                Some(3001),
                Err("ratio of 3001.000000 is too high; maximum is 500"),
            ),
            ("gp3", 1000, Some(80_000), Ok(Some(80_000))),
            (
                "gp3",
                1000,
                Some(80_001),
                Err("iops of 80001 is too high; maximum is 80000"),
            ),
            ("gp3", 1000, Some(2999), Err("too low; minimum is 3000")),
            ("gp2", 1, None, Ok(Some(100))),
            ("gp2", 1000, None, Ok(Some(3000))),
            ("gp2", 16_384, None, Ok(Some(16_000))),
            ("gp2", 10, Some(100), Err("iops is not supported for gp2")),
            ("io1", 4, None, Err("must be specified for io1")),
            ("io1", 4, Some(100), Ok(Some(100))),
            (
                "io2",
                4,
                Some(i32::MAX as u32),
                Err("iops of 2147483647 is too high; maximum is 256000"),
            ),
            ("standard", 10, None, Ok(None)),
        ];
        for (name, gib, asked, expected) in rows {
            let got = volume_type(name).unwrap().iops(gib, asked);
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{name} {gib} {asked:?}"),
                (Err(error), Err(text)) => assert!(error.message.contains(text), "{error}"),
                (got, expected) => panic!("{name} {gib} {asked:?}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn throughput_follows_the_table() {
        let gp3 = volume_type("gp3").unwrap();
        assert_eq!(gp3.throughput(Some(3000), None).unwrap(), Some(125));
        assert_eq!(gp3.throughput(Some(3000), Some(750)).unwrap(), Some(750));
        assert!(
            gp3.throughput(Some(3000), Some(751))
                .unwrap_err()
                .message
                .contains("ratio")
        );
        assert!(
            gp3.throughput(Some(3000), Some(100))
                .unwrap_err()
                .message
                .contains("too low")
        );
        assert!(
            gp3.throughput(Some(80_000), Some(2001))
                .unwrap_err()
                .message
                .contains("too high")
        );
        assert_eq!(
            volume_type("io2")
                .unwrap()
                .throughput(Some(100), Some(125))
                .unwrap_err()
                .code,
            "InvalidParameterCombination"
        );
    }

    #[test]
    fn sizes_and_names_are_checked() {
        assert_eq!(volume_type("gp9").unwrap_err().code, "UnknownVolumeType");
        assert!(volume_type("st1").unwrap().check_size(124).is_err());
        assert!(volume_type("st1").unwrap().check_size(125).is_ok());
        assert!(volume_type("standard").unwrap().check_size(1025).is_err());
        assert!(volume_type("gp3").unwrap().check_multi_attach(true).is_err());
        assert!(volume_type("io1").unwrap().check_multi_attach(true).is_ok());
    }
}
