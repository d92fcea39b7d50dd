//! The same behaviour over both transports.

use std::time::Duration;

use base::{Random, Scope};
use csi::panics::Panics;
use csi::v1::{GetMetadataAllocatedRequest, GetMetadataDeltaRequest, GetPluginInfoRequest};
use csi::{Channel, ConnectOptions, Listener, Metrics};
use prometheus::{Encoder, Registry, TextEncoder};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::driver::Driver;

/// Both ways to reach a driver; the rest keeps them alive.
struct Both {
    channels: [Channel; 2],
    registry: Registry,
    _scope: Scope,
    _directory: TempDir,
}

async fn both(driver: &Driver) -> Both {
    let (scope, registry) = (Scope::new(), Registry::new());
    let directory = TempDir::new().unwrap();
    let address = directory
        .path()
        .join("csi.sock")
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let panics = Panics::new(&registry).unwrap();
    let listener = Listener::bind(&address).await.unwrap();
    let (routes, token) = (panics.catch(driver.routes()), CancellationToken::new());
    scope.spawn(async move { listener.serve(routes, token).await.unwrap() });
    let options = ConnectOptions {
        scope: scope.clone(),
        random: Random::seeded(1),
    };
    let metrics = Metrics::new(&registry).unwrap();
    Both {
        channels: [
            Channel::connect(&address, options).with_metrics(metrics.clone()),
            Channel::in_process(panics.catch(driver.routes())).with_metrics(metrics),
        ],
        registry,
        _scope: scope,
        _directory: directory,
    }
}

fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

async fn name_of(channel: &Channel, timeout: Duration) -> Result<String, Status> {
    let asked = csi::channel::request(GetPluginInfoRequest {}, timeout);
    Ok(channel.identity().get_plugin_info(asked).await?.into_inner().name)
}

#[tokio::test]
async fn a_call_is_answered() {
    let both = both(&Driver::named("a.driver")).await;
    for channel in &both.channels {
        assert_eq!(
            name_of(channel, Duration::from_secs(60)).await.unwrap(),
            "a.driver"
        );
    }
}

#[tokio::test]
async fn an_error_keeps_its_code_text_and_delay() {
    let both = both(&Driver::named("fails")).await;
    for channel in &both.channels {
        let status = name_of(channel, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, "no"));
        assert_eq!(csi::retry::delay(&status), Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn an_error_with_a_long_text_arrives_whole() {
    let both = both(&Driver::named("tells much")).await;
    for channel in &both.channels {
        let status = name_of(channel, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message().len()),
            (Code::InvalidArgument, 100_000)
        );
    }
}

#[tokio::test]
async fn a_silent_driver_ends_in_deadline_exceeded() {
    let both = both(&Driver::named("hangs")).await;
    for channel in &both.channels {
        let status = name_of(channel, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    let text = text(&both.registry);
    assert!(text.contains("grpc_status_code=\"DeadlineExceeded\""), "{text}");
}

#[tokio::test]
async fn a_panic_answers_aborted_and_is_counted() {
    let both = both(&Driver::named("panics")).await;
    for channel in &both.channels {
        let status = name_of(channel, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        assert!(status.message().contains("panicked"), "{status:?}");
        assert!(!status.message().contains("as the test wants"), "{status:?}");
    }
    let expected = "slackwater_rpc_panics_total 2";
    assert!(
        text(&both.registry).contains(expected),
        "{}",
        text(&both.registry)
    );
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented() {
    let both = both(&Driver::named("a.driver")).await;
    for channel in &both.channels {
        let asked = csi::channel::request(csi::v1::NodeGetInfoRequest {}, Duration::from_secs(60));
        let status = channel.node().node_get_info(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn long_answers_and_streams_arrive_whole() {
    let both = both(&Driver::named("a.driver")).await;
    for channel in &both.channels {
        let mut client = channel.snapshot_metadata();
        let asked = GetMetadataAllocatedRequest {
            max_results: 5,
            ..Default::default()
        };
        let mut stream = client.get_metadata_allocated(asked).await.unwrap().into_inner();
        let mut messages = 0;
        while let Some(message) = stream.message().await.unwrap() {
            assert_eq!(message.block_metadata.len(), 4096);
            messages += 1;
        }
        assert_eq!(messages, 5);
        let answer = client
            .get_metadata_delta(GetMetadataDeltaRequest::default())
            .await
            .unwrap();
        let message = answer.into_inner().message().await.unwrap().unwrap();
        assert_eq!(message.block_metadata.len(), 300_000);
    }
}

#[tokio::test]
async fn calls_are_measured_with_upstream_labels() {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).unwrap();
    let channel = Channel::in_process(Driver::named("a.driver").routes()).with_metrics(metrics.clone());
    let name = name_of(&channel, Duration::from_secs(60)).await.unwrap();
    metrics.set_driver(&name, false);
    name_of(&channel, Duration::from_secs(60)).await.unwrap();
    let text = text(&registry);
    for driver in ["unknown-driver", "a.driver"] {
        let expected = format!(
            "csi_sidecar_operations_seconds_count{{driver_name=\"{driver}\",grpc_status_code=\"OK\",\
             method_name=\"/csi.v1.Identity/GetPluginInfo\"}} 1"
        );
        assert!(text.contains(&expected), "{text}");
    }
    for bucket in [
        ".1", ".25", ".5", "1", "2.5", "5", "10", "15", "25", "50", "120", "300", "600",
    ] {
        let bucket = if bucket.starts_with('.') {
            format!("0{bucket}")
        } else {
            bucket.to_string()
        };
        assert!(text.contains(&format!("le=\"{bucket}\"")), "{bucket}");
    }
}
