//! Metrics and health over real loopback connections.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::args::{HttpAddress, LogArgs};
use base::http::{Endpoints, Guard, Readiness, Tls, TlsError};
use base::{Clock, RateLimit, Scope};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Registry};
use rustls::pki_types::pem::PemObject as _;
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
    let mut leading =
        std::pin::pin!(elector.run_leading(&term, |_| std::future::pending::<()>(), std::future::pending()));
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

/// A collector that waits for a disk, as long as the test says.
struct Disk {
    asked: Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
    answers: Mutex<std::sync::mpsc::Receiver<()>>,
    counter: IntCounter,
}

impl Collector for Disk {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(asked) = self.asked.lock().unwrap().take() {
            asked.send(()).unwrap();
            // The limit only ends the test where the server waits too.
            let limit = Duration::from_secs(20);
            self.answers.lock().unwrap().recv_timeout(limit).unwrap();
        }
        self.counter.collect()
    }
}

#[tokio::test]
async fn ebs_case_173_a_collector_that_waits_holds_nobody_else_up() {
    let (asked, is_asked) = tokio::sync::oneshot::channel();
    let (answer, answers) = std::sync::mpsc::channel();
    let disk = Disk {
        asked: Mutex::new(Some(asked)),
        answers: Mutex::new(answers),
        counter: IntCounter::new("disk_total", "help").unwrap(),
    };
    let registry = Registry::new();
    registry.register(Box::new(disk)).unwrap();
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.add(&at("127.0.0.1:0", false), &registry, None);
    let bound = endpoints.bind().await.unwrap();
    let (scope, address) = (Scope::new(), bound.addresses()[0]);
    bound.serve(&scope);
    let others = async {
        is_asked.await.unwrap();
        let health = get(address, "/healthz").await;
        answer.send(()).unwrap();
        health
    };
    let ((code, text), health) = tokio::join!(get(address, "/metrics"), others);
    assert_eq!(health, (200, "ok".to_owned()));
    assert_eq!((code, text.contains("disk_total 0")), (200, true));
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

#[tokio::test]
async fn ebs_case_8_scrapes_beyond_the_rate_are_refused() {
    let (scope, address) = (Scope::new(), at("127.0.0.1:0", false));
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.add(&address, &registry("one_total"), None);
    let scrapes = Some(RateLimit { qps: 5.0, burst: 10 });
    let guard = Guard {
        scrapes,
        ..Guard::default()
    };
    endpoints.guard(&address, guard);
    let bound = endpoints.bind().await.unwrap();
    let address = bound.addresses()[0];
    bound.serve(&scope);
    let began = std::time::Instant::now();
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(get(address, "/metrics").await.0);
    }
    let passed = codes.iter().filter(|code| **code == 200).count();
    assert!(codes.iter().all(|code| [200, 429].contains(code)), "{codes:?}");
    assert!(passed >= 10, "{codes:?}");
    // On a machine that is slow today more tokens come back meanwhile.
    if began.elapsed() < Duration::from_secs(1) {
        assert!(passed <= 15, "{codes:?}");
    }
    assert_eq!(get(address, "/healthz").await.0, 200, "health is not limited");
}

/// Writes a new certificate of loopback and its key; the certificate as text.
fn certificate(folder: &Path) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    certificate.pem()
}

/// Metrics over HTTPS with what `certificate` wrote.
async fn serve_encrypted(folder: &Path, reload: Duration) -> (SocketAddr, Scope) {
    let (scope, address) = (Scope::new(), at("127.0.0.1:0", false));
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.add(&address, &registry("one_total"), None);
    let guard = Guard {
        tls: Some(Tls::from_files(&folder.join("tls.crt"), &folder.join("tls.key")).unwrap()),
        reload,
        ..Guard::default()
    };
    endpoints.guard(&address, guard);
    let bound = endpoints.bind().await.unwrap();
    let address = bound.addresses()[0];
    bound.serve(&scope);
    (address, scope)
}

/// A scrape by who trusts this certificate alone; none where they do not agree.
async fn scrape(address: SocketAddr, trusted: &str) -> Option<String> {
    let mut roots = rustls::RootCertStore::empty();
    let root = rustls::pki_types::CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let agreed = connector.connect("localhost".try_into().unwrap(), stream).await;
    let mut stream = agreed.ok()?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(answer)
}

#[tokio::test]
async fn metrics_are_served_over_https_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path());
    let (address, scope) = serve_encrypted(folder.path(), Guard::default().reload).await;
    // A client that says nothing holds up nobody.
    let _silent = TcpStream::connect(address).await.unwrap();
    let answer = scrape(address, &pem).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("one_total 0"),
        "{answer}"
    );
    scope.stop();
    scope.finished().await;
    assert!(TcpStream::connect(address).await.is_err(), "stopped");

    let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let missing = Tls::from_files(&folder.path().join("no"), &key).unwrap_err();
    assert!(missing.to_string().contains("/no"), "{missing}");
    assert!(matches!(Tls::from_files(&key, &cert), Err(TlsError::File { .. })));
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    assert!(matches!(
        Tls::from_files(&cert, &other.path().join("tls.key")),
        Err(TlsError::Use(_))
    ));
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn count(&self, says: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(says)).count()
    }
}

#[tokio::test]
async fn ebs_case_151_a_renewed_certificate_of_the_metrics_is_served_without_a_restart() {
    const FORMER: &str = "the former certificate stays in use";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = base::logging::subscriber(&LogArgs::default(), &Clock::system(), move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let (address, scope) = serve_encrypted(folder.path(), Duration::from_millis(10)).await;

    // Half of a new pair: the former one goes on, and one line says so, however often it is looked at.
    std::fs::write(folder.path().join("tls.crt"), "nonsense").unwrap();
    until(|| log.count(FORMER) > 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(log.count(FORMER), 1);
    assert!(scrape(address, &first).await.is_some());

    let second = certificate(folder.path());
    until(|| log.count("took the renewed certificate") > 0).await;
    assert!(scrape(address, &second).await.unwrap().contains("one_total 0"));
    assert!(scrape(address, &first).await.is_none(), "the former one is gone");
    scope.stop();
    scope.finished().await;
}

async fn until(is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never comes about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
