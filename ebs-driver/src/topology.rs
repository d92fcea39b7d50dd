//! Where a volume is made. Source: spec 1.5 (zone choice, Outpost ARN, response), 1.5.1 (clone match).

use std::collections::BTreeMap;

use crate::names::{
    TOPOLOGY_ACCOUNT, TOPOLOGY_LEGACY_ZONE, TOPOLOGY_OUTPOST, TOPOLOGY_PARTITION, TOPOLOGY_REGION,
    TOPOLOGY_ZONE, TOPOLOGY_ZONE_ID,
};

/// The segments of one topology entry.
pub type Segments = BTreeMap<String, String>;

/// What the caller says of the place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Requirement {
    /// Places to try first, in order.
    pub preferred: Vec<Segments>,
    /// Places that are allowed.
    pub requisite: Vec<Segments>,
}

/// The place chosen for a new volume. What is unset is not sent.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Zone name, such as `us-east-1a`.
    pub zone: Option<String>,
    /// Zone ID, such as `use1-az1`.
    pub zone_id: Option<String>,
    /// ARN of the Outpost.
    pub outpost_arn: Option<String>,
}

impl Requirement {
    /// Picks zone, zone ID and Outpost, each by its own walk over preferred and then requisite entries.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            zone: self.first(zone),
            zone_id: self.first(|entry| value(entry, TOPOLOGY_ZONE_ID)),
            outpost_arn: self.first(outpost_arn),
        }
    }

    fn first(&self, pick: impl Fn(&Segments) -> Option<String>) -> Option<String> {
        self.preferred.iter().chain(&self.requisite).find_map(pick)
    }

    /// Whether a copy, which is always made at its source, is allowed there: without requisite entries
    /// always, else at least one must match. Preferred entries do not count.
    #[must_use]
    pub fn allows_copy_at(&self, source: &Place) -> bool {
        self.requisite.is_empty() || self.requisite.iter().any(|entry| entry_matches(entry, source))
    }
}

fn entry_matches(entry: &Segments, source: &Place) -> bool {
    let same = |key: &str, of_source: &Option<String>| {
        value(entry, key).is_some_and(|wanted| Some(wanted) == *of_source)
    };
    let zone_matches = same(TOPOLOGY_ZONE, &source.zone)
        || same(TOPOLOGY_LEGACY_ZONE, &source.zone)
        || same(TOPOLOGY_ZONE_ID, &source.zone_id);
    let outpost_matches =
        value(entry, TOPOLOGY_OUTPOST).is_none() || outpost_arn(entry) == source.outpost_arn;
    zone_matches && outpost_matches
}

fn value(entry: &Segments, key: &str) -> Option<String> {
    entry.get(key).filter(|text| !text.is_empty()).cloned()
}

fn zone(entry: &Segments) -> Option<String> {
    value(entry, TOPOLOGY_ZONE).or_else(|| value(entry, TOPOLOGY_LEGACY_ZONE))
}

fn outpost_arn(entry: &Segments) -> Option<String> {
    Some(format!(
        "arn:{}:outposts:{}:{}:outpost/{}",
        value(entry, TOPOLOGY_PARTITION)?,
        value(entry, TOPOLOGY_REGION)?,
        value(entry, TOPOLOGY_ACCOUNT)?,
        value(entry, TOPOLOGY_OUTPOST)?,
    ))
}

/// The one accessible topology of a volume: its zone and, from an Outpost ARN, the four Outpost segments.
#[must_use]
pub fn segments_of(zone: &str, outpost_arn: Option<&str>) -> Segments {
    let mut segments = Segments::from([(TOPOLOGY_ZONE.to_owned(), zone.to_owned())]);
    if let Some([partition, region, account, outpost]) = outpost_arn.and_then(outpost_parts) {
        segments.extend(
            [
                (TOPOLOGY_PARTITION, partition),
                (TOPOLOGY_REGION, region),
                (TOPOLOGY_ACCOUNT, account),
                (TOPOLOGY_OUTPOST, outpost),
            ]
            .map(|(key, part)| (key.to_owned(), part.to_owned())),
        );
    }
    segments
}

