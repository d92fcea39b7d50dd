#!/usr/bin/env bash
# csi-provisioner (external-provisioner v6.4.0) asks its driver to delete volumes that it has just deleted. It asks for DeleteVolume,
# deletes the PersistentVolume, which marks it, and then takes its finalizer off. The mark is a change of the volume, so that it is
# handled once more; as long as the finalizer is there, or the process's own copy still has it, the driver is asked again.
# CSI has the driver answer the second call like the first one, but where a cloud limits calls each of them counts.
# Seen with default flags, a driver that answers at once, kube-apiserver v1.37.2 and forty PersistentVolumes that are released one
# after another: 16 and more of them were asked for twice. Fails when hardly any is. Needs Go, curl, openssl, Python and the module proxy; builds etcd and the API server, which takes ten minutes
# on two processors.
set -euo pipefail

kubernetes=v1.37.2
etcd=v3.7.3
provisioner=v6.4.0
volumes=40
folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
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

# A driver that deletes and notes what it was asked to delete.
cd "$folder/peer"
go mod init example.com/peer 2>/dev/null
go mod edit -require="github.com/kubernetes-csi/external-provisioner/v6@$provisioner"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"

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
	service := &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}
	capability := &csi.PluginCapability{Type: &csi.PluginCapability_Service_{Service: service}}
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{capability}}, nil
}

func (driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	rpc := &csi.ControllerServiceCapability_RPC{Type: csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME}
	capability := &csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{Rpc: rpc}}
	return &csi.ControllerGetCapabilitiesResponse{Capabilities: []*csi.ControllerServiceCapability{capability}}, nil
}

func (driver) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	fmt.Println(request.VolumeId)
	return &csi.DeleteVolumeResponse{}, nil
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

# As csi-provisioner makes them, and as the cluster releases them.
until_answered 200 GET json /readyz
for number in $(seq $volumes); do
  until_answered 201 POST json /api/v1/persistentvolumes '{"metadata": {"name": "pv-'"$number"'",
    "annotations": {"pv.kubernetes.io/provisioned-by": "driver.example.com"},
    "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"]},
    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Delete",
      "claimRef": {"namespace": "default", "name": "claim-'"$number"'", "uid": "00000000-0000-4000-8000-000000000000"},
      "csi": {"driver": "driver.example.com", "volumeHandle": "volume-'"$number"'"}}}'
done

cat >config <<YAML
apiVersion: v1
kind: Config
clusters: [{name: one, cluster: {server: "$server", insecure-skip-tls-verify: true}}]
users: [{name: one, user: {token: "$token"}}]
contexts: [{name: one, context: {cluster: one, user: one}}]
current-context: one
YAML
./driver "$folder/socket" >asked 2>driver.log &
started+=($!)
./csi-provisioner --csi-address "$folder/socket" --kubeconfig config >provisioner.log 2>&1 &
started+=($!)
for _ in $(seq 240); do
  ! grep -q 'Started provisioner controller' provisioner.log || break
  sleep 0.25
done
for number in $(seq $volumes); do
  until_answered 200 PATCH merge-patch+json "/api/v1/persistentvolumes/pv-$number/status" '{"status": {"phase": "Released"}}'
done

# How many volumes still have its finalizer. (That of kube-controller-manager, which has no part in this, stays.)
left() {
  ask GET json /api/v1/persistentvolumes >code
  python3 -c 'import json
volumes = json.load(open("answer"))["items"]
print(sum("external-provisioner" in str(volume["metadata"].get("finalizers")) for volume in volumes))'
}
for _ in $(seq 120); do
  [ "$(left)" -gt 0 ] || break
  sleep 1
done
[ "$(left)" -eq 0 ] || { tail provisioner.log; exit 1; }

calls=$(wc -l <asked) again=$(sort asked | uniq -d | wc -l)
echo "$volumes volumes: $calls calls of DeleteVolume, $again volumes were asked for more than once"
if [ "$(sort -u asked | wc -l)" -ne "$volumes" ] || [ "$again" -lt $((volumes / 10)) ]; then
  echo "this has changed: a tenth of them and more were asked for again"
  exit 1
fi
echo "external-provisioner $provisioner deletes volumes again that it has deleted"
