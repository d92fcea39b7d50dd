//! CreateSnapshot, DeleteSnapshot, DescribeSnapshots.

use std::time::Duration;

use sandbox::ec2::{Ec2, Ec2Options, Fault, Lag, When};

use crate::ec2_support::{Answer, call, pass, region};

async fn create(ec2: &Ec2, volume: &str) -> Answer {
    call(ec2, "CreateSnapshot", &[("VolumeId", volume)]).await
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_makes_progress() {
    let ec2 = region(Ec2Options::default());
    let volume = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    let begun = call(
        &ec2,
        "CreateSnapshot",
        &[
            ("VolumeId", &volume),
            ("Description", "a <snapshot>"),
            ("TagSpecification.1.ResourceType", "snapshot"),
            ("TagSpecification.1.Tag.1.Key", "CSIVolumeSnapshotName"),
            ("TagSpecification.1.Tag.1.Value", "snapshot-1"),
        ],
    )
    .await
    .ok();
    let id = begun.one("snapshotId");
    assert_eq!(
        begun.body.split_once("</requestId>").unwrap().1,
        format!(
            "<snapshotId>{id}</snapshotId><volumeId>{volume}</volumeId><status>pending</status>\
             <startTime>2026-01-01T00:00:00.000Z</startTime><progress>0%</progress><ownerId>111122223333</ownerId>\
             <volumeSize>10</volumeSize><description>a &lt;snapshot&gt;</description><encrypted>false</encrypted>\
             <storageTier>standard</storageTier><tagSet><item><key>CSIVolumeSnapshotName</key>\
             <value>snapshot-1</value></item></tagSet></CreateSnapshotResponse>"
        )
    );
    let describe = [("SnapshotId.1", id.as_str())];
    for (pause, status, progress) in [
        (600, "pending", "10%"),
        (2400, "pending", "50%"),
        (2999, "pending", "99%"),
        (1, "completed", "100%"),
    ] {
        pass(pause).await;
        let shown = call(&ec2, "DescribeSnapshots", &describe).await.ok();
        assert_eq!(
            (shown.one("status").as_str(), shown.one("progress").as_str()),
            (status, progress)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_instant_snapshot_is_born_completed() {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    let made = create(&ec2, &volume).await.ok();
    assert_eq!(
        (made.one("status").as_str(), made.one("progress").as_str()),
        ("completed", "100%")
    );
    assert_eq!(made.one("completionTime"), "2026-01-01T00:00:00.000Z");
}

#[tokio::test(start_paused = true)]
async fn two_calls_make_two_snapshots() {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let (first, second) = (create(&ec2, &volume).await.ok(), create(&ec2, &volume).await.ok());
    assert_ne!(first.one("snapshotId"), second.one("snapshotId"));
    assert_eq!(ec2.count("CreateSnapshot"), 2);
}

#[tokio::test(start_paused = true)]
async fn new_snapshots_and_their_tags_are_seen_late() {
    let mut options = Ec2Options::instant();
    options.lag = Lag {
        snapshot: Duration::from_secs(2),
        tag: Duration::from_secs(5),
        ..Lag::none()
    };
    let ec2 = region(options);
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let made = call(
        &ec2,
        "CreateSnapshot",
        &[
            ("VolumeId", &volume),
            ("TagSpecification.1.ResourceType", "snapshot"),
            ("TagSpecification.1.Tag.1.Key", "name"),
            ("TagSpecification.1.Tag.1.Value", "one"),
        ],
    )
    .await
    .ok();
    let id = made.one("snapshotId");
    let by_id = [("SnapshotId.1", id.as_str())];
    let by_tag = [("Filter.1.Name", "tag:name"), ("Filter.1.Value.1", "one")];
    assert_eq!(
        call(&ec2, "DescribeSnapshots", &by_id).await.code(),
        "InvalidSnapshot.NotFound"
    );
    pass(2000).await;
    assert_eq!(
        call(&ec2, "DescribeSnapshots", &by_id).await.ok().one("key"),
        "name"
    );
    assert!(
        call(&ec2, "DescribeSnapshots", &by_tag)
            .await
            .ok()
            .all("snapshotId")
            .is_empty()
    );
    pass(3000).await;
    assert_eq!(
        call(&ec2, "DescribeSnapshots", &by_tag)
            .await
            .ok()
            .all("snapshotId"),
        [id]
    );
}

#[tokio::test(start_paused = true)]
async fn deleted_snapshots_are_shown_for_a_while() {
    let mut options = Ec2Options::instant();
    options.lag.deletion = Duration::from_secs(2);
    let ec2 = region(options);
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let id = create(&ec2, &volume).await.ok().one("snapshotId");
    let kept = create(&ec2, &volume).await.ok().one("snapshotId");
    call(&ec2, "DeleteSnapshot", &[("SnapshotId", &id)]).await.ok();
    let mut both = [id.clone(), kept.clone()];
    both.sort();
    let by_id = [("SnapshotId.1", id.as_str())];
    let shown = call(&ec2, "DescribeSnapshots", &by_id).await.ok();
    assert_eq!(shown.all("snapshotId"), [id.as_str()]);
    assert_eq!(
        call(&ec2, "DescribeSnapshots", &[]).await.ok().all("snapshotId"),
        both
    );
    let again = call(&ec2, "DeleteSnapshot", &[("SnapshotId", &id)]).await;
    assert_eq!(again.code(), "InvalidSnapshot.NotFound");
    assert_eq!(ec2.state().snapshots.len(), 1);
    pass(2000).await;
    assert_eq!(
        call(&ec2, "DescribeSnapshots", &by_id).await.code(),
        "InvalidSnapshot.NotFound"
    );
    assert_eq!(
        call(&ec2, "DescribeSnapshots", &[]).await.ok().all("snapshotId"),
        [kept]
    );
}

#[tokio::test(start_paused = true)]
async fn quotas_are_kept() {
    let mut options = Ec2Options::instant();
    options.timing.snapshot = Duration::from_secs(100);
    let ec2 = region(options);
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    ec2.configure(|options| options.rules.snapshot_interval = Some(Duration::from_secs(15)));
    create(&ec2, &volume).await.ok();
    assert_eq!(
        create(&ec2, &volume).await.code(),
        "SnapshotCreationPerVolumeRateExceeded"
    );
    for _ in 0..4 {
        pass(15_000).await;
        create(&ec2, &volume).await.ok();
    }
    pass(15_000).await;
    assert_eq!(
        create(&ec2, &volume).await.code(),
        "ConcurrentSnapshotLimitExceeded"
    );
    pass(100_000).await;
    create(&ec2, &volume).await.ok();
    ec2.configure(|options| options.rules.snapshots = Some(6));
    pass(15_000).await;
    assert_eq!(create(&ec2, &volume).await.code(), "SnapshotLimitExceeded");
}

/// Decision 64: the quotas of the preset `aws`.
#[tokio::test(start_paused = true)]
async fn the_preset_aws_has_the_quotas_of_an_account() {
    let mut options = Ec2Options::preset("aws").unwrap();
    options.timing.snapshot = Duration::from_secs(30);
    options.timing.snapshot_per_gib = Duration::ZERO;
    let ec2 = region(options);
    let volumes: Vec<String> = (0..101)
        .map(|_| ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap())
        .collect();
    create(&ec2, &volumes[0]).await.ok();
    let again = create(&ec2, &volumes[0]).await;
    assert_eq!(again.code(), "SnapshotCreationPerVolumeRateExceeded");
    for volume in &volumes[1..98] {
        create(&ec2, volume).await.ok();
    }
    pass(1000).await;
    for volume in &volumes[98..100] {
        create(&ec2, volume).await.ok();
    }
    let refused = create(&ec2, &volumes[100]).await;
    assert_eq!(refused.code(), "PendingSnapshotLimitExceeded");
    assert_eq!(refused.status.as_u16(), 400);
    pass(29_000).await;
    create(&ec2, &volumes[100]).await.ok();
    assert!(
        Ec2Options::PRESETS
            .iter()
            .all(|name| Ec2Options::preset(name).is_some())
    );
    assert!(Ec2Options::preset("moon").is_none());
}

#[tokio::test(start_paused = true)]
async fn snapshots_may_fail_later() {
    let ec2 = region(Ec2Options::default());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    ec2.inject("CreateSnapshot", When::Next, Fault::FailsLater);
    let id = create(&ec2, &volume).await.ok().one("snapshotId");
    pass(10_000).await;
    let shown = call(&ec2, "DescribeSnapshots", &[("SnapshotId.1", &id)])
        .await
        .ok();
    assert_eq!(shown.one("status"), "error");
}

#[tokio::test(start_paused = true)]
async fn only_free_snapshots_of_the_account_are_deleted() {
    let ec2 = region(Ec2Options::default());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let used = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
    let image = ec2.create_image_fixture(&used).unwrap();
    let refused = call(&ec2, "DeleteSnapshot", &[("SnapshotId", &used)]).await;
    assert_eq!(refused.code(), "InvalidSnapshot.InUse");
    assert!(refused.one("Message").ends_with(&image));
    let foreign = ec2.create_foreign_snapshot_fixture(1, true);
    let refused = call(&ec2, "DeleteSnapshot", &[("SnapshotId", &foreign)]).await;
    assert_eq!(refused.code(), "InvalidSnapshot.NotFound");
    let pending = create(&ec2, &volume).await.ok().one("snapshotId");
    call(&ec2, "DeleteSnapshot", &[("SnapshotId", &pending)])
        .await
        .ok();
    let again = call(&ec2, "DeleteSnapshot", &[("SnapshotId", &pending)]).await;
    assert_eq!(again.code(), "InvalidSnapshot.NotFound");
    assert_eq!(create(&ec2, "vol-1").await.code(), "InvalidVolume.NotFound");
}

/// Spec ebs-driver case 70: foreign snapshots are listed unless the owner is asked for.
#[tokio::test(start_paused = true)]
async fn public_snapshots_of_others_are_described() {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let other = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    for of in [&volume, &volume, &volume, &other, &other] {
        ec2.create_snapshot_fixture(of, &[]).unwrap();
    }
    let public = ec2.create_foreign_snapshot_fixture(1, true);
    let private = ec2.create_foreign_snapshot_fixture(1, false);
    let listed = async |parameters: &[(&str, &str)]| {
        call(&ec2, "DescribeSnapshots", parameters)
            .await
            .ok()
            .all("snapshotId")
    };
    let all = listed(&[]).await;
    assert_eq!(all.len(), 6);
    assert!(all.contains(&public) && !all.contains(&private));
    assert_eq!(listed(&[("Owner.1", "self")]).await.len(), 5);
    let of_volume = [
        ("Owner.1", "self"),
        ("Filter.1.Name", "volume-id"),
        ("Filter.1.Value.1", &volume),
    ];
    assert_eq!(listed(&of_volume).await.len(), 3);
    assert_eq!(listed(&[("Owner.1", "444455556666")]).await, [public]);
    let hidden = call(&ec2, "DescribeSnapshots", &[("SnapshotId.1", &private)]).await;
    assert_eq!(hidden.code(), "InvalidSnapshot.NotFound");
}
