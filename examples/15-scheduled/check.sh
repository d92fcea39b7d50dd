#!/bin/sh
# Runs this journey with the kubectl on the path and ends with an error at the first difference. The script of the Job is run by
# this machine's kubectl with the rights of the Job: the sandbox, where everybody may do everything, runs no CronJob.
# Everything made here is deleted at the end, the EBS snapshots too.
. "$(dirname "$0")/../check-lib.sh"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cat >"$place/kubectl" <<END
#!/bin/sh
exec "$(command -v kubectl)" --as=system:serviceaccount:default:nightly --namespace default "\$@"
END
chmod +x "$place/kubectl"

# setting NAME: of the Job's environment.
setting() {
  get cronjob/nightly "spec.jobTemplate.spec.template.spec.containers[0].env[?(@.name=='$1')].value"
}

# run NUMBER: what the Job of this number does. What it prints is in $place/said.
run() {
  # The times of creation, by which snapshots are told apart, are whole seconds.
  sleep 1
  SCHEDULE=$(setting SCHEDULE) CLAIMS=$(setting CLAIMS) KEEP=$(setting KEEP) CLASS=$(setting CLASS) RUN=nightly-$1 \
    PATH=$place:$PATH sh "$place/schedule.sh" >"$place/said" 2>&1 || { cat "$place/said"; return 1; }
  cat "$place/said"
}

# series: the snapshots of the schedule, the oldest first.
series() {
  kubectl get volumesnapshot -l schedule=nightly --sort-by .metadata.creationTimestamp \
    -o 'jsonpath={range .items[*]}{.metadata.name} {end}' | sed 's/ebs-claim-nightly-//g; s/ $//'
}

ready() {
  wait_for "volumesnapshot/ebs-claim-nightly-$1" status.readyToUse true
}

apply ../02-dynamic
wait_for pod/app status.phase Running
apply .
get configmap/nightly 'data.schedule\.sh' >"$place/schedule.sh"

run 1
equal "without a claim" "$(cat "$place/said")" 'no claim has the labels snapshots=nightly'
kubectl label pvc ebs-claim snapshots=nightly
for number in 1 2 3; do
  run "$number"
  ready "$number"
done
content=$(get volumesnapshot/ebs-claim-nightly-1 status.boundVolumeSnapshotContentName)
oldest=$(get "volumesnapshotcontent/$content" status.snapshotHandle)
equal "labels" "$(kubectl get volumesnapshot -l schedule=nightly,claim=ebs-claim -o name | wc -l | tr -d ' ')" 3

# A Job that is tried again takes no second one.
run 3
equal "said" "$(cat "$place/said")" 'claim ebs-claim: snapshot ebs-claim-nightly-3 is there already'
equal "after three runs" "$(series)" '1 2 3'

# One fails: it is told, is not counted, and stays the only one that the next run does not find in order.
sed 's/name: ebs-volume-snapshot/name: ebs-claim-nightly-failed/; s/csi-aws-vsc/no-such-class/' ../05-snapshot/volumesnapshot.yaml |
  kubectl create -f -
kubectl label volumesnapshot ebs-claim-nightly-failed schedule=nightly claim=ebs-claim
present volumesnapshot/ebs-claim-nightly-failed status.error.message >/dev/null
refused 'snapshot ebs-claim-nightly-failed has failed' run 4
ready 4
equal "with one that failed" "$(series)" '1 2 3 failed 4'

# Three newer ones are ready: the oldest goes with its EBS snapshot, and what failed before goes too.
ec2_has_snapshot "$oldest" || fail "$oldest is gone too early"
refused 'deletes snapshot ebs-claim-nightly-failed' run 5
ready 5
gone volumesnapshot/ebs-claim-nightly-1 "volumesnapshotcontent/$content" volumesnapshot/ebs-claim-nightly-failed
ec2_has_snapshot "$oldest" && fail "$oldest is still there"
equal "after five runs" "$(series)" '2 3 4 5'
run 6
ready 6
gone volumesnapshot/ebs-claim-nightly-2
equal "after six runs" "$(series)" '3 4 5 6'

kubectl delete volumesnapshot -l schedule=nightly --wait
remove .
remove ../02-dynamic
passed
