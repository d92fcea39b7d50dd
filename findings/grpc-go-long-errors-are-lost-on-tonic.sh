#!/usr/bin/env bash
# An error of a server on grpc-go v1.84.0 whose text is longer than some 16 kB does not reach a client on tonic 0.14.9: the text goes
# in a header, hyper 1.12 announces SETTINGS_MAX_HEADER_LIST_SIZE of 16,384 unless told otherwise, and grpc-go, which obeys it, resets
# the stream with INTERNAL_ERROR instead of sending a shorter text or the bare code. So a final refusal (InvalidArgument) arrives as
# a broken stream, which retries take for passing, and neither side logs the text. Clients on grpc-go take 16 MB. With
# `Endpoint::http2_max_header_list_size` the same error arrives whole. It meets whoever calls a CSI driver in Go from Rust.
# Seen: 1,000 bytes arrive; 20,000 are "Internal" without the text; with the option they arrive.
# Fails when that changes. Needs Rust, Go, crates.io and the module proxy.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
export GOFLAGS=-mod=mod
mkdir -p "$folder/server" "$folder/client/src"
cd "$folder/server"
cat >main.go <<'GO'
package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

type refusing struct{ health.UnimplementedHealthServer }

// Check refuses with a text of as many bytes as the name of the service says.
func (refusing) Check(_ context.Context, asked *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	size, _ := strconv.Atoi(asked.Service)
	return nil, status.Error(codes.InvalidArgument, strings.Repeat("x", size))
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile("address", []byte(listener.Addr().String()), 0o644); err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	health.RegisterHealthServer(server, refusing{})
	_ = server.Serve(listener)
}
GO
go mod init example.com/server 2>/dev/null
go mod edit -require=google.golang.org/grpc@v1.84.0
go build -o server . 2>build.log || { cat build.log; exit 1; }
./server &
server=$!

cd "$folder/client"
cat >Cargo.toml <<'TOML'
[package]
name = "client"
version = "0.1.0"
edition = "2024"

[dependencies]
hyper = "=1.12.0"
tokio = { version = "1", features = ["macros", "rt"] }
tonic = "=0.14.9"
tonic-health = "=0.14.9"
TOML
cat >src/main.rs <<'RUST'
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = format!("http://{}", std::env::args().nth(1).unwrap());
    let endpoint = Endpoint::from_shared(address).unwrap();
    let with_option = endpoint.clone().http2_max_header_list_size(1 << 20);
    for (name, endpoint, size) in [
        ("by default", &endpoint, 1_000),
        ("by default", &endpoint, 20_000),
        ("with the option", &with_option, 20_000),
    ] {
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        let service = size.to_string();
        let refused = client.check(HealthCheckRequest { service }).await.unwrap_err();
        let texts = refused.message().chars().filter(|letter| *letter == 'x').count() == size;
        println!("{name}, {size} bytes: {:?}, the text arrives: {texts}", refused.code());
    }
}
RUST
cargo build --quiet
until [ -s "$folder/server/address" ]; do
  sleep 0.1
done
target/debug/client "$(cat "$folder/server/address")" | tee seen
cat >expected <<'TEXT'
by default, 1000 bytes: InvalidArgument, the text arrives: true
by default, 20000 bytes: Internal, the text arrives: false
with the option, 20000 bytes: InvalidArgument, the text arrives: true
TEXT
diff expected seen
