//! What happens before the work: definitions, permissions.

use std::time::Duration;

use base::Random;
use base::http::Readiness;
use kube::core::{ApiResource, GroupVersionKind};
use prometheus::Registry;
use runtime::access::{PATCH_CLAIMS, may};
use runtime::crds::{Patience, WaitingGauge, wait_for_crds};
use serde_json::json;
use tokio::time::Instant;

use crate::store::{Fault, Store};

const GROUP: &str = "/apis/snapshot.storage.k8s.io/v1";

fn kinds() -> Vec<ApiResource> {
    ["VolumeSnapshot", "VolumeSnapshotContent"]
        .map(|kind| {
            let gvk = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", kind);
            ApiResource::from_gvk_with_plural(&gvk, &format!("{}s", kind.to_lowercase()))
        })
        .into()
}

#[tokio::test(start_paused = true)]
async fn present_definitions_cost_one_list_each() {
    let store = Store::default();
    store.collection(&format!("{GROUP}/volumesnapshots"));
    store.collection(&format!("{GROUP}/volumesnapshotcontents"));
    let client = store.client();
    wait_for_crds(&client, &kinds(), Patience::AtMost(Duration::ZERO), None, None)
        .await
        .unwrap();
    let sent = store.sent();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|sent| sent.query.contains("limit=1")));
}

#[tokio::test(start_paused = true)]
async fn missing_definitions_end_the_wait_with_the_command_that_installs_them() {
    let store = Store::default();
    store.collection(&format!("{GROUP}/volumesnapshots"));
    let start = Instant::now();
    let patience = Patience::AtMost(Duration::from_secs(30));
    let error = wait_for_crds(&store.client(), &kinds(), patience, None, None)
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(
        error.to_string(),
        "custom resource definitions are missing: volumesnapshotcontents.snapshot.storage.k8s.io/v1; \
         install them with `slackwater crds | kubectl apply --server-side -f -`"
    );
    let lists = store.take_lines();
    assert_eq!(
        lists
            .iter()
            .filter(|line| line.ends_with("volumesnapshots"))
            .count(),
        1,
        "found once is enough"
    );
    assert!(
        (10..20).contains(&lists.len()),
        "100 ms x 1.5^n in 30 s: {}",
        lists.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_list_names_the_reason_instead() {
    let store = Store::default();
    store.faults(|_| Fault {
        refuse: Some(403),
        ..Fault::default()
    });
    let patience = Patience::AtMost(Duration::from_secs(1));
    let error = wait_for_crds(&store.client(), &kinds(), patience, None, None)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "cannot list volumesnapshots.snapshot.storage.k8s.io/v1, volumesnapshotcontents.snapshot.storage.k8s.io/v1: \
         not allowed (403): said the server; check the RBAC rules of our service account"
    );
}

#[tokio::test(start_paused = true)]
async fn endless_waiting_ends_when_the_definitions_appear_and_never_makes_unready() {
    let (store, registry, readiness) = (Store::default(), Registry::new(), Readiness::default());
    let gauge = WaitingGauge::new(&registry).unwrap();
    let remark = readiness.remark("crds", "not looked yet");
    let client = store.client();
    let start = Instant::now();
    let appear = async {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(readiness.is_ready());
        assert!(
            readiness.report().1.contains("slackwater crds"),
            "{}",
            readiness.report().1
        );
        assert!((waiting(&registry) - 2.0).abs() < f64::EPSILON);
        store.collection(&format!("{GROUP}/volumesnapshots"));
        store.collection(&format!("{GROUP}/volumesnapshotcontents"));
    };
    let kinds = kinds();
    let wait = wait_for_crds(&client, &kinds, Patience::Endless, Some(&gauge), Some(&remark));
    let (found, ()) = tokio::join!(wait, appear);
    found.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(3_605));
    assert!(waiting(&registry).abs() < f64::EPSILON);
    assert_eq!(readiness.report().1, "[+]crds ok\nreadyz check passed\n");
}

fn waiting(registry: &Registry) -> f64 {
    let families = registry.gather();
    families[0]
        .get_metric()
        .iter()
        .map(|metric| metric.get_gauge().get_value())
        .sum()
}

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

#[tokio::test(start_paused = true)]
async fn one_review_decides_about_patching_claims() {
    let store = Store::default();
    let random = Random::seeded(1);
    // The small server stores what it is sent: nothing is allowed in it.
    assert!(!may(&store.client(), &random, PATCH_CLAIMS).await);
    let sent = store.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].line(), format!("POST {REVIEWS}"));
    assert_eq!(
        sent[0].body["spec"]["resourceAttributes"],
        json!({ "verb": "patch", "group": "", "resource": "persistentvolumeclaims" })
    );
    let store = Store::default();
    store.faults(|_| Fault {
        refuse: Some(403),
        ..Fault::default()
    });
    assert!(
        !may(&store.client(), &random, PATCH_CLAIMS).await,
        "a refused question counts as no"
    );
    assert_eq!(store.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_is_allowed() {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        let review = json!({ "spec": {}, "status": { "allowed": true, "reason": "RBAC" } });
        Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::from(
            review.to_string().into_bytes(),
        )))
    });
    assert!(
        may(
            &kube::Client::new(service, "default"),
            &Random::seeded(1),
            PATCH_CLAIMS
        )
        .await
    );
}

/// Credentials that are not known yet, or no longer, say nothing of what we may do.
#[tokio::test(start_paused = true)]
async fn a_server_that_gives_no_verdict_is_asked_again() {
    for code in [401, 404, 408, 429, 500, 503] {
        let store = Store::default();
        let mut refusals = 5;
        store.faults(move |_| {
            refusals -= 1;
            Fault {
                refuse: (refusals >= 0).then_some(code),
                ..Fault::default()
            }
        });
        assert!(!may(&store.client(), &Random::seeded(1), PATCH_CLAIMS).await);
        assert_eq!(store.sent().len(), 6, "{code}");
    }
}

/// A webhook or a lost race says nothing of what we may do, unless it goes on for ever.
#[tokio::test(start_paused = true)]
async fn a_question_that_is_refused_is_asked_some_times_more() {
    for code in [400, 409, 422] {
        for (refusals, requests) in [(2, 3), (u32::MAX, 6)] {
            let store = Store::default();
            let mut left = refusals;
            store.faults(move |_| {
                let refuse = (left > 0).then_some(code);
                left = left.saturating_sub(1);
                Fault {
                    refuse,
                    ..Fault::default()
                }
            });
            assert!(!may(&store.client(), &Random::seeded(1), PATCH_CLAIMS).await);
            assert_eq!(store.sent().len(), requests, "{code}");
        }
    }
}
