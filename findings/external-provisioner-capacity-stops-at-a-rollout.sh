#!/usr/bin/env bash
# csi-provisioner (external-provisioner v6.4.0) with --enable-capacity stops updating its CSIStorageCapacity objects after a rollout of
# its own Deployment. With the usual --capacity-ownerref-level=1 the ReplicaSet of the pod owns and controls them. The pod of the next
# ReplicaSet adds its own owner beside the former one, which is still there for the history of revisions; Kubernetes allows one
# owner that controls, so kube-apiserver answers 422 to this update and to every one after it. The scheduler goes on by the
# amounts from before the rollout, and only the log tells.
# Seen with kube-apiserver v1.37.2: one pod publishes an amount and follows a change of it within seconds; the pod of the next
# ReplicaSet never writes. Fails when it does. Needs Go, curl, openssl, Python and the module proxy; builds etcd and the API server,
# which takes ten minutes on two processors.
set -euo pipefail

kubernetes=v1.37.2
etcd=v3.7.3
provisioner=v6.4.0
folder=$(mktemp -d)
started=()
trap '{ kill -KILL "${started[@]}"; wait; } 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/server" "$folder/peer"
export CGO_ENABLED=0 GOFLAGS='-mod=mod -trimpath'

# build PACKAGE PROGRAM: in the module of this folder.
build() {
  echo "building $2"
  go build -o "$folder/$2" "$1" 2>build.log || { cat build.log; exit 1; }
}

# The staged modules are required as v0.0.0 there, and published as v0.x.y.
cd "$folder/server"
go mod init example.com/server 2>/dev/null
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
build . etcd
build k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver

# A driver that says how many bytes it has: what a file says.
cd "$folder/peer"
go mod init example.com/peer 2>/dev/null
go mod edit -require="github.com/kubernetes-csi/external-provisioner/v6@$provisioner"
cat >main.go <<'GO'
package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
}

func (driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: "driver.example.com", VendorVersion: "1"}, nil
}

func (driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

func (driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	answer := &csi.GetPluginCapabilitiesResponse{}
	for _, kind := range []csi.PluginCapability_Service_Type{
		csi.PluginCapability_Service_CONTROLLER_SERVICE,
		csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS,
	} {
		service := &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: kind}}
		answer.Capabilities = append(answer.Capabilities, &csi.PluginCapability{Type: service})
	}
	return answer, nil
}

func (driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
	} {
		rpc := &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}}
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{Type: rpc})
	}
	return answer, nil
}

func (driver) GetCapacity(context.Context, *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		return nil, err
	}
	bytes, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return &csi.GetCapacityResponse{AvailableCapacity: bytes}, err
}

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, driver{})
	csi.RegisterControllerServer(server, driver{})
	panic(server.Serve(listener))
}
GO
build github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner csi-provisioner
build . driver

cd "$folder"
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
until_answered 201 POST json /api/v1/namespaces/default/serviceaccounts '{"metadata": {"name": "default"}}'
until_answered 201 POST json /api/v1/nodes '{"metadata": {"name": "node", "labels": {"example.com/zone": "a"}}}'
until_answered 201 POST json /apis/storage.k8s.io/v1/csinodes '{"metadata": {"name": "node"},
  "spec": {"drivers": [{"name": "driver.example.com", "nodeID": "node", "topologyKeys": ["example.com/zone"]}]}}'
until_answered 201 POST json /apis/storage.k8s.io/v1/storageclasses '{"metadata": {"name": "class"},
  "provisioner": "driver.example.com", "volumeBindingMode": "WaitForFirstConsumer"}'

# What a Deployment makes of its revision of this name: a ReplicaSet that stays, and its pod.
revision() {
  local name=$1 container='"containers": [{"name": "csi-provisioner", "image": "example.com/csi-provisioner"}]'
  until_answered 201 POST json /apis/apps/v1/namespaces/default/replicasets '{"metadata": {"name": "'"$name"'"},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"revision": "'"$name"'"}},
      "template": {"metadata": {"labels": {"revision": "'"$name"'"}}, "spec": {'"$container"'}}}}'
  uid=$(python3 -c 'import json; print(json.load(open("answer"))["metadata"]["uid"])')
  until_answered 201 POST json /api/v1/namespaces/default/pods '{"metadata": {"name": "'"$name"'", "labels": {"revision": "'"$name"'"},
    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "'"$name"'", "uid": "'"$uid"'", "controller": true}]},
    "spec": {'"$container"'}}'
}

cat >config <<YAML
apiVersion: v1
kind: Config
clusters: [{name: one, cluster: {server: "$server", insecure-skip-tls-verify: true}}]
users: [{name: one, user: {token: "$token"}}]
contexts: [{name: one, context: {cluster: one, user: one}}]
current-context: one
YAML
echo 1073741824 >bytes
./driver "$folder/socket" "$folder/bytes" >driver.log 2>&1 &
started+=($!)

# The pod of this name runs its csi-provisioner.
run() {
  NAMESPACE=default POD_NAME=$1 ./csi-provisioner --csi-address "$folder/socket" --kubeconfig config --feature-gates=Topology=true \
    --enable-capacity --capacity-ownerref-level=1 --capacity-poll-interval=2s >"$1.log" 2>&1 &
  process=$!
  started+=("$process")
}

published() {
  ask GET json /apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities >code
  python3 -c 'import json
print(*[(one["capacity"], [owner["name"] for owner in one["metadata"]["ownerReferences"]]) for one in json.load(open("answer"))["items"]])'
}

# is_published WHAT SECONDS
is_published() {
  for _ in $(seq $(($2 * 4))); do
    [ "$(published)" != "$1" ] || return 0
    sleep 0.25
  done
  return 1
}

revision first
run first
is_published "('1Gi', ['first'])" 60 || { published; tail first.log; exit 1; }
echo 2147483648 >bytes
is_published "('2Gi', ['first'])" 60 || { published; tail first.log; exit 1; }
echo "the first revision has published: $(published)"

kill "$process"
wait "$process" 2>/dev/null || true
echo 3221225472 >bytes
revision second
until_answered 200 DELETE json '/api/v1/namespaces/default/pods/first?gracePeriodSeconds=0'
run second
if is_published "('3Gi', ['second'])" 45 || [ "$(published)" != "('2Gi', ['first'])" ]; then
  echo "this has changed: the second revision has published: $(published)"
  exit 1
fi
refused=$(grep -c 'Only one reference can have Controller set to true' second.log || true)
echo "45 s after the rollout, with 3 GiB in the driver: $(published); $refused lines of its log say that the update was refused"
[ "$refused" -gt 0 ] || { tail second.log; exit 1; }
