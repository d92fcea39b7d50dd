#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. Everything made here is
# deleted at the end, the EBS volumes too.
. "$(dirname "$0")/../check-lib.sh"

apply ../02-dynamic
wait_for pod/app status.phase Running
apply .
wait_for pvc/ebs-clone-claim status.phase Bound
wait_for pod/clone-app status.phase Running
equal "capacity" "$(get pvc/ebs-clone-claim status.capacity.storage)" 4Gi
no_event pvc/ebs-clone-claim ProvisioningFailed
clone=$(get pvc/ebs-clone-claim spec.volumeName)
source=$(get pvc/ebs-claim spec.volumeName)
zone='spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values'
equal "zone" "$(get "pv/$clone" "$zone")" "$(get "pv/$source" "$zone")"

remove .
gone "pv/$clone"
remove ../02-dynamic
gone "pv/$source"
passed
