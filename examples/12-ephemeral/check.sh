#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. Everything made here is
# deleted at the end, the EBS volume too.
. "$(dirname "$0")/../check-lib.sh"

apply .
wait_for pod/app status.phase Running
claim=pvc/app-persistent-storage
equal "capacity" "$(get $claim status.capacity.storage)" 1Gi
equal "label" "$(get $claim metadata.labels.app)" scratch
equal "owner" "$(get $claim 'metadata.ownerReferences[0].kind') $(get $claim 'metadata.ownerReferences[0].uid')" \
  "Pod $(get pod/app metadata.uid)"
volume=$(get $claim spec.volumeName)

kubectl delete pod app --wait
gone $claim
gone "pv/$volume"

remove .
passed
