//! The server over sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{Clock, Random, Scope};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ObjectMeta;
use kube::{Client, Config};
use prometheus::Registry;
use runtime::args::KubeArgs;
use runtime::client::Connection;
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

/// A way to `server` that counts its connections.
async fn counted(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut to = TcpStream::connect(server).await.unwrap();
                // Ends with either side.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn our_client_needs_one_connection_for_all_that_is_open() {
    let (server, scope, address) = serve().await;
    let (way, connections) = counted(address).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.kubeconfig(way, TOKEN).unwrap()).unwrap();
    let args = KubeArgs {
        kubeconfig: file.path().to_str().unwrap().to_owned(),
        ..KubeArgs::default()
    };
    let connection = Connection::from_args(&args, "test/1").await.unwrap();
    let client = connection.clients("test", &Registry::new()).unwrap().work;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.list(&ListParams::default()).await.unwrap();
    // A watch that stays open, and more requests than a function has open at the same time.
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut watch = Box::pin(maps.watch(&WatchParams::default(), "0").await.unwrap());
    let params = ListParams::default();
    let lists = (0..100).map(|_| namespaces.list(&params));
    for list in futures::future::join_all(lists).await {
        assert_eq!(list.unwrap().items.len(), 2);
    }
    let metadata = ObjectMeta {
        name: Some("seen".to_owned()),
        ..ObjectMeta::default()
    };
    let map = ConfigMap {
        metadata,
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    scope.stop();
    scope.finished().await;
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
