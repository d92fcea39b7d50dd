#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Everything made here is deleted at the end, the EBS volumes too.
. "$(dirname "$0")/../check-lib.sh"

# pods PATH: this field of each pod.
pods() {
  kubectl get pod -l app=growing -o "jsonpath={.items[*].$1}"
}

apply .
wait_for statefulset/db status.readyReplicas 3
before=$(pods metadata.uid)
former=$(get statefulset/db metadata.uid)
equal "capacity before" "$(get pvc/data-db-2 status.capacity.storage)" 4Gi

sh grow.sh 8Gi
for claim in data-db-0 data-db-1 data-db-2; do
  wait_for "pvc/$claim" status.capacity.storage 8Gi
done
wait_for statefulset/db status.readyReplicas 3
different "set" "$(get statefulset/db metadata.uid)" "$former"
equal "template" "$(get statefulset/db 'spec.volumeClaimTemplates[0].spec.resources.requests.storage')" 8Gi
equal "the pods are the same" "$(pods metadata.uid)" "$before"
equal "the set has them" "$(pods 'metadata.ownerReferences[0].uid' | tr ' ' '\n' | uniq)" "$(get statefulset/db metadata.uid)"
equal "restarts" "$(pods 'status.containerStatuses[*].restartCount' | tr -d ' 0')" ''

# The next pod of the set begins with the new size.
kubectl scale statefulset db --replicas 4
wait_for statefulset/db status.readyReplicas 4
equal "size of the next claim" "$(get pvc/data-db-3 spec.resources.requests.storage)" 8Gi

volume=$(get pvc/data-db-3 spec.volumeName)
remove .
gone pod -l app=growing
kubectl delete pvc -l app=growing --wait
gone "pv/$volume"
passed
