//! `docs/iam-policy.json` beside what the code can send: each action is in it and nothing else, and the tags that its conditions
//! go by are in every request.

use std::collections::{BTreeMap, BTreeSet};

use csi::v1::CreateVolumeGroupSnapshotRequest;
use csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use csi::v1::{CreateVolumeRequest, VolumeContentSource};
use ebs_driver::ec2::errors::Action;
use serde_json::Value;

use crate::world::{World, map, snapshot, volume};

const ZONE: &str = "us-east-1a";

/// What EC2 does in the name of whoever asks for an encrypted volume.
const KEYS: [&str; 3] = [
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
];

fn read(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The statements of a policy.
pub fn statements_of(text: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(text).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    policy["Statement"].as_array().unwrap().clone()
}

/// Those of all features.
pub fn statements() -> Vec<Value> {
    statements_of(&read("iam-policy.json"))
}

pub fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

#[test]
fn ebs_case_139_the_policy_has_what_the_code_sends_and_nothing_else() {
    let statements = statements();
    let granted: BTreeSet<&str> = statements
        .iter()
        .flat_map(|statement| texts(&statement["Action"]))
        .collect();
    let sent: Vec<String> = Action::ALL
        .iter()
        .map(|action| format!("{}:{}", action.service(), action.name()))
        .collect();
    let needed: BTreeSet<&str> = sent.iter().map(String::as_str).chain(KEYS).collect();
    assert_eq!(granted, needed);
    assert!(statements.iter().all(|statement| statement["Effect"] == "Allow"));
}

#[test]
fn ebs_case_139_each_statement_is_explained() {
    let statements = statements();
    let named: BTreeSet<&str> = statements
        .iter()
        .map(|statement| statement["Sid"].as_str().unwrap())
        .collect();
    assert_eq!(named.len(), statements.len(), "each once");
    let page = read("iam.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let explained: BTreeSet<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    assert_eq!(explained, named);
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(named.iter().all(is_name), "IAM takes no other characters");
}

/// The tags by which a statement lets this action make something.
fn tags_asked_for(action: &str) -> BTreeMap<String, String> {
    let action = format!("ec2:{action}");
    let statements = statements();
    let of_action = statements
        .iter()
        .filter(|statement| texts(&statement["Action"]).contains(&action.as_str()));
    let conditions = of_action.filter_map(|statement| statement["Condition"]["StringEquals"].as_object());
    conditions
        .flatten()
        .filter_map(|(key, value)| {
            let tag = key.strip_prefix("aws:RequestTag/")?;
            Some((tag.to_owned(), value.as_str().unwrap().to_owned()))
        })
        .collect()
}

/// The tags of a request, as sent.
fn tags_sent(parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let keys = parameters
        .iter()
        .filter(|(name, _)| name.starts_with("TagSpecification.1.Tag."));
    keys.filter_map(|(name, key)| {
        let number = name.strip_suffix(".Key")?;
        Some((key.clone(), parameters[&format!("{number}.Value")].clone()))
    })
    .collect()
}

fn from(source: Type) -> CreateVolumeRequest {
    CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource { r#type: Some(source) }),
        ..volume("pvc-copy", &[])
    }
}

/// Has the driver make one of everything.
async fn make_each(world: &World) {
    let with_iops = volume(
        "pvc-1",
        &[("iopsPerGB", "10"), ("allowAutoIOPSPerGBIncrease", "true")],
    );
    let made = world.create_volume(with_iops).await.unwrap();
    world.settle().await;
    let node = world.ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
    world
        .ec2
        .attach_volume_fixture(&made.volume_id, &node, "/dev/xvdf")
        .unwrap();
    let cut = world
        .create_snapshot(snapshot("s", &made.volume_id, &[]))
        .await
        .unwrap();
    let group = CreateVolumeGroupSnapshotRequest {
        name: "g".into(),
        source_volume_ids: vec![made.volume_id.clone()],
        parameters: map(&[]),
        ..CreateVolumeGroupSnapshotRequest::default()
    };
    world
        .channel
        .group_controller()
        .create_volume_group_snapshot(group)
        .await
        .unwrap();
    let restored = from(Type::Snapshot(SnapshotSource {
        snapshot_id: cut.snapshot_id,
    }));
    world
        .create_volume(CreateVolumeRequest {
            name: "pvc-2".into(),
            ..restored
        })
        .await
        .unwrap();
    let cloned = from(Type::Volume(VolumeSource {
        volume_id: made.volume_id,
    }));
    world
        .create_volume(CreateVolumeRequest {
            name: "pvc-3".into(),
            ..cloned
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn ebs_case_139_what_is_made_bears_the_tags_that_the_policy_asks_for() {
    let world = World::settled().await;
    make_each(&world).await;
    let statements = statements();
    let on_creation = statements
        .iter()
        .find(|statement| statement["Sid"] == "TagOnCreation")
        .unwrap();
    let creating: BTreeSet<&str> = texts(&on_creation["Condition"]["StringEquals"]["ec2:CreateAction"])
        .into_iter()
        .collect();
    let calls = world.ec2.calls();
    let tagged: BTreeSet<&str> = calls
        .iter()
        .filter(|call| !tags_sent(&call.parameters).is_empty())
        .map(|call| call.action.as_str())
        .collect();
    assert_eq!(tagged, creating);
    for call in calls
        .iter()
        .filter(|call| creating.contains(call.action.as_str()))
    {
        let (asked, sent) = (tags_asked_for(&call.action), tags_sent(&call.parameters));
        assert!(!asked.is_empty(), "{}", call.action);
        for (key, value) in asked {
            assert_eq!(sent.get(&key), Some(&value), "{} {}", call.action, call.dry_run);
        }
    }
    assert!(calls.iter().any(|call| call.dry_run), "the dry run is among them");
}
