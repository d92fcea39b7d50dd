//! One term after the other: requests, hand-over, expiry, loss.

use std::time::Duration;

use base::{Clock, Random, Scope};
use prometheus::Registry;
use runtime::Recorder;
use runtime::leader::{ElectionOptions, Ended, LeaderElector};
use serde_json::json;
use tokio::time::Instant;

use super::{LEASE, LEASES, Leaders, elector, options};
use crate::store::{Fault, Store};

/// Leads until asked to stop.
async fn until_stopped(scope: Scope) {
    scope.stopping().await;
}

/// Lets `other` try to lead; the moment when it does.
async fn leads_at(other: &LeaderElector) -> Instant {
    match other
        .run_leading(
            &Scope::new(),
            |_| async { Instant::now() },
            std::future::pending(),
        )
        .await
    {
        Ended::Finished(at) => at,
        ended => panic!("{ended:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_sends_one_put_each_retry_period_and_no_get() {
    let store = Store::default();
    let scope = Scope::new();
    let elector = elector(&store, "pod.1", 1, 0);
    let stopped = async {
        tokio::time::sleep(Duration::from_secs(62)).await;
        scope.stop();
    };
    let (ended, ()) = tokio::join!(
        elector.run_leading(&scope, until_stopped, std::future::pending()),
        stopped
    );
    assert_eq!(ended, Ended::Stopped);
    let lines = store.take_lines();
    assert_eq!(lines[..2], [format!("GET {LEASE}"), format!("POST {LEASES}")]);
    assert_eq!(
        lines[2..],
        vec![format!("PUT {LEASE}"); 13],
        "12 renewals and the release"
    );
    let lease = store.object(LEASE).unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
    assert_eq!(lease["spec"]["renewTime"], "2027-01-15T08:01:02.000000Z");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_8_the_lease_has_upstreams_name_and_a_clean_holder() {
    let store = Store::default();
    let options = ElectionOptions {
        lease: "external-attacher-leader-ebs.csi.aws.com".to_owned(),
        labels: [("team".to_owned(), "storage".to_owned())].into(),
        ..options("pod.1")
    };
    let registry = Registry::new();
    let clock = Clock::simulated(jiff::Timestamp::UNIX_EPOCH);
    let random = Random::seeded(1);
    let scope = Scope::new();
    let recorder = Recorder::from_parts(store.client(), &clock, &random, &scope, &registry, "test");
    let elector = LeaderElector::new(
        &store.client(),
        &clock,
        &random,
        &registry,
        options,
        Some(&recorder),
    )
    .unwrap();
    let path = format!("{LEASES}/external-attacher-leader-ebs-csi-aws-com");
    let held = elector
        .run_leading(
            &scope,
            |_| async { (store.object(&path), gauge(&registry, "slackwater_leader")) },
            std::future::pending(),
        )
        .await;
    let Ended::Finished((Some(lease), leads)) = held else {
        panic!("{held:?}")
    };
    assert_eq!(lease["spec"]["holderIdentity"], "pod-1");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
    assert_eq!(lease["metadata"]["labels"], json!({ "team": "storage" }));
    assert!((leads - 1.0).abs() < f64::EPSILON);
    assert!(gauge(&registry, "leader_election_master_status").abs() < f64::EPSILON);
    assert!(recorder.flush(Duration::from_secs(1)).await);
    let events = store.objects("/api/v1/namespaces/kube-system/events/");
    let said: Vec<_> = events
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["pod-1 became leader", "pod-1 stopped leading"]);
    assert_eq!(events[0]["reason"], "LeaderElection");
    assert_eq!(
        events[0]["source"]["component"],
        "external-attacher-leader-ebs-csi-aws-com/pod-1"
    );
    assert_eq!(events[0]["involvedObject"]["kind"], "Lease");
}

fn gauge(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    family.get_metric()[0].get_gauge().get_value()
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_91_a_released_lease_is_taken_within_2_seconds() {
    for seed in 0..20 {
        let store = Store::default();
        let (first, second) = (
            elector(&store, "a", seed, 0),
            elector(&store, "b", seed + 100, 1_000),
        );
        let scope = Scope::new();
        let leaders = Leaders::default();
        let lead = |child: Scope| async move {
            let _leading = leaders.enter();
            child.stopping().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            Instant::now()
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(40 + seed)).await;
            scope.stop();
        };
        let drained = async {
            let start = Instant::now();
            let ended = first.run_leading(&scope, lead, std::future::pending()).await;
            assert_eq!(ended, Ended::Stopped);
            start + Duration::from_secs(40 + seed + 3)
        };
        let other = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            leads_at(&second).await
        };
        let (released, (), taken) = tokio::join!(drained, stop, other);
        assert!(taken >= released, "not before running work has ended");
        let pause = taken.duration_since(released);
        assert!(pause < Duration::from_secs(2), "seed {seed}: {pause:?}");
        assert_eq!(store.object(LEASE).unwrap()["spec"]["leaseTransitions"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_12_without_a_watch_a_released_lease_is_taken_by_the_next_get() {
    for seed in 0..20 {
        let store = Store::default();
        store.faults(|sent| Fault {
            refuse: sent.query.contains("watch=true").then_some(403),
            ..Fault::default()
        });
        let (first, second) = (elector(&store, "a", seed, 0), elector(&store, "b", seed + 100, 0));
        let scope = Scope::new();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            scope.stop();
            Instant::now()
        };
        let other = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            leads_at(&second).await
        };
        let (_, stopped, taken) = tokio::join!(
            first.run_leading(&scope, until_stopped, std::future::pending()),
            stop,
            other
        );
        assert!(
            taken.duration_since(stopped) <= Duration::from_secs(11),
            "one retry period x 2.2"
        );
        let watches = store
            .sent()
            .iter()
            .filter(|sent| sent.query.contains("watch=true"))
            .count();
        assert!(
            watches <= 2,
            "a refused watch is not asked for again and again: {watches}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_leader_is_followed_after_its_lease_ran_out() {
    for seed in 0..20 {
        let store = Store::default();
        let (first, second) = (
            elector(&store, "a", seed, 0),
            elector(&store, "b", seed + 100, -3_600),
        );
        let scope = Scope::new();
        let crash = tokio::time::timeout(
            Duration::from_secs(31),
            first.run_leading(&scope, |_| std::future::pending::<()>(), std::future::pending()),
        );
        let other = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            leads_at(&second).await
        };
        let start = Instant::now();
        let (_, taken) = tokio::join!(crash, other);
        let last_renewal = start + Duration::from_secs(30);
        let pause = taken.duration_since(last_renewal);
        assert!(pause >= Duration::from_secs(15), "seed {seed}: {pause:?}");
        assert!(pause <= Duration::from_secs(15 + 22), "seed {seed}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_leader_leads_again_at_once() {
    let store = Store::default();
    let first = elector(&store, "a", 1, 0);
    let scope = Scope::new();
    let forever = first.run_leading(&scope, |_| std::future::pending::<()>(), std::future::pending());
    let _ = tokio::time::timeout(Duration::from_secs(7), forever).await;
    let start = Instant::now();
    assert_eq!(leads_at(&elector(&store, "a", 2, 0)).await, start);
    assert_eq!(store.object(LEASE).unwrap()["spec"]["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_term_that_is_dropped_leads_no_longer() {
    let (store, registry) = (Store::default(), Registry::new());
    let clock = Clock::simulated("2026-11-21T10:00:00Z".parse().unwrap());
    let elector = LeaderElector::new(
        &store.client(),
        &clock,
        &Random::seeded(1),
        &registry,
        options("a"),
        None,
    )
    .unwrap();
    let health = elector.health();
    let scope = Scope::new();
    let leads = elector.run_leading(
        &scope,
        |_| async {
            assert_eq!(gauge(&registry, "slackwater_leader").to_bits(), 1.0_f64.to_bits());
            std::future::pending::<()>().await;
        },
        std::future::pending(),
    );
    let cut = tokio::time::timeout(Duration::from_secs(7), leads).await;
    assert!(cut.is_err());
    for name in ["slackwater_leader", "leader_election_master_status"] {
        assert_eq!(gauge(&registry, name).to_bits(), 0.0_f64.to_bits(), "{name}");
    }
    // Nor is it missed for ever by the probe.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(health.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_10_a_leader_cut_off_ends_within_the_renew_deadline() {
    for hung in [true, false] {
        let store = Store::default();
        let elector = elector(&store, "a", 1, 0);
        let health = elector.health();
        let start = Instant::now();
        let cut = store.clone();
        let lead = |_: Scope| async move {
            cut.faults(move |_| Fault {
                before: Duration::from_secs(if hung { 100_000 } else { 0 }),
                refuse: Some(503),
                ..Fault::default()
            });
            std::future::pending::<()>().await;
        };
        assert_eq!(
            elector
                .run_leading(&Scope::new(), lead, std::future::pending())
                .await,
            Ended::Lost
        );
        assert_eq!(start.elapsed(), Duration::from_secs(10), "hung: {hung}");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(health.check().is_ok(), "who does not lead is not missed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_costs_one_get_and_not_the_lease() {
    let store = Store::default();
    let scope = Scope::new();
    let elector = elector(&store, "a", 1, 0);
    let mut puts = 0;
    store.faults(move |sent| {
        puts += i32::from(sent.method == "PUT");
        Fault {
            lose: puts == 2 && sent.method == "PUT",
            ..Fault::default()
        }
    });
    let stop = async {
        tokio::time::sleep(Duration::from_secs(22)).await;
        scope.stop();
    };
    let (ended, ()) = tokio::join!(
        elector.run_leading(&scope, until_stopped, std::future::pending()),
        stop
    );
    assert_eq!(ended, Ended::Stopped);
    let methods: Vec<String> = store
        .take_lines()
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    // The lost PUT is repeated, meets its own effect as a conflict, looks, and renews.
    let expected = [
        "GET", "POST", "PUT", "PUT", "PUT", "GET", "PUT", "PUT", "PUT", "PUT",
    ];
    assert_eq!(methods, expected);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_91_a_leader_whose_lease_has_another_holder_stops_at_once() {
    let store = Store::default();
    let usurper = store.clone();
    let lead = |_: Scope| async move {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let mut lease = usurper.object(LEASE).unwrap();
        lease["spec"]["holderIdentity"] = json!("upstream-pod");
        usurper.put(LEASE, lease);
        std::future::pending::<()>().await;
    };
    let start = Instant::now();
    let ended = elector(&store, "a", 1, 0)
        .run_leading(&Scope::new(), lead, std::future::pending())
        .await;
    assert_eq!(ended, Ended::Lost);
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(10),
        "found by the next renewal"
    );
    assert_eq!(
        store.object(LEASE).unwrap()["spec"]["holderIdentity"],
        "upstream-pod"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_again_by_its_holder() {
    let store = Store::default();
    let scope = Scope::new();
    let delete = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        store.remove(LEASE);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(store.object(LEASE).unwrap()["spec"]["holderIdentity"], "a");
        scope.stop();
    };
    let elector = elector(&store, "a", 1, 0);
    let (ended, ()) = tokio::join!(
        elector.run_leading(&scope, until_stopped, std::future::pending()),
        delete
    );
    assert_eq!(ended, Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_leader_steps_down_when_its_driver_is_gone() {
    let store = Store::default();
    let (first, second) = (elector(&store, "a", 1, 0), elector(&store, "b", 2, 0));
    let leaders = Leaders::default();
    let (here, there) = (leaders.clone(), leaders);
    let lead = |child: Scope| async move {
        let _leading = here.enter();
        child.stopping().await;
    };
    let away = tokio::time::sleep(Duration::from_secs(30));
    let scope = Scope::new();
    let other = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let at = leads_at(&second).await;
        assert_eq!(there.now(), 0);
        at
    };
    let start = Instant::now();
    let (ended, taken) = tokio::join!(first.run_leading(&scope, lead, away), other);
    assert_eq!(ended, Ended::SteppedDown);
    assert!(!scope.stopping_token().is_cancelled(), "only the term ends");
    assert!(taken.duration_since(start) < Duration::from_secs(32));
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_drain_is_aborted_and_the_lease_given_back() {
    let store = Store::default();
    let scope = Scope::new();
    scope.stop();
    let elector = elector(&store, "a", 1, 0);
    assert_eq!(
        elector
            .run_leading(&scope, until_stopped, std::future::pending())
            .await,
        Ended::Stopped,
        "never led"
    );
    assert!(store.take_lines().is_empty());
    let scope = Scope::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        scope.stop();
    };
    let start = Instant::now();
    let (ended, ()) = tokio::join!(
        elector.run_leading(&scope, |_| std::future::pending::<()>(), std::future::pending()),
        stop
    );
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(start.elapsed(), Duration::from_secs(26));
    assert_eq!(
        store.object(LEASE).unwrap()["spec"]["holderIdentity"],
        "",
        "kept and then given back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_being_taken_at_the_stop_is_given_back() {
    let store = Store::default();
    let scope = Scope::new();
    let elector = elector(&store, "a", 1, 0);
    store.faults(|sent| Fault {
        after: Duration::from_secs(u64::from(sent.method == "POST")),
        ..Fault::default()
    });
    let stop = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        scope.stop();
    };
    let (ended, ()) = tokio::join!(
        elector.run_leading(&scope, until_stopped, std::future::pending()),
        stop
    );
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(store.object(LEASE).unwrap()["spec"]["holderIdentity"], "");
}
