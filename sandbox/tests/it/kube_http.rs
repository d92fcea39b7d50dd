//! The server over sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use runtime::{Clock, Random, Scope};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sandbox::kube::ApiServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const TOKEN: &str = "0123456789abcdef";

async fn serve() -> (ApiServer, Scope, SocketAddr) {
    let scope = Scope::new();
    let server = ApiServer::new(Clock::system(), Random::seeded(1), &scope);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    server.serve(listener, TOKEN).unwrap();
    (server, scope, address)
}

/// Sends header lines, answers the status line.
async fn raw(server: &ApiServer, address: SocketAddr, lines: &str) -> String {
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig(address, TOKEN).unwrap()).unwrap();
    let cluster = kubeconfig.clusters[0].cluster.as_ref().unwrap();
    let pem = STANDARD.decode(cluster.certificate_authority_data.as_ref().unwrap());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem.unwrap()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(format!("{lines}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    // The server closes without a farewell.
    let _ = stream.read_to_string(&mut answer).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_client_with_the_kubeconfig_is_served() {
    let (server, scope, address) = serve().await;
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig(address, TOKEN).unwrap()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let client = Client::try_from(config).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    assert_eq!(
        namespaces.list(&ListParams::default()).await.unwrap().items.len(),
        2
    );
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut stream = Box::pin(maps.watch(&WatchParams::default(), "0").await.unwrap());
    maps.create(
        &Default::default(),
        &crate::kube_support::from(serde_json::json!({"metadata": {"name": "a"}})),
    )
    .await
    .unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    assert!(
        server
            .audit()
            .iter()
            .all(|record| record.user == "kubernetes-admin")
    );
    scope.stop();
    assert!(stream.next().await.is_none(), "a graceful stop ends the watches");
    scope.finished().await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let (server, _scope, address) = serve().await;
    let host = format!("Host: {address}");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for (lines, expected) in [
        (format!("GET /version HTTP/1.1\r\n{host}\r\n{bearer}"), "200 OK"),
        (
            format!("GET /{TOKEN}/version HTTP/1.1\r\n{host}"),
            "401 Unauthorized",
        ),
        (format!("GET /version HTTP/1.1\r\n{host}"), "401 Unauthorized"),
        (
            format!("GET /version HTTP/1.1\r\n{host}\r\nAuthorization: Bearer wrong"),
            "401 Unauthorized",
        ),
        (
            format!("GET /wrong/version HTTP/1.1\r\n{host}"),
            "401 Unauthorized",
        ),
        (
            format!("GET /version HTTP/1.1\r\nHost: evil.example.com\r\n{bearer}"),
            "403 Forbidden",
        ),
        (
            format!("GET /version HTTP/1.1\r\n{host}\r\nOrigin: http://evil.example.com\r\n{bearer}"),
            "403 Forbidden",
        ),
        (
            format!("GET /version HTTP/1.1\r\n{host}\r\nOrigin: http://localhost:3000\r\n{bearer}"),
            "200 OK",
        ),
    ] {
        assert_eq!(
            raw(&server, address, &lines).await,
            format!("HTTP/1.1 {expected}"),
            "{lines}"
        );
    }
}
