//! Signals of the test process itself.

use std::time::Duration;

use base::Scope;
use base::process::Signals;

fn send(signal: &str) {
    let own = std::process::id().to_string();
    let status = std::process::Command::new("kill")
        .args([signal, &own])
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn the_first_signal_stops_and_the_second_aborts() {
    // From here on the signals do not end the test process.
    let signals = Signals::install().unwrap();
    let scope = Scope::new();
    scope.spawn(std::future::pending());
    let relay = signals.relay(&scope);
    let sends = async {
        send("-TERM");
        scope.stopping().await;
        send("-INT");
    };
    let relayed = async { tokio::join!(relay, sends) };
    tokio::time::timeout(Duration::from_secs(30), relayed)
        .await
        .unwrap();
    scope.finished().await;
}
