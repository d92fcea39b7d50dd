//! Connections that break and come back. Sockets need real time; the waits here are short.

use std::time::Duration;

use base::{Random, Scope};
use csi::server::ServeError;
use csi::v1::GetPluginInfoRequest;
use csi::{Address, Channel, ConnectOptions, Listener, State};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::driver::Driver;

fn address(directory: &TempDir) -> Address {
    directory
        .path()
        .join("csi.sock")
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn channel(address: &Address, scope: &Scope) -> Channel {
    let options = ConnectOptions {
        scope: scope.clone(),
        random: Random::seeded(1),
    };
    Channel::connect(address, options)
}

async fn code(channel: &Channel) -> (Code, String) {
    let asked = csi::channel::request(GetPluginInfoRequest {}, Duration::from_secs(5));
    match channel.identity().get_plugin_info(asked).await {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_string()),
    }
}

/// A server that can be taken away, with its connections.
async fn start(address: &Address, name: &'static str) -> Scope {
    serve(address, Driver::named(name)).await
}

async fn serve(address: &Address, driver: Driver) -> Scope {
    let scope = Scope::new();
    let listener = Listener::bind(address).await.unwrap();
    let token = scope.stopping_token();
    scope.spawn(async move { listener.serve(driver.routes(), token).await.unwrap() });
    scope
}

#[tokio::test]
async fn snapshot_case_18_the_channel_reconnects_by_itself() {
    let (scope, directory) = (Scope::new(), TempDir::new().unwrap());
    let address = address(&directory);
    let channel = channel(&address, &scope);
    let (before, text) = code(&channel).await;
    assert_eq!(before, Code::Unavailable);
    assert!(
        text.contains("csi.sock") && text.contains("No such file"),
        "{text}"
    );
    let failure = channel.failure().unwrap();
    assert_eq!((failure.code(), failure.message()), (before, text.as_str()));

    let server = start(&address, "one").await;
    channel.connected().await;
    assert!(channel.failure().is_none());
    assert_eq!(code(&channel).await.0, Code::Ok);
    assert_eq!(*channel.state().borrow(), State::Connected { connection: 1 });

    // The loss is noticed without a call.
    server.stop();
    server.finished().await;
    channel.lost_for(Duration::from_millis(1)).await;
    assert_eq!(code(&channel).await.0, Code::Unavailable);

    let _server = start(&address, "two").await;
    channel.connected().await;
    assert_eq!(*channel.state().borrow(), State::Connected { connection: 2 });
    assert_eq!(code(&channel).await.0, Code::Ok);
}

#[tokio::test]
async fn a_channel_lives_as_long_as_its_handles_whatever_becomes_of_the_scope_it_was_given() {
    let (scope, directory) = (Scope::new(), TempDir::new().unwrap());
    let address = address(&directory);
    let _server = start(&address, "one").await;
    let channel = channel(&address, &scope.child());
    channel.connected().await;
    assert_eq!(code(&channel).await.0, Code::Ok);
}

#[tokio::test]
async fn a_stopping_server_lets_running_calls_end_and_removes_its_socket() {
    let (scope, directory) = (Scope::new(), TempDir::new().unwrap());
    let address = address(&directory);
    let driver = Driver::named("sleeps");
    let entered = driver.entered.clone();
    let server = serve(&address, driver).await;
    let channel = channel(&address, &scope);
    channel.connected().await;
    let (answer, ()) = tokio::join!(code(&channel), async {
        entered.notified().await;
        server.stop();
    });
    assert_eq!(answer.0, Code::Ok, "{}", answer.1);
    server.finished().await;
    assert!(!directory.path().join("csi.sock").exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let directory = TempDir::new().unwrap();
    let address = address(&directory);
    drop(Listener::bind(&address).await.unwrap());
    assert!(directory.path().join("csi.sock").exists(), "stale");
    drop(Listener::bind(&address).await.unwrap());

    let path = directory.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let error = Listener::bind(&Address::Unix(path.clone())).await.unwrap_err();
    assert!(matches!(error, ServeError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");

    let error = Listener::bind(&Address::Unix("/nonexistent/csi.sock".into()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot listen on unix:///nonexistent/csi.sock"),
        "{error}"
    );
}

#[tokio::test]
async fn tcp_works_too() {
    let scope = Scope::new();
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.address();
    let routes = Driver::named("tcp").routes();
    scope.spawn(async move { listener.serve(routes, CancellationToken::new()).await.unwrap() });
    let channel = channel(&address, &scope);
    assert_eq!(code(&channel).await.0, Code::Ok);
}

#[tokio::test]
async fn a_connection_ends_with_its_scope() {
    let (scope, directory) = (Scope::new(), TempDir::new().unwrap());
    let address = address(&directory);
    let _server = start(&address, "one").await;
    let channel = channel(&address, &scope);
    channel.connected().await;
    scope.abort();
    scope.finished().await;
    let (code, text) = code(&channel).await;
    assert_eq!(code, Code::Unavailable, "{text}");
}

#[tokio::test(start_paused = true)]
async fn in_process_is_never_lost() {
    let channel = Channel::in_process(Driver::named("a.driver").routes());
    channel.connected().await;
    let lost = tokio::time::timeout(
        Duration::from_secs(3600),
        channel.lost_for(Duration::from_secs(30)),
    );
    assert!(lost.await.is_err());
}
