#!/usr/bin/env bash
# One value of NO_PROXY means other hosts to hyper-util 0.1.21, by which reqwest and Amazon's SDK for Rust choose a proxy, than to
# golang.org/x/net v0.62.0, by which every Go program does. Go takes `*.x` as the hosts below x, and `host:port` as that port of the
# host; hyper-util matches neither, without a word, and asks the proxy. Loopback goes past the proxy in Go whatever the list says, and
# through it in hyper-util. It meets whoever replaces a Go program in a pod by one in Rust and keeps its variables: where the proxy
# does not know the endpoint of a VPC, every call fails.
# Seen: of five hosts both agree on two, those of a plain domain and of none.
# Fails when that changes. Needs Rust, Go, crates.io and the module proxy.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GOFLAGS=-mod=mod
list='*.one.example,two.example:443,three.example'
hosts=(a.one.example two.example three.example other.example 127.0.0.1)
mkdir -p "$folder/go" "$folder/rust/src"

cd "$folder/go"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
)

func main() {
	config := httpproxy.Config{HTTPSProxy: "http://proxy.example:3128", NoProxy: os.Args[1]}
	for _, host := range os.Args[2:] {
		proxy, err := config.ProxyFunc()(&url.URL{Scheme: "https", Host: host})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %t\n", host, proxy != nil)
	}
}
GO
go mod init example.com/proxies 2>/dev/null
go mod edit -require=golang.org/x/net@v0.62.0
go build -o proxies . 2>build.log || { cat build.log; exit 1; }
./proxies "$list" "${hosts[@]}" >../of_go

cd "$folder/rust"
cat >Cargo.toml <<'TOML'
[package]
name = "proxies"
version = "0.1.0"
edition = "2024"

[dependencies]
http = "1"
hyper-util = { version = "=0.1.21", features = ["client-proxy"] }
TOML
cat >src/main.rs <<'RUST'
use hyper_util::client::proxy::matcher::Matcher;

fn main() {
    let mut words = std::env::args().skip(1);
    let list = words.next().unwrap();
    let matcher = Matcher::builder().https("http://proxy.example:3128").no(list).build();
    for host in words {
        let uri: http::Uri = format!("https://{host}/").parse().unwrap();
        println!("{host}: {}", matcher.intercept(&uri).is_some());
    }
}
RUST
cargo build --quiet
target/debug/proxies "$list" "${hosts[@]}" >../of_hyper

cd "$folder"
echo "NO_PROXY=$list: whether the proxy is asked, by Go and by hyper-util"
join -t: of_go of_hyper --nocheck-order | tee seen
cat >expected <<'TEXT'
a.one.example: false: true
two.example: false: true
three.example: false: false
other.example: true: true
127.0.0.1: false: true
TEXT
diff expected seen
