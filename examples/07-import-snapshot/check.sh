#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first. Everything made here is deleted at the end; the EBS snapshot stays.
. "$(dirname "$0")/../check-lib.sh"

apply .
wait_for volumesnapshot/static-snapshot status.readyToUse true
equal "bound content" "$(get volumesnapshot/static-snapshot status.boundVolumeSnapshotContentName)" \
  static-snapshot-content
equal "source claim" "$(get volumesnapshot/static-snapshot spec.source.persistentVolumeClaimName)" ''
equal "handle" "$(get volumesnapshotcontent/static-snapshot-content status.snapshotHandle)" \
  "$(sed -n 's/^  snapshotHandle: //p' ids.yaml)"

# The policy is Retain: the content outlives its snapshot.
kubectl delete volumesnapshot static-snapshot --wait
equal "content without its snapshot" \
  "$(kubectl get volumesnapshotcontent static-snapshot-content -o name)" \
  volumesnapshotcontent.snapshot.storage.k8s.io/static-snapshot-content
kubectl delete volumesnapshotcontent static-snapshot-content --wait
passed
