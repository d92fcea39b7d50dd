//! Metrics and health over real loopback connections.

use std::net::SocketAddr;
use std::time::Duration;

use prometheus::{IntCounter, Registry};
use runtime::Scope;
use runtime::args::HttpAddress;
use runtime::http::{Endpoints, Readiness};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::election::elector;
use crate::store::Store;

/// Status code and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path).await
}

async fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn at(address: &str, election_health: bool) -> HttpAddress {
    HttpAddress {
        address: address.to_owned(),
        metrics_path: "/metrics".to_owned(),
        election_health,
    }
}

fn registry(name: &str) -> Registry {
    let registry = Registry::new();
    let counter = IntCounter::new(name, "help").unwrap();
    registry.register(Box::new(counter)).unwrap();
    registry
}

#[tokio::test]
async fn each_address_serves_its_own_function() {
    let readiness = Readiness::default();
    let caches = readiness.condition("caches", "first list");
    let crds = readiness.remark("crds", "waiting");
    let elector = elector(&Store::default(), "a", 1, 0);
    let mut endpoints = Endpoints::new(readiness);
    endpoints.add(
        &at("127.0.0.1:0", true),
        &registry("one_total"),
        Some(&elector.health().into()),
    );
    endpoints.add(
        &at("localhost:0", false),
        &registry("two_total"),
        Some(&elector.health().into()),
    );
    endpoints.add(&at("localhost:0", false), &registry("three_total"), None);
    let bound = endpoints.bind().await.unwrap();
    let [first, second] = bound.addresses()[..] else {
        panic!("two listeners")
    };
    let scope = Scope::new();
    bound.serve(&scope);

    let (code, text) = get(first, "/metrics").await;
    assert_eq!(
        (code, text.contains("one_total 0"), text.contains("two_total")),
        (200, true, false)
    );
    let (_, text) = get(second, "/metrics").await;
    assert!(text.contains("two_total 0") && text.contains("three_total 0") && !text.contains("one_total"));

    let unready = "[-]caches failed: first list\n[+]crds ok: waiting\nreadyz check failed\n";
    assert_eq!(get(first, "/readyz").await, (500, unready.to_owned()));
    assert_eq!(get(first, "/healthz").await, (200, "ok".to_owned()));
    caches.ready();
    assert_eq!(get(second, "/readyz").await, (200, "ok".to_owned()));
    let verbose = "[+]caches ok\n[+]crds ok: waiting\nreadyz check passed\n";
    assert_eq!(get(first, "/readyz?verbose").await, (200, verbose.to_owned()));
    crds.ready();

    assert_eq!(
        get(first, "/healthz/leader-election").await,
        (200, "ok".to_owned())
    );
    assert_eq!(
        get(second, "/healthz/leader-election").await.0,
        404,
        "not with --metrics-address"
    );
    assert_eq!(get(first, "/debug/pprof/").await.0, 404);
    assert_eq!(request(first, "POST", "/metrics").await.0, 405);

    scope.stop();
    scope.finished().await;
    assert!(TcpStream::connect(first).await.is_err(), "stopped");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_10_a_hung_leader_answers_500() {
    let (store, scope) = (Store::default(), Scope::new());
    let elector = elector(&store, "a", 1, 0);
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.add(
        &at("127.0.0.1:0", true),
        &Registry::new(),
        Some(&elector.health().into()),
    );
    let bound = endpoints.bind().await.unwrap();
    let address = bound.addresses()[0];
    bound.serve(&scope);
    let term = Scope::new();
    let mut leading = std::pin::pin!(elector.run_leading(&term, |_| std::future::pending::<()>()));
    tokio::select! {
        biased;
        ended = &mut leading => panic!("{ended:?}"),
        () = tokio::time::sleep(Duration::from_millis(1)) => {}
    }
    // From here on nobody polls it: it hangs.
    assert_eq!(
        get(address, "/healthz/leader-election").await,
        (200, "ok".to_owned())
    );
    tokio::time::advance(Duration::from_secs(36)).await;
    let text =
        "internal server error: failed election to renew leadership on lease snapshot-controller-leader";
    assert_eq!(
        get(address, "/healthz/leader-election").await,
        (500, text.to_owned())
    );
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.add(&at(&address, true), &Registry::new(), None);
    let error = endpoints.bind().await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on \"{address}\"")) && error.contains("--http-endpoint"),
        "{error}"
    );
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.add(&at("nonsense", true), &Registry::new(), None);
    assert!(endpoints.bind().await.is_err());
}
