//! A Prometheus as a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conformance::{Keeper, Launch, Process, free_port, until};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::LAYER;
use crate::shared::{PATIENCE, say};

/// Scrapes and evaluates each second. Dropping it ends it.
pub struct Prometheus {
    _process: Process,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    began: jiff::Timestamp,
    ports: BTreeMap<String, u16>,
    /// Alerts that were waited for to fire, and whether they have fallen silent again.
    seen: Mutex<BTreeMap<String, bool>>,
}

/// Job and port of what is scraped.
pub struct Target {
    job: String,
    port: u16,
}

impl Target {
    pub fn new(job: &str, port: u16) -> Self {
        Self {
            job: job.to_owned(),
            port,
        }
    }
}

impl Prometheus {
    pub async fn start(
        program: &Path,
        keeper: &Keeper,
        folder: &Path,
        targets: &[Target],
        rules: &str,
    ) -> Self {
        std::fs::write(folder.join("rules.yaml"), rules).unwrap();
        let configuration = folder.join("prometheus.yaml");
        std::fs::write(&configuration, configured(targets)).unwrap();
        let port = free_port().unwrap();
        let data = folder.join("prometheus-data");
        let launch = Launch::new("prometheus", program).args([
            format!("--config.file={}", configuration.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ]);
        let prometheus = Self {
            _process: Process::start(keeper, folder, &launch).unwrap(),
            url: format!("http://127.0.0.1:{port}"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            began: jiff::Timestamp::now(),
            ports: targets
                .iter()
                .map(|target| (target.job.clone(), target.port))
                .collect(),
            seen: Mutex::default(),
        };
        until("Prometheus is ready", PATIENCE, async || {
            let answer = prometheus.get("/-/ready").await?;
            answer.contains("Ready").then_some(())
        })
        .await
        .unwrap();
        prometheus
    }

    /// The series that an expression answers now; the error of one that is none.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        self.series(&format!("/api/v1/query?query={}", escaped(expression)))
            .await
    }

    /// Those that it has answered since the start.
    pub async fn since_the_start(&self, expression: &str) -> Result<Vec<Value>, String> {
        let (query, begin) = (escaped(expression), self.began());
        let end = jiff::Timestamp::now().as_second();
        self.series(&format!(
            "/api/v1/query_range?query={query}&start={begin}&end={end}&step=2"
        ))
        .await
    }

    async fn series(&self, path: &str) -> Result<Vec<Value>, String> {
        let answer = self.get(path).await;
        let answer: Value =
            serde_json::from_str(&answer.ok_or("no answer")?).map_err(|error| error.to_string())?;
        match (&answer["status"], &answer["data"]["result"]) {
            (Value::String(status), Value::Array(result)) if status == "success" => Ok(result.clone()),
            _ => Err(answer.to_string()),
        }
    }

    /// The names of the alerts that fire.
    pub async fn firing(&self) -> BTreeSet<String> {
        let query = r#"group by (alertname) (ALERTS{alertstate="firing"})"#;
        // No answer does not mean that all is silent.
        let fire = until("Prometheus answers", PATIENCE, async || {
            self.query(query).await.ok()
        });
        let fire = fire.await.unwrap();
        let name = |series: &Value| Some(series["metric"]["alertname"].as_str()?.to_owned());
        fire.iter().filter_map(name).collect()
    }

    /// Waits until each of these has fired: not all fire as long as their cause lasts.
    pub async fn fires(&self, alerts: &[&str]) {
        let mut late = alerts.to_vec();
        self.wait("fire", |firing| {
            late.retain(|alert| !firing.contains(*alert));
            late.clone()
        })
        .await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(alerts.iter().map(|alert| ((*alert).to_owned(), false)));
    }

    /// Waits until all of these are silent.
    pub async fn is_silent(&self, alerts: &[&str]) {
        self.wait("fall silent", |firing| {
            let still = alerts.iter().filter(|alert| firing.contains(**alert));
            still.copied().collect()
        })
        .await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for alert in alerts {
            seen.entry((*alert).to_owned())
                .and_modify(|silent| *silent = true);
        }
    }

    /// Exactly these have fired and fallen silent.
    pub fn has_proven(&self, alerts: &BTreeSet<String>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = seen.iter().filter(|(_, silent)| **silent);
        let proven: BTreeSet<String> = silent.map(|(alert, _)| alert.clone()).collect();
        assert_eq!(proven, *alerts);
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Unix time of its start, in seconds.
    pub fn began(&self) -> i64 {
        self.began.as_second()
    }

    /// Where the target of a job is scraped.
    pub fn port(&self, job: &str) -> u16 {
        self.ports[job]
    }

    /// Waits until a look at what fires leaves no alert late; tells of those that are not any more.
    async fn wait<'a>(&self, what: &str, mut late: impl FnMut(&BTreeSet<String>) -> Vec<&'a str>) {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let firing = self.firing().await;
            let late = late(&firing);
            before.retain(|alert| !late.contains(alert));
            if !before.is_empty() {
                let seconds = self.began.duration_until(jiff::Timestamp::now()).as_secs();
                say(&format!(
                    "layer {LAYER}: after {seconds} s {what}: {}",
                    before.join(", ")
                ));
            }
            if late.is_empty() {
                return;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{late:?} do not {what}; {firing:?} fire"
            );
            before = late;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The exposition of one target.
    pub async fn scrape(&self, port: u16) -> String {
        self.fetch(&format!("http://127.0.0.1:{port}/metrics"))
            .await
            .unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Option<String> {
        self.fetch(&format!("{}{path}", self.url)).await
    }

    async fn fetch(&self, url: &str) -> Option<String> {
        let answer = self.client.get(url.parse().ok()?).await.ok()?;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(String::from_utf8_lossy(&body).into_owned())
    }
}

fn escaped(expression: &str) -> String {
    form_urlencoded::byte_serialize(expression.as_bytes()).collect()
}

fn configured(targets: &[Target]) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n\
                    rule_files: [rules.yaml]\nscrape_configs:\n"
        .to_owned();
    for Target { job, port } in targets {
        let _ = writeln!(
            text,
            "- job_name: {job}\n  static_configs:\n  - targets: [\"127.0.0.1:{port}\"]\n    labels: {{namespace: slackwater, pod: controller-0}}"
        );
    }
    text
}
