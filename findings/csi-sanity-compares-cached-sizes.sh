#!/usr/bin/env bash
# csi-sanity of csi-test v5.6.0: "should succeed when creating a snapshot with accessibility requirements" fails for every
# driver that tells the accessible topology of a snapshot. It compares the answer with the topology that it has sent by Go's
# deep equality, hidden fields included, and protobuf keeps in one of them the size of a message that was sent: 0 in the
# answer, the size in the request. The segments are equal.
# Seen: the case fails with "sizeCache: 0" beside another number; a driver that leaves the topology out passes it.
# Fails when that changes. Needs Rust, Go and the module proxy.
set -euo pipefail

version=v5.6.0
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --quiet --package slackwater
slackwater=${CARGO_TARGET_DIR:-$PWD/target}/debug/slackwater
folder=$(mktemp -d)
trap 'kill "${driver:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
GOBIN="$folder" go install "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@$version" 2>/dev/null

"$slackwater" file-csi-driver --endpoint="unix://$folder/csi.sock" --data-dir="$folder/data" --node-id=node 2>/dev/null &
driver=$!
until [ -S "$folder/csi.sock" ]; do
  sleep 0.1
done
"$folder/csi-sanity" --ginkgo.no-color --ginkgo.focus='snapshot with accessibility requirements' \
  --csi.endpoint="unix://$folder/csi.sock" >"$folder/log" || true
grep -E 'sizeCache|file.csi.slackwater/node|^Ran |^(FAIL|SUCCESS)!' "$folder/log" | sed -E 's/^ +//; s/ in [0-9.]+ seconds//' | sort -u >"$folder/seen"
echo "csi-sanity $version"
cat "$folder/seen"
[ "$(grep -c sizeCache "$folder/seen")" -eq 2 ]
[ "$(grep -c 'file.csi.slackwater/node' "$folder/seen")" -eq 1 ]
grep -q 'FAIL!' "$folder/seen"
