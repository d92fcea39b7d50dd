#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set the ids.yaml of folder 01 first. Everything made here is deleted at the end, the EBS snapshot too.
. "$(dirname "$0")/../check-lib.sh"

apply ../01-static
wait_for pvc/ebs-claim status.phase Bound
apply .
wait_for volumesnapshot/ebs-volume-snapshot status.readyToUse true
content=$(get volumesnapshot/ebs-volume-snapshot status.boundVolumeSnapshotContentName)
size=$(get pvc/ebs-claim status.capacity.storage)
equal "restore size of the snapshot" "$(get volumesnapshot/ebs-volume-snapshot status.restoreSize)" "$size"
equal "content" "$(get "volumesnapshotcontent/$content" status.readyToUse)" true
equal "columns of snapshots" "$(columns volumesnapshots)" \
  'NAME READYTOUSE SOURCEPVC SOURCESNAPSHOTCONTENT RESTORESIZE SNAPSHOTCLASS SNAPSHOTCONTENT CREATIONTIME AGE'
equal "columns of contents" "$(columns volumesnapshotcontents)" \
  'NAME READYTOUSE RESTORESIZE DELETIONPOLICY DRIVER VOLUMESNAPSHOTCLASS VOLUMESNAPSHOT VOLUMESNAPSHOTNAMESPACE AGE'

kubectl delete volumesnapshot ebs-volume-snapshot --wait
gone "volumesnapshotcontent/$content"
remove .
remove ../01-static
passed
