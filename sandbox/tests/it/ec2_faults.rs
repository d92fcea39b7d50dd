//! Faults, throttling and what is remembered of requests.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sandbox::ec2::{Ec2, Ec2Error, Ec2Options, Fault, Throttle, Throttles, When};
use tokio::time::{Instant, timeout};

use crate::ec2_support::{call, pass, region, send};

fn with_volume() -> (Ec2, String) {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    (ec2, volume)
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_effect_and_its_answer() {
    let internal = || Ec2Error::new("InternalError", "An internal error has occurred");
    let rows: [(Fault, usize, Option<&str>); 8] = [
        (
            Fault::error("RequestLimitExceeded"),
            0,
            Some("RequestLimitExceeded"),
        ),
        (
            Fault::error_with("Odd", "text", StatusCode::BAD_GATEWAY),
            0,
            Some("Odd"),
        ),
        (Fault::ErrorAfterEffect(internal()), 1, Some("InternalError")),
        (Fault::Timeout, 0, None),
        (Fault::LostAnswer, 1, None),
        (Fault::Disconnect, 0, None),
        (Fault::Delay(Duration::from_secs(5)), 1, Some("")),
        (Fault::Body("<nonsense".to_owned()), 1, Some("")),
    ];
    for (fault, snapshots, code) in rows {
        let (ec2, volume) = with_volume();
        ec2.inject("CreateSnapshot", When::Next, fault.clone());
        let begun = Instant::now();
        let parameters = [("VolumeId", volume.as_str())];
        let request = send(&ec2, "CreateSnapshot", &parameters);
        let answer = timeout(Duration::from_secs(30), request).await;
        let answered = answer.ok().and_then(Result::ok).map(|answer| answer.one("Code"));
        assert_eq!(answered.as_deref(), code, "{fault:?}");
        assert_eq!(ec2.state().snapshots.len(), snapshots, "{fault:?}");
        if matches!(fault, Fault::Delay(_)) {
            assert_eq!(begun.elapsed(), Duration::from_secs(5));
        }
        let calls = ec2.calls();
        assert_eq!(calls.len(), 1, "{fault:?}");
        assert_eq!(calls[0].status.is_none(), code.is_none(), "{fault:?}");
        call(&ec2, "CreateSnapshot", &[("VolumeId", &volume)]).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn statuses_fit_their_codes() {
    let (ec2, _) = with_volume();
    for (code, status) in [
        ("RequestLimitExceeded", 503),
        ("Unavailable", 503),
        ("InternalError", 500),
        ("UnauthorizedOperation", 403),
        ("AuthFailure", 401),
        ("VolumeLimitExceeded", 400),
    ] {
        ec2.inject("*", When::Next, Fault::error(code));
        let answer = call(&ec2, "DescribeVolumes", &[]).await;
        assert_eq!((answer.code().as_str(), answer.status.as_u16()), (code, status));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_choose_their_requests() {
    let (ec2, volume) = with_volume();
    let fault = || Fault::error("InternalError");
    let describe = async |expected: &[bool]| {
        for (number, fails) in expected.iter().enumerate() {
            let answer = call(&ec2, "DescribeVolumes", &[]).await;
            assert_eq!(answer.status != StatusCode::OK, *fails, "request {number}");
        }
    };
    ec2.inject("DescribeVolumes", When::Nth(2), fault());
    describe(&[false, true, false]).await;
    ec2.inject("DescribeVolumes", When::Times(2), fault());
    describe(&[true, true, false]).await;
    ec2.inject("DescribeVolumes", When::Always, fault());
    describe(&[true, true]).await;
    ec2.clear_faults();
    describe(&[false]).await;
    let of_volume = Arc::new(|parameters: &std::collections::BTreeMap<String, String>| {
        parameters.contains_key("VolumeId.1")
    });
    ec2.inject("DescribeVolumes", When::Matching(of_volume), fault());
    describe(&[false]).await;
    let by_id = [("VolumeId.1", volume.as_str())];
    assert_eq!(
        call(&ec2, "DescribeVolumes", &by_id).await.code(),
        "InternalError"
    );
    call(&ec2, "DescribeVolumes", &by_id).await.ok();
}

#[tokio::test(start_paused = true)]
async fn throttled_requests_have_no_effect() {
    let (ec2, volume) = with_volume();
    let bucket = Throttle {
        burst: 2.0,
        per_second: 0.5,
    };
    ec2.configure(|options| {
        options
            .throttles
            .actions
            .insert("CreateSnapshot".to_owned(), bucket);
    });
    let create = async || call(&ec2, "CreateSnapshot", &[("VolumeId", volume.as_str())]).await;
    create().await.ok();
    create().await.ok();
    let refused = create().await;
    assert_eq!(refused.code(), "RequestLimitExceeded");
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    call(&ec2, "DescribeVolumes", &[]).await.ok();
    pass(2000).await;
    create().await.ok();
    assert_eq!(ec2.state().snapshots.len(), 3);
    ec2.configure(|options| options.throttles = Throttles::aws());
    let let_through = async |action: &str, parameters: &[(&str, &str)]| {
        let mut count = 0;
        while call(&ec2, action, parameters).await.status != StatusCode::SERVICE_UNAVAILABLE {
            count += 1;
        }
        count
    };
    assert_eq!(let_through("DescribeVolumes", &[]).await, 50);
    assert_eq!(let_through("DescribeSnapshots", &[]).await, 0, "the same bucket");
    let page = [("MaxResults", "5")];
    assert_eq!(let_through("DescribeVolumes", &page).await, 100);
    assert_eq!(
        let_through("DeleteSnapshot", &[("SnapshotId", "snap-1")]).await,
        100
    );
    assert_eq!(create().await.code(), "RequestLimitExceeded", "the same bucket");
    assert_eq!(let_through("DeleteVolume", &[("VolumeId", "vol-1")]).await, 100);
}

#[tokio::test(start_paused = true)]
async fn requests_are_remembered() {
    let (ec2, volume) = with_volume();
    call(
        &ec2,
        "CreateSnapshot",
        &[("VolumeId", &volume), ("DryRun", "true")],
    )
    .await;
    pass(1000).await;
    call(&ec2, "CreateSnapshot", &[("VolumeId", &volume)]).await.ok();
    call(&ec2, "DeleteVolume", &[("VolumeId", "vol-1")]).await;
    let calls = ec2.calls();
    assert_eq!(
        calls.iter().map(|call| call.number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(calls[0].dry_run && !calls[1].dry_run);
    assert_eq!(calls[0].code.as_deref(), Some("DryRunOperation"));
    assert_eq!(
        (calls[1].code.as_deref(), calls[1].status),
        (None, Some(StatusCode::OK))
    );
    assert_eq!(calls[1].parameters["VolumeId"], volume);
    assert_eq!(calls[1].at.duration_since(calls[0].at).as_secs(), 1);
    assert_eq!(calls[2].code.as_deref(), Some("InvalidVolume.NotFound"));
    assert_eq!(ec2.calls_since(2), calls[2..]);
    assert_eq!(
        ec2.counts(),
        [("CreateSnapshot".to_owned(), 2), ("DeleteVolume".to_owned(), 1)].into()
    );
    ec2.configure(|options| options.call_log = 1);
    call(&ec2, "DescribeVolumes", &[]).await.ok();
    assert_eq!(
        ec2.calls().iter().map(|call| call.number).collect::<Vec<_>>(),
        [4]
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_polled_has_no_effect() {
    let (ec2, volume) = with_volume();
    drop(send(&ec2, "CreateSnapshot", &[("VolumeId", &volume)]));
    assert!(ec2.calls().is_empty());
    assert!(ec2.state().snapshots.is_empty());
}
