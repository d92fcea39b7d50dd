//! Decisions about attributes classes: the rows of resize.md 5.2, and what holds of every plan.

use std::collections::BTreeSet;
use std::time::Duration;

use controller::{Action, CallFailure, Next, Retries};
use csi::Class;
use jiff::Timestamp;
use proptest::prelude::*;
use resizer::observe::Settings;
use resizer::patch;
use resizer::plan::modify::{Attempt, Memory, Observed, Plan, Slow, Step, plan};
use runtime::objects::{AttributesClass, Claim, Volume};
use serde_json::{Value, json};
use tonic::Code;

use super::scene::{apply, now, scene};

/// A claim with classes, and the classes that exist.
#[derive(Clone, Debug)]
pub struct Classes {
    pub claim: Value,
    pub volume: Value,
    pub exist: BTreeSet<String>,
    pub memory: Memory,
    settings: Settings,
}

/// All classes of the tests exist; those beginning with `x` are another driver's.
pub fn classes(wanted: &str, current: &str, status: &str, target: &str) -> Classes {
    let scene = scene();
    let mut found = Classes {
        claim: scene.claim,
        volume: scene.volume,
        exist: ["gold", "silver", "bronze", "xother"].map(str::to_owned).into(),
        memory: Memory::default(),
        settings: scene.settings,
    };
    let named = |name: &str| match name {
        "" => Value::Null,
        name => json!(name),
    };
    found.claim["spec"]["volumeAttributesClassName"] = named(wanted);
    found.claim["status"]["currentVolumeAttributesClassName"] = named(current);
    found.volume["spec"]["volumeAttributesClassName"] = named(current);
    if !status.is_empty() {
        let modify = json!({"status": status, "targetVolumeAttributesClassName": named(target)});
        found.claim["status"]["modifyVolumeStatus"] = modify;
    }
    found
}

impl Classes {
    fn settled(mut self, class: &str) -> Self {
        self.memory.settled = Some(class.to_owned());
        self
    }

    fn class(&self, name: Option<&str>) -> Option<AttributesClass> {
        let name = name.filter(|name| self.exist.contains(*name))?;
        let driver = if name.starts_with('x') {
            "other"
        } else {
            &self.settings.driver
        };
        let class = json!({"metadata": {"name": name}, "driverName": driver, "parameters": {"is": name}});
        Some(serde_json::from_value(class).unwrap())
    }

    pub fn objects(&self) -> (Claim, Volume) {
        (
            serde_json::from_value(self.claim.clone()).unwrap(),
            serde_json::from_value(self.volume.clone()).unwrap(),
        )
    }

    pub fn plan_at(&self, now: Timestamp) -> Plan {
        let (claim, volume) = self.objects();
        let target = claim.modify().and_then(|modify| modify.target.as_deref());
        let (wanted, target) = (self.class(claim.wanted_class()), self.class(target));
        let observed = Observed {
            claim: &claim,
            volume: Some(&volume),
            wanted: wanted.as_ref(),
            target: target.as_ref(),
            classes_followed: true,
            secret: None,
            memory: &self.memory,
            retries: &Retries::default(),
            settings: &self.settings,
        };
        plan(&observed, now)
    }

    /// Takes a plan; the driver answers this. Returns the class that was asked for.
    pub fn take(&mut self, plan: Plan, outcome: &Result<(), CallFailure>) -> (Option<String>, Next) {
        let (claim, volume) = self.objects();
        self.memory = plan.memory.clone();
        let mut asked = None;
        for step in plan.steps() {
            match step {
                Step::Claim(change) => apply(&mut self.claim, &patch::of_claim(&claim, change)),
                Step::Volume(class) => apply(&mut self.volume, &patch::of_class(&volume, class)),
                Step::Modify(call) => {
                    let marked =
                        self.claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"]
                            .as_str();
                    assert_eq!(
                        marked,
                        Some(call.class.as_str()),
                        "no call without a durable target"
                    );
                    asked = Some(call.class.clone());
                    self.memory.attempt = Some(Attempt {
                        class: call.class.clone(),
                        volume_uid: "w".into(),
                        outcome: outcome.clone(),
                    });
                }
            }
        }
        (asked, plan.next)
    }

