#!/usr/bin/env bash
# tokio 1.54.1 (the Rust crate): tasks that wait for one `sync::watch` channel are woken in an order that differs from run to
# run, also on a runtime of one thread with a paused clock, where nothing else is random once `select!` is `biased`. Each
# waiter takes one of eight lists by a random number of the runtime, whose seed cannot be set without `tokio_unstable`. Tasks
# that wait for one `sync::Notify` are woken in the order in which they came, each time.
# Seen: of 50 runs with four tasks, several orders with watch and one with Notify.
# Fails when that changes. Needs Rust and the registry of crates.
set -euo pipefail

version=1.54.1
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
tokio = { version = "=$version", features = ["rt", "sync", "time", "test-util"] }
TOML
cat >src/main.rs <<'RUST'
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};

type Order = Arc<Mutex<Vec<usize>>>;

fn run(task: impl AsyncFn(Order)) -> Vec<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let order = Order::default();
    runtime.block_on(task(order.clone()));
    order.lock().unwrap().clone()
}

async fn of_watch(order: Order) {
    let sender = watch::Sender::new(0);
    for number in 0..4 {
        let (mut receiver, order) = (sender.subscribe(), order.clone());
        tokio::spawn(async move {
            receiver.changed().await.unwrap();
            order.lock().unwrap().push(number);
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    sender.send(1).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
}

async fn of_notify(order: Order) {
    let notify = Arc::new(Notify::new());
    for number in 0..4 {
        let (notify, order) = (notify.clone(), order.clone());
        tokio::spawn(async move {
            notify.notified().await;
            order.lock().unwrap().push(number);
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    notify.notify_waiters();
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn main() {
    let watch: BTreeSet<Vec<usize>> = (0..50).map(|_| run(of_watch)).collect();
    let notify: BTreeSet<Vec<usize>> = (0..50).map(|_| run(of_notify)).collect();
    println!("watch: more than one order: {}", watch.len() > 1);
    println!("notify: {notify:?}");
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet >seen
cat >expected <<'TEXT'
watch: more than one order: true
notify: {[0, 1, 2, 3]}
TEXT
echo "tokio $version"
cat seen
diff expected seen
