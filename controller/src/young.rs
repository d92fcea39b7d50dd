//! Objects that may be ahead of what they name.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

/// So long may the watch of one kind be behind that of another. Creation times have whole seconds, so that the shortest
/// time in which an object counts as young is a second less.
const LAG: SignedDuration = SignedDuration::from_secs(2);
/// How soon to look at a young object again.
pub const UNTIL_GROWN: Duration = Duration::from_secs(1);

/// Whether an object was made so lately that what it names may exist and only not be known yet: each kind comes by a
/// watch of its own, and people create both at once.
///
/// Where this clock and the API server's differ by more than two seconds nothing is young.
#[must_use]
pub fn is_young(object: &impl Resource, now: Timestamp) -> bool {
    is_young_at(object.meta(), now)
}

/// The same by the metadata of the object.
#[must_use]
pub fn is_young_at(metadata: &ObjectMeta, now: Timestamp) -> bool {
    let created = metadata.creation_timestamp.as_ref();
    created.is_some_and(|created| now.duration_since(created.0).abs() < LAG)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn an_object_is_young_for_a_moment_and_never_by_a_clock_that_is_wrong() {
        let made = json!({"metadata": {"creationTimestamp": "2026-11-21T10:00:00Z"}});
        let made: ConfigMap = serde_json::from_value(made).unwrap();
        for (now, young) in [
            ("2026-11-21T10:00:00Z", true),
            ("2026-11-21T09:59:59.5Z", true),
            ("2026-11-21T10:00:01.9Z", true),
            ("2026-11-21T10:00:02Z", false),
            ("2026-11-21T09:00:00Z", false),
        ] {
            assert_eq!(is_young(&made, at(now)), young, "{now}");
        }
        assert!(!is_young(&ConfigMap::default(), at("2026-11-21T10:00:00Z")));
    }
}
