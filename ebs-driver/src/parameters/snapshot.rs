//! Parameters of a VolumeSnapshotClass. Source: spec 2.3.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::known::{Known, set_lower};
use super::{ParameterError, integer, lower_cased, refused, text};

const MODE: &str = "lockMode";
const DURATION: &str = "lockDuration";
const EXPIRATION: &str = "lockExpirationDate";
const COOL_OFF: &str = "lockCoolOffPeriod";

/// What a class says of the snapshots made from it. Unset fields were not given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SnapshotParameters {
    /// Zones in which restores are to be fast, in the order given.
    pub fast_restore_zones: Vec<String>,
    /// Outpost on which the snapshot is kept.
    pub outpost_arn: Option<String>,
    /// The lock, when any of its parameters is given.
    pub lock: Option<Lock>,
    /// Name of the VolumeSnapshot, for templates.
    pub snapshot_name: String,
    /// Namespace of the VolumeSnapshot, for templates.
    pub snapshot_namespace: String,
    /// Name of the VolumeSnapshotContent, for templates.
    pub content_name: String,
    /// Name of the VolumeGroupSnapshot, for templates.
    pub group_name: String,
    /// Namespace of the VolumeGroupSnapshot, for templates.
    pub group_namespace: String,
    /// Name of the VolumeGroupSnapshotContent, for templates.
    pub group_content_name: String,
    /// `key=value` tags in the order of their parameters.
    pub tag_specifications: Vec<String>,
}

/// How a snapshot is locked. Exactly the given fields are sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lock {
    /// `governance` or `compliance`; see [`Lock::check`].
    pub mode: Option<String>,
    /// Days.
    pub duration_days: Option<i32>,
    /// End of the lock.
    pub expiration: Option<Timestamp>,
    /// Hours.
    pub cool_off_hours: Option<i32>,
}

impl SnapshotParameters {
    /// Reads the parameters of CreateSnapshot.
    ///
    /// # Errors
    /// Unknown or repeated keys and values that cannot be read.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let mut reading = Reading::default();
        for (lower, (key, value)) in lower_cased(parameters)? {
            set_lower(PARAMETERS, &mut reading, &lower, key, value)?;
        }
        let Reading { mut parsed, lock } = reading;
        if lock.duration_days.is_some() && lock.expiration.is_some() {
            return Err(ParameterError::Exclusive("lockDuration", "lockExpirationDate"));
        }
        parsed.lock = (lock != Lock::default()).then_some(lock);
        Ok(parsed)
    }
}

/// What is read so far.
#[derive(Debug, Default)]
pub struct Reading {
    parsed: SnapshotParameters,
    lock: Lock,
}

const GIVEN: &str = "given by csi-snapshotter";

