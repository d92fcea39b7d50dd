//! Wishes for classes, errors of every kind, refused writes and restarts in any order: what holds at each write, and where it
//! ends.

use controller::{CallFailure, Next};
use csi::Class;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use resizer::patch;
use resizer::plan::modify::{Attempt, Call, Memory, Plan, Step};
use runtime::objects::ModifyStatus;
use serde_json::json;
use tonic::Code;

use super::fate::{Fate, fates};
use super::modify::{Classes, classes, failure};
use super::scene::{apply, now};

/// Classes of our driver, and one of another.
const CLASSES: [&str; 4] = ["gold", "silver", "bronze", "xother"];

/// What happens.
#[derive(Clone, Debug)]
enum Deed {
    /// The user wants this class, or none.
    Want(Option<usize>),
    /// The class of this place goes, or comes.
    Class(usize, bool),
    /// A round, with the driver's answer if it is called.
    Round(Answer, Fate),
    /// The process starts anew.
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Done,
    Final,
    Infeasible,
    Unclear { done: bool },
}

struct World {
    scene: Classes,
    /// The class that the driver's volume has.
    real: Option<String>,
    /// A call for this class may be running, or has had an effect that nobody knows.
    open: Option<String>,
    at: Timestamp,
}

impl World {
    fn deed(&mut self, deed: &Deed) -> Result<(), TestCaseError> {
        match deed {
            Deed::Want(class) => self.want(class.map(|class| CLASSES[class])),
            Deed::Class(class, true) => drop(self.scene.exist.insert(CLASSES[*class].to_owned())),
            Deed::Class(class, false) => drop(self.scene.exist.remove(CLASSES[*class])),
            Deed::Round(answer, fate) => return self.round(*answer, *fate).map(|_| ()),
            Deed::Restart => drop(self.die()),
        }
        self.check()
    }

    /// As the API server lets a user: none only where the claim has none.
    fn want(&mut self, class: Option<&str>) {
        let has_class = self.scene.claim["status"]["currentVolumeAttributesClassName"].is_string();
        if class.is_some() || !has_class {
            self.scene.claim["spec"]["volumeAttributesClassName"] = json!(class);
        }
    }

    /// One round of the frame. True while there is more to do at once.
    fn round(&mut self, answer: Answer, fate: Fate) -> Result<bool, TestCaseError> {
        self.at = self.at.checked_add(SignedDuration::from_hours(1)).unwrap();
        let plan = self.scene.plan_at(self.at);
        let Plan {
            memory,
            at_once,
            next,
            ..
        } = plan.clone();
        if let Some(memory) = at_once {
            self.scene.memory = memory;
        }
        let mut attempt = None;
        for (place, step) in plan.steps().enumerate() {
            if fate.refuses(place, matches!(step, Step::Modify(_))) {
                return Ok(true);
            }
            if fate.dies_before(place) {
                return Ok(self.die());
            }
            let (claim, volume) = self.scene.objects();
            match step {
                Step::Claim(change) => apply(&mut self.scene.claim, &patch::of_claim(&claim, change)),
                Step::Volume(class) => apply(&mut self.scene.volume, &patch::of_class(&volume, class)),
                Step::Modify(call) => attempt = Some(self.call(call, answer)?),
            }
            self.check()?;
        }
        if fate.dies_before(plan.steps().count()) {
            return Ok(self.die());
        }
        self.scene.memory = memory;
        if let Some(attempt) = attempt {
            self.scene.memory.attempt = Some(attempt);
        }
        Ok(next != Next::Await)
    }

    /// The process dies, and what it knew. An infeasible class is tried once more without a mark `[K]`, so nobody knows then that
    /// it was.
    fn die(&mut self) -> bool {
        let (claim, _) = self.scene.objects();
        if claim
            .modify()
            .is_some_and(|modify| modify.status == ModifyStatus::Infeasible)
        {
            self.open = None;
        }
        self.scene.memory = Memory::default();
        true
    }

