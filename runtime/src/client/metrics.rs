//! Request metrics (journeys 7.3).

use std::time::Duration;

use base::metrics::register;
use http::Request;
use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
};
use tokio::time::Instant;

/// What a request is, read from its method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKind<'a> {
    /// As in RBAC: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: &'static str,
    /// Plural name; empty outside of resources (discovery, `/version`).
    pub resource: &'a str,
    /// `status` and the like; usually empty.
    pub subresource: &'a str,
}

impl<'a> RequestKind<'a> {
    /// Reads a request to the API server.
    #[must_use]
    pub fn of<B>(request: &'a Request<B>) -> Self {
        let mut parts = request.uri().path().split('/').filter(|part| !part.is_empty());
        match parts.next() {
            Some("api") => parts.nth(0),
            Some("apis") => parts.nth(1),
            _ => None,
        };
        let mut rest: Vec<&str> = parts.collect();
        // `namespaces/ns/pods` is a list of pods, `namespaces/ns` and `namespaces/ns/status` are a namespace.
        if rest.first() == Some(&"namespaces") && rest.len() > 2 && !matches!(rest[2], "status" | "finalize")
        {
            rest.drain(..2);
        }
        let resource = rest.first().copied().unwrap_or_default();
        let named = rest.len() > 1;
        let watch = request.uri().query().is_some_and(|query| {
            query
                .split('&')
                .any(|part| part == "watch=true" || part == "watch=1")
        });
        let verb = match request.method().as_str() {
            "GET" if watch => "watch",
            "GET" if named || resource.is_empty() => "get",
            "GET" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if named => "delete",
            "DELETE" => "deletecollection",
            _ => "other",
        };
        Self {
            verb,
            resource,
            subresource: rest.get(2).copied().unwrap_or_default(),
        }
    }
}

/// Metrics of one client.
#[derive(Clone)]
pub(super) struct RequestMetrics {
    component: String,
    requests: IntCounterVec,
    seconds: HistogramVec,
    throttled: Counter,
}

impl RequestMetrics {
    pub(super) fn new(component: &str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "slackwater_kube_requests_total",
                "Requests to the API server; code is the HTTP status, error without an answer, or canceled by us.",
            ),
            &["component", "verb", "resource", "subresource", "code"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "slackwater_kube_request_seconds",
                "Time to the beginning of the API server's answer, in seconds.",
            )
            .buckets(vec![
                0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
            ]),
            &["component", "verb"],
        )?;
        let throttled = CounterVec::new(
            Opts::new(
                "slackwater_kube_throttle_seconds_total",
                "Time that requests waited for the limit of --kube-api-qps, in seconds.",
            ),
            &["component"],
        )?;
        let component_label = [component];
        Ok(Self {
            component: component.to_owned(),
            requests: register(registry, requests)?,
            seconds: register(registry, seconds)?,
            throttled: register(registry, throttled)?.with_label_values(&component_label),
        })
    }

    /// A request that is sent now.
    pub(super) fn measure<'a>(&'a self, kind: RequestKind<'a>) -> Measured<'a> {
        Measured {
            metrics: self,
            kind,
            sent: Instant::now(),
            ended: false,
        }
    }

    fn observe(&self, kind: RequestKind<'_>, code: &str, took: Duration) {
        self.requests
            .with_label_values(&[
                self.component.as_str(),
                kind.verb,
                kind.resource,
                kind.subresource,
                code,
            ])
            .inc();
        let histogram: Histogram = self
            .seconds
            .with_label_values(&[self.component.as_str(), kind.verb]);
        histogram.observe(took.as_secs_f64());
    }

    pub(super) fn throttled(&self, waited: Duration) {
        self.throttled.inc_by(waited.as_secs_f64());
    }
}

/// One request under measurement. Dropped without an end, as the work of a lost term is, it counts as canceled: the API
/// server has seen it all the same.
pub(super) struct Measured<'a> {
    metrics: &'a RequestMetrics,
    kind: RequestKind<'a>,
    sent: Instant,
    ended: bool,
}

impl Measured<'_> {
    /// The answer begins, or there is none. Only the first end counts.
    pub(super) fn end(&mut self, code: &str) {
        if !std::mem::replace(&mut self.ended, true) {
            self.metrics.observe(self.kind, code, self.sent.elapsed());
        }
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        self.end("canceled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (method, uri, verb, resource, subresource) in [
            (
                "GET",
                "/api/v1/persistentvolumes?limit=500",
                "list",
                "persistentvolumes",
                "",
            ),
            (
                "GET",
                "/api/v1/pods?watch=true&resourceVersion=1",
                "watch",
                "pods",
                "",
            ),
            ("GET", "/api/v1/namespaces/ns/pods/p", "get", "pods", ""),
            ("POST", "/api/v1/namespaces/ns/events", "create", "events", ""),
            ("GET", "/api/v1/namespaces", "list", "namespaces", ""),
            ("GET", "/api/v1/namespaces/ns", "get", "namespaces", ""),
            (
                "PUT",
                "/api/v1/namespaces/ns/status",
                "update",
                "namespaces",
                "status",
            ),
            (
                "PATCH",
                "/apis/snapshot.storage.k8s.io/v1/namespaces/ns/volumesnapshots/s/status",
                "patch",
                "volumesnapshots",
                "status",
            ),
            ("DELETE", "/apis/g/v1/things/t", "delete", "things", ""),
            ("DELETE", "/apis/g/v1/things", "deletecollection", "things", ""),
            ("GET", "/version", "get", "", ""),
            ("GET", "/apis/g/v1", "get", "", ""),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let kind = RequestKind {
                verb,
                resource,
                subresource,
            };
            assert_eq!(RequestKind::of(&request), kind, "{method} {uri}");
        }
    }
}
