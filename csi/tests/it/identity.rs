//! The calls of a sidecar's start.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use csi::Channel;
use csi::identity::{IdentityError, PluginService, plugin_capabilities, plugin_info, wait_until_ready};
use tokio::time::Instant;
use tonic::Status;

use crate::driver::Driver;

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn snapshot_case_17_probe_repeats_each_second_until_ready() {
    let driver = Driver {
        not_ready: AtomicUsize::new(10).into(),
        ..Driver::named("a.driver")
    };
    let started = Instant::now();
    wait_until_ready(&Channel::in_process(driver.routes()), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(driver.not_ready.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_17_another_error_of_probe_ends_the_wait() {
    let driver = Driver {
        probe_error: Some(Status::failed_precondition("no credentials")),
        ..Driver::named("a.driver")
    };
    let error = wait_until_ready(&Channel::in_process(driver.routes()), TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the CSI driver failed Probe: rpc error: code = FailedPrecondition desc = no credentials"
    );
    assert!(!error.is_unreachable());
}

#[tokio::test(start_paused = true)]
async fn name_and_capabilities_are_read() {
    let channel = Channel::in_process(Driver::named("a.driver").routes());
    let info = plugin_info(&channel, TIMEOUT).await.unwrap();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("a.driver", "v1"));
    let found = plugin_capabilities(&channel, TIMEOUT).await.unwrap();
    assert_eq!(
        found.services.into_iter().collect::<Vec<_>>(),
        [PluginService::ControllerService]
    );

    let nameless = Channel::in_process(Driver::named("").routes());
    let error = plugin_info(&nameless, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, IdentityError::NoName), "{error}");
}
