//! The unmodified SDK over HTTP against the simulated EC2: every action, and every field that the driver reads.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::types::{
    Filter, InstanceType, LockMode, ResourceType, SnapshotState, Tag, TagSpecification,
    VolumeAttachmentState, VolumeModificationState, VolumeState, VolumeType,
};
use base::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options, Fault, When};
use tokio::net::TcpListener;

/// A client of a region of its own. The scope ends the server with the test.
async fn client() -> (Client, Ec2, Scope) {
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let ec2 = Ec2::new(clock, Random::seeded(7), Ec2Options::instant());
    let scope = Scope::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = ec2.serve(listener, &scope).unwrap();
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "example", None, None, "test"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    (Client::from_conf(config), ec2, scope)
}

fn tags(of: ResourceType, name: &str) -> TagSpecification {
    let tag = Tag::builder().key("name").value(name).build();
    TagSpecification::builder().resource_type(of).tags(tag).build()
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.code().unwrap()
}

#[tokio::test]
async fn volumes_make_the_round() {
    let (client, _, _scope) = client().await;
    let made = client
        .create_volume()
        .availability_zone("us-east-1a")
        .size(10)
        .volume_type(VolumeType::Gp3)
        .encrypted(true)
        .multi_attach_enabled(false)
        .client_token("t")
        .tag_specifications(tags(ResourceType::Volume, "a <b> & 'c'"))
        .send()
        .await
        .unwrap();
    let id = made.volume_id().unwrap();
    assert_eq!(made.request_id().unwrap().len(), 36);
    assert_eq!(
        (made.size(), made.iops(), made.throughput()),
        (Some(10), Some(3000), Some(125))
    );
    let listed = client.describe_volumes().volume_ids(id).send().await.unwrap();
    let volume = &listed.volumes()[0];
    assert_eq!(volume.state(), Some(&VolumeState::Available));
    assert_eq!(volume.volume_type(), Some(&VolumeType::Gp3));
    assert_eq!(volume.availability_zone(), Some("us-east-1a"));
    assert_eq!(volume.availability_zone_id(), Some("use1-az1"));
    assert_eq!(volume.encrypted(), Some(true));
    assert!(volume.kms_key_id().unwrap().starts_with("arn:aws:kms:"));
    assert_eq!(volume.tags()[0].value(), Some("a <b> & 'c'"));
    assert_eq!(volume.create_time().unwrap().secs(), 1_767_225_600);
    let copied = client
        .copy_volumes()
        .source_volume_id(id)
        .size(12)
        .volume_type(VolumeType::Gp3)
        .send()
        .await
        .unwrap();
    assert_eq!(copied.volumes()[0].source_volume_id(), Some(id));
    let status = client
        .describe_volume_status()
        .volume_ids(id)
        .send()
        .await
        .unwrap();
    let status = status.volume_statuses()[0].volume_status().unwrap();
    assert_eq!(status.status(), Some(&"ok".into()));
    assert_eq!(status.details().len(), 3);
    client.delete_volume().volume_id(id).send().await.unwrap();
    let gone = client.describe_volumes().volume_ids(id).send().await.unwrap_err();
    assert_eq!(code(&gone), "InvalidVolume.NotFound");
    assert_eq!(
        gone.message(),
        Some(format!("The volume '{id}' does not exist.").as_str())
    );
}

