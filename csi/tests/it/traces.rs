//! What a call tells the other side of its trace, and its own log.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Clock;
use base::args::LogArgs;
use csi::Channel;
use csi::v1::GetPluginInfoRequest;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service as _, service_fn};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::driver::Driver;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl io::Write for Seen {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8_lossy(part).into());
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seen {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A driver that logs each call, and the `traceparent` of those that have one.
fn channel(parents: &Seen) -> Channel {
    let routes = csi::traces::trace(Driver::named("a.driver").routes()).prepare();
    let parents = parents.clone();
    Channel::from_service(BoxCloneSyncService::new(service_fn(
        move |request: http::Request<Body>| {
            let parent = request.headers().get("traceparent");
            let parent = parent.map(|value| value.to_str().unwrap().to_owned());
            parents.0.lock().unwrap().extend(parent);
            tracing::warn!("a call");
            let mut routes = routes.clone();
            async move { routes.call(request).await.map_err(|never| match never {}) }
        },
    )))
}

async fn call(channel: &Channel) {
    let asked = csi::channel::request(GetPluginInfoRequest {}, Duration::from_secs(60));
    channel.identity().get_plugin_info(asked).await.unwrap();
}

#[tokio::test]
async fn ebs_case_152_a_trace_is_told_where_it_is_wanted_and_is_no_part_of_the_log() {
    let (parents, log) = (Seen::default(), Seen::default());
    let channel = channel(&parents);
    let writer = log.clone();
    let lines = base::logging::subscriber(&LogArgs::default(), &Clock::system(), move || writer.clone());
    {
        let _guard = tracing::subscriber::set_default(lines);
        call(&channel).await;
    }
    assert!(parents.take().is_empty());
    let untraced = log.take().concat();

    let provider = SdkTracerProvider::builder().build();
    let writer = log.clone();
    let lines = base::logging::subscriber(&LogArgs::default(), &Clock::system(), move || writer.clone());
    let traced = lines.with(base::traces::layer(&provider));
    let _guard = tracing::subscriber::set_default(traced);
    call(&channel).await;
    call(&channel).await;
    let parents = parents.take();
    // Version, trace, span, sampled.
    let parts: Vec<Vec<&str>> = parents.iter().map(|parent| parent.split('-').collect()).collect();
    assert_eq!(parts.len(), 2);
    assert_eq!((parts[0][0], parts[0][3]), ("00", "01"), "{parents:?}");
    assert_ne!(
        parts[0][1], parts[1][1],
        "calls of their own are traces of their own"
    );
    // The lines are as they were: behind the time comes the same.
    let behind = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split_once(']').unwrap().1.to_owned());
        lines.collect::<Vec<_>>()
    };
    let traced = behind(&log.take().concat());
    assert_eq!(traced, [behind(&untraced), behind(&untraced)].concat());
    assert_eq!(traced, [" a call", " a call"]);
}
