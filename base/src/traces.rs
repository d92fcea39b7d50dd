//! Spans of calls, as OpenTelemetry has them (`--enable-otel-tracing`). Source: ebs-driver.md 5; cases 152, 153.
//!
//! A call is a span of `tracing` with the target [`TARGET`]: no log line knows of it, and [`layer`] knows of nothing else, so
//! that no text of a log comes into a trace. Where there is no such layer a span costs the look at one flag. What a
//! call belongs to goes from process to process as W3C's trace context, beside the request.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// The target of spans that are part of a trace: no path of a module. They are of level INFO.
pub const TARGET: &str = "slackwater.traces";

/// Hands the spans of [`TARGET`] to OpenTelemetry: name, kind, status and the fields that they were given, nothing else.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("slackwater"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        .with_filter(Targets::new().with_target(TARGET, Level::INFO))
}

/// Tells the other side which span its work belongs to.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Written(headers));
    }
}

/// Takes the span for a part of what the other side told; for the beginning of a trace where it told nothing that can be read.
pub fn extract(span: &Span, headers: &HeaderMap) {
    if !span.is_disabled() {
        let context = TraceContextPropagator::new().extract(&Read(headers));
        // It is refused for spans that have begun, which this one has not.
        let _ = span.set_parent(context);
    }
}

struct Written<'a>(&'a mut HeaderMap);

impl Injector for Written<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

struct Read<'a>(&'a HeaderMap);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
