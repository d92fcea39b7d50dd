#!/bin/sh
# grow.sh SIZE: lets the claims of the StatefulSet grow, and its template with them. No pod is restarted.
set -eu
cd "$(dirname "$0")"
size=$1

for claim in $(kubectl get pvc --namespace default -l app=growing -o name); do
  kubectl patch "$claim" --namespace default -p "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"$size\"}}}}"
done
# Templates of claims cannot be edited: the set is deleted without its pods, and the new one takes them.
kubectl delete statefulset db --namespace default --cascade=orphan --wait
sed "s/storage: 4Gi/storage: $size/" statefulset.yaml | kubectl apply -f -