    /// Runs until the plan rests, an hour later each time it waits. Returns the classes that were asked for.
    fn run(&mut self, outcomes: &[Result<(), CallFailure>]) -> Vec<String> {
        let (mut asked, mut outcomes) = (Vec::new(), outcomes.iter());
        let mut at = now();
        for _ in 0..40 {
            let plan = self.plan_at(at);
            let outcome = outcomes.as_slice().first().cloned().unwrap_or(Ok(()));
            let (class, next) = self.take(plan, &outcome);
            if class.is_some() {
                outcomes.next();
            }
            asked.extend(class);
            match next {
                Next::Again => {}
                Next::Await => return asked,
                Next::After(_) | Next::Backoff(_) | Next::Held(_) => {
                    at = at.checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
                }
            }
        }
        panic!("does not settle: {self:?}");
    }

    /// Class of the volume, class of the claim, status of the change.
    fn shown(&self) -> (Option<&str>, Option<&str>, Option<&str>) {
        let status = &self.claim["status"];
        (
            self.volume["spec"]["volumeAttributesClassName"].as_str(),
            status["currentVolumeAttributesClassName"].as_str(),
            status["modifyVolumeStatus"]["status"].as_str(),
        )
    }
}

pub fn failure(class: Class, code: Code) -> Result<(), CallFailure> {
    Err(CallFailure {
        class,
        code: Some(code),
        text: "rpc error: code = X desc = no".to_owned(),
        retry_after: None,
    })
}

#[test]
fn resize_case_79_to_90_the_rows_of_the_decision() {
    for (case, scene, asked) in [
        ("row 2", classes("", "", "", ""), vec![]),
        ("row 2, current", classes("gold", "gold", "", ""), vec![]),
        ("row 3", classes("", "", "Infeasible", "gold"), vec![]),
        ("row 3, pending", classes("", "", "Pending", ""), vec![]),
        (
            "row 4",
            classes("bronze", "", "InProgress", "gold"),
            vec!["gold", "bronze"],
        ),
        (
            "row 4, taken back",
            classes("", "", "InProgress", "gold"),
            vec!["gold"],
        ),
        (
            "row 5, case 90",
            classes("", "", "InProgress", "gold").settled("gold"),
            vec!["gold"],
        ),
        ("row 6", classes("gold", "", "", ""), vec!["gold"]),
        (
            "row 6, settled",
            classes("bronze", "", "InProgress", "gold").settled("gold"),
            vec!["bronze"],
        ),
        (
            "row 6, settled of another",
            classes("bronze", "", "InProgress", "gold").settled("silver"),
            vec!["gold", "bronze"],
        ),
        (
            "row 6, infeasible",
            classes("bronze", "", "Infeasible", "gold"),
            vec!["bronze"],
        ),
        (
            "row 6, roll back, case 84",
            classes("silver", "silver", "Infeasible", "gold"),
            vec!["silver"],
        ),
        (
            "row 6, pending",
            classes("gold", "", "Pending", "silver"),
            vec!["gold"],
        ),
        (
            "unknown status",
            classes("gold", "", "Strange", "silver"),
            vec!["gold"],
        ),
        ("no target", classes("gold", "", "InProgress", ""), vec!["gold"]),
    ] {
        let mut scene = scene;
        assert_eq!(scene.run(&[]), asked, "{case}");
    }
}

#[test]
fn resize_case_83_an_infeasible_class_waits_and_another_one_does_not() {
    let mut scene = classes("gold", "", "Infeasible", "gold");
    scene.memory.slow = Some(Slow {
        class: "gold".into(),
        until: now().checked_add(jiff::SignedDuration::from_secs(60)).unwrap(),
    });
    let plan = scene.plan_at(now());
    assert!(
        plan.steps().next().is_none() && matches!(plan.next, Next::After(_)),
        "{plan:?}"
    );
    scene.claim["spec"]["volumeAttributesClassName"] = json!("bronze");
    assert!(
        scene
            .plan_at(now())
            .steps()
            .any(|step| matches!(step, Step::Modify(_)))
    );
}

