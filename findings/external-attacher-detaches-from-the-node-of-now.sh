#!/usr/bin/env bash
# csi-attacher (external-attacher v4.13.0) notes in each VolumeAttachment under which node ID it attached, and does not ask for
# that ID when it detaches: it takes the one that the CSINode has by then. Where the two differ, as after an update of the driver
# that names its nodes in another way, or under a node name whose machine was replaced, the driver is asked to take the volume
# from the new ID, answers that it is not there, as CSI has it, and the VolumeAttachment goes. The volume stays attached to
# the old ID, and no object tells of it any more.
# Seen with default flags, kube-apiserver v1.37.2 and a driver that attaches where it is asked to. Fails when the driver is asked
# to detach from where it attached. Needs Go, curl, openssl, Python and the module proxy; builds etcd and the API server, which
# takes ten minutes on two processors.
set -euo pipefail

kubernetes=v1.37.2
etcd=v3.7.3
attacher=v4.13.0
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

# A driver that attaches where it is asked to, and notes what it was asked for.
cd "$folder/peer"
go mod init example.com/peer 2>/dev/null
go mod edit -require="github.com/kubernetes-csi/external-attacher/v4@$attacher"
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
	return &csi.GetPluginInfoResponse{Name: "driver.example.com", VendorVersion: "2"}, nil
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
	rpc := &csi.ControllerServiceCapability_RPC{Type: csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME}
	capability := &csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{Rpc: rpc}}
	return &csi.ControllerGetCapabilitiesResponse{Capabilities: []*csi.ControllerServiceCapability{capability}}, nil
}

func (driver) ControllerPublishVolume(_ context.Context, request *csi.ControllerPublishVolumeRequest) (*csi.ControllerPublishVolumeResponse, error) {
	fmt.Println("attach", request.VolumeId, "to", request.NodeId)
	return &csi.ControllerPublishVolumeResponse{}, nil
}

func (driver) ControllerUnpublishVolume(_ context.Context, request *csi.ControllerUnpublishVolumeRequest) (*csi.ControllerUnpublishVolumeResponse, error) {
	fmt.Println("detach", request.VolumeId, "from", request.NodeId)
	return &csi.ControllerUnpublishVolumeResponse{}, nil
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
build github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher csi-attacher
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

csi_nodes=/apis/storage.k8s.io/v1/csinodes
attachments=/apis/storage.k8s.io/v1/volumeattachments
until_answered 200 GET json /readyz
until_answered 201 POST json /api/v1/persistentvolumes '{"metadata": {"name": "pv"},
  "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
    "csi": {"driver": "driver.example.com", "volumeHandle": "volume"}}}'
until_answered 201 POST json $csi_nodes '{"metadata": {"name": "node"},
  "spec": {"drivers": [{"name": "driver.example.com", "nodeID": "old-id", "topologyKeys": null}]}}'

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
./csi-attacher --csi-address "$folder/socket" --kubeconfig config >attacher.log 2>&1 &
started+=($!)

# What kube-controller-manager asks for when a pod comes.
until_answered 201 POST json $attachments '{"metadata": {"name": "attachment"},
  "spec": {"attacher": "driver.example.com", "nodeName": "node", "source": {"persistentVolumeName": "pv"}}}'
for _ in $(seq 240); do
  ask GET json $attachments/attachment >code
  ! grep -q '"attached": *true' answer || break
  sleep 0.25
done
grep -q '"attached": *true' answer || { cat attacher.log; exit 1; }
noted=$(python3 -c 'import json
print(json.load(open("answer"))["metadata"]["annotations"]["csi.alpha.kubernetes.io/node-id"])')

# What kubelet writes when the driver of the node goes and comes back under another name of the node.
until_answered 200 PATCH merge-patch+json $csi_nodes/node '{"spec": {"drivers": []}}'
until_answered 200 PATCH merge-patch+json $csi_nodes/node \
  '{"spec": {"drivers": [{"name": "driver.example.com", "nodeID": "new-id", "topologyKeys": null}]}}'
sleep 2
# And kube-controller-manager when the pod is gone.
ask DELETE json $attachments/attachment >code
until_answered 404 GET json $attachments/attachment

echo "noted in the VolumeAttachment: $noted; the driver was asked to"
cat asked
if [ "$noted" != old-id ] || [ "$(sort -u asked)" != $'attach volume to old-id\ndetach volume from new-id' ]; then
  echo "this has changed: it was asked to detach from the node ID of now alone"
  exit 1
fi
echo "external-attacher $attacher detaches from the node ID of now, and not from the one that it noted"
