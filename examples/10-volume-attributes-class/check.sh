#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first. Everything made here is deleted at the end; the EBS volume stays, with the class `fast`.
. "$(dirname "$0")/../check-lib.sh"

want() {
  kubectl patch pvc vac-claim -p "{\"spec\":{\"volumeAttributesClassName\":\"$1\"}}"
}

apply .
wait_for pod/app status.phase Running
started=$(get pod/app metadata.uid)

want fast
wait_for pvc/vac-claim status.currentVolumeAttributesClassName fast
equal "class of the volume" "$(get pv/vac-pv spec.volumeAttributesClassName)" fast
absent pvc/vac-claim status.modifyVolumeStatus
absent pvc/vac-claim 'status.conditions[?(@.type=="ModifyingVolume")].type'
equal "the pod is the same" "$(get pod/app metadata.uid)" "$started"
event pvc/vac-claim VolumeModify
event pvc/vac-claim VolumeModifySuccessful

want late
wait_for pvc/vac-claim status.modifyVolumeStatus.status Pending
event pvc/vac-claim VolumeModifyFailed
want fast
absent pvc/vac-claim status.modifyVolumeStatus
equal "class of the claim" "$(get pvc/vac-claim status.currentVolumeAttributesClassName)" fast

refused 'update to nil is forbidden' \
  kubectl patch pvc vac-claim -p '{"spec":{"volumeAttributesClassName":null}}'

remove .
passed
