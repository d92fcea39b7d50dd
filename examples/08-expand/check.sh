#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first. Everything made here is deleted at the end; the EBS volume stays, with 8 GiB.
. "$(dirname "$0")/../check-lib.sh"

apply .
wait_for pod/app status.phase Running
equal "capacity before" "$(get pvc/ebs-claim status.capacity.storage)" 4Gi
started=$(get pod/app metadata.uid)

kubectl patch pvc ebs-claim -p '{"spec":{"resources":{"requests":{"storage":"8Gi"}}}}'
wait_for pvc/ebs-claim status.capacity.storage 8Gi
equal "capacity of the volume" "$(get pv/resize-pv spec.capacity.storage)" 8Gi
equal "conditions" "$(get pvc/ebs-claim status.conditions)" ''
equal "stage" "$(get pvc/ebs-claim status.allocatedResourceStatuses)" ''
equal "the pod is the same" "$(get pod/app metadata.uid)" "$started"
event pvc/ebs-claim Resizing
event pvc/ebs-claim FileSystemResizeRequired
event pvc/ebs-claim FileSystemResizeSuccessful

refused 'field can not be less than status.capacity' \
  kubectl patch pvc ebs-claim -p '{"spec":{"resources":{"requests":{"storage":"4Gi"}}}}'

remove .
passed