#[test]
fn resize_case_82_a_class_that_vanishes_while_it_is_applied_stays_the_target() {
    let mut scene = classes("gold", "", "InProgress", "gold");
    scene.exist.clear();
    let plan = scene.plan_at(now());
    let told = plan.actions.iter().find_map(|action| match action {
        Action::Event(event) => Some(event.message.clone()),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("VAC \"gold\" does not exist."));
    assert!(plan.steps().next().is_none() && matches!(plan.next, Next::Backoff(_)));
    scene.exist.insert("gold".into());
    assert_eq!(scene.run(&[]), ["gold"]);
}

#[test]
fn a_claim_that_is_not_bound_to_the_volume_is_left_alone() {
    let mut pending = classes("gold", "", "", "");
    pending.claim["status"]["phase"] = json!("Pending");
    let mut other_uid = classes("gold", "", "", "");
    other_uid.volume["spec"]["claimRef"]["uid"] = json!("x");
    let mut foreign = classes("gold", "", "", "");
    foreign.volume["spec"]["csi"]["driver"] = json!("other");
    let mut in_tree = in_tree("vol-1");
    in_tree.settings.driver = "d.csi".into();
    for scene in [pending, other_uid, foreign, in_tree] {
        let plan = scene.plan_at(now());
        assert_eq!((plan.actions.len(), plan.next), (0, Next::Await));
    }
}

/// A volume of the in-tree plugin of EBS, whose claim wants `gold`.
fn in_tree(id: &str) -> Classes {
    let mut scene = classes("gold", "", "", "");
    scene.settings.driver = "ebs.csi.aws.com".into();
    let spec = scene.volume["spec"].as_object_mut().unwrap();
    spec.remove("csi");
    spec.remove("volumeAttributesClassName");
    spec.insert("awsElasticBlockStore".into(), json!({"volumeID": id}));
    scene
}

#[test]
fn resize_case_117_the_class_of_an_in_tree_volume_stands_on_its_claim_alone() {
    let mut scene = in_tree("aws://us-east-1a/vol-1");
    let before = scene.volume.clone();
    let plan = scene.plan_at(now());
    let Some(Step::Modify(call)) = plan.steps().last() else {
        panic!("no call: {plan:?}");
    };
    assert_eq!((call.volume_handle.as_str(), call.migrated), ("vol-1", true));
    assert_eq!(scene.run(&[]), ["gold"]);
    assert_eq!(scene.shown(), (None, Some("gold"), None));
    assert_eq!(scene.volume, before, "the API server refuses a class without csi");
}

#[test]
fn resize_case_123_a_class_that_comes_late_and_is_another_drivers_is_told() {
    let mut scene = classes("xother", "", "", "");
    scene.exist.remove("xother");
    let at = |seconds| {
        now()
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap()
    };
    for seconds in [0, 5] {
        let plan = scene.plan_at(at(seconds));
        scene.take(plan, &Ok(()));
    }
    assert_eq!(scene.shown(), (None, None, Some("Pending")));
    scene.exist.insert("xother".into());
    for seconds in [10, 11] {
        let plan = scene.plan_at(at(seconds));
        assert_eq!(scene.take(plan, &Ok(())).0, None);
    }
    assert_eq!(scene.shown(), (None, None, Some("Infeasible")));
}

#[test]
fn resize_case_118_an_id_that_is_no_volume_is_told_and_asked_of_nobody() {
    let mut scene = in_tree("aws://us-east-1a/foo");
    let plan = scene.plan_at(now());
    assert_eq!(scene.take(plan, &Ok(())).0, None);
    let plan = scene.plan_at(now());
    assert_eq!(scene.take(plan, &Ok(())).0, None);
    let claim = scene.claim.to_string();
    assert!(
        claim.contains("ModifyVolumeError") && claim.contains("which is no EBS volume"),
        "{claim}"
    );
}

/// EC2's day of four is full: gold waits for it. Who takes the wish back has what the volume has.
#[test]
fn resize_case_131_a_wish_that_is_taken_back_does_not_wait_for_the_hold_of_another_class() {
    let held = |class| match failure(class, Code::Internal) {
        Err(failure) => Err(CallFailure {
            retry_after: Some(Duration::from_hours(20)),
            ..failure
        }),
        Ok(()) => unreachable!(),
    };
    let turn = |scene: &mut Classes, wanted: &str, answer: &Result<(), CallFailure>| {
        scene.claim["spec"]["volumeAttributesClassName"] = json!(wanted);
        let mut asked = Vec::new();
        loop {
            let plan = scene.plan_at(now());
            let (class, next) = scene.take(plan, answer);
            asked.extend(class);
            if next != Next::Again {
                return (asked, next);
            }
        }
    };
    let mut scene = classes("gold", "silver", "", "");
    let (asked, next) = turn(&mut scene, "gold", &held(Class::Final));
    assert_eq!(asked, ["gold"]);
    assert!(matches!(next, Next::After(_)), "{next:?}");
    // A third class waits as before.
    let (asked, next) = turn(&mut scene, "bronze", &Ok(()));
    assert!(asked.is_empty() && matches!(next, Next::After(_)), "{next:?}");
    // The driver may not have it yet: then it waits too.
    let mut refused = scene.clone();
    let (asked, next) = turn(&mut refused, "silver", &held(Class::Final));
    assert!(asked == ["silver"] && matches!(next, Next::After(_)), "{next:?}");
    let (asked, _) = turn(&mut refused, "silver", &Ok(()));
    assert!(asked.is_empty());
    let (asked, _) = turn(&mut scene, "silver", &Ok(()));
    assert_eq!(asked, ["silver"]);
    assert_eq!(scene.shown(), (Some("silver"), Some("silver"), None));
}

const NAMES: [&str; 5] = ["", "gold", "silver", "missing", "xother"];
const STATUSES: [&str; 5] = ["", "Pending", "InProgress", "Infeasible", "Strange"];

prop_compose! {
    fn scenes()(
        names in proptest::array::uniform3(0..5_usize),
        status in 0..5_usize,
        settled in any::<bool>(),
        foreign in any::<bool>(),
        ours in any::<bool>(),
    ) -> Classes {
        let [wanted, current, target] = names.map(|name| NAMES[name]);
        // The API server lets nobody take a wish back once the claim has a class.
        let wanted = if wanted.is_empty() && !current.is_empty() { current } else { wanted };
        let mut scene = classes(wanted, current, STATUSES[status], target);
        if settled {
            scene = scene.settled(target);
        }
        let mut conditions = Vec::new();
        if foreign {
            conditions.push(json!({"type": "example.com/x", "status": "True"}));
        }
        if ours {
            conditions.push(json!({"type": "ModifyingVolume", "status": "True"}));
            conditions.push(json!({"type": "ModifyVolumeError", "status": "True", "reason": "Internal"}));
        }
        scene.claim["status"]["conditions"] = json!(conditions);
        scene
    }
}

fn outcomes() -> impl Strategy<Value = Vec<Result<(), CallFailure>>> {
    let one = prop_oneof![
        Just(Ok(())),
        Just(failure(Class::Final, Code::Internal)),
        Just(failure(Class::InProgress, Code::Unavailable)),
        Just(failure(Class::Infeasible, Code::InvalidArgument)),
    ];
    proptest::collection::vec(one, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands there and whatever the driver answers first: in the end the volume has what the claim wants, or
    /// the claim says why not; and never more than the volume has.
    #[test]
    fn a_wish_is_met_or_the_claim_says_why_not(scene in scenes(), outcomes in outcomes()) {
        let mut scene = scene;
        // These wait for ever: for a class that is not there, and for a target that nobody wrote.
        let modify = scene.claim["status"]["modifyVolumeStatus"].clone();
        let target = modify["targetVolumeAttributesClassName"].as_str();
        prop_assume!(modify["status"] != "InProgress" || !matches!(target, None | Some("missing")));
        scene.run(&outcomes);
        let wanted = scene.claim["spec"]["volumeAttributesClassName"].as_str().map(str::to_owned);
        let (volume, current, status) = scene.shown();
        match wanted.as_deref() {
            Some("missing") if status.is_some() => prop_assert_eq!(status, Some("Pending")),
            Some("xother") if status.is_some() => prop_assert_eq!(status, Some("Infeasible")),
            Some(wanted) => {
                prop_assert_eq!(status, None);
                prop_assert_eq!(current, Some(wanted));
            }
            None => prop_assert!(status != Some("InProgress")),
        }
        prop_assert_eq!(volume, current);
        let rested = scene.clone();
        prop_assert!(scene.run(&[]).is_empty());
        prop_assert_eq!(scene.claim, rested.claim);
    }

    #[test]
    fn foreign_conditions_stay_beside_those_of_a_change(scene in scenes(), outcomes in outcomes()) {
        let mut scene = scene;
        let foreign = |scene: &Classes| scene.claim.to_string().contains("example.com/x");
        let before = foreign(&scene);
        for _ in 0..6 {
            let plan = scene.plan_at(now());
            let outcome = outcomes.first().cloned().unwrap_or(Ok(()));
            scene.take(plan, &outcome);
            prop_assert_eq!(foreign(&scene), before);
        }
    }

    #[test]
    fn a_plan_about_classes_that_does_nothing_does_not_spin(scene in scenes()) {
        let plan = scene.plan_at(now());
        prop_assert!(!plan.actions.is_empty() || plan.next != Next::Again || plan.memory.attempt.is_some());
    }
}