/// The parameters of a VolumeSnapshotClass and a VolumeGroupSnapshotClass. Keys may be spelled in any case, but for those of
/// tags.
pub const PARAMETERS: &[Known<Reading>] = &[
    Known::new(
        "fastSnapshotRestoreAvailabilityZones",
        "zones with commas between them",
        "zones in which volumes are restored at full speed",
        |to, key, value| {
            to.parsed.fast_restore_zones = zones(key, value)?;
            Ok(())
        },
    ),
    Known::new(
        "outpostArn",
        "an ARN",
        "the Outpost that keeps the snapshot",
        |to, key, value| {
            to.parsed.outpost_arn = outpost(key, value)?;
            Ok(())
        },
    ),
    Known::new(
        MODE,
        "`governance` or `compliance`",
        "locks the snapshot",
        |to, _, value| {
            to.lock.mode = text(value);
            Ok(())
        },
    ),
    Known::new(
        DURATION,
        "1 to 36500",
        "days of the lock; this or `lockExpirationDate`",
        |to, key, value| {
            to.lock.duration_days = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        EXPIRATION,
        "a date and time as in RFC 3339",
        "end of the lock",
        |to, key, value| {
            to.lock.expiration = Some(date(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        COOL_OFF,
        "1 to 72",
        "hours in which a lock in mode `compliance` can still be changed",
        |to, key, value| {
            to.lock.cool_off_hours = Some(integer(key, value)?);
            Ok(())
        },
    ),
    Known::new(
        "tagSpecification*",
        "`key=value`",
        "a tag of the snapshot; the value is a template. This key is spelled exactly so, with anything behind it",
        |to, _, value| {
            to.parsed.tag_specifications.push(value.to_owned());
            Ok(())
        },
    ),
    Known::new(
        "csi.storage.k8s.io/volumesnapshot/name",
        GIVEN,
        "input of templates",
        |to, _, value| {
            value.clone_into(&mut to.parsed.snapshot_name);
            Ok(())
        },
    ),
    Known::new(
        "csi.storage.k8s.io/volumesnapshot/namespace",
        GIVEN,
        "input of templates",
        |to, _, value| {
            value.clone_into(&mut to.parsed.snapshot_namespace);
            Ok(())
        },
    ),
    Known::new(
        "csi.storage.k8s.io/volumesnapshotcontent/name",
        GIVEN,
        "input of templates",
        |to, _, value| {
            value.clone_into(&mut to.parsed.content_name);
            Ok(())
        },
    ),
    Known::new(
        "csi.storage.k8s.io/volumegroupsnapshot/name",
        GIVEN,
        "input of templates",
        |to, _, value| {
            value.clone_into(&mut to.parsed.group_name);
            Ok(())
        },
    ),
    Known::new(
        "csi.storage.k8s.io/volumegroupsnapshot/namespace",
        GIVEN,
        "input of templates",
        |to, _, value| {
            value.clone_into(&mut to.parsed.group_namespace);
            Ok(())
        },
    ),
    Known::new(
        "csi.storage.k8s.io/volumegroupsnapshotcontent/name",
        GIVEN,
        "input of templates",
        |to, _, value| {
            value.clone_into(&mut to.parsed.group_content_name);
            Ok(())
        },
    ),
];

impl Lock {
    /// Checks what EC2 would refuse, at a time when there is nothing yet to be locked: a snapshot that cannot be locked
    /// would be made and deleted again with each try. Source: EC2 LockSnapshot.
    ///
    /// # Errors
    /// The parameter that EC2 refuses, or that is missing.
    pub fn check(&self, now: Timestamp) -> Result<(), ParameterError> {
        let needs = |key, needs| Err(ParameterError::Needs { key, needs });
        let mode = self.mode.as_deref();
        match mode {
            None => return needs(self.first_key(), MODE),
            Some("governance" | "compliance") => {}
            Some(other) => return Err(refused(MODE, other, "governance or compliance")),
        }
        check_range(DURATION, self.duration_days, 1..=36_500, "1 to 36500 days")?;
        check_range(COOL_OFF, self.cool_off_hours, 1..=72, "1 to 72 hours")?;
        if let Some(end) = self.expiration.filter(|end| *end <= now) {
            return Err(refused(EXPIRATION, &end.to_string(), "a moment in the future"));
        }
        if self.duration_days.is_none() && self.expiration.is_none() {
            return needs(MODE, "lockDuration or lockExpirationDate");
        }
        if self.cool_off_hours.is_some() && mode != Some("compliance") {
            return needs(COOL_OFF, "lockMode compliance");
        }
        Ok(())
    }

    /// A parameter that is given beside the mode.
    fn first_key(&self) -> &'static str {
        match (self.duration_days, self.expiration) {
            (Some(_), _) => DURATION,
            (None, Some(_)) => EXPIRATION,
            (None, None) => COOL_OFF,
        }
    }
}

fn check_range(
    key: &str,
    value: Option<i32>,
    range: RangeInclusive<i32>,
    expected: &'static str,
) -> Result<(), ParameterError> {
    match value.filter(|value| !range.contains(value)) {
        Some(value) => Err(refused(key, &value.to_string(), expected)),
        None => Ok(()),
    }
}

fn zones(key: &str, value: &str) -> Result<Vec<String>, ParameterError> {
    let zones: Vec<String> = value
        .replace(' ', "")
        .split(',')
        .filter(|zone| !zone.is_empty())
        .map(str::to_owned)
        .collect();
    if zones.is_empty() {
        return Err(refused(key, value, "at least one zone, such as us-east-1a"));
    }
    Ok(zones)
}

fn outpost(key: &str, value: &str) -> Result<Option<String>, ParameterError> {
    if value.is_empty() {
        return Ok(None);
    }
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, service, _, _, resource]
            if ![*partition, *service, *resource]
                .iter()
                .any(|part| part.is_empty()) =>
        {
            Ok(Some(value.to_owned()))
        }
        _ => Err(refused(key, value, "an ARN")),
    }
}

fn date(key: &str, value: &str) -> Result<Timestamp, ParameterError> {
    const EXPECTED: &str = "a date and time as in RFC 3339, such as 2030-01-01T00:00:00Z";
    // The parser also knows forms beyond RFC 3339, with a time zone in brackets.
    if value.contains('[') {
        return Err(refused(key, value, EXPECTED));
    }
    value.parse().map_err(|_| refused(key, value, EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<SnapshotParameters, ParameterError> {
        SnapshotParameters::parse(
            &pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn ebs_case_65_values_that_cannot_be_read_are_refused() {
        let rows = [
            ("outpostArn", "abc"),
            ("outpostArn", "arn:::::"),
            ("lockDuration", "week"),
            ("lockExpirationDate", "2030-01-01"),
            ("lockExpirationDate", "2030-01-01T00:00:00+00:00[UTC]"),
            ("lockCoolOffPeriod", ""),
            ("fastSnapshotRestoreAvailabilityZones", ""),
            ("fastSnapshotRestoreAvailabilityZones", " , "),
            ("colour", "red"),
        ];
        for (key, value) in rows {
            assert!(parse(&[(key, value)]).is_err(), "{key}={value}");
        }
        assert!(
            parse(&[
                ("lockDuration", "1"),
                ("lockExpirationDate", "2030-01-01T00:00:00Z")
            ])
            .is_err()
        );
    }

    /// Parameters, and what the error says.
    const REFUSED_LOCKS: [(&[(&str, &str)], &str); 14] = [
        (
            &[("lockMode", "governance")],
            "\"lockMode\" needs lockDuration or lockExpirationDate",
        ),
        (
            &[("lockMode", "nonsense"), ("lockDuration", "1")],
            "\"lockMode\" has the value \"nonsense\"",
        ),
        (
            &[("lockMode", "Governance"), ("lockDuration", "1")],
            "expected governance or compliance",
        ),
        (&[("lockDuration", "1")], "\"lockDuration\" needs lockMode"),
        (
            &[("lockExpirationDate", "2030-01-01T00:00:00Z")],
            "\"lockExpirationDate\" needs lockMode",
        ),
        (
            &[("lockCoolOffPeriod", "1")],
            "\"lockCoolOffPeriod\" needs lockMode",
        ),
        (
            &[("lockMode", "governance"), ("lockDuration", "-1")],
            "\"lockDuration\" has the value \"-1\"",
        ),
        (
            &[("lockMode", "governance"), ("lockDuration", "0")],
            "expected 1 to 36500 days",
        ),
        (
            &[("lockMode", "governance"), ("lockDuration", "36501")],
            "expected 1 to 36500 days",
        ),
        (
            &[
                ("lockMode", "governance"),
                ("lockExpirationDate", "2020-01-01T00:00:00Z"),
            ],
            "a moment in the future",
        ),
        (
            &[
                ("lockMode", "compliance"),
                ("lockDuration", "1"),
                ("lockCoolOffPeriod", "0"),
            ],
            "1 to 72 hours",
        ),
        (
            &[
                ("lockMode", "compliance"),
                ("lockDuration", "1"),
                ("lockCoolOffPeriod", "73"),
            ],
            "1 to 72 hours",
        ),
        (
            &[("lockMode", "compliance"), ("lockCoolOffPeriod", "1")],
            "\"lockMode\" needs lockDuration",
        ),
        (
            &[
                ("lockMode", "governance"),
                ("lockDuration", "1"),
                ("lockCoolOffPeriod", "1"),
            ],
            "\"lockCoolOffPeriod\" needs lockMode compliance",
        ),
    ];

    #[test]
    fn ebs_case_65_locks_that_ec2_refuses_are_refused_by_their_key() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |pairs: &[(&str, &str)]| parse(pairs).unwrap().lock.unwrap().check(now);
        for (pairs, text) in REFUSED_LOCKS {
            let error = check(pairs).unwrap_err().to_string();
            assert!(error.contains(text), "{pairs:?}: {error}");
        }
        for pairs in [
            [("lockMode", "governance"), ("lockDuration", "36500")],
            [
                ("lockMode", "compliance"),
                ("lockExpirationDate", "2026-01-01T00:00:01Z"),
            ],
        ] {
            assert_eq!(check(&pairs), Ok(()));
        }
    }

    #[test]
    fn all_keys_are_read() {
        let parsed = parse(&[
            ("fastSnapshotRestoreAvailabilityZones", "us-east-1a, us-east-1b,"),
            ("outpostArn", "arn:aws:outposts:us-east-1:1:outpost/op-1"),
            ("lockMode", "governance"),
            ("lockExpirationDate", "2030-01-01T00:00:00Z"),
            ("csi.storage.k8s.io/volumesnapshot/name", "snap"),
            ("tagSpecification_1", "a=b"),
        ])
        .unwrap();
        assert_eq!(parsed.fast_restore_zones, ["us-east-1a", "us-east-1b"]);
        assert!(parsed.outpost_arn.is_some());
        assert_eq!(parsed.snapshot_name, "snap");
        assert_eq!(
            parsed.lock,
            Some(Lock {
                mode: Some("governance".into()),
                expiration: Some("2030-01-01T00:00:00Z".parse().unwrap()),
                ..Lock::default()
            })
        );
        assert_eq!(parse(&[("lockMode", "")]).unwrap().lock, None);
    }
}
