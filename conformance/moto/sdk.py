"""Amazon's own SDK for Python does everything with an EC2 that the driver does, and reads every field that the driver reads.

Takes one JSON object as its argument: `url` of the EC2, and the IDs of what was put there before: `volume` of 10 GiB,
`instance`, `node` (the instance of a node of the HyperPod cluster abcde3ghij4l), `foreign` (a snapshot of another account). The actions that are to fail say so in `failing`. Ends with an
assertion where the SDK reads something else than was written.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.parsers import ResponseParserError

given = json.loads(sys.argv[1])
ec2 = boto3.client(
    "ec2",
    region_name="us-east-1",
    endpoint_url=given["url"],
    aws_access_key_id="AKIDEXAMPLE",
    aws_secret_access_key="example",
    config=Config(retries={"total_max_attempts": 1}),
)
passed = []


def part(play):
    play()
    passed.append(play.__name__)


def refusal(call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("it was not refused")


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


@part
def volumes():
    made = ec2.create_volume(
        AvailabilityZone="us-east-1a",
        Size=10,
        VolumeType="gp3",
        Encrypted=True,
        MultiAttachEnabled=False,
        ClientToken="t",
        TagSpecifications=[
            {"ResourceType": "volume", "Tags": [{"Key": "name", "Value": "a <b> & 'c'"}]}
        ],
    )
    volume = made["VolumeId"]
    equal(len(made["ResponseMetadata"]["RequestId"]), 36)
    equal((made["Size"], made["Iops"], made["Throughput"]), (10, 3000, 125))
    (listed,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    equal((listed["State"], listed["VolumeType"]), ("available", "gp3"))
    equal((listed["AvailabilityZone"], listed["AvailabilityZoneId"]), ("us-east-1a", "use1-az1"))
    assert listed["Encrypted"] and listed["KmsKeyId"].startswith("arn:aws:kms:"), listed
    equal(listed["Tags"], [{"Key": "name", "Value": "a <b> & 'c'"}])
    equal(str(listed["CreateTime"].date()), "2026-01-01")
    copied = ec2.copy_volumes(SourceVolumeId=volume, Size=12, VolumeType="gp3")["Volumes"]
    equal(copied[0]["SourceVolumeId"], volume)
    (status,) = ec2.describe_volume_status(VolumeIds=[volume])["VolumeStatuses"]
    equal((status["VolumeStatus"]["Status"], len(status["VolumeStatus"]["Details"])), ("ok", 3))
    ec2.delete_volume(VolumeId=volume)
    error, _ = refusal(ec2.describe_volumes, VolumeIds=[volume])
    equal(error["Code"], "InvalidVolume.NotFound")
    equal(error["Message"], f"The volume '{volume}' does not exist.")


@part
def snapshots():
    made = ec2.create_snapshot(
        VolumeId=given["volume"],
        Description="Created by the test",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "name", "Value": "one"}]}],
    )
    snapshot = made["SnapshotId"]
    equal((made["State"], str(made["StartTime"].date())), ("completed", "2026-01-01"))
    listed = ec2.describe_snapshots(
        OwnerIds=["self"],
        Filters=[
            {"Name": "tag:name", "Values": ["one"]},
            {"Name": "volume-id", "Values": [given["volume"]]},
        ],
        MaxResults=5,
    )
    (one,) = listed["Snapshots"]
    assert "NextToken" not in listed, listed
    equal((one["SnapshotId"], one["VolumeId"]), (snapshot, given["volume"]))
    equal((one["VolumeSize"], one["Progress"], one["OwnerId"]), (10, "100%", "111122223333"))
    equal((one["Description"], one["Tags"]), ("Created by the test", [{"Key": "name", "Value": "one"}]))
    (foreign,) = ec2.describe_snapshots(SnapshotIds=[given["foreign"]])["Snapshots"]
    assert foreign["OwnerId"] != "111122223333", foreign
    locked = ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=1)
    equal((locked["LockDuration"], locked["LockState"]), (1, "governance"))
    (lock,) = ec2.describe_locked_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    equal(lock["SnapshotId"], snapshot)
    error, _ = refusal(ec2.delete_snapshot, SnapshotId=snapshot)
    equal(error["Code"], "SnapshotLocked")


@part
def fast_restores():
    snapshot = ec2.create_snapshot(VolumeId=given["volume"])["SnapshotId"]
    enabled = ec2.enable_fast_snapshot_restores(
        SourceSnapshotIds=[snapshot, "snap-1"], AvailabilityZones=["us-east-1a"]
    )
    equal(enabled["Successful"][0]["SnapshotId"], snapshot)
    (refused,) = enabled["Unsuccessful"]
    equal(refused["SnapshotId"], "snap-1")
    equal(refused["FastSnapshotRestoreStateErrors"][0]["Error"]["Code"], "InvalidSnapshot.NotFound")
    (restore,) = ec2.describe_fast_snapshot_restores()["FastSnapshotRestores"]
    equal((restore["State"], restore["AvailabilityZone"]), ("enabled", "us-east-1a"))
    ec2.delete_snapshot(SnapshotId=ec2.create_snapshot(VolumeId=given["volume"])["SnapshotId"])


@part
def modifications():
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, VolumeType="gp3")["VolumeId"]
    never, _ = refusal(ec2.describe_volumes_modifications, VolumeIds=[volume])
    equal(never["Code"], "InvalidVolumeModification.NotFound")
    begun = ec2.modify_volume(VolumeId=volume, Size=2, Iops=3000)["VolumeModification"]
    equal(begun["TargetSize"], 2)
    (listed,) = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
    equal((listed["VolumeId"], listed["ModificationState"]), (volume, "completed"))
    equal((listed["Progress"], listed["OriginalSize"], listed["TargetIops"]), (100, 1, 3000))


@part
def attachments():
    volume, instance = given["volume"], given["instance"]
    pair = {"VolumeId": volume, "InstanceId": instance}
    attached = ec2.attach_volume(Device="/dev/xvdaa", **pair)
    equal(attached["State"], "attached")
    reservations = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    (shown,) = reservations[0]["Instances"]
    equal((shown["InstanceType"], shown["State"]["Code"]), ("m5.large", 16))
    equal(shown["Placement"]["AvailabilityZone"], "us-east-1a")
    devices = {mapping["DeviceName"]: mapping["Ebs"] for mapping in shown["BlockDeviceMappings"]}
    equal(devices["/dev/xvdaa"]["VolumeId"], volume)
    (listed,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    equal(listed["Attachments"][0]["Device"], "/dev/xvdaa")
    equal(ec2.detach_volume(**pair)["State"], "detaching")
    again, _ = refusal(ec2.detach_volume, **pair)
    equal(again["Code"], "IncorrectState")


@part
def cluster_nodes():
    sagemaker = boto3.client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url=given["url"],
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="example",
        config=Config(retries={"total_max_attempts": 1}),
    )
    arn = "arn:aws:sagemaker:us-east-1:111122223333:cluster/abcde3ghij4l"
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, VolumeType="gp3")["VolumeId"]
    pair = {"ClusterArn": arn, "NodeId": given["node"], "VolumeId": volume}
    attached = sagemaker.attach_cluster_node_volume(**pair)
    equal((attached["Status"], attached["DeviceName"]), ("attached", "/dev/sdf"))
    equal(attached["AttachTime"].year >= 2026, True)
    (listed,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    (attachment,) = listed["Attachments"]
    equal(attachment["AssociatedResource"], f"{arn}-{given['node']}")
    equal("InstanceId" in attachment, False)
    again, status = refusal(sagemaker.attach_cluster_node_volume, **pair)
    equal((again["Code"], status), ("ValidationException", 400))
    equal(again["Message"].startswith("HyperPod - Ec2ErrCode: VolumeInUse : Ec2ErrMsg: "), True)
    equal(sagemaker.detach_cluster_node_volume(**pair)["Status"], "detaching")
    other = {**pair, "ClusterArn": arn.replace("abcde", "fghij")}
    equal(refusal(sagemaker.detach_cluster_node_volume, **other)[0]["Code"], "ResourceNotFound")


@part
def snapshot_sets():
    one = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, VolumeType="gp3")["VolumeId"]
    two = ec2.create_volume(AvailabilityZone="us-east-1a", Size=2, VolumeType="gp3")["VolumeId"]
    for volume, device in [(one, "/dev/xvdba"), (two, "/dev/xvdbb")]:
        ec2.attach_volume(VolumeId=volume, InstanceId=given["instance"], Device=device)
    at_it = {"InstanceId": given["instance"], "ExcludeBootVolume": True}
    (made,) = ec2.create_snapshots(
        InstanceSpecification={**at_it, "ExcludeDataVolumeIds": [one]},
        Description="Created by the test",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "set", "Value": "1"}]}],
    )["Snapshots"]
    equal((made["VolumeId"], made["VolumeSize"], made["State"]), (two, 2, "completed"))
    equal((made["Progress"], made["OwnerId"]), ("100%", "111122223333"))
    equal((made["Description"], made["Tags"]), ("Created by the test", [{"Key": "set", "Value": "1"}]))
    (listed,) = ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])["Snapshots"]
    equal(listed["State"], "completed")
    excluded, _ = refusal(
        ec2.create_snapshots,
        InstanceSpecification={**at_it, "ExcludeDataVolumeIds": ["vol-0123456789abcdef0"]},
    )
    equal(excluded["Code"], "InvalidParameterValue")
    nothing, _ = refusal(
        ec2.create_snapshots, InstanceSpecification={**at_it, "ExcludeDataVolumeIds": [one, two]}
    )
    equal(nothing["Code"], "InvalidParameterCombination")
    for volume in (one, two):
        ec2.detach_volume(VolumeId=volume, InstanceId=given["instance"])


@part
def instance_types():
    (kind,) = ec2.describe_instance_types(InstanceTypes=["m5.large"])["InstanceTypes"]
    equal(kind["EbsInfo"]["MaximumEbsCards"], 1)


@part
def tags_and_zones():
    ec2.create_tags(Resources=[given["volume"]], Tags=[{"Key": "team", "Value": "ops"}])
    (tag,) = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["team"]}])["Tags"]
    equal((tag["ResourceId"], tag["ResourceType"]), (given["volume"], "volume"))
    ec2.delete_tags(Resources=[given["volume"]], Tags=[{"Key": "team"}])
    equal(ec2.describe_tags(Filters=[{"Name": "key", "Values": ["team"]}])["Tags"], [])
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    equal([zone["ZoneName"] for zone in zones], ["us-east-1a", "us-east-1b", "us-east-1c"])
    equal(zones[0]["ZoneId"], "use1-az1")


@part
def pages():
    for _ in range(12):
        ec2.create_volume(
            AvailabilityZone="us-east-1b",
            Size=1,
            VolumeType="gp3",
            TagSpecifications=[
                {"ResourceType": "volume", "Tags": [{"Key": "page", "Value": "yes"}]}
            ],
        )
    paginator = ec2.get_paginator("describe_volumes")
    found = list(
        paginator.paginate(
            Filters=[{"Name": "tag:page", "Values": ["yes"]}], PaginationConfig={"PageSize": 5}
        )
    )
    equal([len(page["Volumes"]) for page in found], [5, 5, 2])


@part
def errors():
    rehearsed, status = refusal(ec2.describe_availability_zones, DryRun=True)
    equal((rehearsed["Code"], status), ("DryRunOperation", 412))
    probe, _ = refusal(
        ec2.create_volume,
        AvailabilityZone="us-east-1a",
        Size=4,
        Iops=2**31 - 1,
        VolumeType="io2",
        DryRun=True,
    )
    equal(probe["Message"], "Volume iops of 2147483647 is too high; maximum is 256000.")
    failing = getattr(ec2, given["failing"])
    for code, wanted in [("RequestLimitExceeded", 503), ("InternalError", 500)]:
        error, status = refusal(failing)
        equal((error["Code"], status), (code, wanted))
    for kind in (ResponseParserError, ConnectionClosedError):
        try:
            failing()
        except kind:
            continue
        raise AssertionError(f"no {kind.__name__}")


print(f"{len(passed)} parts passed")
