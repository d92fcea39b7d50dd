//! The server over sockets.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use runtime::{Clock, Random, Scope};
use sandbox::kube::ApiServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TOKEN: &str = "0123456789abcdef";

async fn serve() -> (ApiServer, Scope, std::net::SocketAddr) {
    let scope = Scope::new();
    let server = ApiServer::new(Clock::system(), Random::seeded(1), &scope);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    server.serve(listener, TOKEN);
    (server, scope, address)
}

/// Sends header lines, answers the status line.
async fn raw(address: std::net::SocketAddr, lines: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{lines}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_client_with_the_kubeconfig_is_served() {
    let (server, scope, address) = serve().await;
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig(address, TOKEN)).unwrap();
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
    let (_server, _scope, address) = serve().await;
    let host = format!("Host: {address}");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for (lines, expected) in [
        (format!("GET /version HTTP/1.1\r\n{host}\r\n{bearer}"), "200 OK"),
        (format!("GET /{TOKEN}/version HTTP/1.1\r\n{host}"), "200 OK"),
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
            raw(address, &lines).await,
            format!("HTTP/1.1 {expected}"),
            "{lines}"
        );
    }
}
