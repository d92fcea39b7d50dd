//! What users and Kubernetes hand in, at random: parameters, tags, volume handles. `PROPTEST_CASES` says how many cases there
//! are; EC2's answers, mount options and devices have their properties where they are read.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use csi::v1::{
    ControllerExpandVolumeRequest, ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest,
    DeleteSnapshotRequest, DeleteVolumeRequest, ListSnapshotsRequest,
};
use ebs_driver::node::device::{candidates, check, partition, volume_in_serial};
use ebs_driver::parameters::format::Target;
use ebs_driver::parameters::{
    ChangeParameters, MutableParameters, ParameterError, SnapshotParameters, VolumeParameters, mutable,
    snapshot, volume,
};
use ebs_driver::tags::{self, TagPolicy};
use node::BlockDevice;
use proptest::prelude::*;
use tonic::Code;

use crate::world::{GIB, World, mount, range};

/// Keys that mean something, in some spelling, and such as nobody knows.
fn key() -> impl Strategy<Value = String> {
    let known: Vec<String> = volume::PARAMETERS
        .iter()
        .map(|one| one.key)
        .chain(mutable::PARAMETERS.iter().map(|one| one.key))
        .chain(snapshot::PARAMETERS.iter().map(|one| one.key))
        .map(|key| key.replace('*', "_1"))
        .collect();
    prop_oneof![
        8 => proptest::sample::select(known.clone()),
        2 => proptest::sample::select(known).prop_map(|key| key.to_uppercase()),
        1 => any::<String>(),
    ]
}

/// Values that fit some key, and such as fit none.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<i64>().prop_map(|number| number.to_string()),
        4 => (0..100_i32).prop_map(|number| number.to_string()),
        4 => proptest::sample::select(vec!["true", "false", "True", "gp3", "io2", "governance", "compliance", "a=b", "a={{ .PVCName }}",
            "us-east-1a,us-east-1b", "arn:aws:outposts:us-east-1:1:outpost/op-1", "2030-01-01T00:00:00Z", "4096", ""]).prop_map(str::to_owned),
        2 => any::<String>(),
    ]
}

fn class() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(key(), value(), 0..8)
}

/// An error names a key that was given, in its text as in its fields.
fn names_what_was_given(error: &ParameterError, given: &BTreeMap<String, String>) -> bool {
    match error {
        ParameterError::Unknown { key }
        | ParameterError::Repeated { key }
        | ParameterError::Value { key, .. } => {
            given.contains_key(key) && error.to_string().contains(&format!("{key:?}"))
        }
        _ => true,
    }
}

/// A template of this grammar, and what it renders to.
fn template() -> impl Strategy<Value = (String, String)> {
    let literal = "[a-z0-9 .:/-]{0,6}".prop_map(|text: String| (format!("{{{{ \"{text}\" }}}}"), text));
    let field = Just(("{{ .PVCNamespace }}".to_owned(), NAMESPACE.to_owned()));
    let text = "[a-zA-Z0-9 _./=+-]{0,6}".prop_map(|text: String| (text.clone(), text));
    let leaf = prop_oneof![literal, field, text];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let upper = "[a-z]{0,6}"
            .prop_map(|text: String| (format!("{{{{ \"{text}\" | toUpper }}}}"), text.to_uppercase()));
        let part = (0..3_usize).prop_map(|at| {
            let rendered = NAMESPACE.split('-').nth(at).unwrap_or_default().to_owned();
            (format!("{{{{ .PVCNamespace | field \"-\" {at} }}}}"), rendered)
        });
        let both =
            (inner.clone(), inner.clone()).prop_map(|(left, right)| (left.0 + &right.0, left.1 + &right.1));
        let branch = (any::<bool>(), inner.clone(), inner).prop_map(|(is, then, other)| {
            let rendered = if is { then.1 } else { other.1 };
            let condition = if is {
                "eq .PVCNamespace"
            } else {
                "ne .PVCNamespace"
            };
            let text = format!(
                "{{{{ if {condition} \"{NAMESPACE}\" }}}}{}{{{{ else }}}}{}{{{{ end }}}}",
                then.0, other.0
            );
            (text, rendered)
        });
        prop_oneof![upper, part, both, branch]
    })
}

const NAMESPACE: &str = "team-blue-prod";

