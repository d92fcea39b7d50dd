//! The Query protocol, in process and over HTTP.

use base::Scope;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use sandbox::ec2::{Ec2, Ec2Options};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::ec2_support::{answer, call, region, seeded};

#[tokio::test(start_paused = true)]
async fn errors_have_code_message_request_id_and_status() {
    let ec2 = region(Ec2Options::instant());
    let error = call(&ec2, "DeleteVolume", &[("VolumeId", "vol-1")]).await;
    assert_eq!(error.status, StatusCode::BAD_REQUEST);
    let request_id = error.one("RequestID");
    assert_eq!(request_id.len(), 36);
    assert_eq!(
        error.body,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>\
             <Code>InvalidVolume.NotFound</Code><Message>The volume 'vol-1' does not exist.</Message>\
             </Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
    );
}

/// An action, its parameters, and the code of the refusal.
type Refusal = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[tokio::test(start_paused = true)]
async fn malformed_requests_are_refused() {
    let ec2 = region(Ec2Options::instant());
    let rows: [Refusal; 9] = [
        ("Dance", &[], "InvalidAction"),
        ("DeleteVolume", &[], "MissingParameter"),
        ("DeleteVolume", &[("VolumeId", "")], "MissingParameter"),
        ("DeleteVolume", &[("VolumeId", "disk-1")], "InvalidParameterValue"),
        (
            "DeleteVolume",
            &[("VolumeId", "vol-1"), ("Colour", "red")],
            "UnknownParameter",
        ),
        (
            "DescribeVolumes",
            &[("DryRun", "perhaps")],
            "InvalidParameterValue",
        ),
        (
            "DescribeVolumes",
            &[("Filter.1.Name", "colour")],
            "InvalidParameterValue",
        ),
        ("DescribeVolumes", &[("MaxResults", "4")], "InvalidParameterValue"),
        (
            "DescribeVolumes",
            &[("NextToken", "here")],
            "InvalidParameterValue",
        ),
    ];
    for (action, parameters, code) in rows {
        assert_eq!(
            call(&ec2, action, parameters).await.code(),
            code,
            "{action} {parameters:?}"
        );
    }
    let request = Request::builder().method(Method::PUT).body(Bytes::new()).unwrap();
    let refused = answer(ec2.clone().oneshot(request).await.unwrap()).unwrap();
    assert_eq!(refused.code(), "InvalidRequest");
    let request = Request::get("http://ec2/?Action=DescribeVolumes&Version=2016-11-15")
        .body(Bytes::new())
        .unwrap();
    answer(ec2.clone().oneshot(request).await.unwrap()).unwrap().ok();
}

#[tokio::test(start_paused = true)]
async fn dry_runs_change_nothing() {
    let ec2 = region(Ec2Options::instant());
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let before = ec2.state();
    let rows: [(&str, &[(&str, &str)]); 7] = [
        (
            "CreateVolume",
            &[("AvailabilityZone", "us-east-1a"), ("Size", "1")],
        ),
        ("CreateSnapshot", &[("VolumeId", &volume)]),
        ("ModifyVolume", &[("VolumeId", &volume), ("Size", "2")]),
        ("DeleteVolume", &[("VolumeId", &volume)]),
        ("CreateTags", &[("ResourceId.1", &volume), ("Tag.1.Key", "a")]),
        ("DescribeVolumes", &[]),
        ("DescribeAvailabilityZones", &[]),
    ];
    for (action, parameters) in rows {
        let mut parameters = parameters.to_vec();
        parameters.push(("DryRun", "true"));
        let rehearsed = call(&ec2, action, &parameters).await;
        assert_eq!(rehearsed.code(), "DryRunOperation", "{action}");
        assert_eq!(rehearsed.status, StatusCode::PRECONDITION_FAILED);
    }
    assert_eq!(ec2.state(), before);
    assert!(ec2.calls().iter().all(|call| call.dry_run));
    let wrong = [
        ("AvailabilityZone", "us-east-1z"),
        ("Size", "1"),
        ("DryRun", "true"),
    ];
    assert_eq!(
        call(&ec2, "CreateVolume", &wrong).await.code(),
        "InvalidZone.NotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn zones_are_described() {
    let ec2 = region(Ec2Options::instant());
    let zones = call(&ec2, "DescribeAvailabilityZones", &[]).await.ok();
    assert_eq!(zones.all("zoneName"), ["us-east-1a", "us-east-1b", "us-east-1c"]);
    assert_eq!(zones.all("zoneId"), ["use1-az1", "use1-az2", "use1-az3"]);
    let one = call(&ec2, "DescribeAvailabilityZones", &[("ZoneName.1", "us-east-1b")]).await;
    assert_eq!(one.all("zoneName"), ["us-east-1b"]);
    let none = call(&ec2, "DescribeAvailabilityZones", &[("ZoneName.1", "us-east-1z")]).await;
    assert_eq!(none.code(), "InvalidParameterValue");
}

#[tokio::test]
async fn the_service_is_served_on_loopback() {
    let ec2 = region(Ec2Options::instant());
    let scope = Scope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(ec2.serve(listener, &scope).unwrap(), format!("http://{address}"));
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let client = tokio::spawn(connection);
    for (host, status) in [
        ("127.0.0.1", StatusCode::OK),
        ("example.com", StatusCode::FORBIDDEN),
    ] {
        let request = Request::post("/")
            .header("host", host)
            .body(Full::new(Bytes::from(
                "Action=DescribeVolumes&Version=2016-11-15",
            )))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.is_empty(), status != StatusCode::OK);
    }
    drop(sender);
    client.await.unwrap().unwrap();
    scope.stop();
    scope.finished().await;
}

