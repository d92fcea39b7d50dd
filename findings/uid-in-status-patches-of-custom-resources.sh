#!/usr/bin/env bash
# kube-apiserver v1.37.2: a merge patch that names another metadata.uid than the object has is refused with 422 ("field is
# immutable") for a built-in kind and its status, and for a custom resource; but for the *status* of a custom resource it
# is applied. There the metadata of a patch is dropped before anything is compared. So a controller that names the UID to be
# sure that it does not write the status of another object of the same name is sure of it for every kind but its own.
# A JSON patch with a `test` of /metadata/uid is refused, as it should be.
# Seen with a claim and a custom resource with a status subresource. Fails when that changes. Needs Go, curl, openssl, Python and
# the module proxy; builds etcd and the API server, which takes ten minutes on two processors.
set -euo pipefail

kubernetes=v1.37.2
etcd=v3.7.3
folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"

# The staged modules are required as v0.0.0 there, and published as v0.x.y.
go mod init example.com/finding 2>/dev/null
staged=$(go mod download -json "k8s.io/kubernetes@$kubernetes" |
  python3 -c 'import json, sys
for line in open(json.load(sys.stdin)["GoMod"]):
    words = line.split()
    if words[1:2] == ["v0.0.0"]:
        print(words[0])')
go mod edit -require="k8s.io/kubernetes@$kubernetes" -require="go.etcd.io/etcd/server/v3@$etcd"
for module in $staged; do
  go mod edit -replace="$module=$module@${kubernetes/v1/v0}"
done
cat >main.go <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
export CGO_ENABLED=0 GOFLAGS='-mod=mod -trimpath'
for program in .=etcd k8s.io/kubernetes/cmd/kube-apiserver=kube-apiserver; do
  echo "building ${program#*=}"
  go build -o "${program#*=}" "${program%=*}" 2>build.log || { cat build.log; exit 1; }
done

free_port() {
  python3 -c 'import socket
with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    print(one.getsockname()[1])'
}
store=http://127.0.0.1:$(free_port) server=https://127.0.0.1:$(free_port) token=$(openssl rand -hex 16)
./etcd --data-dir store --listen-client-urls "$store" --advertise-client-urls "$store" \
  --listen-peer-urls "http://127.0.0.1:$(free_port)" >etcd.log 2>&1 &
started+=($!)
openssl genrsa -out key 2048 2>/dev/null
echo "$token,admin,admin,system:masters" >tokens
./kube-apiserver --etcd-servers "$store" --bind-address 127.0.0.1 --secure-port "${server##*:}" --cert-dir certificates \
  --service-account-issuer "$server" --service-account-key-file key --service-account-signing-key-file key \
  --token-auth-file tokens >apiserver.log 2>&1 &
started+=($!)

# ask METHOD TYPE PATH [BODY]: prints the code of the answer.
ask() {
  curl --silent --insecure --output answer --write-out '%{http_code}\n' --header "Authorization: Bearer $token" \
    --request "$1" --header "Content-Type: application/$2" ${4:+--data "$4"} "$server$3"
}

# until_answered CODE ARGUMENT...: asks again for a minute at most.
until_answered() {
  local code=$1
  shift
  for _ in $(seq 240); do
    [ "$(ask "$@")" != "$code" ] || return 0
    sleep 0.25
  done
  cat answer apiserver.log
  exit 1
}

until_answered 200 GET json /readyz
until_answered 201 POST json /apis/apiextensions.k8s.io/v1/customresourcedefinitions '{
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
  "spec": {"group": "example.com", "scope": "Namespaced",
    "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
    "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
      "schema": {"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"word": {"type": "string"}}},
        "status": {"type": "object", "properties": {"word": {"type": "string"}}}}}}}]}}'
thing=/apis/example.com/v1/namespaces/default/things claim=/api/v1/namespaces/default/persistentvolumeclaims
until_answered 201 POST json "$thing" '{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}'
until_answered 201 POST json "$claim" '{"metadata": {"name": "one"},
  "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}'

other='"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}'
seen="claim: $(ask PATCH merge-patch+json "$claim/one" "{$other}")
status of a claim: $(ask PATCH merge-patch+json "$claim/one/status" "{$other, \"status\": {\"phase\": \"Lost\"}}")
custom resource: $(ask PATCH merge-patch+json "$thing/one" "{$other, \"spec\": {\"word\": \"new\"}}")
status of a custom resource: $(ask PATCH merge-patch+json "$thing/one/status" "{$other, \"status\": {\"word\": \"new\"}}")
what its status is now: $(python3 -c 'import json; print(json.load(open("answer"))["status"]["word"])')
its status by a JSON patch: $(ask PATCH json-patch+json "$thing/one/status" '[
  {"op": "test", "path": "/metadata/uid", "value": "00000000-0000-4000-8000-000000000000"},
  {"op": "add", "path": "/status/word", "value": "newer"}]')"
expected='claim: 422
status of a claim: 422
custom resource: 422
status of a custom resource: 200
what its status is now: new
its status by a JSON patch: 422'
echo "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'this has changed; it was\n%s\n' "$expected"
  exit 1
fi
echo "kube-apiserver $kubernetes applies a status of a custom resource that is meant for another UID"
