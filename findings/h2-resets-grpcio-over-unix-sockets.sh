#!/usr/bin/env bash
# gRPC's C core (here grpcio 1.85.3 of Python) names a Unix socket by its path in `:authority`, with its slashes as "%2F". Servers
# on h2 0.4.20, and so on hyper and tonic, read that as the authority of a URI, in which "%" has no place, and reset the
# stream with PROTOCOL_ERROR before the program sees a request; Go's servers take it. With an authority of its own
# (`grpc.default_authority`) the same client is served. It meets whoever serves CSI from Rust to a client in Python or C++.
# Seen: "Received RST_STREAM with error code 1" without that option, an answer with it.
# Fails when that changes. Needs Rust, Python, crates.io and PyPI.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "served"
version = "0.1.0"
edition = "2024"

[dependencies]
bytes = "1"
h2 = "=0.4.20"
http = "1"
tokio = { version = "1", features = ["macros", "net", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use bytes::Bytes;

// Answers every request with an empty message.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = tokio::net::UnixListener::bind("served.sock").unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut connection) = h2::server::handshake(stream).await else { continue };
        while let Some(request) = connection.accept().await {
            let Ok((_, mut answer)) = request else { break };
            let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut body = answer.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            body.send_trailers(trailers).unwrap();
        }
    }
}
RUST
cat >ask.py <<'PYTHON'
import sys
import grpc

for name, options in [("by its path", []), ("with an authority", [("grpc.default_authority", "localhost")])]:
    with grpc.insecure_channel(f"unix://{sys.argv[1]}", options) as channel:
        call = channel.unary_unary("/a.B/C", lambda _: b"", lambda answer: answer)
        try:
            call(b"", timeout=10)
            print(f"{name}: answered")
        except grpc.RpcError as error:
            print(f"{name}: {error.code().name}: {error.details()}")
PYTHON
cargo build --quiet
python3 -m venv venv
venv/bin/pip install --quiet grpcio==1.85.3
target/debug/served &
server=$!
until [ -S served.sock ]; do
  sleep 0.1
done
venv/bin/python ask.py "$folder/served.sock" | tee seen
grep -q '^by its path: .*RST_STREAM with error code 1' seen
grep -q '^with an authority: answered' seen