#[tokio::test]
async fn other_addresses_are_not_served() {
    let ec2 = region(Ec2Options::instant());
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = ec2.serve(listener, &Scope::new()).unwrap_err();
    assert!(error.to_string().contains("loopback only"), "{error}");
}

const ACTIONS: [&str; 22] = [
    "AttachVolume",
    "CopyVolumes",
    "CreateSnapshot",
    "CreateTags",
    "CreateVolume",
    "DeleteSnapshot",
    "DeleteTags",
    "DeleteVolume",
    "DescribeAvailabilityZones",
    "DescribeFastSnapshotRestores",
    "DescribeInstances",
    "DescribeInstanceTypes",
    "DescribeLockedSnapshots",
    "DescribeSnapshots",
    "DescribeTags",
    "DescribeVolumes",
    "DescribeVolumesModifications",
    "DescribeVolumeStatus",
    "DetachVolume",
    "EnableFastSnapshotRestores",
    "LockSnapshot",
    "ModifyVolume",
];

/// Parameters that some action knows, each with values that it accepts, might accept, or refuses.
fn parameters(ids: &[String]) -> Vec<(&'static str, Vec<String>)> {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let ids = || ids.to_vec();
    vec![
        ("VolumeId", ids()),
        ("VolumeId.1", ids()),
        ("SnapshotId", ids()),
        ("SnapshotId.1", ids()),
        ("SourceSnapshotId.1", ids()),
        ("SourceVolumeId", ids()),
        ("InstanceId", ids()),
        ("InstanceId.1", ids()),
        ("ResourceId.1", ids()),
        ("Tag.1.Key", texts(&["a", "aws:a", ""])),
        ("Size", texts(&["1", "20", "-1", "2147483647"])),
        (
            "VolumeType",
            texts(&["gp3", "gp2", "io2", "st1", "standard", "x"]),
        ),
        ("Iops", texts(&["100", "3000", "2147483647"])),
        ("Throughput", texts(&["125", "2147483647"])),
        ("AvailabilityZone", texts(&["us-east-1a", "x"])),
        ("AvailabilityZone.1", texts(&["us-east-1a", "x"])),
        ("ClientToken", texts(&["t", "u"])),
        ("Device", texts(&["/dev/xvdf", "/dev/xvda"])),
        ("LockMode", texts(&["compliance", "governance"])),
        ("LockDuration", texts(&["1", "2147483647", "36500"])),
        ("CoolOffPeriod", texts(&["1", "72", "73"])),
        (
            "ExpirationDate",
            texts(&["9999-12-30T22:00:00Z", "0001-01-01T00:00:00Z", "soon"]),
        ),
        ("MaxResults", texts(&["0", "5", "1000", "-1"])),
        (
            "Filter.1.Name",
            texts(&["tag:a", "tag-key", "status", "size", "x"]),
        ),
        ("Filter.1.Value.1", texts(&["*", "a", r"\"])),
        ("VolumeInitializationRate", texts(&["100", "4000000000"])),
    ]
}

fn fixtures(ec2: &Ec2) -> Vec<String> {
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[("a", "b")]).unwrap();
    vec![
        ec2.create_snapshot_fixture(&volume, &[]).unwrap(),
        ec2.create_instance_fixture("us-east-1a", "m5.large", &[])
            .unwrap(),
        ec2.create_foreign_snapshot_fixture(1, true),
        volume,
        "vol-0".to_owned(),
        "x".to_owned(),
    ]
}

type Step = (usize, Vec<(usize, usize)>, u64);

/// Carries out the steps and gives all that was answered.
fn transcript(seed: u64, steps: &[Step]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let ec2 = seeded(seed, Ec2Options::default());
        let choices = parameters(&fixtures(&ec2));
        let mut answers = Vec::new();
        for (action, chosen, pause) in steps {
            let form: Vec<(&str, &str)> = chosen
                .iter()
                .map(|(name, value)| {
                    let (name, values) = &choices[name % choices.len()];
                    (*name, values[value % values.len()].as_str())
                })
                .collect();
            answers.push(call(&ec2, ACTIONS[action % ACTIONS.len()], &form).await.body);
            crate::ec2_support::pass(*pause).await;
        }
        answers.push(format!("{:?}", ec2.state()));
        answers
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_requests_are_answered_and_equal_seeds_replay(
        seed in any::<u64>(),
        steps in prop::collection::vec(
            (any::<usize>(), prop::collection::vec((any::<usize>(), any::<usize>()), 0..6), 0_u64..5000),
            0..60,
        ),
    ) {
        let first = transcript(seed, &steps);
        prop_assert!(first.iter().all(|answer| !answer.is_empty()));
        prop_assert_eq!(first, transcript(seed, &steps));
    }
}
