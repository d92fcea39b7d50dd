use serde_json::json;

use super::*;

const SNAPSHOTS: GroupResource<'static> = GroupResource::new("snapshot.storage.k8s.io", "volumesnapshots");
const PODS: GroupResource<'static> = GroupResource::new("", "pods");
const SECRETS: GroupResource<'static> = GroupResource::new("", "secrets");
const OF_SNAPSHOTS: &str = "count/volumesnapshots.snapshot.storage.k8s.io";

fn quota(name: &str, hard: &Value, used: &Value) -> Value {
    json!({"metadata": {"name": name}, "status": {"hard": hard, "used": used}})
}

fn claim(size: &str, class: &str) -> Value {
    let mut claim = json!({"spec": {"resources": {"requests": {"storage": size}}}});
    if !class.is_empty() {
        claim["spec"]["storageClassName"] = json!(class);
    }
    claim
}

#[test]
fn objects_take_what_their_kind_is_counted_by() {
    let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
    let service = |kind: &str, allocates: Value| json!({"spec": {"type": kind, "ports": ports, "allocateLoadBalancerNodePorts": allocates}});
    let services = |node_ports: &str, balancers: &str| json!({"count/services": "1", "services": "1", "services.nodeports": node_ports, "services.loadbalancers": balancers});
    let mut expanding = claim("1Gi", "");
    expanding["status"] = json!({"allocatedResources": {"storage": "2Gi"}});
    for (id, object, expected) in [
        (SNAPSHOTS, json!({}), json!({OF_SNAPSHOTS: "1"})),
        (SECRETS, json!({}), json!({"count/secrets": "1", "secrets": "1"})),
        (
            PODS,
            json!({"status": {"phase": "Running"}}),
            json!({"count/pods": "1", "pods": "1"}),
        ),
        (
            PODS,
            json!({"status": {"phase": "Failed"}}),
            json!({"count/pods": "1"}),
        ),
        (SERVICES, json!({"spec": {"ports": ports}}), services("0", "0")),
        (SERVICES, service("NodePort", json!(null)), services("2", "0")),
        (SERVICES, service("LoadBalancer", json!(null)), services("2", "1")),
        (
            SERVICES,
            service("LoadBalancer", json!(false)),
            services("1", "1"),
        ),
        (
            CLAIMS,
            claim("1500m", ""),
            json!({"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2"}),
        ),
        (
            CLAIMS,
            expanding,
            json!({"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2Gi"}),
        ),
        (
            CLAIMS,
            claim("4Gi", "gp3"),
            json!({
                "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "4Gi",
                "gp3.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "gp3.storageclass.storage.k8s.io/requests.storage": "4Gi",
            }),
        ),
    ] {
        let taken = usage(id, &object);
        assert_eq!(json_of(&taken), expected, "{id} {object}");
        // What an object takes it is counted in.
        assert!(taken.keys().all(|name| counts_in(id, name)), "{taken:?}");
    }
}

