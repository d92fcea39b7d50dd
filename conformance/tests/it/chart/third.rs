//! Helm 3 beside Helm 4.

use super::{Helm, RELEASE, all_values, refused};

/// What both are told of the cluster: each has a version of its own by default.
const CLUSTER: [&str; 1] = ["--kube-version=1.37.0"];

#[test]
fn journeys_case_106_helm_3_makes_the_objects_that_helm_4_makes() {
    let (Some(fourth), Some(third)) = (Helm::find(), Helm::third()) else {
        return;
    };
    for values in all_values() {
        let said = third.lint(&values);
        assert!(said.is_ok(), "{said:?}");
        let objects = third.rendered_for(&values, &CLUSTER);
        assert!(!objects.is_empty());
        assert_eq!(objects, fourth.rendered_for(&values, &CLUSTER), "{values}");
    }
}

#[test]
fn journeys_case_106_helm_3_refuses_what_helm_4_refuses() {
    let Some(third) = Helm::third() else { return };
    for (values, says) in refused::refused() {
        let refusal = third.template(RELEASE, &values, &[]).unwrap_err();
        assert!(refusal.contains(says), "{values}: {refusal}");
    }
}
