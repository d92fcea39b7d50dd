use std::time::Duration;

use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use csi::v1::{
    CreateVolumeRequest, DeleteVolumeRequest, ValidateVolumeCapabilitiesRequest, VolumeContentSource,
};
use ebs_driver::Config;
use sandbox::ec2::{Ec2Options, Fault, When};
use tokio::time::Instant;
use tonic::Code;

use crate::log::Log;
use crate::world::{GIB, World, block, capability, code, map, mount, range, volume, zones};

fn from_snapshot(request: CreateVolumeRequest, id: &str) -> CreateVolumeRequest {
    let source = Type::Snapshot(SnapshotSource {
        snapshot_id: id.into(),
    });
    CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource { r#type: Some(source) }),
        ..request
    }
}

fn from_volume(request: CreateVolumeRequest, id: &str) -> CreateVolumeRequest {
    let source = Type::Volume(VolumeSource { volume_id: id.into() });
    CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource { r#type: Some(source) }),
        ..request
    }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn ebs_case_9_10_13_to_24_29_31_bad_requests_reach_no_ec2() {
    let world = World::new();
    let plain = || volume("pvc-1", &[]);
    let parameters = |pairs: &[(&str, &str)]| volume("pvc-1", pairs);
    let with = |capability| CreateVolumeRequest {
        volume_capabilities: vec![capability],
        ..plain()
    };
    let sized = |required, limit| CreateVolumeRequest {
        capacity_range: range(required, limit),
        ..plain()
    };
    let ntfs = |pairs: &[(&str, &str)]| CreateVolumeRequest {
        volume_capabilities: vec![mount("ntfs")],
        ..parameters(pairs)
    };
    let rows = [
        ("9 no name", volume("", &[])),
        (
            "9 no capabilities",
            CreateVolumeRequest {
                volume_capabilities: vec![],
                ..plain()
            },
        ),
        (
            "10 several nodes and mount",
            with(capability(
                AccessType::Mount(Default::default()),
                Mode::MultiNodeMultiWriter,
            )),
        ),
        (
            "10 reader only",
            with(capability(
                AccessType::Mount(Default::default()),
                Mode::SingleNodeReaderOnly,
            )),
        ),
        ("13 above the limit", sized(5 * GIB + 1, 5 * GIB)),
        ("14 nothing required", sized(0, 5 * GIB)),
        ("15 unknown key", parameters(&[("colour", "red")])),
        ("17 no boolean", parameters(&[("encrypted", "yes")])),
        ("18 no number", parameters(&[("throughput", "fast")])),
        ("19 raw key", parameters(&[("csi.storage.k8s.io/fstype", "ext4")])),
        (
            "21 case of a mutable key",
            CreateVolumeRequest {
                mutable_parameters: map(&[("IOPS", "500")]),
                ..plain()
            },
        ),
        (
            "22 formatting a block volume",
            CreateVolumeRequest {
                volume_capabilities: vec![block(Mode::SingleNodeWriter)],
                ..parameters(&[("blockSize", "4096")])
            },
        ),
        ("22 inodes of ntfs", ntfs(&[("inodeSize", "512")])),
        (
            "23 cluster size alone",
            parameters(&[("ext4ClusterSize", "16384")]),
        ),
        (
            "44 no such function",
            parameters(&[("tagSpecification_1", "a={{ .PVCName | js }}")]),
        ),
        ("45 no value", parameters(&[("tagSpecification_1", "abc")])),
        (
            "29 source without type",
            CreateVolumeRequest {
                volume_content_source: Some(VolumeContentSource { r#type: None }),
                ..plain()
            },
        ),
        (
            "31 a copy that is not encrypted",
            from_volume(parameters(&[("encrypted", "false")]), "vol-0123456789abcdef0"),
        ),
        (
            "Q9 several nodes and gp3",
            with(block(Mode::MultiNodeMultiWriter)),
        ),
        (
            "2.5 iops and ratio",
            parameters(&[("iops", "3000"), ("iopsPerGB", "5")]),
        ),
    ];
    for (row, request) in rows {
        assert_eq!(
            code(world.create_volume(request).await),
            Code::InvalidArgument,
            "{row}"
        );
    }
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_11_the_defaults() {
    let world = World::new();
    let request = CreateVolumeRequest {
        capacity_range: None,
        ..volume("pvc-1", &[])
    };
    let made = world.create_volume(request).await.unwrap();
    assert_eq!(made.capacity_bytes, 107_374_182_400);
    let sent = |parameter| world.sent("CreateVolume", parameter);
    assert_eq!(sent("Size").as_deref(), Some("100"));
    assert_eq!(sent("VolumeType").as_deref(), Some("gp3"));
    assert_eq!(sent("Encrypted").as_deref(), Some("false"));
    assert_eq!(sent("MultiAttachEnabled").as_deref(), Some("false"));
    assert_eq!((sent("Iops"), sent("Throughput")), (None, None));
    assert!(world.calls() <= 2);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_12_16_17_19_20_24_what_is_sent() {
    let world = World::new();
    let five = CreateVolumeRequest {
        capacity_range: range(5 * GIB + 1, 0),
        ..volume(
            "pvc-1",
            &[
                ("fsType", "ext4"),
                ("blockExpress", "true"),
                ("BlockSize", "4096"),
            ],
        )
    };
    let made = world.create_volume(five).await.unwrap();
    assert_eq!(made.capacity_bytes, 6 * GIB);
    assert_eq!(made.volume_context, map(&[("blocksize", "4096")]));
    assert_eq!(world.sent("CreateVolume", "Size").as_deref(), Some("6"));
    world
        .create_volume(volume("pvc-2", &[("KMSKEYID", "arn:aws:kms:x")]))
        .await
        .unwrap();
    assert_eq!(
        world.sent("CreateVolume", "KmsKeyId").as_deref(),
        Some("arn:aws:kms:x")
    );
    assert_eq!(world.sent("CreateVolume", "Encrypted").as_deref(), Some("true"));
    world
        .create_volume(volume("pvc-3", &[("encrypted", "True")]))
        .await
        .unwrap();
    assert_eq!(world.sent("CreateVolume", "Encrypted").as_deref(), Some("true"));
    let mutable = CreateVolumeRequest {
        capacity_range: range(10 * GIB, 0),
        mutable_parameters: map(&[("type", "io2"), ("volumeType", "gp3"), ("iops", "500")]),
        ..volume("pvc-4", &[("type", "gp2")])
    };
    world.create_volume(mutable).await.unwrap();
    assert_eq!(world.sent("CreateVolume", "VolumeType").as_deref(), Some("io2"));
    assert_eq!(world.sent("CreateVolume", "Iops").as_deref(), Some("500"));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_25_26_28_the_place() {
    let world = World::new();
    let placed = |name, requirements| CreateVolumeRequest {
        accessibility_requirements: requirements,
        ..volume(name, &[])
    };
    let legacy = zones(
        &[&[("topology.ebs.csi.aws.com/zone", "us-east-1b")]],
        &[&[("topology.kubernetes.io/zone", "us-east-1a")]],
    );
    let made = world.create_volume(placed("pvc-1", legacy)).await.unwrap();
    assert_eq!(
        made.accessible_topology[0].segments,
        map(&[("topology.kubernetes.io/zone", "us-east-1b")])
    );
    assert_eq!(world.ec2.count("DescribeAvailabilityZones"), 0);
    let made = world.create_volume(placed("pvc-2", None)).await.unwrap();
    assert_eq!(
        made.accessible_topology[0].segments["topology.kubernetes.io/zone"],
        "us-east-1a"
    );
    assert_eq!(world.ec2.count("DescribeAvailabilityZones"), 1);
    let zone_id = zones(&[&[("topology.k8s.aws/zone-id", "use1-az2")]], &[]);
    let made = world.create_volume(placed("pvc-3", zone_id)).await.unwrap();
    assert_eq!(
        made.accessible_topology[0].segments["topology.kubernetes.io/zone"],
        "us-east-1b"
    );
    assert_eq!(world.sent("CreateVolume", "AvailabilityZone"), None);
    assert_eq!(
        world.sent("CreateVolume", "AvailabilityZoneId").as_deref(),
        Some("use1-az2")
    );
    let both = zones(
        &[&[
            ("topology.k8s.aws/zone-id", "use1-az2"),
            ("topology.kubernetes.io/zone", "us-east-1b"),
        ]],
        &[],
    );
    assert_eq!(
        code(world.create_volume(placed("pvc-4", both)).await),
        Code::InvalidArgument
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_30_to_33_content_sources() {
    let world = World::new();
    let unknown = from_snapshot(volume("pvc-1", &[]), "snap-0123456789abcdef0");
    assert_eq!(code(world.create_volume(unknown).await), Code::NotFound);
    let unknown = from_volume(volume("pvc-2", &[]), "vol-0123456789abcdef0");
    assert_eq!(code(world.create_volume(unknown).await), Code::NotFound);
    let io2 = [
        ("AvailabilityZone", "us-east-1a"),
        ("Size", "4"),
        ("VolumeType", "io2"),
        ("Iops", "100"),
    ];
    let source = world.ec2.create_volume_fixture_with(&io2, &[]).unwrap();
    let copy = CreateVolumeRequest {
        capacity_range: range(4 * GIB, 0),
        ..from_volume(volume("pvc-3", &[]), &source)
    };
    let made = world.create_volume(copy.clone()).await.unwrap();
    assert_eq!(world.sent("CopyVolumes", "VolumeType").as_deref(), Some("gp3"));
    assert!(matches!(
        made.content_source.unwrap().r#type,
        Some(Type::Volume(VolumeSource { volume_id })) if volume_id == source
    ));
    let elsewhere = CreateVolumeRequest {
        name: "pvc-4".into(),
        accessibility_requirements: zones(&[], &[&[("topology.kubernetes.io/zone", "us-east-1b")]]),
        ..copy.clone()
    };
    assert_eq!(
        code(world.create_volume(elsewhere).await),
        Code::ResourceExhausted
    );
    world.ec2.inject(
        "DescribeVolumes",
        When::Always,
        Fault::error("RequestLimitExceeded"),
    );
    let throttled = CreateVolumeRequest {
        name: "pvc-5".into(),
        ..copy
    };
    let request = csi::channel::request(throttled, Duration::from_secs(60));
    let answer = code(world.channel.controller().create_volume(request).await);
    assert!(
        matches!(answer, Code::Aborted | Code::DeadlineExceeded),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_encrypted_as_the_class_asks() {
    let world = World::new();
    let source = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let key = "arn:aws:kms:us-east-1:111122223333:key/mine";
    let encrypted = [("encrypted", "true"), ("kmsKeyId", key)];
    let rows = [
        ("plain", &encrypted[..0], false),
        ("encrypted", &encrypted[..1], true),
        ("key", &encrypted[..], true),
    ];
    for (name, parameters, is_encrypted) in rows {
        let request = from_volume(volume(name, parameters), &source);
        let made = world.create_volume(request).await.unwrap();
        let state = world.ec2.state();
        let copy = &state.volumes[&made.volume_id];
        assert_eq!(copy.encrypted, is_encrypted, "{name}");
        assert_eq!(copy.kms_key_id.as_deref() == Some(key), name == "key", "{copy:?}");
    }
    // An EC2 that does not do it leaves nothing behind.
    let made = r#"<CopyVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet><item>
        <volumeId>vol-0123456789abcdef0</volumeId><size>1</size><status>available</status><encrypted>false</encrypted>
        </item></volumeSet></CopyVolumesResponse>"#;
    world
        .ec2
        .inject("CopyVolumes", When::Next, Fault::Body(made.to_owned()));
    let request = from_volume(volume("ignored", &[("encrypted", "true")]), &source);
    let error = world.create_volume(request).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("did not encrypt"), "{error}");
    assert_eq!(
        world.sent("DeleteVolume", "VolumeId").as_deref(),
        Some("vol-0123456789abcdef0")
    );
}

/// To encrypt and no key would mean the account's default key.
#[tokio::test(start_paused = true)]
async fn ebs_case_167_a_copy_keeps_the_key_of_its_source_unless_another_is_asked_for() {
    let world = World::new();
    let (own, other) = ("arn:aws:kms:x:1:key/own", "arn:aws:kms:x:1:key/other");
    let encrypted = [
        ("AvailabilityZone", "us-east-1a"),
        ("Size", "1"),
        ("Encrypted", "true"),
        ("KmsKeyId", own),
    ];
    let source = world.ec2.create_volume_fixture_with(&encrypted, &[]).unwrap();
    let rows = [
        ("plain", vec![], own, None),
        ("encrypted", vec![("encrypted", "true")], own, None),
        ("same", vec![("encrypted", "true"), ("kmsKeyId", own)], own, None),
        ("other", vec![("kmsKeyId", other)], other, Some("true")),
    ];
    for (name, parameters, key, sent) in rows {
        let request = from_volume(volume(name, &parameters), &source);
        let made = world.create_volume(request).await.unwrap();
        let copy = &world.ec2.state().volumes[&made.volume_id];
        assert_eq!(copy.kms_key_id.as_deref(), Some(key), "{name}");
        assert_eq!(world.sent("CopyVolumes", "Encrypted").as_deref(), sent, "{name}");
        let sent_key = world.sent("CopyVolumes", "KmsKeyId");
        assert_eq!(sent_key.as_deref(), sent.map(|_| key), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_34_a_running_creation_is_not_doubled() {
    let world = World::with(Ec2Options::default(), Config::default());
    let (first, second) = tokio::join!(
        world.create_volume(volume("pvc-1", &[])),
        world.create_volume(volume("pvc-1", &[]))
    );
    first.unwrap();
    assert_eq!(code(second), Code::Aborted);
    assert_eq!(world.ec2.count("CreateVolume"), 1);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_35_36_the_same_name_again() {
    let world = World::with(Ec2Options::default(), Config::default());
    let first = world.create_volume(volume("pvc-1", &[])).await.unwrap();
    let token = world.sent("CreateVolume", "ClientToken");
    for _ in 0..3 {
        let larger = CreateVolumeRequest {
            capacity_range: range(2 * GIB, 0),
            ..volume("pvc-1", &[])
        };
        assert_eq!(code(world.create_volume(larger).await), Code::AlreadyExists);
    }
    let again = world.create_volume(volume("pvc-1", &[])).await.unwrap();
    assert_eq!(again.volume_id, first.volume_id);
    assert_eq!(world.sent("CreateVolume", "ClientToken"), token);
    assert_eq!(world.ec2.state().volumes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_37_38_refusals() {
    let rows = [
        ("UnauthorizedOperation", Code::Aborted),
        ("InvalidParameterValue", Code::InvalidArgument),
    ];
    for (ec2_code, expected) in rows {
        let world = World::new();
        world
            .ec2
            .inject("CreateVolume", When::Always, Fault::error(ec2_code));
        assert_eq!(code(world.create_volume(volume("pvc-1", &[])).await), expected);
        assert_eq!(world.ec2.count("CreateVolume"), 1);
        let labels = [("request", "CreateVolume"), ("code", ec2_code)];
        assert_eq!(
            world.counter("aws_ebs_csi_api_request_errors_total", &labels),
            1.0
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_39_throttles_are_repeated_and_counted() {
    let world = World::new();
    world.ec2.inject(
        "CreateVolume",
        When::Times(3),
        Fault::error("RequestLimitExceeded"),
    );
    world.create_volume(volume("pvc-1", &[])).await.unwrap();
    let labels = [("operation_name", "CreateVolume")];
    assert_eq!(
        world.counter("aws_ebs_csi_api_request_throttles_total", &labels),
        3.0
    );
    assert_eq!(world.counter("aws_ebs_csi_api_request_errors_total", &[]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_40_a_failed_volume_is_replaced() {
    let world = World::with(Ec2Options::default(), Config::default());
    world.ec2.inject("CreateVolume", When::Next, Fault::FailsLater);
    let begun = Instant::now();
    assert_eq!(
        code(world.create_volume(volume("pvc-1", &[])).await),
        Code::Aborted
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    let token = world.sent("CreateVolume", "ClientToken");
    world.create_volume(volume("pvc-1", &[])).await.unwrap();
    assert_ne!(world.sent("CreateVolume", "ClientToken"), token);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let state = world.ec2.state();
    let live = state
        .volumes
        .values()
        .filter(|volume| volume.status == "available");
    assert_eq!(live.count(), 1);
    assert!(state.volumes.values().all(|volume| volume.status != "error"));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_41_42_the_probe_for_iops() {
    let world = World::new();
    for number in 0..10 {
        world
            .create_volume(volume(&format!("pvc-{number}"), &[]))
            .await
            .unwrap();
    }
    assert!(world.ec2.calls().iter().all(|call| !call.dry_run));
    for number in 0..2 {
        let request = CreateVolumeRequest {
            capacity_range: range(1000 * GIB, 0),
            ..volume(&format!("ratio-{number}"), &[("iopsPerGB", "10")])
        };
        world.create_volume(request).await.unwrap();
    }
    assert_eq!(world.sent("CreateVolume", "Iops").as_deref(), Some("10000"));
    assert_eq!(world.ec2.calls().iter().filter(|call| call.dry_run).count(), 1);
    let state = world.ec2.state();
    let tagged = state
        .volumes
        .values()
        .find(|volume| volume.tags["CSIVolumeName"] == "ratio-0");
    assert_eq!(tagged.unwrap().tags["ebs.csi.aws.com/IOPSPerGb"], "10");
}

#[tokio::test(start_paused = true)]
async fn ebs_case_43_tags_reach_ec2() {
    let world = World::new();
    let parameters = [
        ("csi.storage.k8s.io/pvc/namespace", "ns-prod"),
        (
            "tagSpecification_1",
            r#"team={{ .PVCNamespace | field "-" 1 | toUpper }}"#,
        ),
    ];
    let made = world.create_volume(volume("pvc-1", &parameters)).await.unwrap();
    assert_eq!(world.ec2.state().volumes[&made.volume_id].tags["team"], "PROD");
}

#[tokio::test(start_paused = true)]
async fn ebs_case_48_deletion() {
    let world = World::new();
    let delete = async |id: &str| {
        let request = DeleteVolumeRequest {
            volume_id: id.into(),
            ..DeleteVolumeRequest::default()
        };
        world.channel.controller().delete_volume(request).await
    };
    assert_eq!(code(delete("").await), Code::InvalidArgument);
    delete("vol-0123456789abcdef0").await.unwrap();
    let id = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    world
        .ec2
        .inject("DeleteVolume", When::Next, Fault::error("VolumeInUse"));
    assert_eq!(code(delete(&id).await), Code::Internal);
    delete(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ebs_case_64_capabilities_are_validated() {
    let world = World::new();
    let validate = async |id: &str, capability| {
        let request = ValidateVolumeCapabilitiesRequest {
            volume_id: id.into(),
            volume_capabilities: vec![capability],
            ..ValidateVolumeCapabilitiesRequest::default()
        };
        let answer = world
            .channel
            .controller()
            .validate_volume_capabilities(request)
            .await;
        answer.map(|answer| answer.into_inner().confirmed)
    };
    assert_eq!(
        code(validate("vol-0123456789abcdef0", mount("ext4")).await),
        Code::NotFound
    );
    assert_eq!(code(validate("", mount("ext4")).await), Code::InvalidArgument);
    let id = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let shared = capability(AccessType::Mount(Default::default()), Mode::MultiNodeMultiWriter);
    assert_eq!(validate(&id, shared).await.unwrap(), None);
    assert!(validate(&id, mount("ext4")).await.unwrap().is_some());
}

/// An unknown ID concerns only who asked for it, also when others share its call (Q4).
#[tokio::test(start_paused = true)]
async fn unknown_ids_do_not_disturb_their_batch() {
    let world = World::new();
    let known: Vec<String> = (0..9)
        .map(|_| world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap())
        .collect();
    world.ec2.inject(
        "DescribeVolumes",
        When::Next,
        Fault::Delay(Duration::from_secs(1)),
    );
    let ids = known
        .iter()
        .map(String::as_str)
        .chain(["vol-0123456789abcdef0", "vol-nonsense"]);
    let calls = ids.map(|id| {
        let request = ValidateVolumeCapabilitiesRequest {
            volume_id: id.into(),
            volume_capabilities: vec![mount("ext4")],
            ..ValidateVolumeCapabilitiesRequest::default()
        };
        let mut controller = world.channel.controller();
        async move { controller.validate_volume_capabilities(request).await.map(drop) }
    });
    let answers = futures::future::join_all(calls).await;
    let codes: Vec<Option<Code>> = answers
        .into_iter()
        .map(|answer| answer.err().map(|e| e.code()))
        .collect();
    let mut expected = vec![None; 9];
    expected.extend([Some(Code::NotFound); 2]);
    assert_eq!(codes, expected);
    assert!(
        world.ec2.count("DescribeVolumes") <= 4,
        "{:?}",
        world.actions_since(0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_malformed_answer_is_one_clear_error() {
    let world = World::new();
    world.ec2.inject(
        "CreateVolume",
        When::Next,
        Fault::Body("<html>not what we asked".into()),
    );
    let error = world.create_volume(volume("pvc-1", &[])).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("cannot be read"), "{error}");
    world.create_volume(volume("pvc-1", &[])).await.unwrap();
    assert_eq!(world.ec2.state().volumes.len(), 1);
}

/// Refused IDs cost nobody a further call.
#[tokio::test(start_paused = true)]
async fn ebs_case_109_refused_ids_cost_no_further_call() {
    let world = World::new();
    let known: Vec<String> = (0..9)
        .map(|_| world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap())
        .collect();
    let refused = ["vol-0123456789abcdef0", "vol-nonsense", "vol-0", "pvc-1", "vol-ü"];
    for round in 1..=3 {
        let ids = known.iter().map(String::as_str).chain(refused);
        let calls = ids.map(|id| {
            let request = ValidateVolumeCapabilitiesRequest {
                volume_id: id.into(),
                volume_capabilities: vec![mount("ext4")],
                ..ValidateVolumeCapabilitiesRequest::default()
            };
            let mut controller = world.channel.controller();
            async move { controller.validate_volume_capabilities(request).await.map(drop) }
        });
        let answers = futures::future::join_all(calls).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 9);
        for refusal in answers.into_iter().filter_map(Result::err) {
            assert_eq!(refusal.code(), Code::NotFound);
        }
        assert_eq!(world.actions_since(0), vec!["DescribeVolumes"; round]);
    }
}

/// The log alone has what differs from call to call, and has it once.
#[tokio::test(start_paused = true)]
async fn ebs_case_110_an_encoded_refusal_is_logged_once() {
    let world = World::new();
    let log = Log::of(&world.clock);
    let text = "You are not authorized to perform this operation. Encoded authorization failure message: 4GIOHlT_abc-123";
    let fault = Fault::error_with("UnauthorizedOperation", text, http::StatusCode::FORBIDDEN);
    world.ec2.inject("CreateVolume", When::Next, fault);
    let error = world.create_volume(volume("pvc-1", &[])).await.unwrap_err();
    assert_eq!(
        error.message(),
        "CreateVolume: UnauthorizedOperation: You are not authorized to perform this operation."
    );
    let lines = log.lines();
    let encoded: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("4GIOHlT_abc-123"))
        .collect();
    assert_eq!(encoded.len(), 1, "{lines:#?}");
    assert!(encoded[0].contains("request_id=\""), "{encoded:?}");
    assert!(
        !encoded[0].contains("request_id=\"\""),
        "the ID of the request: {encoded:?}"
    );
    assert!(encoded[0].contains("decode-authorization-message"), "{encoded:?}");
}

/// EC2 answers before it makes a volume, and takes it back without a word, as where the role has no right on the KMS key.
#[tokio::test(start_paused = true)]
async fn ebs_case_111_a_volume_that_ec2_takes_back_ends_the_wait() {
    // Before it is ever shown, and once it was.
    for (shown_after, gone_after) in [(30, 1), (0, 2)] {
        let mut options = Ec2Options::default();
        options.timing.volume_creation = Duration::from_secs(40);
        options.lag.volume = Duration::from_secs(shown_after);
        let world = World::with(options, Config::default());
        let begun = Instant::now();
        let class = [
            ("encrypted", "true"),
            ("kmsKeyId", "arn:aws:kms:us-east-1:1:key/k"),
        ];
        let taking = async {
            tokio::time::sleep(Duration::from_secs(gone_after)).await;
            let made: Vec<String> = world.ec2.state().volumes.into_keys().collect();
            world.ec2.forget_volume(&made[0]);
            made[0].clone()
        };
        let (answer, gone) = tokio::join!(world.create_volume(volume("pvc-1", &class)), taking);
        let error = answer.unwrap_err();
        assert_eq!(error.code(), Code::Aborted, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        for part in [
            gone.as_str(),
            "took it back",
            "KMS key arn:aws:kms:us-east-1:1:key/k",
        ] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        let token = world.sent("CreateVolume", "ClientToken");
        world.ec2.configure(|options| {
            options.timing.volume_creation = Duration::ZERO;
            options.lag.volume = Duration::ZERO;
        });
        let second = world.create_volume(volume("pvc-1", &class)).await.unwrap();
        assert_ne!(second.volume_id, gone);
        assert_ne!(world.sent("CreateVolume", "ClientToken"), token);
    }
}

/// What lags is not gone.
#[tokio::test(start_paused = true)]
async fn ebs_case_111_a_volume_that_is_shown_late_is_kept() {
    let mut options = Ec2Options::default();
    options.timing.volume_creation = Duration::from_secs(2);
    options.lag.volume = Duration::from_secs(4);
    let world = World::with(options, Config::default());
    world.create_volume(volume("pvc-1", &[])).await.unwrap();
    assert_eq!(world.ec2.state().volumes.len(), 1);
    assert_eq!(world.ec2.count("CreateVolume"), 1);
}

/// What hangs is given up after 30 s; whoever asks meanwhile for another volume does not wait for that.
#[tokio::test(start_paused = true)]
async fn ebs_case_184_a_describe_that_hangs_holds_no_other_lookup_up() {
    let world = World::new();
    let ids = [1, 2].map(|gib| world.ec2.create_volume_fixture("us-east-1a", gib, &[]).unwrap());
    world.ec2.inject("DescribeVolumes", When::Next, Fault::Timeout);
    let validate = async |id: &str| {
        let request = ValidateVolumeCapabilitiesRequest {
            volume_id: id.into(),
            volume_capabilities: vec![mount("ext4")],
            ..ValidateVolumeCapabilitiesRequest::default()
        };
        let request = csi::channel::request(request, Duration::from_secs(20));
        let mut controller = world.channel.controller();
        controller.validate_volume_capabilities(request).await.map(drop)
    };
    let later = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let begun = Instant::now();
        (validate(&ids[1]).await, begun.elapsed())
    };
    let (_, (second, took)) = tokio::join!(validate(&ids[0]), later);
    second.unwrap();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