fn outpost_parts(arn: &str) -> Option<[&str; 4]> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "outposts", region, account, resource] => {
            Some([partition, region, account, resource.strip_prefix("outpost/")?])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pairs: &[(&str, &str)]) -> Segments {
        pairs
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect()
    }

    const OUTPOST: [(&str, &str); 4] = [
        (TOPOLOGY_PARTITION, "aws"),
        (TOPOLOGY_REGION, "us-east-1"),
        (TOPOLOGY_ACCOUNT, "123456789012"),
        (TOPOLOGY_OUTPOST, "op-1"),
    ];
    const ARN: &str = "arn:aws:outposts:us-east-1:123456789012:outpost/op-1";

    #[test]
    fn ebs_case_25_preferred_entries_come_first() {
        let requirement = Requirement {
            preferred: vec![entry(&[(TOPOLOGY_LEGACY_ZONE, "b")])],
            requisite: vec![entry(&[(TOPOLOGY_ZONE, "a")])],
        };
        assert_eq!(requirement.place().zone.as_deref(), Some("b"));
        let both = Requirement {
            preferred: vec![entry(&[(TOPOLOGY_LEGACY_ZONE, "b"), (TOPOLOGY_ZONE, "c")])],
            requisite: vec![],
        };
        assert_eq!(both.place().zone.as_deref(), Some("c"));
        assert_eq!(Requirement::default().place(), Place::default());
    }

    #[test]
    fn ebs_case_27_an_outpost_needs_all_its_segments() {
        let requirement = |segments: &[(&str, &str)]| Requirement {
            preferred: vec![entry(segments)],
            requisite: vec![],
        };
        assert_eq!(requirement(&OUTPOST).place().outpost_arn.as_deref(), Some(ARN));
        let without_account: Vec<_> = OUTPOST
            .into_iter()
            .filter(|(key, _)| *key != TOPOLOGY_ACCOUNT)
            .collect();
        assert_eq!(requirement(&without_account).place().outpost_arn, None);
        let mut expected = entry(&OUTPOST);
        expected.insert(TOPOLOGY_ZONE.into(), "a".into());
        assert_eq!(segments_of("a", Some(ARN)), expected);
        assert_eq!(segments_of("a", Some("abc")), entry(&[(TOPOLOGY_ZONE, "a")]));
    }

    #[test]
    fn ebs_case_28_a_zone_id_alone_is_a_place() {
        let requirement = Requirement {
            preferred: vec![entry(&[(TOPOLOGY_ZONE_ID, "use1-az1")])],
            requisite: vec![],
        };
        let place = requirement.place();
        assert_eq!((place.zone, place.zone_id.as_deref()), (None, Some("use1-az1")));
    }

    #[test]
    fn a_copy_is_allowed_where_a_requisite_entry_matches() {
        let source = Place {
            zone: Some("a".into()),
            zone_id: Some("az1".into()),
            outpost_arn: None,
        };
        let allows = |requisite: Vec<Segments>, source: &Place| {
            Requirement {
                preferred: vec![entry(&[(TOPOLOGY_ZONE, "z")])],
                requisite,
            }
            .allows_copy_at(source)
        };
        assert!(allows(vec![], &source));
        assert!(allows(
            vec![
                entry(&[(TOPOLOGY_ZONE, "b")]),
                entry(&[(TOPOLOGY_LEGACY_ZONE, "a")])
            ],
            &source
        ));
        assert!(allows(vec![entry(&[(TOPOLOGY_ZONE_ID, "az1")])], &source), "Q8");
        assert!(!allows(vec![entry(&[(TOPOLOGY_ZONE, "b")])], &source));
        let mut on_outpost = entry(&OUTPOST);
        on_outpost.insert(TOPOLOGY_ZONE.into(), "a".into());
        assert!(!allows(vec![on_outpost.clone()], &source));
        let source_on_outpost = Place {
            outpost_arn: Some(ARN.into()),
            ..source
        };
        assert!(allows(vec![on_outpost], &source_on_outpost));
    }
}
