//! Spans on their way to an OpenTelemetry collector, by OTLP over gRPC as upstream's driver sends them. The environment says where
//! to, as whom and how many (`OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
//! `OTEL_BSP_*`). Nothing waits for the collector: spans for which there is no room are dropped.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

/// Where a collector listens if nothing is said.
const ENDPOINT: &str = "http://localhost:4317";
/// How long the last spans may take.
const LAST: Duration = Duration::from_secs(10);

/// What the environment says of a variable of OTLP: that of traces, then that of all.
fn variable(name: &str) -> Option<String> {
    let given = |name: String| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    given(format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| given(format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// Begins to send what is traced. It connects in the background, for which the runtime must be entered.
///
/// # Errors
/// What the environment says and cannot be followed.
pub(crate) fn start(mode: &str) -> anyhow::Result<SdkTracerProvider> {
    let endpoint = variable("ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
    let mut builder = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&endpoint);
    if is_encrypted(&endpoint)? {
        builder = builder.with_tls_config(encryption()?);
    }
    let exporter = builder
        .build()
        .with_context(|| format!("no spans can be sent to {endpoint}; check OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let exporter = Telling {
        inner: exporter,
        endpoint,
        fails: AtomicBool::new(false),
    };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
    Ok(provider.with_resource(resource(mode)).build())
}

/// Sends the last spans. Blocks, while the runtime goes on in another thread.
pub(crate) async fn end(provider: SdkTracerProvider) {
    let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(%error, "the last spans were not sent");
    }
}

/// By its scheme, which gRPC does not know of itself.
fn is_encrypted(endpoint: &str) -> anyhow::Result<bool> {
    match endpoint.split_once("://") {
        Some(("http", _)) => Ok(false),
        Some(("https", _)) => Ok(true),
        _ => anyhow::bail!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint:?}: write http://HOST:PORT, or https://HOST:PORT for an encrypted \
             connection"
        ),
    }
}

fn encryption() -> anyhow::Result<ClientTlsConfig> {
    let read = |path: &str| std::fs::read(Path::new(path)).with_context(|| format!("cannot read {path}"));
    let mut config = ClientTlsConfig::new();
    config = match variable("CERTIFICATE") {
        Some(path) => config.ca_certificate(Certificate::from_pem(read(&path)?)),
        None => config.with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (variable("CLIENT_CERTIFICATE"), variable("CLIENT_KEY")) {
        config = config.identity(Identity::from_pem(read(&certificate)?, read(&key)?));
    }
    Ok(config)
}

/// Who sends the spans. What the environment says goes before what is known here.
fn resource(mode: &str) -> Resource {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let known = [
        KeyValue::new("service.name", mode.to_owned()),
        KeyValue::new("service.version", crate::VERSION),
        KeyValue::new("host.name", host.trim().to_owned()),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    let told = Resource::builder_empty()
        .with_detector(Box::new(opentelemetry_sdk::resource::EnvResourceDetector::new()))
        .build();
    let named = std::env::var("OTEL_SERVICE_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    let named = named.map(|name| KeyValue::new("service.name", name));
    let told = told
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let told: Vec<KeyValue> = told.collect();
    Resource::builder_empty()
        .with_detector(Box::new(opentelemetry_sdk::resource::TelemetryResourceDetector))
        .with_attributes(known)
        .with_attributes(told)
        .with_attributes(named)
        .build()
}

/// Tells once that a collector takes no spans, and once that it does again.
#[derive(Debug)]
struct Telling<E> {
    inner: E,
    endpoint: String,
    fails: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Telling<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.inner.export(batch).await;
        let failed = self.fails.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Err(error) if !failed => {
                tracing::warn!(endpoint = self.endpoint, %error, "the collector takes no spans; they are dropped");
            }
            Ok(()) if failed => tracing::info!(endpoint = self.endpoint, "the collector takes spans again"),
            _ => {}
        }
        // The library would tell each failure.
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_whether_it_is_encrypted() {
        assert!(!is_encrypted("http://collector:4317").unwrap());
        assert!(is_encrypted("https://collector:4317").unwrap());
        for wrong in ["collector:4317", "grpc://collector", ""] {
            let error = is_encrypted(wrong).unwrap_err().to_string();
            assert!(error.contains("write http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn spans_are_those_of_the_mode() {
        let resource = resource("csi-resizer");
        let of = |key: &'static str| resource.get(&key.into()).map(|value| value.to_string());
        assert_eq!(of("service.name").as_deref(), Some("csi-resizer"));
        assert_eq!(of("service.version").as_deref(), Some(crate::VERSION));
        assert!(of("telemetry.sdk.name").is_some());
    }
}
