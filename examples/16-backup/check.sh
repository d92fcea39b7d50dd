#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Everything made here is deleted at the end, the EBS snapshot too.
. "$(dirname "$0")/../check-lib.sh"

apply ../02-dynamic
wait_for pod/app status.phase Running
apply .

# A backup program chooses the class by its mark, and notes the EBS snapshot before it is ready.
equal "marked class" "$(kubectl get volumesnapshotclass -l velero.io/csi-volumesnapshot-class=true -o name)" \
  volumesnapshotclass.snapshot.storage.k8s.io/backup-vsc
content=$(present volumesnapshot/backup status.boundVolumeSnapshotContentName)
handle=$(present "volumesnapshotcontent/$content" status.snapshotHandle)
wait_for volumesnapshot/backup status.readyToUse true

# Then it takes the objects away: the EBS snapshot stays.
kubectl delete volumesnapshot backup --wait
equal "content without its snapshot" "$(kubectl get volumesnapshotcontent "$content" -o name)" \
  "volumesnapshotcontent.snapshot.storage.k8s.io/$content"
kubectl delete volumesnapshotcontent "$content" --wait

# The application and its volume are lost, and come back from the EBS snapshot.
kubectl delete pod app --wait
lost=$(get pvc/ebs-claim spec.volumeName)
kubectl delete pvc ebs-claim --wait
gone "pv/$lost"
sed "s/snap-0123456789abcdef0/$handle/" recovered.yaml | kubectl apply -f -
wait_for pod/recovered status.phase Running
equal "handle" "$(get volumesnapshotcontent/recovered status.snapshotHandle)" "$handle"
volume=$(get pvc/recovered spec.volumeName)
equal "EBS snapshot of the volume" "$(ec2_volume "$(get "pv/$volume" spec.csi.volumeHandle)" SnapshotId)" "$handle"

# The backup is no longer wanted: with the policy Delete the EBS snapshot goes with its objects.
kubectl delete pod recovered --wait
kubectl delete pvc recovered --wait
kubectl patch volumesnapshotcontent recovered --type merge -p '{"spec":{"deletionPolicy":"Delete"}}'
kubectl delete volumesnapshot recovered --wait
gone volumesnapshotcontent/recovered

gone "pv/$volume"
remove .
remove ../02-dynamic
passed
