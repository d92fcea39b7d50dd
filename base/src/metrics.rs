//! Metrics in the registry of one function.

use prometheus::core::Collector;
use prometheus::{Error, Registry};

/// Registers a metric and hands it back. Every metric belongs to one registry; none is global.
///
/// # Errors
/// When the registry holds a metric of that name already.
pub fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
