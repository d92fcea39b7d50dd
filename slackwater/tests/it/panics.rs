//! A panic of a task reaches who owns the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use kube::client::Body;
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use slackwater::controller::Function;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_is_told_to_who_owns_the_process() {
    let world = World::new(5, Ec2Options::instant()).await;
    let (scope, faults) = (world.scope.child(), Faults::none());
    let mut outside = world.outside(&Function::ALL, &faults, "replica", &scope);
    let (to, breaks) = (world.client("watches", &faults), Arc::new(AtomicBool::new(false)));
    let broken = breaks.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (to, broken) = (to.clone(), broken.load(Ordering::SeqCst));
        async move {
            let is_watched = request.uri().path().ends_with("/volumesnapshots");
            assert!(!(broken && is_watched), "out of luck");
            to.send(request).await
        }
    });
    outside.watches = Some(kube::Client::new(service, "default"));
    let process = world
        .start_reaching(outside, &Function::ALL, faults, &[], scope)
        .await;
    world.create_snapshot("s", "p", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    breaks.store(true, Ordering::SeqCst);
    // Watches last five minutes at most.
    let told = tokio::time::timeout(Duration::from_secs(300), world.scope.failed()).await;
    let panicked = told.unwrap();
    assert_eq!(
        (panicked.task.as_str(), panicked.text.as_str()),
        ("watch of VolumeSnapshot", "out of luck")
    );
    assert!(!process.is_gone(), "nothing else would have told it");
}
