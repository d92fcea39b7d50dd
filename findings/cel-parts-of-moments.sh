#!/usr/bin/env bash
# cel 0.15.0 (the Rust crate): the parts of a timestamp are told at the offset that it was written with. By the specification
# of CEL, and in cel-go, `getHours()` and the others without a time zone are those in UTC, so that equal moments have equal
# parts. In the crate two that are equal have not: 03:04:05+01:00 has hour 3, the same moment as 02:04:05Z hour 2.
# Seen: equal true, hours 3 and 2, with the time zone UTC 2 and 2.
# Fails when that changes. Needs Rust and the registry of crates.
set -euo pipefail

version=0.15.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<TOML
[package]
name = "finding"
version = "0.1.0"
edition = "2024"

[dependencies]
cel = "=$version"
TOML
cat >src/main.rs <<'RUST'
use cel::{Context, Program};

fn main() {
    let (berlin, utc) = (
        "timestamp('2026-01-02T03:04:05+01:00')",
        "timestamp('2026-01-02T02:04:05Z')",
    );
    for expression in [
        format!("{berlin} == {utc}"),
        format!("{berlin}.getHours()"),
        format!("{utc}.getHours()"),
        format!("{berlin}.getHours('UTC')"),
        format!("{utc}.getHours('UTC')"),
    ] {
        let value = Program::compile(&expression).unwrap().execute(&Context::default()).unwrap();
        println!("{expression} {value:?}");
    }
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet >seen
cat >expected <<'TEXT'
timestamp('2026-01-02T03:04:05+01:00') == timestamp('2026-01-02T02:04:05Z') Bool(true)
timestamp('2026-01-02T03:04:05+01:00').getHours() Int(3)
timestamp('2026-01-02T02:04:05Z').getHours() Int(2)
timestamp('2026-01-02T03:04:05+01:00').getHours('UTC') Int(2)
timestamp('2026-01-02T02:04:05Z').getHours('UTC') Int(2)
TEXT
echo "cel $version"
cat seen
diff expected seen
