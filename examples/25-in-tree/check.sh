#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Everything made here is deleted at the end, the EBS volume too.
. "$(dirname "$0")/../check-lib.sh"

apply .
wait_for pod/in-tree status.phase Running
volume=$(get pvc/in-tree-claim spec.volumeName)
equal "CSI source" "$(get "pv/$volume" spec.csi)" ''
id=$(get "pv/$volume" spec.awsElasticBlockStore.volumeID)
id=${id##*/}
equal "type" "$(ec2_volume "$id" VolumeType)" io1
equal "IOPS" "$(ec2_volume "$id" Iops)" 200
event pvc/in-tree-claim ProvisioningSucceeded
told_by=$(kubectl get events --field-selector involvedObject.name=in-tree-claim,reason=ProvisioningSucceeded \
  -o 'jsonpath={.items[0].source.component}')
case $told_by in
  ebs.csi.aws.com*) ;;
  *) fail "ProvisioningSucceeded is told by '$told_by', not by the driver's provisioner" ;;
esac

kubectl patch pvc in-tree-claim -p '{"spec":{"resources":{"requests":{"storage":"8Gi"}}}}'
wait_for pvc/in-tree-claim status.capacity.storage 8Gi
equal "size" "$(ec2_volume "$id" Size)" 8

remove .
gone "pv/$volume"
passed
