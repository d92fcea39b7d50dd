//! What the driver writes to its log.

use std::io;
use std::sync::{Arc, Mutex};

use base::Clock;
use base::args::LogArgs;
use tracing::subscriber::DefaultGuard;

/// The lines of this thread while it is kept.
pub struct Log {
    bytes: Bytes,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl io::Write for Bytes {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// As the driver logs without any flag.
    pub fn of(clock: &Clock) -> Self {
        let bytes = Bytes::default();
        let writer = bytes.clone();
        let subscriber = base::logging::subscriber(&LogArgs::default(), clock, move || writer.clone());
        Self {
            bytes,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let bytes = self.bytes.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}
