#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference.
# Set ids.yaml first. Everything made here is deleted at the end; the EBS volume stays.
. "$(dirname "$0")/../check-lib.sh"

apply .
wait_for pvc/ebs-claim status.phase Bound
wait_for deployment/app status.readyReplicas 1
equal "PV and claim" \
  "$(kubectl get pv test-pv -o jsonpath='{.status.phase} {.spec.claimRef.namespace}/{.spec.claimRef.name}')" \
  'Bound default/ebs-claim'
equal "capacity" "$(get pvc/ebs-claim status.capacity.storage)" 10Gi
equal "columns of claims" "$(columns pvc)" \
  'NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE'

# The data outlives the pod and the Deployment.
first=$(kubectl get pods -l app=app -o name)
kubectl rollout restart deployment/app
kubectl rollout status deployment/app --timeout=180s
different "pod after the restart" "$(kubectl get pods -l app=app -o name)" "$first"
kubectl delete -f deployment.yaml --wait
gone pod -l app=app
kubectl apply -f deployment.yaml
wait_for deployment/app status.readyReplicas 1

remove .
passed
