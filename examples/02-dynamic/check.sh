#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. Everything made here is
# deleted at the end, the EBS volume too.
. "$(dirname "$0")/../check-lib.sh"

kubectl apply -f storageclass.yaml -f persistentvolumeclaim.yaml
equal "the claim without a pod" "$(get pvc/ebs-claim status.phase)" Pending
apply .
wait_for pvc/ebs-claim status.phase Bound
wait_for pod/app status.phase Running
equal "capacity" "$(get pvc/ebs-claim status.capacity.storage)" 4Gi
event pvc/ebs-claim ProvisioningSucceeded
no_event pvc/ebs-claim ProvisioningFailed
volume=$(get pvc/ebs-claim spec.volumeName)
equal "name of the volume" "$volume" "pvc-$(get pvc/ebs-claim metadata.uid)"
equal "driver" "$(get "pv/$volume" spec.csi.driver)" ebs.csi.aws.com
equal "policy" "$(get "pv/$volume" spec.persistentVolumeReclaimPolicy)" Delete
equal "attached" "$(kubectl get volumeattachments -o "jsonpath={.items[?(@.spec.source.persistentVolumeName=='$volume')].status.attached}")" true

remove .
gone "pv/$volume"
passed
