#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first. Everything made here is deleted at the end; the EBS volume stays, with 8 GiB.
. "$(dirname "$0")/../check-lib.sh"

apply .
wait_for pod/app status.phase Running
equal "mode" "$(get pvc/block-claim spec.volumeMode)" Block
equal "wide columns of claims" "$(columns pvc -o wide)" \
  'NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE'

kubectl apply -f snapshot.yaml
wait_for volumesnapshot/block-snapshot status.readyToUse true
content=$(get volumesnapshot/block-snapshot status.boundVolumeSnapshotContentName)
equal "mode in the content" "$(get "volumesnapshotcontent/$content" spec.sourceVolumeMode)" Block

# A block volume has no file system: the node has nothing to do.
kubectl patch pvc block-claim -p '{"spec":{"resources":{"requests":{"storage":"8Gi"}}}}'
wait_for pvc/block-claim status.capacity.storage 8Gi
equal "capacity of the volume" "$(get pv/block-pv spec.capacity.storage)" 8Gi
event pvc/block-claim VolumeResizeSuccessful
no_event pvc/block-claim FileSystemResizeRequired

kubectl delete -f snapshot.yaml --wait
gone "volumesnapshotcontent/$content"
remove .
passed
