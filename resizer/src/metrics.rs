//! Metrics of claims that grow or change (journeys 7.3).

use base::Clock;
use controller::Difference;
use controller::stages::{Gauges, Stages, StagesTerm};
use jiff::Timestamp;
use prometheus::Registry;
use runtime::objects::Claim;

/// The conditions that tell since when a claim is in its stage.
const OF_GROWTH: [&str; 2] = ["Resizing", "FileSystemResizePending"];

const GROWING: Gauges = Gauges {
    label: "status",
    count: [
        "slackwater_pvc_resizes",
        "PersistentVolumeClaims by the stage of their expansion.",
    ],
    oldest: Some([
        "slackwater_pvc_resize_oldest_seconds",
        "For how long a PersistentVolumeClaim has been in this stage of its expansion.",
    ]),
};

const CHANGING: Gauges = Gauges {
    label: "status",
    count: [
        "slackwater_pvc_modifies",
        "PersistentVolumeClaims by the stage of their change by VolumeAttributesClass.",
    ],
    oldest: None,
};

/// Claims that grow or change, by the stage they are in.
#[derive(Clone)]
pub(crate) struct Metrics {
    growing: Stages,
    changing: Stages,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, clock: &Clock, driver: &str) -> Result<Self, prometheus::Error> {
        Ok(Self {
            growing: Stages::new(registry, clock, driver, &GROWING)?,
            changing: Stages::new(registry, clock, driver, &CHANGING)?,
        })
    }

    /// Counts a claim as it is now, if `is_ours`.
    pub(crate) fn count(&self, change: Difference<'_, Claim>, is_ours: impl Fn(&Claim) -> bool) {
        let claim = change.new.filter(|claim| {
            let is_under_way = claim.resize.is_some() || claim.modify().is_some();
            is_under_way && is_ours(claim)
        });
        let growing = claim.and_then(|claim| Some((claim.resize?.as_str(), since(claim))));
        let changing = claim.and_then(Claim::modify);
        self.growing.set(change.key, growing);
        self.changing
            .set(change.key, changing.map(|modify| (modify.status.as_str(), None)));
    }

    /// Counts for one term of leadership.
    pub(crate) fn term(&self) -> [StagesTerm; 2] {
        [self.growing.term(), self.changing.term()]
    }
}

/// Since when a claim is in its stage, as its conditions say.
fn since(claim: &Claim) -> Option<Timestamp> {
    let of_growth = claim
        .conditions
        .iter()
        .filter(|condition| OF_GROWTH.contains(&condition.type_.as_str()));
    of_growth
        .filter_map(|condition| Some(condition.last_transition_time.as_ref()?.0))
        .max()
}

#[cfg(test)]
mod tests {
    use prometheus::proto::MetricFamily;
    use runtime::ObjectKey;
    use serde_json::{Value, json};

    use super::*;

    fn claim(status: &Value) -> Claim {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n"}, "status": status}))
            .unwrap()
    }

    /// Name, label `status` and value of each series.
    fn series(registry: &Registry) -> Vec<(String, String, f64)> {
        let families = registry.gather();
        let of = |family: &MetricFamily| {
            let name = family.name().to_owned();
            let series = family.get_metric().iter().map(|metric| {
                let status = metric.get_label().iter().find(|label| label.name() == "status");
                let status = status.map(|label| label.value().to_owned()).unwrap_or_default();
                (name.clone(), status, metric.get_gauge().get_value())
            });
            series.collect::<Vec<_>>()
        };
        families.iter().flat_map(of).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn claims_are_counted_by_their_stage_until_they_are_done_or_go() {
        let (registry, clock) = (
            Registry::new(),
            Clock::simulated("2026-01-01T01:00:00Z".parse().unwrap()),
        );
        let metrics = Metrics::new(&registry, &clock, "d.csi").unwrap();
        let key = ObjectKey::new("n", "a");
        let count = |status: Option<Value>, is_ours: bool| {
            let claim = status.map(|status| claim(&status));
            let change = Difference {
                key: &key,
                old: None,
                new: claim.as_ref(),
            };
            metrics.count(change, |_| is_ours);
        };
        let waiting = json!({
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
            "modifyVolumeStatus": {"status": "Infeasible", "targetVolumeAttributesClassName": "gold"},
            "conditions": [
                {"type": "Unused", "status": "True", "lastTransitionTime": "2026-01-01T00:59:00Z"},
                {"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ],
        });
        let row = |name: &str, status: &str, value| (name.to_owned(), status.to_owned(), value);
        let _term = metrics.term();
        count(Some(waiting.clone()), true);
        let expected = [
            row("slackwater_pvc_modifies", "Infeasible", 1.0),
            row(
                "slackwater_pvc_resize_oldest_seconds",
                "NodeResizePending",
                3600.0,
            ),
            row("slackwater_pvc_resizes", "NodeResizePending", 1.0),
        ];
        assert_eq!(series(&registry), expected);
        for (status, is_ours) in [
            (Some(json!({})), true),
            (Some(waiting.clone()), false),
            (None, true),
        ] {
            count(Some(waiting.clone()), true);
            count(status, is_ours);
            assert_eq!(series(&registry), []);
        }
        count(Some(waiting), true);
        drop(metrics.term());
        assert_eq!(series(&registry), []);
    }
}
