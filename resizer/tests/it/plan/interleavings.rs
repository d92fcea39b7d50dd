//! Edits, errors of every kind, refused writes, restarts and a node that works or gives up, in any order: what holds at each
//! write, and where it ends.

use controller::CallFailure;
use csi::Class;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use resizer::observe::{Attempt, Grown, Memory};
use resizer::patch;
use resizer::plan::{Expand, Plan, Step};
use runtime::objects::{Claim, Quantity, ResizeStatus, Volume};
use serde_json::json;
use tonic::Code;

use super::fate::{Fate, fates};
use super::scene::{Scene, apply, gib, now, scene};

/// What happens.
#[derive(Clone, Debug)]
enum Deed {
    /// The user asks for this size, in GiB.
    Edit(i64),
    /// A round, with the driver's answer if it is called.
    Round(Answer, Fate),
    /// The process starts anew.
    Restart,
    /// The node has grown the file system, or gives up, if it is its turn.
    Node { gives_up: bool },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Grown, by so many MiB more than asked for.
    Grown(i64),
    /// Refused; nothing was done.
    Final,
    /// Refused for good.
    Infeasible,
    /// In use.
    InUse,
    /// Nobody knows whether it was done, and whether it was.
    Unclear { done: bool },
}

/// The claim, its volume, and what the driver has.
struct World {
    scene: Scene,
    /// The size that the driver's volume has.
    real: Quantity,
    /// A call at this size may be running, or has had an effect that nobody knows.
    open: Option<Quantity>,
    node_stage: bool,
    at: Timestamp,
}

impl World {
    fn objects(&self) -> (Claim, Volume) {
        (
            serde_json::from_value(self.scene.claim.clone()).unwrap(),
            serde_json::from_value(self.scene.volume.clone()).unwrap(),
        )
    }

    fn deed(&mut self, deed: &Deed) -> Result<(), TestCaseError> {
        match deed {
            Deed::Edit(size) => self.edit(*size),
            Deed::Round(answer, fate) => return self.round(*answer, *fate).map(|_| ()),
            Deed::Restart => drop(self.die()),
            Deed::Node { gives_up } => self.node(*gives_up),
        }
        self.check()
    }

    /// As the API server lets a user: less than before only if it is more than what is proven.
    fn edit(&mut self, size: i64) {
        let (claim, _) = self.objects();
        let allowed = Some(gib(size)) >= claim.request || Some(gib(size)) > claim.capacity;
        if allowed {
            self.scene.claim["spec"]["resources"]["requests"]["storage"] = json!(format!("{size}Gi"));
        }
    }

