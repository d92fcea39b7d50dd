use std::os::unix::net::UnixListener;
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::channel::ConnectOptions;
use csi::v1::GetPluginInfoRequest;
use csi::{Address, Channel};
use ebs_driver::{Config, Ec2Transport, run};
use prometheus::Registry;

/// Over a real socket, so on real time.
#[tokio::test]
async fn ebs_case_7_a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("csi.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left by a dead process");
    let endpoint = Address::Unix(path.clone());
    let config = Config {
        endpoint: endpoint.clone(),
        ..Config::default()
    };
    let scope = Scope::new();
    let served = scope.clone();
    let server = tokio::spawn(async move {
        let (clock, random) = (Clock::system(), Random::seeded(1));
        run(
            config,
            Ec2Transport::Network,
            clock,
            random,
            &served,
            &Registry::new(),
        )
        .await
    });
    let channel = Channel::connect(
        &endpoint,
        ConnectOptions {
            scope: scope.clone(),
            random: Random::seeded(2),
        },
    );
    tokio::time::timeout(Duration::from_secs(10), channel.connected())
        .await
        .unwrap();
    let info = channel
        .identity()
        .get_plugin_info(GetPluginInfoRequest {})
        .await
        .unwrap();
    assert_eq!(info.into_inner().name, "ebs.csi.aws.com");
    drop(channel);
    scope.stop();
    server.await.unwrap().unwrap();
    assert!(!path.exists());
}
