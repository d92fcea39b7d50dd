//! The form of a line.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::Clock;
use crate::args::LogFormat;

/// Writes lines in one of the two forms.
pub(super) struct Lines {
    form: LogFormat,
    clock: Clock,
}

impl Lines {
    pub(super) fn new(form: LogFormat, clock: Clock) -> Self {
        Self { form, clock }
    }
}

/// Fields of a span or event: the message, and the others in the order of their names.
#[derive(Default)]
struct Collected {
    message: String,
    fields: BTreeMap<&'static str, Value>,
}

impl Collected {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", other) => self.message = other.to_string(),
            (name, value) => {
                self.fields.insert(name, value);
            }
        }
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::String(value.to_string()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Keeps a span's fields as JSON, from which both forms are made.
pub(super) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut collected = Collected::default();
        fields.record(&mut collected);
        write!(
            writer,
            "{}",
            serde_json::to_string(&collected.fields).map_err(|_| fmt::Error)?
        )
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let mut all: Map<String, Value> = serde_json::from_str(&current.fields).unwrap_or_default();
        let mut collected = Collected::default();
        fields.record(&mut collected);
        all.extend(
            collected
                .fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        current.fields = serde_json::to_string(&all).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

impl<S> FormatEvent<S, Fields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Fields>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields: BTreeMap<String, Value> = BTreeMap::new();
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(formatted) = span.extensions().get::<FormattedFields<Fields>>() {
                let of_span: Map<String, Value> = serde_json::from_str(&formatted.fields).unwrap_or_default();
                fields.extend(of_span);
            }
        }
        let mut collected = Collected::default();
        event.record(&mut collected);
        fields.extend(
            collected
                .fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        match self.form {
            LogFormat::Text => self.text(writer, event.metadata(), &collected.message, &fields),
            LogFormat::Json => self.json(writer, event.metadata(), &collected.message, fields),
        }
    }
}

impl Lines {
    /// `I1121 09:28:58.123456 leader/term.rs:12] message key="value"`, time in UTC.
    fn text(
        &self,
        mut writer: Writer<'_>,
        metadata: &Metadata<'_>,
        message: &str,
        fields: &BTreeMap<String, Value>,
    ) -> fmt::Result {
        let now = self.clock.now().strftime("%m%d %H:%M:%S%.6f");
        write!(
            writer,
            "{}{now} {}] ",
            letter(*metadata.level()),
            source(metadata)
        )?;
        escaped(&mut writer, message)?;
        for (name, value) in fields {
            write!(writer, " {name}={value}")?;
        }
        writeln!(writer)
    }

    /// `{"ts":1795253338.123,"level":"info","caller":"leader/term.rs:12","msg":"message","key":"value"}`
    fn json(
        &self,
        mut writer: Writer<'_>,
        metadata: &Metadata<'_>,
        message: &str,
        fields: BTreeMap<String, Value>,
    ) -> fmt::Result {
        let milliseconds = self.clock.now().as_millisecond();
        let mut line = Map::new();
        line.insert("caller".to_owned(), source(metadata).into());
        line.insert(
            "level".to_owned(),
            metadata.level().as_str().to_lowercase().into(),
        );
        line.insert("msg".to_owned(), message.into());
        // Milliseconds since 1970 are far from the limits of exact numbers.
        #[allow(clippy::cast_precision_loss)]
        line.insert("ts".to_owned(), (milliseconds as f64 / 1_000.0).into());
        for (name, value) in fields {
            let taken = line.contains_key(&name);
            line.insert(if taken { format!("field_{name}") } else { name }, value);
        }
        writeln!(
            writer,
            "{}",
            serde_json::to_string(&line).map_err(|_| fmt::Error)?
        )
    }
}

fn letter(level: Level) -> char {
    match level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        _ => 'I',
    }
}

/// The last two parts of the path, and the line.
fn source(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().unwrap_or("unknown");
    let start = file.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
    format!("{}:{}", &file[start..], metadata.line().unwrap_or(0))
}

/// A message stays on its line.
fn escaped(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\n' => writer.write_str("\\n")?,
            c if c.is_control() => write!(writer, "{}", c.escape_default())?,
            c => writer.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::args::LogArgs;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(verbosity: u8, logging_format: LogFormat) -> Vec<String> {
        let args = LogArgs {
            verbosity,
            logging_format,
            ..LogArgs::default()
        };
        let sink = Sink::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .start_paused(true)
            .enable_time()
            .build();
        let _guard = runtime.as_ref().unwrap().enter();
        let clock = Clock::simulated("2026-11-21T09:28:58.5Z".parse().unwrap());
        let writer = sink.clone();
        let subscriber = crate::logging::subscriber(&args, &clock, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("sync", key = "ns/s", worker = 3, late = tracing::field::Empty);
            span.record("late", true);
            let _entered = span.enter();
            tracing::warn!(error = "no\nluck", count = 2, "first\nline");
            tracing::debug!("second");
            tracing::trace!("third");
            tracing::error!(target: "kube_client::client", "quotes an answer");
            tracing::info!(target: "hyper_util::client", "pooling");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn text_lines_have_the_header_of_klog() {
        let lines = lines(0, LogFormat::Text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("W1121 09:28:58.500000 logging/format.rs:"),
            "{}",
            lines[0]
        );
        let message = r#"] first\nline count=2 error="no\nluck" key="ns/s" late=true worker=3"#;
        assert!(lines[0].ends_with(message), "{}", lines[0]);
    }

    #[test]
    fn json_lines_are_one_object_each() {
        let lines = lines(5, LogFormat::Json);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let first: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(first["msg"], "first\nline");
        assert_eq!(first["level"], "warn");
        assert_eq!(first["key"], "ns/s");
        assert_eq!(first["worker"], 3);
        assert_eq!(first["late"], true);
        assert_eq!(first["ts"], 1_795_253_338.5);
    }

    #[test]
    fn everything_but_quotes_at_level_6() {
        assert_eq!(lines(6, LogFormat::Text).len(), 4);
    }
}