#[tokio::test]
async fn snapshots_make_the_round() {
    let (client, ec2, _scope) = client().await;
    let volume = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    let made = client
        .create_snapshot()
        .volume_id(&volume)
        .description("Created by the test")
        .tag_specifications(tags(ResourceType::Snapshot, "one"))
        .send()
        .await
        .unwrap();
    let id = made.snapshot_id().unwrap();
    assert_eq!(made.state(), Some(&SnapshotState::Completed));
    assert_eq!(made.start_time().unwrap().secs(), 1_767_225_600);
    ec2.create_foreign_snapshot_fixture(1, true);
    let listed = client
        .describe_snapshots()
        .owner_ids("self")
        .filters(filter("tag:name", "one"))
        .filters(filter("volume-id", &volume))
        .max_results(5)
        .send()
        .await
        .unwrap();
    assert_eq!((listed.snapshots().len(), listed.next_token()), (1, None));
    let snapshot = &listed.snapshots()[0];
    assert_eq!(snapshot.snapshot_id(), Some(id));
    assert_eq!(snapshot.volume_id(), Some(volume.as_str()));
    assert_eq!(
        (snapshot.volume_size(), snapshot.progress()),
        (Some(10), Some("100%"))
    );
    assert_eq!(snapshot.owner_id(), Some("111122223333"));
    assert_eq!(snapshot.description(), Some("Created by the test"));
    assert_eq!(snapshot.tags()[0].key(), Some("name"));
    let locked = client
        .lock_snapshot()
        .snapshot_id(id)
        .lock_mode(LockMode::Governance)
        .lock_duration(1)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (locked.lock_duration(), locked.lock_state().unwrap().as_str()),
        (Some(1), "governance")
    );
    let locks = client
        .describe_locked_snapshots()
        .snapshot_ids(id)
        .send()
        .await
        .unwrap();
    assert_eq!(locks.snapshots()[0].snapshot_id(), Some(id));
    let refused = client.delete_snapshot().snapshot_id(id).send().await.unwrap_err();
    assert_eq!(code(&refused), "SnapshotLocked");
    let other = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
    client.delete_snapshot().snapshot_id(other).send().await.unwrap();
}

#[tokio::test]
async fn fast_restores_make_the_round() {
    let (client, ec2, _scope) = client().await;
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let snapshot = ec2.create_snapshot_fixture(&volume, &[]).unwrap();
    let enabled = client
        .enable_fast_snapshot_restores()
        .source_snapshot_ids(&snapshot)
        .source_snapshot_ids("snap-1")
        .availability_zones("us-east-1a")
        .send()
        .await
        .unwrap();
    assert_eq!(enabled.successful()[0].snapshot_id(), Some(snapshot.as_str()));
    let refused = &enabled.unsuccessful()[0];
    assert_eq!(refused.snapshot_id(), Some("snap-1"));
    let error = refused.fast_snapshot_restore_state_errors()[0].error().unwrap();
    assert_eq!(error.code(), Some("InvalidSnapshot.NotFound"));
    let listed = client.describe_fast_snapshot_restores().send().await.unwrap();
    let restore = &listed.fast_snapshot_restores()[0];
    assert_eq!(restore.state().unwrap().as_str(), "enabled");
    assert_eq!(restore.availability_zone(), Some("us-east-1a"));
}

#[tokio::test]
async fn modifications_make_the_round() {
    let (client, ec2, _scope) = client().await;
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let begun = client
        .modify_volume()
        .volume_id(&volume)
        .size(2)
        .iops(3000)
        .send()
        .await
        .unwrap();
    assert_eq!(begun.volume_modification().unwrap().target_size(), Some(2));
    let listed = client
        .describe_volumes_modifications()
        .volume_ids(&volume)
        .send()
        .await
        .unwrap();
    let modification = &listed.volumes_modifications()[0];
    assert_eq!(modification.volume_id(), Some(volume.as_str()));
    assert_eq!(
        modification.modification_state(),
        Some(&VolumeModificationState::Completed)
    );
    assert_eq!(
        (modification.progress(), modification.original_size()),
        (Some(100), Some(1))
    );
    assert_eq!(modification.target_iops(), Some(3000));
    let other = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let never = client
        .describe_volumes_modifications()
        .volume_ids(other)
        .send()
        .await;
    assert_eq!(code(&never.unwrap_err()), "InvalidVolumeModification.NotFound");
}

