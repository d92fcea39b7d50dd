//! CreateVolume, CopyVolumes, DeleteVolume, attachments and volume status.

use sandbox::ec2::{Ec2, Ec2Options, Fault, InstanceState, Outpost, When};

use crate::ec2_support::{Answer, call, pass, region};

const ZONE: (&str, &str) = ("AvailabilityZone", "us-east-1a");

async fn create(ec2: &Ec2, parameters: &[(&str, &str)]) -> Answer {
    let mut all = vec![ZONE];
    all.extend_from_slice(parameters);
    call(ec2, "CreateVolume", &all).await
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_created_after_a_while() {
    let ec2 = region(Ec2Options::default());
    let made = create(
        &ec2,
        &[
            ("Size", "10"),
            ("VolumeType", "gp3"),
            ("Encrypted", "false"),
            ("MultiAttachEnabled", "false"),
            ("TagSpecification.1.ResourceType", "volume"),
            ("TagSpecification.1.Tag.1.Key", "CSIVolumeName"),
            ("TagSpecification.1.Tag.1.Value", "pvc-1"),
        ],
    )
    .await
    .ok();
    let id = made.one("volumeId");
    assert_eq!(id.len(), 21);
    assert_eq!(
        made.body.split_once("</requestId>").unwrap().1,
        format!(
            "<volumeId>{id}</volumeId><size>10</size><snapshotId></snapshotId>\
             <availabilityZone>us-east-1a</availabilityZone><availabilityZoneId>use1-az1</availabilityZoneId>\
             <status>creating</status><createTime>2026-01-01T00:00:00.000Z</createTime>\
             <attachmentSet></attachmentSet><tagSet><item><key>CSIVolumeName</key><value>pvc-1</value></item></tagSet>\
             <volumeType>gp3</volumeType><iops>3000</iops><throughput>125</throughput><encrypted>false</encrypted>\
             <multiAttachEnabled>false</multiAttachEnabled></CreateVolumeResponse>"
        )
    );
    let describe = [("VolumeId.1", id.as_str())];
    assert_eq!(
        call(&ec2, "DescribeVolumes", &describe).await.code(),
        "InvalidVolume.NotFound"
    );
    pass(200).await;
    assert_eq!(
        call(&ec2, "DescribeVolumes", &describe).await.one("status"),
        "creating"
    );
    pass(1300).await;
    assert_eq!(
        call(&ec2, "DescribeVolumes", &describe).await.one("status"),
        "available"
    );
}

/// Parameters of CreateVolume, the code of the refusal, and what its text holds.
type Refusal = (
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const TOKEN_OF_65: &str = "ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";

const BAD_WISHES: [Refusal; 19] = [
    (&[("Size", "1")], "MissingParameter", "AvailabilityZone"),
    (&[ZONE], "MissingParameter", "size"),
    (
        &[ZONE, ("AvailabilityZoneId", "use1-az1"), ("Size", "1")],
        "InvalidParameterCombination",
        "Zone",
    ),
    (
        &[("AvailabilityZone", "mars-1a"), ("Size", "1")],
        "InvalidZone.NotFound",
        "'mars-1a'",
    ),
    (
        &[("AvailabilityZoneId", "az"), ("Size", "1")],
        "InvalidZone.NotFound",
        "'az'",
    ),
    (
        &[ZONE, ("Size", "1"), ("OutpostArn", "arn:op-1")],
        "InvalidParameterValue",
        "Outpost",
    ),
    (
        &[ZONE, ("Size", "1"), ("VolumeType", "gp9")],
        "UnknownVolumeType",
        "gp9",
    ),
    (&[ZONE, ("Size", "0")], "InvalidParameterValue", "too small"),
    (
        &[ZONE, ("Size", "65537"), ("VolumeType", "gp3")],
        "InvalidParameterValue",
        "maximum is 65536GiB",
    ),
    (
        &[ZONE, ("Size", "4"), ("VolumeType", "io2")],
        "MissingParameter",
        "iops",
    ),
    (
        &[ZONE, ("Size", "4"), ("Iops", "100")],
        "InvalidParameterCombination",
        "not supported for gp2",
    ),
    (
        &[ZONE, ("Size", "4"), ("Iops", "2147483647"), ("VolumeType", "gp3")],
        "InvalidParameterValue",
        "Volume iops of 2147483647 is too high; maximum is 80000",
    ),
    (
        &[
            ZONE,
            ("Size", "1"),
            ("VolumeType", "gp3"),
            ("MultiAttachEnabled", "true"),
        ],
        "InvalidParameterCombination",
        "multiAttach",
    ),
    (
        &[ZONE, ("Size", "1"), ("KmsKeyId", "key")],
        "InvalidParameterDependency",
        "Encrypted",
    ),
    (
        &[ZONE, ("SnapshotId", "snap-1")],
        "InvalidSnapshot.NotFound",
        "'snap-1'",
    ),
    (
        &[ZONE, ("Size", "1"), ("VolumeInitializationRate", "100")],
        "InvalidParameterCombination",
        "Snapshot",
    ),
    (
        &[
            ZONE,
            ("Size", "1"),
            ("TagSpecification.1.ResourceType", "snapshot"),
        ],
        "InvalidParameterValue",
        "'snapshot' is not a valid taggable resource type",
    ),
    (
        &[
            ZONE,
            ("Size", "1"),
            ("TagSpecification.1.ResourceType", "volume"),
            ("TagSpecification.1.Tag.1.Key", "aws:x"),
        ],
        "InvalidParameterValue",
        "reserved",
    ),
    (
        &[ZONE, ("Size", "1"), ("ClientToken", TOKEN_OF_65)],
        "InvalidParameterValue",
        "clientToken",
    ),
];

#[tokio::test(start_paused = true)]
async fn bad_wishes_are_refused() {
    let mut options = Ec2Options::instant();
    options.outposts.push(Outpost {
        arn: "arn:op-1".to_owned(),
        zone: "us-east-1b".to_owned(),
    });
    let ec2 = region(options);
    for (parameters, code, text) in BAD_WISHES {
        let refused = call(&ec2, "CreateVolume", parameters).await;
        assert_eq!(refused.code(), code, "{parameters:?}");
        assert!(refused.one("Message").contains(text), "{}", refused.body);
    }
    assert!(ec2.state().volumes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn client_tokens_make_requests_repeatable() {
    let ec2 = region(Ec2Options::instant());
    let request = [("Size", "1"), ("ClientToken", "t")];
    let first = create(&ec2, &request).await.ok().one("volumeId");
    assert_eq!(create(&ec2, &request).await.ok().one("volumeId"), first);
    let other = create(&ec2, &[("Size", "2"), ("ClientToken", "t")]).await;
    assert_eq!(other.code(), "IdempotentParameterMismatch");
    call(&ec2, "DeleteVolume", &[("VolumeId", &first)]).await.ok();
    let gone = create(&ec2, &request).await;
    assert_eq!(gone.code(), "IdempotentParameterMismatch");
    assert!(gone.one("Message").contains("already deleted"));
    assert!(ec2.state().volumes.is_empty());
    pass(12 * 3600 * 1000).await;
    assert_ne!(create(&ec2, &request).await.ok().one("volumeId"), first);
}

#[tokio::test(start_paused = true)]
async fn creation_may_fail_later() {
    let ec2 = region(Ec2Options {
        kms_keys: Some(["known".to_owned()].into()),
        ..Ec2Options::default()
    });
    ec2.inject("CreateVolume", When::Next, Fault::FailsLater);
    let failed = create(&ec2, &[("Size", "1")]).await.ok();
    let keyless = create(
        &ec2,
        &[("Size", "1"), ("Encrypted", "true"), ("KmsKeyId", "lost")],
    )
    .await
    .ok();
    let sound = create(
        &ec2,
        &[("Size", "1"), ("Encrypted", "true"), ("KmsKeyId", "known")],
    )
    .await
    .ok();
    assert_eq!(failed.one("status"), "creating");
    pass(1500).await;
    for (answer, status) in [(failed, "error"), (keyless, "error"), (sound, "available")] {
        assert_eq!(ec2.state().volumes[&answer.one("volumeId")].status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn volumes_come_from_snapshots_and_volumes() {
    let ec2 = region(Ec2Options::instant());
    let encrypted = [ZONE, ("Size", "5"), ("Encrypted", "true")];
    let source = ec2.create_volume_fixture_with(&encrypted, &[]).unwrap();
    let snapshot = ec2.create_snapshot_fixture(&source, &[]).unwrap();
    let from = ("SnapshotId", snapshot.as_str());
    let restored = create(&ec2, &[from, ("Encrypted", "false")]).await.ok();
    assert_eq!(
        (restored.one("size"), restored.one("encrypted")),
        ("5".to_owned(), "true".to_owned())
    );
    assert_eq!(restored.one("snapshotId"), snapshot);
    assert!(
        restored
            .one("kmsKeyId")
            .starts_with("arn:aws:kms:us-east-1:111122223333:key/")
    );
    assert_eq!(
        create(&ec2, &[from, ("Size", "4")]).await.code(),
        "InvalidParameterValue"
    );
    let copy = [
        ("SourceVolumeId", source.as_str()),
        ("VolumeType", "gp3"),
        ("Size", "6"),
        ("ClientToken", "c"),
    ];
    let copied = call(&ec2, "CopyVolumes", &copy).await.ok();
    assert_eq!(copied.one("sourceVolumeId"), source);
    assert_eq!(copied.all("volumeId").len(), 1);
    assert_eq!(
        call(&ec2, "CopyVolumes", &copy).await.ok().one("volumeId"),
        copied.one("volumeId")
    );
    let unknown = [("SourceVolumeId", "vol-1")];
    assert_eq!(
        call(&ec2, "CopyVolumes", &unknown).await.code(),
        "InvalidVolume.NotFound"
    );
    ec2.configure(|options| options.timing.snapshot = std::time::Duration::from_secs(9));
    let pending = call(&ec2, "CreateSnapshot", &[("VolumeId", &source)]).await.ok();
    let early = create(&ec2, &[("SnapshotId", &pending.one("snapshotId"))]).await;
    assert_eq!(early.code(), "IncorrectState");
}

#[tokio::test(start_paused = true)]
async fn volumes_fill_from_their_snapshot() {
    let ec2 = region(Ec2Options::default());
    let source = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    let snapshot = ec2.create_snapshot_fixture(&source, &[]).unwrap();
    let wish = [
        ("SnapshotId", snapshot.as_str()),
        ("VolumeInitializationRate", "100"),
    ];
    let made = create(&ec2, &wish).await.ok();
    pass(1500).await;
    let id = made.one("volumeId");
    let describe = [("VolumeId.1", id.as_str())];
    let filling = call(&ec2, "DescribeVolumeStatus", &describe).await.ok();
    assert_eq!(
        filling.all("status"),
        ["ok", "passed", "not-applicable", "initializing"]
    );
    assert_eq!(filling.one("estimatedTimeToCompleteInSeconds"), "102");
    pass(102_000).await;
    let filled = call(&ec2, "DescribeVolumeStatus", &describe).await.ok();
    assert_eq!(filled.all("status").last().unwrap(), "completed");
}

#[tokio::test(start_paused = true)]
async fn deletion_needs_a_free_volume() {
    let ec2 = region(Ec2Options::default());
    let made = create(&ec2, &[("Size", "1")]).await.ok().one("volumeId");
    let delete = [("VolumeId", made.as_str())];
    assert_eq!(call(&ec2, "DeleteVolume", &delete).await.code(), "IncorrectState");
    pass(1500).await;
    call(&ec2, "DeleteVolume", &delete).await.ok();
    assert_eq!(
        call(&ec2, "DescribeVolumes", &[("VolumeId.1", &made)])
            .await
            .one("status"),
        "deleting"
    );
    assert_eq!(
        call(&ec2, "DeleteVolume", &delete).await.code(),
        "InvalidVolume.NotFound"
    );
    pass(500).await;
    assert_eq!(
        call(&ec2, "DescribeVolumes", &[("VolumeId.1", &made)])
            .await
            .code(),
        "InvalidVolume.NotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn volumes_are_attached_and_detached() {
    let ec2 = region(Ec2Options::default());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let instance = ec2
        .create_instance_fixture("us-east-1a", "m5.large", &[])
        .unwrap();
    let pair = [("VolumeId", volume.as_str()), ("InstanceId", instance.as_str())];
    let at = |device: &'static str| [pair[0], pair[1], ("Device", device)];
    assert_eq!(
        call(&ec2, "AttachVolume", &at("/dev/xvda")).await.code(),
        "InvalidParameterValue"
    );
    let begun = call(&ec2, "AttachVolume", &at("/dev/xvdaa")).await.ok();
    assert_eq!(begun.one("status"), "attaching");
    assert_eq!(
        call(&ec2, "AttachVolume", &at("/dev/xvdab")).await.code(),
        "VolumeInUse"
    );
    assert_eq!(call(&ec2, "DeleteVolume", &[pair[0]]).await.code(), "VolumeInUse");
    pass(1000).await;
    let described = call(&ec2, "DescribeVolumes", &[("VolumeId.1", &volume)])
        .await
        .ok();
    assert_eq!(described.all("status"), ["in-use", "attached"]);
    let shown = call(&ec2, "DescribeInstances", &[("InstanceId.1", &instance)])
        .await
        .ok();
    assert_eq!(shown.all("deviceName").len(), 2);
    assert!(shown.all("volumeId").contains(&volume));
    assert_eq!(
        call(&ec2, "DetachVolume", &pair).await.ok().one("status"),
        "detaching"
    );
    pass(1000).await;
    assert_eq!(ec2.state().volumes[&volume].status, "available");
    assert_eq!(call(&ec2, "DetachVolume", &pair).await.code(), "IncorrectState");
    let far = ec2
        .create_instance_fixture("us-east-1b", "m5.large", &[])
        .unwrap();
    let there = [pair[0], ("InstanceId", far.as_str()), ("Device", "/dev/xvdaa")];
    assert_eq!(
        call(&ec2, "AttachVolume", &there).await.code(),
        "InvalidVolume.ZoneMismatch"
    );
    call(&ec2, "AttachVolume", &at("/dev/xvdaa")).await.ok();
    ec2.set_instance_state(&instance, InstanceState::Terminated)
        .unwrap();
    assert_eq!(ec2.state().volumes[&volume].status, "available");
    ec2.forget_instance(&instance);
    assert_eq!(
        call(&ec2, "DetachVolume", &pair).await.code(),
        "InvalidInstanceID.NotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn instances_have_limits_and_cards() {
    let ec2 = region(Ec2Options::instant());
    ec2.configure(|options| options.instance_types[0].attachments = 2);
    let small = ec2
        .create_instance_fixture("us-east-1a", "m5.large", &[])
        .unwrap();
    let large = ec2
        .create_instance_fixture("us-east-1a", "r8gb.48xlarge", &[])
        .unwrap();
    let volumes: Vec<String> = (0..3)
        .map(|_| ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap())
        .collect();
    let attach = |volume: usize, instance: &str, device: &str, card: Option<&str>| {
        let mut form = vec![
            ("VolumeId".to_owned(), volumes[volume].clone()),
            ("InstanceId".to_owned(), instance.to_owned()),
            ("Device".to_owned(), device.to_owned()),
        ];
        form.extend(card.map(|card| ("EbsCardIndex".to_owned(), card.to_owned())));
        let ec2 = ec2.clone();
        async move {
            let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
            call(&ec2, "AttachVolume", &form).await
        }
    };
    attach(0, &small, "/dev/xvdb", None).await.ok();
    assert_eq!(
        attach(1, &small, "/dev/xvdc", None).await.code(),
        "AttachmentLimitExceeded"
    );
    assert_eq!(
        attach(1, &large, "/dev/xvdb", Some("1"))
            .await
            .ok()
            .one("ebsCardIndex"),
        "1"
    );
    assert_eq!(
        attach(2, &large, "/dev/xvdc", Some("2")).await.code(),
        "InvalidParameterValue"
    );
    let kinds = call(
        &ec2,
        "DescribeInstanceTypes",
        &[("InstanceType.1", "r8gb.48xlarge")],
    )
    .await
    .ok();
    assert_eq!(kinds.one("maximumEbsCards"), "2");
    assert_eq!(kinds.one("attachmentLimitType"), "dedicated");
    let unknown = call(&ec2, "DescribeInstanceTypes", &[("InstanceType.1", "x")]).await;
    assert_eq!(unknown.code(), "InvalidInstanceType");
}
