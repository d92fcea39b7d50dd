#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Everything made here is deleted at the end, the EBS volume and its snapshots too.
. "$(dirname "$0")/../check-lib.sh"

counted='count/volumesnapshots.snapshot.storage.k8s.io'
used="status.used.$(echo "$counted" | sed 's/\./\\./g')"

# How many contents there are of snapshots in the namespace.
contents() {
  kubectl get volumesnapshotcontents \
    -o jsonpath="{.items[?(@.spec.volumeSnapshotRef.namespace==\"$namespace\")].metadata.name}" | wc -w
}

apply .
namespace=team
wait_for resourcequota/storage "$used" 0
wait_for resourcequota/storage 'status.used.requests\.storage' 4Gi
wait_for pvc/data status.phase Bound
kubectl apply -f volumesnapshots.yaml
wait_for volumesnapshot/first status.readyToUse true
wait_for volumesnapshot/second status.readyToUse true
equal "columns of quotas" "$(columns resourcequotas -n team)" 'NAME REQUEST LIMIT AGE'

# Nothing is made of the third one.
refused "exceeded quota: storage, requested: $counted=1, used: $counted=2, limited: $counted=2" \
  kubectl apply -f third.yaml
equal "third snapshot" "$(kube get volumesnapshot third --ignore-not-found -o name)" ''
equal "contents" "$(contents)" 2
refused 'exceeded quota: storage, requested: requests.storage=8Gi, used: requests.storage=4Gi, limited: requests.storage=10Gi' \
  kubectl apply -f too-large.yaml

# The place of one that goes is free.
kube delete volumesnapshot first --wait
wait_for resourcequota/storage "$used" 1
kubectl apply -f third.yaml
wait_for volumesnapshot/third status.readyToUse true
equal "contents" "$(contents)" 2

volume=$(get pvc/data spec.volumeName)
kube delete volumesnapshot second third --wait
kube delete pvc data --wait
gone "pv/$volume"
remove .
passed
