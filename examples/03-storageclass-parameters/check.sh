#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. Everything made here is
# deleted at the end, the EBS volumes too. EC2 is asked by the aws on the path, the sandbox's by curl.
. "$(dirname "$0")/../check-lib.sh"

volume() {
  get "pvc/$1" spec.volumeName
}

# ec2 CLAIM FIELD: what EC2 says of its volume.
ec2() {
  ec2_volume "$(get "pv/$(volume "$1")" spec.csi.volumeHandle)" "$2"
}

apply .
kubectl apply -f colour.yaml
wait_for pod/app status.phase Running
equal "columns" "$(columns storageclass)" 'NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE'
for field in VolumeType:gp3 Iops:4000 Throughput:250; do
  equal "${field%:*} of ebs-gp3" "$(ec2 ebs-gp3 "${field%:*}" )" "${field#*:}"
done
equal "type of ebs-io2" "$(ec2 ebs-io2 VolumeType)" io2
equal "IOPS of ebs-io2" "$(ec2 ebs-io2 Iops)" 200
equal "encryption of ebs-encrypted" "$(ec2 ebs-encrypted Encrypted | tr 'T' 't')" true
different "key of ebs-encrypted" "$(ec2 ebs-encrypted KmsKeyId)" ''
equal "tag of ebs-tagged" "$(ec2 ebs-tagged Tags:team)" storage
equal "file system of ebs-xfs" "$(get "pv/$(volume ebs-xfs)" spec.csi.fsType)" xfs
equal "blocks of ebs-xfs" "$(get "pv/$(volume ebs-xfs)" spec.csi.volumeAttributes.blocksize)" 1024
equal "inodes of ebs-inodes" "$(get "pv/$(volume ebs-inodes)" spec.csi.volumeAttributes.bytesperinode)" 4096
equal "policy of ebs-retained" "$(get "pv/$(volume ebs-retained)" spec.persistentVolumeReclaimPolicy)" Retain
equal "options of ebs-noatime" "$(get "pv/$(volume ebs-noatime)" 'spec.mountOptions[*]')" noatime

event pvc/ebs-colour ProvisioningFailed
equal "the claim of a wrong class" "$(get pvc/ebs-colour status.phase)" Pending
told=$(kubectl get events --field-selector involvedObject.name=ebs-colour,reason=ProvisioningFailed -o 'jsonpath={.items[*].message}')
case $told in
  *colour*) ;;
  *) fail "what is wrong with the class: '$told'" ;;
esac
kubectl delete -f colour.yaml --wait

# The volume of the class ebs-retained outlives its claim, until its policy is another one.
retained=$(volume ebs-retained)
remove .
wait_for "pv/$retained" status.phase Released
kubectl patch pv "$retained" -p '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'
gone "pv/$retained"
passed
