//! Log lines on standard error: text with klog's header, or one JSON object a line.
//!
//! [`subscriber`] builds what `main` installs; nothing here installs anything by itself. Verbosity: 0 to 3
//! info, 4 and 5 debug, 6 and above trace. Of libraries only warnings are shown below 6; the Kubernetes
//! client's own lines never are, since they may quote answers.

mod filter;
mod format;

use std::io;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::args::LogArgs;
use crate::{Clock, traces};

/// A subscriber that writes log lines to `writer`, to be installed by `main` or for one test.
pub fn subscriber<W>(
    args: &LogArgs,
    clock: &Clock,
    writer: W,
) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .fmt_fields(format::Fields)
        .event_format(format::Lines::new(args.logging_format, clock.clone()))
        .with_filter(filter::Verbosity::new(args));
    Registry::default().with(lines)
}

/// Installs [`subscriber`] on standard error for the whole process, with calls traced by `provider` where there is one, and
/// logs the warnings about flags without effect and stray words. For `main` only.
///
/// # Errors
/// When another subscriber is installed.
pub fn install(
    args: &LogArgs,
    clock: &Clock,
    provider: Option<&SdkTracerProvider>,
) -> Result<(), SetGlobalDefaultError> {
    let lines = subscriber(args, clock, io::stderr);
    match provider {
        Some(provider) => set_global_default(lines.with(traces::layer(provider)))?,
        None => set_global_default(lines)?,
    }
    for warning in [args.warning(), args.stray_warning()].into_iter().flatten() {
        tracing::warn!("{warning}");
    }
    Ok(())
}
