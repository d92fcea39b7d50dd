//! What metrics must tell besides what alerts read of them.

use std::collections::BTreeSet;

use super::{LIVENESS, Watched};
use crate::journey::LEASES;

const OPERATIONS: &str = "csi_sidecar_operations_seconds_count";
/// What upstream serves of each sidecar before anything was done.
const OF_SIDECARS: [&str; 7] = [
    "workqueue_depth",
    "workqueue_adds_total",
    "workqueue_retries_total",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds",
    "leader_election_master_status",
    OPERATIONS,
];

impl Watched {
    /// The values of a label of the series that an expression answers.
    async fn labels(&self, label: &str, expression: &str) -> BTreeSet<String> {
        let series = self.prometheus.query(expression).await.unwrap();
        let value = |one: &serde_json::Value| one["metric"][label].as_str().unwrap_or_default().to_owned();
        series.iter().map(value).collect()
    }

    /// Definitions are waited for, and the driver is called before it is known.
    pub(super) async fn beginnings_are_told(&self) {
        let kinds = self.labels("kind", "slackwater_waiting_for_crds == 1").await;
        assert!(kinds.iter().any(|kind| kind == "VolumeSnapshot"), "{kinds:?}");
        let calls = format!(r#"{OPERATIONS}{{method_name="/csi.v1.Identity/GetPluginInfo"}}"#);
        let drivers = self.labels("driver_name", &calls).await;
        assert!(drivers.contains("unknown-driver"), "{drivers:?}");
    }

    /// Nothing was done yet, and what upstream's programs serve then is served.
    pub(super) async fn fresh_functions_serve_what_upstreams_do(&self) {
        assert!(
            self.labels("kind", "slackwater_waiting_for_crds == 1")
                .await
                .is_empty()
        );
        for (function, port) in &self.served_at {
            let text = self.prometheus.scrape(*port).await;
            let has = |name: &str| text.lines().any(|line| line.starts_with(name));
            let expected: &[&str] = match function.as_str() {
                "driver" => &["process_start_time_seconds", "slackwater_build_info"],
                "snapshot-controller" => &["snapshot_controller_operations_in_flight"],
                _ => &OF_SIDECARS,
            };
            let missing: Vec<_> = expected.iter().filter(|name| !has(name)).collect();
            assert!(missing.is_empty(), "{function}: {missing:?}");
        }
    }

    /// Calls of a migrated driver say whether their volume is; those of the snapshotter and the livenessprobe do not.
    pub(super) async fn calls_bear_their_labels(&self) {
        let taken = format!(r#"{OPERATIONS}{{method_name="/csi.v1.Controller/CreateSnapshot"}}"#);
        let codes = self.labels("grpc_status_code", &taken).await;
        assert!(codes.len() >= 2 && codes.contains("OK"), "{codes:?}");
        for without in ["csi-snapshotter", LIVENESS] {
            let calls = format!(r#"{OPERATIONS}{{job="slackwater-{without}"}}"#);
            assert_eq!(
                self.labels("migrated", &calls).await,
                [String::new()].into(),
                "{without}"
            );
        }
        let grown = format!(r#"{OPERATIONS}{{method_name="/csi.v1.Controller/ControllerExpandVolume"}}"#);
        let migrated = self.labels("migrated", &grown).await;
        assert_eq!(migrated, ["false", "true"].map(str::to_owned).into());
    }

    /// What hung is not shown any more.
    pub(super) async fn no_detachment_is_pending(&self) {
        let pending = self.labels("volume_id", "aws_ebs_csi_ec2_detach_pending_seconds_total");
        assert!(pending.await.is_empty());
    }

    /// EC2 has answered no ModifyVolume: that is counted where no answer is, and not among its errors.
    pub(super) async fn calls_without_an_answer_are_no_errors_of_ec2(&self, errors_before: f64) {
        let kinds = self.labels(
            "kind",
            r#"slackwater_ec2_errors_total{request="ModifyVolume"} > 0"#,
        );
        assert!(kinds.await.contains("connect"));
        assert!((self.errors_of_modifications().await - errors_before).abs() < 0.5);
    }

    /// How many errors EC2 has answered to ModifyVolume.
    pub(super) async fn errors_of_modifications(&self) -> f64 {
        let all = r#"sum(aws_ebs_csi_api_request_errors_total{request="ModifyVolume"})"#;
        let series = self.prometheus.query(all).await.unwrap();
        let value = series.first().and_then(|one| one["value"][1].as_str());
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Who does not lead says so.
    pub(super) async fn a_follower_says_so(&self) {
        let follows = format!(r#"slackwater_leader{{lease="{}"}} == 0"#, LEASES[0]);
        assert!(!self.labels("lease", &follows).await.is_empty());
    }

    /// A pod that is gone says nothing of its leases: that nobody answers does.
    pub(super) async fn nobody_says_who_leads(&self) {
        assert!(self.labels("lease", "slackwater_leader").await.is_empty());
        assert!(!self.prometheus.firing().await.contains("NoLeader"));
    }
}