/// Handles of volumes, and texts that are none.
fn handle() -> impl Strategy<Value = String> {
    prop_oneof![
        "vol-[0-9a-f]{0,20}",
        "local-ebs://[a-z/.]{0,12}",
        "(vol-|snap-|i-|local-ebs://|hyperpod-)[ -~]{0,12}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn parameters_are_read_or_refused_by_name(given in class()) {
        let volume = VolumeParameters::parse(&given);
        if let Ok(parsed) = &volume {
            for target in [Target::Block, Target::FileSystem("xfs"), Target::FileSystem("ext4"), Target::FileSystem("")] {
                let _ = parsed.format.check(target);
            }
            for (key, value) in parsed.context() {
                prop_assert!(key == key.to_lowercase() && value.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            }
            let _ = parsed.requested_iops(i64::from(i32::MAX));
            let _ = tags::of_volume(&TagPolicy::default(), "pvc-1", parsed);
            // The spelling of keys but for those of tags is of no account.
            let upper = given.iter().map(|(key, value)| {
                let key = if key.starts_with("tagSpecification") { key.clone() } else { key.to_ascii_uppercase() };
                (key, value.clone())
            });
            prop_assert_eq!(VolumeParameters::parse(&upper.collect()), Ok(parsed.clone()));
        }
        let change = ChangeParameters::parse(&given);
        if let Ok(parsed) = &change {
            prop_assert_eq!(MutableParameters::parse(&given), Ok(parsed.mutable.clone()));
            let _ = tags::of_change(parsed);
        }
        let snapshot = SnapshotParameters::parse(&given);
        if let Ok(parsed) = &snapshot {
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let _ = parsed.lock.as_ref().map(|lock| lock.check(now));
            let _ = tags::of_snapshot(&TagPolicy::default(), "snapshot-1", parsed);
        }
        for error in [volume.err(), change.err(), snapshot.err()].into_iter().flatten() {
            prop_assert!(names_what_was_given(&error, &given), "{error}");
        }
    }

    #[test]
    fn templates_render_to_what_they_mean((template, rendered) in template()) {
        let given = BTreeMap::from([
            ("tagSpecification_1".to_owned(), format!("key={template}")),
            ("csi.storage.k8s.io/pvc/namespace".to_owned(), NAMESPACE.to_owned()),
        ]);
        let parsed = VolumeParameters::parse(&given).unwrap();
        let tags = tags::of_volume(&TagPolicy::default(), "pvc-1", &parsed);
        prop_assert_eq!(tags.map(|tags| tags.tags["key"].clone()), Ok(rendered), "{}", template);
    }

    #[test]
    fn devices_are_those_below_dev_and_of_the_volume(
        path in prop_oneof!["/dev/[a-z0-9./-]{0,16}", any::<String>()],
        id in handle(),
        serial in proptest::option::of(prop_oneof!["vol[0-9a-f]{0,20}", any::<String>()]),
        part in prop_oneof!["[0-9]{0,12}", any::<String>()],
    ) {
        let dev = Path::new("/machine/dev");
        for candidate in candidates(dev, &path, &id) {
            let below = candidate.strip_prefix(dev).unwrap();
            prop_assert!(below.components().all(|one| matches!(one, Component::Normal(_))), "{candidate:?}");
            prop_assert!(below.components().next().is_some());
        }
        let device = BlockDevice { path: dev.join("xvdaa"), serial: serial.clone(), size: 1, is_read_only: false, is_partition: false };
        let named = serial.as_deref().and_then(volume_in_serial);
        let is_anothers = named.is_some_and(|named| named != id.replace('-', ""));
        prop_assert_eq!(check(&device, &id).is_err(), is_anothers);
        match partition(&part) {
            Ok(None) => prop_assert!(part.is_empty() || part == "0"),
            Ok(Some(number)) => prop_assert_eq!(part.parse(), Ok(number)),
            Err(text) => prop_assert_eq!(text, &part),
        }
    }

    #[test]
    fn handles_of_any_form_are_answered(id in handle(), node in handle()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new();
            let mut controller = world.channel.controller();
            let mut codes = Vec::new();
            let deletion = DeleteVolumeRequest { volume_id: id.clone(), ..Default::default() };
            codes.push(controller.delete_volume(deletion).await.map(drop));
            let publish = ControllerPublishVolumeRequest {
                volume_id: id.clone(),
                node_id: node.clone(),
                volume_capability: Some(mount("ext4")),
                ..Default::default()
            };
            codes.push(controller.controller_publish_volume(publish).await.map(drop));
            let unpublish = ControllerUnpublishVolumeRequest { volume_id: id.clone(), node_id: node.clone(), ..Default::default() };
            codes.push(controller.controller_unpublish_volume(unpublish).await.map(drop));
            let expand = ControllerExpandVolumeRequest {
                volume_id: id.clone(),
                capacity_range: range(GIB, 0),
                ..Default::default()
            };
            codes.push(controller.controller_expand_volume(expand).await.map(drop));
            let cut = crate::world::snapshot("snapshot-1", &id, &[]);
            codes.push(controller.create_snapshot(csi::channel::request(cut, std::time::Duration::from_secs(60))).await.map(drop));
            let deletion = DeleteSnapshotRequest { snapshot_id: id.clone(), ..Default::default() };
            codes.push(controller.delete_snapshot(deletion).await.map(drop));
            let list = ListSnapshotsRequest { snapshot_id: id.clone(), source_volume_id: node, ..Default::default() };
            codes.push(controller.list_snapshots(list).await.map(drop));
            for (status, number) in codes.into_iter().zip(0..).filter_map(|(code, number): (_, i32)| Some((code.err()?, number))) {
                // A panic is Aborted, what nobody thought of is Unknown.
                let is_clear = !matches!(status.code(), Code::Unknown | Code::Aborted | Code::Unimplemented);
                assert!(is_clear && !status.message().is_empty(), "{number}: {status:?}");
            }
            assert_eq!(world.counter("slackwater_rpc_panics_total", &[]), 0.0);
        });
    }
}