    fn call(&mut self, call: &Call, answer: Answer) -> Result<Attempt, TestCaseError> {
        let (claim, _) = self.scene.objects();
        let target = claim.modify().and_then(|modify| modify.target.clone());
        prop_assert_eq!(
            target.as_ref(),
            Some(&call.class),
            "no call without a durable target"
        );
        prop_assert!(call.class != "xother", "the parameters are another driver's");
        if let Some(open) = &self.open {
            prop_assert_eq!(
                &call.class,
                open,
                "a call that may be running is ended before another begins"
            );
        }
        self.open = Some(call.class.clone());
        let outcome: Result<(), CallFailure> = match answer {
            Answer::Done => Ok(()),
            Answer::Final => failure(Class::Final, Code::Internal),
            Answer::Infeasible => failure(Class::Infeasible, Code::InvalidArgument),
            Answer::Unclear { .. } => failure(Class::InProgress, Code::Unavailable),
        };
        if matches!(answer, Answer::Done | Answer::Unclear { done: true }) {
            self.real = Some(call.class.clone());
        }
        if !matches!(answer, Answer::Unclear { .. }) {
            self.open = None;
        }
        Ok(Attempt {
            class: call.class.clone(),
            volume_uid: "w".into(),
            outcome,
        })
    }

    /// What may never be otherwise: who tells that the volume has a class tells what it has, until the next call.
    fn check(&self) -> Result<(), TestCaseError> {
        let (claim, volume) = self.scene.objects();
        let told = volume.attributes_class.as_deref();
        let is_changing = claim.modify().is_some();
        if !is_changing {
            prop_assert_eq!(claim.current_class(), self.real.as_deref());
            prop_assert_eq!(told, self.real.as_deref());
        }
        Ok(())
    }

    /// With a driver that does what it is asked, all classes, and nobody who edits.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.scene.exist = CLASSES.map(str::to_owned).into();
        let mut quiet = 0;
        for _ in 0..100 {
            let before = (self.scene.claim.clone(), self.scene.volume.clone());
            let more = self.round(Answer::Done, Fate::All)?;
            let same = before == (self.scene.claim.clone(), self.scene.volume.clone());
            quiet = if same && !more { quiet + 1 } else { 0 };
            if quiet == 2 {
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("does not settle: {:?}", self.scene)))
    }
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let answer = prop_oneof![
        3 => Just(Answer::Done),
        2 => Just(Answer::Final),
        1 => Just(Answer::Infeasible),
        2 => any::<bool>().prop_map(|done| Answer::Unclear { done }),
    ];
    let deed = prop_oneof![
        3 => proptest::option::weighted(0.8, 0..CLASSES.len()).prop_map(Deed::Want),
        1 => (0..CLASSES.len(), any::<bool>()).prop_map(|(class, comes)| Deed::Class(class, comes)),
        6 => (answer, fates()).prop_map(|(answer, fate)| Deed::Round(answer, fate)),
        1 => Just(Deed::Restart),
    ];
    proptest::collection::vec(deed, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn whatever_happens_in_whatever_order_ends_with_the_class_that_is_wanted(deeds in deeds()) {
        let mut world = World {
            scene: classes("", "", "", ""),
            real: None,
            open: None,
            at: now(),
        };
        for deed in &deeds {
            world.deed(deed)?;
        }
        world.settle()?;
        let (claim, _) = world.scene.objects();
        match claim.wanted_class() {
            Some("xother") => {
                let status = claim.modify().map(|modify| modify.status);
                prop_assert_eq!(status, Some(ModifyStatus::Infeasible));
            }
            Some(wanted) => {
                prop_assert_eq!(claim.current_class(), Some(wanted));
                prop_assert_eq!(claim.modify(), None);
                prop_assert!(claim.conditions.is_empty(), "{:?}", claim.conditions);
            }
            // Taken back before anything was begun: the status and its target stay `[K]`.
            None => prop_assert!(claim.conditions.is_empty(), "{:?}", claim.conditions),
        }
    }
}
