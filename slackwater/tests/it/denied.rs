//! Writes that the API server refuses: the user is told what the refusal and what the driver said, whatever is written.

use std::time::Duration;

use sandbox::ec2::{Ec2Options, Fault as Ec2Fault, When};
use sandbox::faults::{Call, Fault, Faults, Refusal, Schedule};
use sandbox::kube::Denial;

use crate::world::{CLAIMS, CONTENTS, World};

/// Requests of this form are refused.
struct Always {
    begins: &'static str,
    ends: &'static str,
    refusal: Refusal,
}

impl Schedule for Always {
    fn fault(&self, call: &Call) -> Fault {
        if call.name.starts_with(self.begins) && call.name.contains(self.ends) && !call.watch {
            Fault::Refuse(self.refusal)
        } else {
            Fault::None
        }
    }
}

fn of_status(resource: sandbox::kube::GroupResource<'_>) -> Denial {
    Denial {
        subresource: "status".to_owned(),
        ..Denial::of("patch", resource)
    }
}

fn told(world: &World, about: &str, reason: &str, says: &str) -> bool {
    let events = world.events(about);
    events
        .iter()
        .any(|(is, message)| is == reason && message.contains(says))
}

#[tokio::test(start_paused = true)]
async fn a_role_without_the_status_of_contents_hides_no_error_of_the_driver() {
    let world = World::new(1, Ec2Options::instant()).await;
    world.api.deny("csi-snapshotter", of_status(CONTENTS));
    world.ec2.inject(
        "CreateSnapshot",
        When::Always,
        Ec2Fault::error("InvalidParameterValue"),
    );
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let content = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let events = world.events(&content);
    assert!(
        told(
            &world,
            &content,
            "SnapshotCreationFailed",
            "InvalidParameterValue"
        ),
        "{events:?}"
    );
    let refused = events
        .iter()
        .any(|(_, message)| message.contains("volumesnapshotcontents/status"));
    assert!(refused, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_role_without_the_status_of_claims_hides_no_error_of_the_driver() {
    let world = World::new(2, Ec2Options::instant()).await;
    world.api.deny("csi-resizer", of_status(CLAIMS));
    let _process = world.start(Faults::none()).await;
    world.expand("p", "20Gi");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let events = world.events("p");
    assert!(
        told(&world, "p", "VolumeResizeFailed", "persistentvolumeclaims/status"),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_denies_is_told_with_its_words() {
    for (begins, ends, about, reason) in [
        (
            "POST",
            "/volumesnapshotcontents",
            "s",
            "CreateSnapshotContentFailed",
        ),
        ("PATCH", "/volumesnapshots/s", "s", "SnapshotFinalizerError"),
        ("PATCH", "/persistentvolumeclaims/p", "s", "ErrorPVCFinalizer"),
        (
            "PATCH",
            "/volumesnapshotcontents/",
            "snapcontent-",
            "SnapshotCreationFailed",
        ),
    ] {
        let world = World::new(3, Ec2Options::instant()).await;
        let refusal = Refusal::Denied;
        let _process = world
            .start(Faults::new(Always {
                begins,
                ends,
                refusal,
            }))
            .await;
        world.create_snapshot("s", "p", "delete");
        tokio::time::sleep(Duration::from_secs(30)).await;
        let contents = world.contents();
        let about = match contents.first() {
            Some(content) if about == "snapcontent-" => content["metadata"]["name"].as_str().unwrap(),
            _ => about,
        };
        let events = world.events(about);
        assert!(
            told(&world, about, reason, "no snapshots on Fridays"),
            "{begins} {ends}: {events:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_never_applies_is_no_lost_race_and_is_told() {
    let world = World::new(4, Ec2Options::instant()).await;
    let faults = Faults::new(Always {
        begins: "PATCH",
        ends: "/volumesnapshots/s",
        refusal: Refusal::FailedTest,
    });
    let _process = world.start(faults.clone()).await;
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let events = world.events("s");
    assert!(
        told(
            &world,
            "s",
            "SnapshotFinalizerError",
            "due to an error in our request"
        ),
        "{events:?}"
    );
    let patches = faults.calls();
    let patches = patches
        .iter()
        .filter(|(_, fault)| matches!(fault, Fault::Refuse(_)));
    assert!(patches.count() < 12, "it backs off");
    faults.end();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(world.is_ready("s"), "and goes on when it applies");
}
