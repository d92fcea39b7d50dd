#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first; needs a node in each of the two zones. Everything made here is deleted at the end, the EBS volumes too.
. "$(dirname "$0")/../check-lib.sh"

zone_of_node='metadata.labels.topology\.kubernetes\.io/zone'
zone_of_volume='spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[?(@.key=="topology.kubernetes.io/zone")].values[0]'

# zone POD: that of its node, which must be that of its volume.
zone() {
  there=$(get "node/$(get "pod/$1" spec.nodeName)" "$zone_of_node")
  equal "zone of the volume of $1" "$(get "pv/$(get "pvc/data-$1" spec.volumeName)" "$zone_of_volume")" "$there"
  echo "$there"
}

apply .
wait_for statefulset/app status.readyReplicas 2
first=$(zone app-0)
second=$(zone app-1)
zones=$(sed -nE 's/^  (first|second)Zone: //p' ids.yaml | sort | tr '\n' ' ')
equal "zones of the pods" "$(printf '%s\n' "$first" "$second" | sort | tr '\n' ' ')" "$zones"

# A pod comes back to its volume.
volume=$(get pvc/data-app-0 spec.volumeName)
former=$(get pod/app-0 metadata.uid)
kubectl delete pod app-0 --wait
wait_for statefulset/app status.readyReplicas 2
different "pod" "$(get pod/app-0 metadata.uid)" "$former"
equal "zone of the pod" "$(zone app-0)" "$first"
equal "volume of the pod" "$(get pvc/data-app-0 spec.volumeName)" "$volume"

# The claims outlive the set.
remove .
gone pod -l app=zones
kubectl delete pvc -l app=zones --wait
gone "pv/$volume"
passed
