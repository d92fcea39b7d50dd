#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. Everything made here is
# deleted at the end, the EBS volumes and the EBS snapshot too.
. "$(dirname "$0")/../check-lib.sh"

apply ../02-dynamic
wait_for pod/app status.phase Running
apply ../05-snapshot
wait_for volumesnapshot/ebs-volume-snapshot status.readyToUse true
content=$(get volumesnapshot/ebs-volume-snapshot status.boundVolumeSnapshotContentName)
handle=$(get "volumesnapshotcontent/$content" status.snapshotHandle)

# The source goes first: what it is a snapshot of is in use by another one, so its policy must be Retain.
kubectl patch volumesnapshotcontent "$content" --type=merge -p '{"spec":{"deletionPolicy":"Retain"}}'
remove ../05-snapshot
kubectl delete volumesnapshotcontent "$content" --wait
remove ../02-dynamic
kubectl apply -f ../02-dynamic/storageclass.yaml

kubectl kustomize . | sed "s/$(sed -n 's/^  snapshotHandle: //p' ids.yaml)/$handle/" | kubectl apply -f -
namespace=other
wait_for volumesnapshot/ebs-volume-snapshot status.readyToUse true
equal "content" "$(get volumesnapshot/ebs-volume-snapshot status.boundVolumeSnapshotContentName)" snapshot-for-other
equal "handle" "$(get volumesnapshotcontent/snapshot-for-other status.snapshotHandle)" "$handle"
wait_for pod/restored-app status.phase Running
equal "capacity" "$(get pvc/ebs-snapshot-restored-claim status.capacity.storage)" 4Gi
no_event pvc/ebs-snapshot-restored-claim ProvisioningFailed
restored=$(get pvc/ebs-snapshot-restored-claim spec.volumeName)

# Nobody else has the EBS snapshot now: it may go with this content.
kubectl patch volumesnapshotcontent snapshot-for-other --type=merge -p '{"spec":{"deletionPolicy":"Delete"}}'
kubectl delete pod/restored-app pvc/ebs-snapshot-restored-claim volumesnapshot/ebs-volume-snapshot -n other --wait
gone volumesnapshotcontent/snapshot-for-other
gone "pv/$restored"
remove .
kubectl delete -f ../02-dynamic/storageclass.yaml
passed
