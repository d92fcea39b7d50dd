//! What holds of every plan, whatever is observed.

use controller::Next;
use proptest::prelude::*;
use resizer::plan::{Step, VolumeChange};
use runtime::objects::{Quantity, Volume};

use super::scene::{Scene, scene};

const STAGES: [&str; 6] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizePending",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "Strange",
];
const CONDITIONS: [&str; 5] = [
    "Resizing",
    "FileSystemResizePending",
    "ControllerResizeError",
    "NodeResizeError",
    "example.com/x",
];

prop_compose! {
    fn scenes()(
        sizes in proptest::array::uniform4(1..8_i64),
        has_allocated in any::<bool>(),
        stage in proptest::option::of(0..6_usize),
        conditions in proptest::array::uniform5(any::<bool>()),
        flags in proptest::array::uniform5(any::<bool>()),
    ) -> Scene {
        let [wanted, proven, allocated, grown] = sizes.map(|size| format!("{size}Gi"));
        let mut scene = scene().wanted(&wanted).proven(&proven).grown(&grown);
        if has_allocated {
            scene = scene.allocated(&allocated);
        }
        if let Some(stage) = stage {
            scene = scene.stage(STAGES[stage]);
        }
        for (kind, _) in CONDITIONS.iter().zip(conditions).filter(|(_, there)| *there) {
            scene = scene.condition(kind);
        }
        if flags[0] {
            scene = scene.annotated("1Gi");
        }
        scene.settings.controller_expands = flags[1];
        scene.settings.annotate = flags[2];
        scene.settings.recover = flags[3];
        scene.memory.settled = Quantity::parse(&allocated).filter(|_| flags[4]);
        scene
    }
}

fn size(scene: &Scene) -> Quantity {
    serde_json::from_value::<Volume>(scene.volume.clone())
        .unwrap()
        .capacity
        .unwrap()
}

proptest! {
    // A failure prints its input; it becomes a row of a table.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_writes_of_plans_reach_a_state_that_needs_none(scene in scenes(), more in 0..3_i64, node in any::<bool>()) {
        let mut scene = scene;
        scene.run(more << 28, node);
        let rested = scene.clone();
        prop_assert!(scene.run(0, node).is_empty());
        prop_assert_eq!(scene.claim, rested.claim);
        prop_assert_eq!(scene.volume, rested.volume);
    }

    #[test]
    fn with_a_node_that_works_the_wish_is_reached(scene in scenes(), node in any::<bool>()) {
        let mut scene = scene;
        for _ in 0..4 {
            scene.run(0, node);
            // A node that works finishes every stage that was begun.
            let stage = scene.claim["status"]["allocatedResourceStatuses"]["storage"].clone();
            if stage.as_str().is_some_and(|stage| stage.starts_with("NodeResize")) {
                scene.node_finishes();
            }
        }
        if scene.settings.recover && !scene.claim.to_string().contains("FileSystemResizePending") {
            let of = |value: &serde_json::Value| Quantity::parse(value.as_str().unwrap()).unwrap();
            let wanted = of(&scene.claim["spec"]["resources"]["requests"]["storage"]);
            prop_assert!(of(&scene.claim["status"]["capacity"]["storage"]) >= wanted, "{:?}", scene.claim);
        }
    }

    #[test]
    fn a_volume_never_shrinks_where_a_controller_expands(scene in scenes(), more in 0..3_i64, node in any::<bool>()) {
        let mut scene = scene;
        scene.settings.controller_expands = true;
        let before = size(&scene);
        scene.run(more << 28, node);
        prop_assert!(size(&scene) >= before);
    }

    #[test]
    fn no_call_comes_without_a_durable_target(scene in scenes()) {
        let steps = scene.steps();
        let Some(at) = steps.iter().position(|step| matches!(step, Step::Expand(_))) else {
            return Ok(());
        };
        if !scene.settings.recover {
            return Ok(());
        }
        let Step::Expand(call) = &steps[at] else { unreachable!() };
        let marked = steps[..at].iter().any(
            |step| matches!(step, Step::Claim(change) if change.allocated == Some(call.target)),
        );
        let stands = scene.claim["status"]["allocatedResources"]["storage"].as_str();
        prop_assert!(marked || stands.and_then(Quantity::parse) == Some(call.target), "{:?}", steps);
    }

    #[test]
    fn foreign_conditions_stay(scene in scenes(), node in any::<bool>()) {
        let mut scene = scene;
        let foreign = |scene: &Scene| scene.claim.to_string().contains("example.com/x");
        let before = foreign(&scene);
        scene.run(0, node);
        prop_assert_eq!(foreign(&scene), before);
    }

    #[test]
    fn a_plan_that_does_nothing_does_not_spin(scene in scenes()) {
        let plan = scene.plan();
        prop_assert!(!plan.actions.is_empty() || plan.next != Next::Again || plan.memory.attempt.is_some());
        let shrinks = |step: &Step| matches!(step, Step::Volume(VolumeChange::Grown { capacity, .. }) if *capacity < size(&scene));
        prop_assert!(!plan.steps().any(shrinks));
    }
}