    fn node(&mut self, gives_up: bool) {
        let (claim, _) = self.objects();
        if claim.resize != Some(ResizeStatus::NodeResizePending) {
            return;
        }
        if gives_up {
            self.scene.claim["status"]["allocatedResourceStatuses"]["storage"] =
                json!("NodeResizeInfeasible");
        } else {
            self.scene.node_finishes();
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
            if fate.refuses(place, matches!(step, Step::Expand(_))) {
                return Ok(true);
            }
            if fate.dies_before(place) {
                return Ok(self.die());
            }
            let (claim, volume) = self.objects();
            match step {
                Step::Claim(change) => apply(&mut self.scene.claim, &patch::of_claim(&claim, change)),
                Step::Volume(change) => apply(&mut self.scene.volume, &patch::of_volume(&volume, *change)),
                Step::Expand(call) => attempt = Some(self.call(call, &claim, answer)?),
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
        Ok(next == controller::Next::Again)
    }

    /// The process dies, and what it knew. An infeasible size is tried once more without a mark `[K]`, so nobody knows then that
    /// it was.
    fn die(&mut self) -> bool {
        let (claim, _) = self.objects();
        if claim.resize == Some(ResizeStatus::ControllerResizeInfeasible) {
            self.open = None;
        }
        self.scene.memory = Memory::default();
        true
    }

    fn call(&mut self, call: &Expand, claim: &Claim, answer: Answer) -> Result<Attempt, TestCaseError> {
        let target = call.target;
        prop_assert_eq!(claim.allocated, Some(target), "no call without a durable target");
        if let Some(open) = self.open {
            prop_assert_eq!(
                target,
                open,
                "a call that may be running is ended before another begins"
            );
        }
        // Until its answer is known.
        self.open = Some(target);
        let failed = |class, code| {
            Err(CallFailure {
                class,
                code: Some(code),
                text: "rpc error: code = X desc = no".to_owned(),
                retry_after: None,
            })
        };
        let outcome = match answer {
            Answer::Grown(more) => {
                let asked = Quantity::from_bytes(target.bytes() + (more << 20));
                self.real = self.real.max(asked);
                Ok(Grown {
                    capacity: self.real,
                    node_stage: self.node_stage,
                })
            }
            Answer::Final => failed(Class::Final, Code::Internal),
            Answer::Infeasible => failed(Class::Infeasible, Code::InvalidArgument),
            Answer::InUse => failed(Class::Final, Code::FailedPrecondition),
            Answer::Unclear { done } => {
                if done {
                    self.real = self.real.max(target);
                }
                failed(Class::InProgress, Code::Unavailable)
            }
        };
        if !matches!(answer, Answer::Unclear { .. }) {
            self.open = None;
        }
        Ok(Attempt {
            target,
            volume_uid: "w".into(),
            before: claim.capacity,
            outcome,
        })
    }

    /// What may never be otherwise.
    fn check(&self) -> Result<(), TestCaseError> {
        let (claim, volume) = self.objects();
        prop_assert!(
            claim.capacity <= volume.capacity,
            "the claim says more than its volume: {:?}",
            claim
        );
        prop_assert!(
            volume.capacity <= Some(self.real),
            "the volume says more than there is: {:?}",
            volume
        );
        if claim.resize == Some(ResizeStatus::NodeResizePending) {
            prop_assert!(
                claim.allocated <= Some(self.real),
                "the node is told of more than there is"
            );
            prop_assert!(claim.allocated > claim.capacity, "the node is told of nothing");
        }
        Ok(())
    }

    /// With a driver and a node that do what they are asked, and nobody who edits.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut quiet = 0;
        for _ in 0..100 {
            let before = (self.scene.claim.clone(), self.scene.volume.clone());
            let more = self.round(Answer::Grown(0), Fate::All)?;
            self.deed(&Deed::Node { gives_up: false })?;
            let same = before == (self.scene.claim.clone(), self.scene.volume.clone());
            quiet = if same && !more { quiet + 1 } else { 0 };
            if quiet == 3 {
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("does not settle: {:?}", self.scene)))
    }
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let answer = prop_oneof![
        3 => (0..600_i64).prop_map(Answer::Grown),
        2 => Just(Answer::Grown(0)),
        2 => Just(Answer::Final),
        1 => Just(Answer::Infeasible),
        1 => Just(Answer::InUse),
        2 => any::<bool>().prop_map(|done| Answer::Unclear { done }),
    ];
    let deed = prop_oneof![
        2 => (10..40_i64).prop_map(Deed::Edit),
        6 => (answer, fates()).prop_map(|(answer, fate)| Deed::Round(answer, fate)),
        1 => Just(Deed::Restart),
        2 => any::<bool>().prop_map(|gives_up| Deed::Node { gives_up }),
    ];
    proptest::collection::vec(deed, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn whatever_happens_in_whatever_order_ends_with_what_is_wanted(
        deeds in deeds(),
        node_stage in any::<bool>(),
        annotate in any::<bool>(),
    ) {
        let mut scene = scene();
        scene.settings.annotate = annotate;
        let mut world = World {
            scene,
            real: gib(10),
            open: None,
            node_stage,
            at: now(),
        };
        for deed in &deeds {
            world.deed(deed)?;
        }
        world.settle()?;
        let (claim, volume) = world.objects();
        prop_assert!(claim.capacity >= claim.request, "{:?}", claim);
        prop_assert_eq!(claim.resize, None);
        prop_assert!(claim.conditions.is_empty(), "{:?}", claim.conditions);
        prop_assert!(!volume.has_pre_resize_capacity, "{:?}", volume);
        prop_assert!(claim.allocated.is_none_or(|allocated| allocated <= world.real));
    }
}