#[tokio::test]
async fn attachments_make_the_round() {
    let (client, ec2, _scope) = client().await;
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let id = ec2
        .create_instance_fixture("us-east-1a", "m5.large", &[("a", "b")])
        .unwrap();
    let attached = client
        .attach_volume()
        .volume_id(&volume)
        .instance_id(&id)
        .device("/dev/xvdaa")
        .send()
        .await
        .unwrap();
    assert_eq!(attached.state(), Some(&VolumeAttachmentState::Attached));
    let listed = client
        .describe_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    let instance = &listed.reservations()[0].instances()[0];
    assert_eq!(instance.instance_type(), Some(&InstanceType::M5Large));
    assert_eq!(
        instance.placement().unwrap().availability_zone(),
        Some("us-east-1a")
    );
    assert_eq!(instance.state().unwrap().code(), Some(16));
    let mappings = instance.block_device_mappings();
    let mapping = mappings
        .iter()
        .find(|mapping| mapping.device_name() == Some("/dev/xvdaa"));
    assert_eq!(mapping.unwrap().ebs().unwrap().volume_id(), Some(volume.as_str()));
    let shown = client
        .describe_volumes()
        .volume_ids(&volume)
        .send()
        .await
        .unwrap();
    assert_eq!(shown.volumes()[0].attachments()[0].device(), Some("/dev/xvdaa"));
    let detached = client
        .detach_volume()
        .volume_id(&volume)
        .instance_id(&id)
        .send()
        .await
        .unwrap();
    assert_eq!(detached.state(), Some(&VolumeAttachmentState::Detaching));
    let again = client
        .detach_volume()
        .volume_id(&volume)
        .instance_id(&id)
        .send()
        .await;
    assert_eq!(code(&again.unwrap_err()), "IncorrectState");
}

#[tokio::test]
async fn instance_types_are_described() {
    let (client, _, _scope) = client().await;
    let kinds = client
        .describe_instance_types()
        .instance_types(InstanceType::M5Large)
        .send()
        .await
        .unwrap();
    let info = kinds.instance_types()[0].ebs_info().unwrap();
    assert_eq!(info.maximum_ebs_cards(), Some(1));
}

#[tokio::test]
async fn tags_and_zones_make_the_round() {
    let (client, ec2, _scope) = client().await;
    let volume = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let tag = Tag::builder().key("team").value("ops").build();
    client
        .create_tags()
        .resources(&volume)
        .tags(tag)
        .send()
        .await
        .unwrap();
    let listed = client
        .describe_tags()
        .filters(filter("key", "team"))
        .send()
        .await
        .unwrap();
    assert_eq!(listed.tags()[0].resource_id(), Some(volume.as_str()));
    assert_eq!(listed.tags()[0].resource_type(), Some(&ResourceType::Volume));
    let key = Tag::builder().key("team").build();
    client
        .delete_tags()
        .resources(&volume)
        .tags(key)
        .send()
        .await
        .unwrap();
    assert!(ec2.state().volumes[&volume].tags.is_empty());
    let zones = client.describe_availability_zones().send().await.unwrap();
    let names: Vec<_> = zones
        .availability_zones()
        .iter()
        .filter_map(|zone| zone.zone_name())
        .collect();
    assert_eq!(names, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    assert_eq!(zones.availability_zones()[0].zone_id(), Some("use1-az1"));
}

#[tokio::test]
async fn errors_reach_the_sdk_with_code_and_status() {
    let (client, ec2, _scope) = client().await;
    let rehearsed = client
        .describe_availability_zones()
        .dry_run(true)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&rehearsed), "DryRunOperation");
    let probe = client
        .create_volume()
        .availability_zone("us-east-1a")
        .size(4)
        .iops(i32::MAX)
        .volume_type(VolumeType::Io2)
        .dry_run(true)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        probe.message(),
        Some("Volume iops of 2147483647 is too high; maximum is 256000.")
    );
    for (fault, status) in [("RequestLimitExceeded", 503), ("InternalError", 500)] {
        ec2.inject("DescribeVolumes", When::Next, Fault::error(fault));
        let error = client.describe_volumes().send().await.unwrap_err();
        assert_eq!(code(&error), fault);
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status);
    }
    ec2.inject("DescribeVolumes", When::Next, Fault::Body("no XML".to_owned()));
    let malformed = client.describe_volumes().send().await.unwrap_err();
    assert!(malformed.code().is_none(), "{malformed:?}");
    ec2.inject("DescribeVolumes", When::Next, Fault::Disconnect);
    let broken = client.describe_volumes().send().await.unwrap_err();
    assert!(matches!(broken, SdkError::DispatchFailure(_)), "{broken:?}");
}

#[tokio::test]
async fn pages_are_followed_by_the_sdk() {
    let (client, ec2, _scope) = client().await;
    for _ in 0..12 {
        ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    }
    let pages = client
        .describe_volumes()
        .into_paginator()
        .page_size(5)
        .items()
        .send();
    let volumes = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(volumes.len(), 12);
    assert_eq!(ec2.count("DescribeVolumes"), 3);
}