#[test]
fn names_are_those_of_one_kind() {
    let events = GroupResource::new("", "events");
    let foreign = GroupResource::new("example.com", "secrets");
    for (id, name, counted) in [
        (SNAPSHOTS, OF_SNAPSHOTS, true),
        (SNAPSHOTS, "count/volumesnapshots", false),
        (SECRETS, "secrets", true),
        (foreign, "secrets", false),
        (foreign, "count/secrets", false),
        (foreign, "count/secrets.example.com", true),
        (events, "count/events", false),
        (PODS, "services", false),
        (CLAIMS, "other.storageclass.storage.k8s.io/requests.storage", true),
        (CLAIMS, "other.storageclass.storage.k8s.io/pods", false),
        (CLAIMS, "other.example.com/requests.storage", false),
    ] {
        assert_eq!(counts_in(id, name), counted, "{id} in {name}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn a_write_is_refused_beyond_the_limit_and_booked_within() {
    let grown = |size: &str| Some(claim(size, ""));
    let storage = |used: &str| {
        quota(
            "q",
            &json!({"requests.storage": "5Gi"}),
            &json!({"requests.storage": used}),
        )
    };
    for (why, quota, id, new, old, expected) in [
        (
            "room",
            quota("q", &json!({OF_SNAPSHOTS: "2"}), &json!({OF_SNAPSHOTS: "1"})),
            SNAPSHOTS,
            json!({}),
            None,
            Ok(Some(json!({OF_SNAPSHOTS: "2"}))),
        ),
        (
            "full",
            quota("q", &json!({OF_SNAPSHOTS: "2"}), &json!({OF_SNAPSHOTS: "2"})),
            SNAPSHOTS,
            json!({}),
            None,
            Err(format!(
                "exceeded quota: q, requested: {OF_SNAPSHOTS}=1, used: {OF_SNAPSHOTS}=2, limited: {OF_SNAPSHOTS}=2"
            )),
        ),
        (
            "two names, one of them too full",
            quota(
                "q",
                &json!({"count/secrets": "2", "secrets": "1", "pods": "1"}),
                &json!({"count/secrets": "1", "secrets": "1", "pods": "1"}),
            ),
            SECRETS,
            json!({}),
            None,
            Err("exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1".to_owned()),
        ),
        (
            "another kind",
            quota("q", &json!({"pods": "0"}), &json!({"pods": "0"})),
            SECRETS,
            json!({}),
            None,
            Ok(None),
        ),
        (
            "not counted yet",
            quota("q", &json!({"secrets": "5", "count/secrets": "5"}), &json!({"secrets": "0"})),
            SECRETS,
            json!({}),
            None,
            Err("status unknown for quota: q, resources: count/secrets,secrets".to_owned()),
        ),
        (
            "no limits yet",
            json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "0"}}, "status": {}}),
            SECRETS,
            json!({}),
            None,
            Ok(None),
        ),
        ("size", storage("1Gi"), CLAIMS, claim("4Gi", ""), None, Ok(Some(json!({"requests.storage": "5Gi"})))),
        (
            "too large",
            storage("1Gi"),
            CLAIMS,
            claim("4097Mi", ""),
            None,
            Err("exceeded quota: q, requested: requests.storage=4097Mi, used: requests.storage=1Gi, limited: \
                requests.storage=5Gi"
                .to_owned()),
        ),
        ("growth", storage("4Gi"), CLAIMS, claim("3Gi", ""), grown("2Gi"), Ok(Some(json!({"requests.storage": "5Gi"})))),
        (
            "too much growth",
            storage("4Gi"),
            CLAIMS,
            claim("4Gi", ""),
            grown("2Gi"),
            Err("exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=4Gi, limited: \
                requests.storage=5Gi"
                .to_owned()),
        ),
        ("shrinking frees nothing", storage("4Gi"), CLAIMS, claim("1Gi", ""), grown("2Gi"), Ok(None)),
        ("an update of an overdrawn claim", storage("9Gi"), CLAIMS, claim("9Gi", ""), grown("9Gi"), Ok(None)),
        (
            "the class of a claim that had none",
            quota(
                "q",
                &json!({"gp3.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}),
                &json!({"gp3.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}),
            ),
            CLAIMS,
            claim("1Gi", "gp3"),
            grown("1Gi"),
            Err("exceeded quota: q, requested: gp3.storageclass.storage.k8s.io/persistentvolumeclaims=1, used: \
                gp3.storageclass.storage.k8s.io/persistentvolumeclaims=0, limited: \
                gp3.storageclass.storage.k8s.io/persistentvolumeclaims=0"
                .to_owned()),
        ),
    ] {
        let charge = Charge {
            id,
            new: &new,
            old: old.as_ref(),
            is_refusable: true,
        };
        let found = bookings(&[&quota], charge).map(|bookings| {
            assert!(bookings.iter().all(|booking| booking.quota == "q"), "{why}");
            bookings.first().map(|booking| json_of(&booking.used))
        });
        assert_eq!(found, expected, "{why}");
    }
}

#[test]
fn every_quota_counts_and_a_status_is_never_refused() {
    let one = quota(
        "a",
        &json!({"requests.storage": "9Gi"}),
        &json!({"requests.storage": "1Gi"}),
    );
    let full = quota(
        "b",
        &json!({"requests.storage": "1Gi"}),
        &json!({"requests.storage": "1Gi"}),
    );
    let (old, mut new) = (claim("1Gi", ""), claim("1Gi", ""));
    new["status"] = json!({"allocatedResources": {"storage": "2Gi"}});
    let charge = |is_refusable| Charge {
        id: CLAIMS,
        new: &new,
        old: Some(&old),
        is_refusable,
    };
    let refused = bookings(&[&one, &full], charge(true)).unwrap_err();
    assert!(refused.starts_with("exceeded quota: b, "), "{refused}");
    let booked = bookings(&[&one, &full], charge(false)).unwrap();
    let booked = booked
        .iter()
        .map(|booking| (booking.quota.as_str(), json_of(&booking.used)));
    let two = json!({"requests.storage": "2Gi"});
    assert_eq!(booked.collect::<Vec<_>>(), [("a", two.clone()), ("b", two)]);
}
