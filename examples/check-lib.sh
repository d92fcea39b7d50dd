# What the check.sh of the examples have in common; sourced by them.
# Any failing command ends the check: `set -e`. Each wait ends after CHECK_TIMEOUT seconds.
set -eu
cd "$(dirname "$0")"
journey=$(basename "$PWD")
timeout=${CHECK_TIMEOUT:-180}
# Where objects are looked at; empty is the namespace of the kubeconfig.
namespace=

fail() {
  echo "$journey: $*" >&2
  exit 1
}

# apply FOLDER: with its kustomization, once the IDs in it are those of this account.
apply() {
  ids=$(cd "$1" && pwd)/ids.yaml
  ! kubectl kustomize "$1" | grep -q 0123456789abcdef0 || fail "set the IDs of your account in $ids first"
  kubectl apply -k "$1"
}

# remove FOLDER: all of it, and waits until it is gone.
remove() {
  kubectl delete -k "$1" --ignore-not-found --wait --timeout="${timeout}s"
}

# In the namespace.
kube() {
  kubectl ${namespace:+--namespace "$namespace"} "$@"
}

# get OBJECT PATH: a field, empty where there is none.
get() {
  kube get "$1" -o "jsonpath={.$2}"
}

# wait_for OBJECT PATH VALUE
wait_for() {
  kube wait "$1" --for="jsonpath={.$2}=$3" --timeout="${timeout}s" >/dev/null || {
    kube events --for "$1" --types=Warning >&2 || true
    fail "$1: $2 is '$(get "$1" "$2")' after $timeout s, not '$3'"
  }
}

# present OBJECT PATH: waits until the field is there, and prints it.
present() {
  waited=0
  while value=$(get "$1" "$2") && [ -z "$value" ]; do
    [ "$waited" -lt "$timeout" ] || fail "$1: no $2 after $timeout s"
    sleep 1
    waited=$((waited + 1))
  done
  echo "$value"
}

# absent OBJECT PATH: waits until the field is not there.
absent() {
  waited=0
  while [ -n "$(get "$1" "$2")" ]; do
    [ "$waited" -lt "$timeout" ] || fail "$1: $2 is still '$(get "$1" "$2")' after $timeout s"
    sleep 1
    waited=$((waited + 1))
  done
}

# gone OBJECT...: waits until nothing of it is there.
gone() {
  kube wait --for=delete --timeout="${timeout}s" "$@" >/dev/null || fail "$* is still there after $timeout s"
}

# equal WHAT FOUND EXPECTED
equal() {
  [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}

# different WHAT FOUND UNWANTED
different() {
  [ "$2" != "$3" ] || fail "$1: still '$2'"
}

# columns KIND [FLAG...]: the titles that kubectl prints.
columns() {
  kubectl get "$@" | head -n 1 | tr -s ' ' | sed 's/ $//'
}

# How often an event of this reason was written about KIND/NAME.
count_events() {
  kube get events --field-selector "involvedObject.name=${1#*/},reason=$2" -o name | wc -l
}

event() {
  waited=0
  while [ "$(count_events "$1" "$2")" -eq 0 ]; do
    [ "$waited" -lt 15 ] || fail "$1: no event $2"
    sleep 1
    waited=$((waited + 1))
  done
}

no_event() {
  [ "$(count_events "$1" "$2")" -eq 0 ] || fail "$1: an event $2"
}

# refused TEXT COMMAND...: the command fails and says so.
refused() {
  text=$1
  shift
  if said=$("$@" 2>&1); then
    fail "not refused: $*"
  fi
  case $said in
    *"$text"*) ;;
    *) fail "refused with '$said', not with '$text'" ;;
  esac
}

# ec2_volume ID FIELD: what EC2 says of a volume, with the names of describe-volumes; Tags:KEY is the value of a tag. EC2 is asked
# by the aws on the path. The sandbox's, which asks for no signature, by curl.
ec2_volume() {
  if [ -z "${AWS_ENDPOINT_URL_EC2:-}" ]; then
    case $2 in
      Tags:*) query="Volumes[0].Tags[?Key=='${2#Tags:}'].Value | [0]" ;;
      *) query="Volumes[0].$2" ;;
    esac
    aws ec2 describe-volumes --volume-ids "$1" --query "$query" --output text
    return
  fi
  said=$(curl -fsS "$AWS_ENDPOINT_URL_EC2" -d Version=2016-11-15 -d Action=DescribeVolumes -d "VolumeId.1=$1")
  case $2 in
    Tags:*) said=${said#*"<key>${2#Tags:}</key><value>"} ;;
    *)
      name="$(echo "$2" | cut -c1 | tr '[:upper:]' '[:lower:]')$(echo "$2" | cut -c2-)"
      said=${said#*"<$name>"}
      ;;
  esac
  echo "${said%%<*}"
}

# ec2_has_snapshot ID: whether EC2 has the snapshot; asked as above.
ec2_has_snapshot() {
  if [ -z "${AWS_ENDPOINT_URL_EC2:-}" ]; then
    said=$(aws ec2 describe-snapshots --filters "Name=snapshot-id,Values=$1" --query 'Snapshots[].SnapshotId' --output text)
  else
    said=$(curl -fsS "$AWS_ENDPOINT_URL_EC2" -d Version=2016-11-15 -d Action=DescribeSnapshots -d Filter.1.Name=snapshot-id \
      -d "Filter.1.Value.1=$1")
  fi
  case $said in
    *"$1"*) ;;
    *) return 1 ;;
  esac
}

passed() {
  echo "$journey: passed"
}
