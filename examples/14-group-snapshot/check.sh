#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first. Everything made here is deleted at the end, the EBS snapshots too; the EBS volumes stay.
. "$(dirname "$0")/../check-lib.sh"

# The fields of all members, a line each.
members() {
  kubectl get volumesnapshots -o "jsonpath={range .items[?(@.status.volumeGroupSnapshotName==\"nightly\")]}{$1}{\"\n\"}{end}"
}

apply .
wait_for pod/database status.phase Running
kubectl apply -f volumegroupsnapshot.yaml
wait_for volumegroupsnapshot/nightly status.readyToUse true
content=$(get volumegroupsnapshot/nightly status.boundVolumeGroupSnapshotContentName)
equal "content" "$(get "volumegroupsnapshotcontent/$content" status.readyToUse)" true
equal "claims of the members" "$(members .spec.source.persistentVolumeClaimName | sort | xargs)" "db-data db-log"
for member in $(members .metadata.name); do
  wait_for "volumesnapshot/$member" status.readyToUse true
  equal "restore size" "$(get "volumesnapshot/$member" status.restoreSize)" 4Gi
done
event volumegroupsnapshot/nightly GroupSnapshotReady

kubectl delete volumegroupsnapshot nightly --wait --timeout="${timeout}s"
gone "volumegroupsnapshotcontent/$content"
equal "members left" "$(kubectl get volumesnapshots -o name)" ''
remove .
passed
