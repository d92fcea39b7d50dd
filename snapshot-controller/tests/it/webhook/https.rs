//! HTTPS as an API server speaks it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Scope;
use base::http::Tls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use snapshot_controller::webhook;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{V1, V1BETA1, content};

/// Writes a new certificate of loopback and its key.
fn renew(folder: &Path) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    certificate.pem()
}

struct Served {
    folder: TempDir,
    tls: Tls,
    address: SocketAddr,
    scope: Scope,
}

impl Served {
    async fn new() -> (Self, String) {
        let folder = tempfile::tempdir().unwrap();
        let pem = renew(folder.path());
        let tls = Tls::from_files(&folder.path().join("tls.crt"), &folder.path().join("tls.key")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scope = Scope::new();
        let (pair, working) = (tls.clone(), scope.child());
        scope.spawn(async move { webhook::serve(listener, pair, &working).await.unwrap() });
        let served = Self {
            folder,
            tls,
            address,
            scope,
        };
        (served, pem)
    }

    /// Sends a request as who trusts this certificate alone; code and body of the answer, or none without agreement.
    async fn send(&self, pem: &str, head: &str, body: &str) -> Option<(u16, String)> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(self.address).await.ok()?;
        let mut stream = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .ok()?;
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/json\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((code, body.to_owned()))
    }
}

fn review(objects: &[Value]) -> String {
    let request = json!({ "uid": "r-1", "desiredAPIVersion": V1BETA1, "objects": objects });
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": request })
        .to_string()
}

#[tokio::test]
async fn snapshot_case_11_and_138_reviews_are_answered_over_https() {
    let (served, pem) = Served::new().await;
    // A client that says nothing holds up nobody.
    let _silent = TcpStream::connect(served.address).await.unwrap();
    let ready = served.send(&pem, "GET /readyz", "").await.unwrap();
    assert_eq!(ready, (200, "ok".to_owned()));
    let (code, body) = served
        .send(&pem, "POST /convert", &review(&[content(V1)]))
        .await
        .unwrap();
    let answered: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (code, &answered["response"]["result"]["status"]),
        (200, &json!("Success"))
    );
    // A list of an API server holds many: more than the two megabytes that are usual.
    let many = vec![content(V1); 5_000];
    let (code, body) = served.send(&pem, "POST /convert", &review(&many)).await.unwrap();
    let answered: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(code, 200);
    assert_eq!(
        answered["response"]["convertedObjects"].as_array().unwrap().len(),
        many.len()
    );
    for (head, body, expected) in [
        ("POST /convert", "{", 400),
        ("POST /convert", "{}", 400),
        ("GET /convert", "", 405),
        ("GET /", "", 404),
    ] {
        let (code, text) = served.send(&pem, head, body).await.unwrap();
        assert_eq!(code, expected, "{head} {text}");
    }
    served.scope.stop();
    served.scope.finished().await;
    assert!(TcpStream::connect(served.address).await.is_err(), "stopped");
}

#[tokio::test]
async fn snapshot_case_138_a_renewed_certificate_is_served_without_a_restart() {
    let (served, first) = Served::new().await;
    let tls = served.tls.clone();
    served
        .scope
        .spawn(async move { tls.reload_every(Duration::from_millis(10)).await });
    // Half of a new pair, and none at all: the former one goes on.
    std::fs::write(served.folder.path().join("tls.key"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(served.send(&first, "GET /readyz", "").await.is_some());
    std::fs::remove_file(served.folder.path().join("tls.crt")).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(served.send(&first, "GET /readyz", "").await.is_some());
    let second = renew(served.folder.path());
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while served.send(&second, "GET /readyz", "").await.is_none() {
        assert!(
            std::time::Instant::now() < until,
            "the renewed certificate is never served"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        served.send(&first, "GET /readyz", "").await.is_none(),
        "the former one is gone"
    );
}
