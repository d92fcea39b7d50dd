#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. Everything made here is
# deleted at the end, the EBS volumes and the EBS snapshot too.
. "$(dirname "$0")/../check-lib.sh"

apply ../02-dynamic
wait_for pod/app status.phase Running
apply ../05-snapshot
wait_for volumesnapshot/ebs-volume-snapshot status.readyToUse true
apply .
wait_for pvc/ebs-snapshot-restored-claim status.phase Bound
wait_for pod/restored-app status.phase Running
equal "capacity" "$(get pvc/ebs-snapshot-restored-claim status.capacity.storage)" 4Gi
no_event pvc/ebs-snapshot-restored-claim ProvisioningFailed
restored=$(get pvc/ebs-snapshot-restored-claim spec.volumeName)
different "volume" "$restored" "$(get pvc/ebs-claim spec.volumeName)"
absent volumesnapshot/ebs-volume-snapshot 'metadata.finalizers[?(@=="provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection")]'

kubectl apply -f too-small.yaml
event pvc/too-small ProvisioningFailed
equal "a claim that is too small" "$(get pvc/too-small status.phase)" Pending
kubectl delete -f too-small.yaml --wait

remove .
gone "pv/$restored"
remove ../05-snapshot
remove ../02-dynamic
passed
