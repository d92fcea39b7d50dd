//! Locks and fast restores of snapshots.

use sandbox::ec2::{Ec2, Ec2Options, Fault, When};

use crate::ec2_support::{Answer, call, pass, region};

const HOUR: u64 = 3600 * 1000;

fn with_snapshot() -> (Ec2, String) {
    let ec2 = region(Ec2Options::default());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let snapshot = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
    (ec2, snapshot)
}

async fn lock(ec2: &Ec2, snapshot: &str, parameters: &[(&str, &str)]) -> Answer {
    let mut form = vec![("SnapshotId", snapshot)];
    form.extend_from_slice(parameters);
    call(ec2, "LockSnapshot", &form).await
}

#[tokio::test(start_paused = true)]
async fn a_locked_snapshot_is_not_deleted() {
    let (ec2, snapshot) = with_snapshot();
    let wish = [
        ("LockMode", "compliance"),
        ("LockDuration", "2"),
        ("CoolOffPeriod", "1"),
    ];
    let locked = lock(&ec2, &snapshot, &wish).await.ok();
    assert_eq!(locked.one("lockState"), "compliance-cooloff");
    assert_eq!(locked.one("lockExpiresOn"), "2026-01-03T00:00:00.000Z");
    assert_eq!(locked.one("coolOffPeriodExpiresOn"), "2026-01-01T01:00:00.000Z");
    let delete = async || call(&ec2, "DeleteSnapshot", &[("SnapshotId", snapshot.as_str())]).await;
    assert_eq!(delete().await.code(), "SnapshotLocked");
    lock(&ec2, &snapshot, &wish).await.ok();
    pass(HOUR).await;
    let shown = call(&ec2, "DescribeLockedSnapshots", &[("SnapshotId.1", &snapshot)])
        .await
        .ok();
    assert_eq!(shown.one("lockState"), "compliance");
    let shorter = [("LockMode", "compliance"), ("LockDuration", "1")];
    assert_eq!(lock(&ec2, &snapshot, &shorter).await.code(), "SnapshotLocked");
    let longer = [("LockMode", "compliance"), ("LockDuration", "3")];
    lock(&ec2, &snapshot, &longer).await.ok();
    pass(72 * HOUR).await;
    assert_eq!(ec2.state().snapshots[&snapshot].lock.as_deref(), Some("expired"));
    delete().await.ok();
}

#[tokio::test(start_paused = true)]
async fn bad_locks_are_refused() {
    let (ec2, snapshot) = with_snapshot();
    let rows: [(&[(&str, &str)], &str); 8] = [
        (&[("LockDuration", "1")], "MissingParameter"),
        (
            &[("LockMode", "strict"), ("LockDuration", "1")],
            "InvalidParameterValue",
        ),
        (&[("LockMode", "governance")], "MissingParameter"),
        (
            &[
                ("LockMode", "governance"),
                ("LockDuration", "1"),
                ("ExpirationDate", "2027-01-01T00:00:00Z"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[("LockMode", "governance"), ("LockDuration", "0")],
            "InvalidParameterValue",
        ),
        (
            &[("LockMode", "governance"), ("LockDuration", "36501")],
            "InvalidParameterValue",
        ),
        (
            &[
                ("LockMode", "governance"),
                ("LockDuration", "1"),
                ("CoolOffPeriod", "1"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[
                ("LockMode", "governance"),
                ("ExpirationDate", "2025-01-01T00:00:00Z"),
            ],
            "InvalidParameterValue",
        ),
    ];
    for (parameters, code) in rows {
        assert_eq!(
            lock(&ec2, &snapshot, parameters).await.code(),
            code,
            "{parameters:?}"
        );
    }
    let dated = [
        ("LockMode", "governance"),
        ("ExpirationDate", "2026-01-11T00:00:00Z"),
    ];
    assert_eq!(lock(&ec2, &snapshot, &dated).await.ok().one("lockDuration"), "10");
    assert_eq!(
        lock(&ec2, "snap-1", &dated).await.code(),
        "InvalidSnapshot.NotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn fast_restores_are_enabled_in_steps() {
    let (ec2, snapshot) = with_snapshot();
    let wish = [
        ("SourceSnapshotId.1", snapshot.as_str()),
        ("SourceSnapshotId.2", "snap-1"),
        ("AvailabilityZone.1", "us-east-1a"),
    ];
    let answer = call(&ec2, "EnableFastSnapshotRestores", &wish).await.ok();
    assert_eq!(answer.all("state"), ["enabling"]);
    assert_eq!(answer.all("code"), ["InvalidSnapshot.NotFound"]);
    for (pause, state) in [(2000, "optimizing"), (2000, "enabled")] {
        pass(pause).await;
        let shown = call(&ec2, "DescribeFastSnapshotRestores", &[]).await.ok();
        assert_eq!(shown.all("state"), [state]);
        assert_eq!(shown.one("snapshotId"), snapshot);
    }
    let nowhere = [wish[0], ("AvailabilityZone.1", "mars-1a")];
    assert_eq!(
        call(&ec2, "EnableFastSnapshotRestores", &nowhere).await.code(),
        "InvalidParameterValue"
    );
    ec2.inject("EnableFastSnapshotRestores", When::Next, Fault::FailsLater);
    let elsewhere = [wish[0], ("AvailabilityZone.1", "us-east-1b")];
    let refused = call(&ec2, "EnableFastSnapshotRestores", &elsewhere).await.ok();
    assert_eq!(refused.all("code"), ["InternalError"]);
    assert_eq!(ec2.state().snapshots[&snapshot].fast_restores.len(), 1);
}
