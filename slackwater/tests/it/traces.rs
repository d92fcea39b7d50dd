//! Traces of processes, as a collector on loopback receives them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Scope};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use sandbox::ec2::{Ec2, Ec2Options};
use sandbox::kube::{ApiServer, GroupResource};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Child;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const BINARY: &str = env!("CARGO_BIN_EXE_slackwater");
const PATIENCE: Duration = Duration::from_secs(60);
const ZONE: &str = "us-east-1a";
/// What may stand nowhere in a trace.
const SECRETS: [&str; 2] = ["secret-of-the-volume", "secret-key-of-aws"];
const ATTACHMENTS: GroupResource<'static> = GroupResource::new("storage.k8s.io", "volumeattachments");

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A span with the name of the service that sent it.
struct Sent {
    service: String,
    span: Span,
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(text(found.value.as_ref()))
}

impl Collector {
    async fn serve(&self, scope: &Scope) -> String {
        let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(self.clone()));
        scope.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        format!("http://{address}")
    }

    fn spans(&self) -> Vec<Sent> {
        let requests = self.0.lock().unwrap();
        let mut all = Vec::new();
        for resource in requests.iter().flat_map(|request| &request.resource_spans) {
            let of = &resource.resource.as_ref().unwrap().attributes;
            let service = attribute(of, "service.name").unwrap();
            let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
            all.extend(spans.map(|span| Sent {
                service: service.clone(),
                span: span.clone(),
            }));
        }
        all
    }

    /// The one span of this name and kind.
    fn span(&self, name: &str, kind: SpanKind) -> Sent {
        let mut found = self.spans();
        found.retain(|sent| sent.span.name == name && sent.span.kind == i32::from(kind));
        assert_eq!(found.len(), 1, "{name}");
        found.remove(0)
    }
}

/// A cluster with one volume to attach, EC2 and a collector, all on loopback.
struct Cluster {
    folder: tempfile::TempDir,
    api: ApiServer,
    ec2_url: String,
    collector: Collector,
    collector_url: String,
    _scope: Scope,
}

impl Cluster {
    async fn new() -> Self {
        let (random, scope) = (Random::from_entropy(), Scope::new());
        let api = ApiServer::new(Clock::system(), random.fork(), &scope);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (folder, token) = (tempfile::tempdir().unwrap(), random.uuid());
        let kubeconfig = api.kubeconfig(listener.local_addr().unwrap(), &token).unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        api.serve(listener, &token).unwrap();
        let ec2 = Ec2::new(Clock::system(), random, Ec2Options::instant());
        let volume = ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
        let instance = ec2.create_instance_fixture(ZONE, "m5.large", &[]).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let ec2_url = ec2.serve(listener, &scope).unwrap();
        furnish(&api, &volume, &instance);
        let collector = Collector::default();
        let collector_url = collector.serve(&scope).await;
        Self {
            folder,
            api,
            ec2_url,
            collector,
            collector_url,
            _scope: scope,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("csi.sock")
    }

    fn start(&self, args: &[&str], environment: &[(&str, &str)]) -> Child {
        let kubeconfig = self.folder.path().join("kubeconfig");
        tokio::process::Command::new(BINARY)
            .args(args)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_ENDPOINT", &self.ec2_url)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", SECRETS[1])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.collector_url)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// The driver and a sidecar in processes of their own.
    fn start_both(&self, environment: &[(&str, &str)]) -> [Child; 2] {
        let endpoint = format!("--endpoint=unix://{}", self.socket().display());
        let address = format!("--csi-address={}", self.socket().display());
        let named = [environment, &[("OTEL_SERVICE_NAME", "ebs-csi-controller")]].concat();
        let driver = [
            "aws-ebs-csi-driver",
            "controller",
            &endpoint,
            "--enable-otel-tracing=true",
        ];
        let attacher = ["csi-attacher", &address, "--enable-otel-tracing"];
        [self.start(&driver, &named), self.start(&attacher, environment)]
    }

    /// Until the volume is attached.
    async fn attached(&self) {
        let attached = async {
            while self.attachment()["status"]["attached"] != true {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, attached)
            .await
            .unwrap_or_else(|_| panic!("{}", self.attachment()));
    }

    fn attachment(&self) -> Value {
        let found = self
            .api
            .store("person")
            .get(ATTACHMENTS, "", "attachment")
            .unwrap();
        found.value().clone()
    }
}

/// A volume with a Secret, a node, and the wish to have the one at the other.
fn furnish(api: &ApiServer, volume: &str, instance: &str) {
    let secret = json!({ "name": "of-volume", "namespace": "default" });
    let driver = "ebs.csi.aws.com";
    let csi = json!({
        "driver": driver, "volumeHandle": volume, "fsType": "ext4", "controllerPublishSecretRef": secret,
    });
    let source = json!({ "persistentVolumeName": "volume" });
    for (group, kind, object) in [
        (
            "",
            "secrets",
            json!({ "metadata": secret, "stringData": { "token": SECRETS[0] } }),
        ),
        (
            "",
            "persistentvolumes",
            json!({
                "metadata": { "name": "volume" },
                "spec": { "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "csi": csi },
            }),
        ),
        ("", "nodes", json!({ "metadata": { "name": "node" } })),
        (
            "storage.k8s.io",
            "csinodes",
            json!({
                "metadata": { "name": "node" },
                "spec": { "drivers": [{ "name": driver, "nodeID": instance, "topologyKeys": [] }] },
            }),
        ),
        (
            "storage.k8s.io",
            "volumeattachments",
            json!({
                "metadata": { "name": "attachment" },
                "spec": { "attacher": driver, "nodeName": "node", "source": source },
            }),
        ),
    ] {
        let kind = GroupResource::new(group, kind);
        api.store("person").create(kind, object).unwrap();
    }
}

/// Tells a process to end and waits for it; what it said.
async fn terminated(process: Child) -> String {
    let id = process.id().unwrap().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(told.success());
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[tokio::test]
async fn ebs_case_152_one_trace_goes_from_the_sidecar_to_ec2() {
    let cluster = Cluster::new().await;
    let processes = cluster.start_both(&[]);
    cluster.attached().await;
    // The last spans are sent at the end, long before they would be due.
    for process in processes {
        terminated(process).await;
    }
    let collector = &cluster.collector;
    let rpc = "csi.v1.Controller/ControllerPublishVolume";
    let client = collector.span(rpc, SpanKind::Client);
    let server = collector.span(rpc, SpanKind::Server);
    let request = collector.span("EC2.AttachVolume", SpanKind::Client);
    assert_eq!(client.service, "csi-attacher", "the mode, where nothing is said");
    assert_eq!(
        (server.service.as_str(), request.service.as_str()),
        ("ebs-csi-controller", "ebs-csi-controller")
    );
    assert!(client.span.parent_span_id.is_empty());
    assert_eq!(server.span.parent_span_id, client.span.span_id);
    assert_eq!(request.span.parent_span_id, server.span.span_id);
    for sent in [&server, &request] {
        assert_eq!(sent.span.trace_id, client.span.trace_id);
    }
    for (sent, key, value) in [
        (&client, "rpc.system", "grpc"),
        (&client, "rpc.service", "csi.v1.Controller"),
        (&client, "rpc.grpc.status_code", "0"),
        (&server, "rpc.method", "ControllerPublishVolume"),
        (&server, "rpc.grpc.status_code", "0"),
        (&request, "rpc.service", "EC2"),
        (&request, "rpc.method", "AttachVolume"),
        (&request, "http.response.status_code", "200"),
    ] {
        let found = attribute(&sent.span.attributes, key);
        assert_eq!(found.as_deref(), Some(value), "{} {key}", sent.span.name);
    }
    // The lookups before it are parts of it too.
    let lookup = collector.span("EC2.DescribeInstances", SpanKind::Client);
    assert_eq!(lookup.span.trace_id, client.span.trace_id);
    let all = format!("{:?}", collector.0.lock().unwrap());
    for secret in SECRETS {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert!(
        all.contains("telemetry.sdk.name"),
        "what was looked at is all of it"
    );
}

#[tokio::test]
async fn ebs_case_152_who_is_not_sampled_is_followed_nowhere() {
    let cluster = Cluster::new().await;
    let processes = cluster.start_both(&[("OTEL_TRACES_SAMPLER", "always_off")]);
    cluster.attached().await;
    for process in processes {
        terminated(process).await;
    }
    assert!(cluster.collector.spans().is_empty());
}

#[tokio::test]
async fn ebs_case_153_a_collector_that_is_away_is_told_once_and_holds_up_nothing() {
    let cluster = Cluster::new().await;
    let nowhere = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let [driver, attacher] = cluster.start_both(&nowhere);
    cluster.attached().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    terminated(attacher).await;
    let said = terminated(driver).await;
    let told = said
        .lines()
        .filter(|line| line.contains("the collector takes no spans"));
    assert_eq!(told.count(), 1, "{said}");
    assert!(!said.contains("BatchSpanProcessor"), "{said}");
}

#[test]
fn ebs_case_153_and_154_what_cannot_be_followed_is_told_before_anything_is_done() {
    for (variable, value, args, says) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4317",
            &["aws-ebs-csi-driver", "controller", "--enable-otel-tracing"][..],
            "write http://HOST:PORT",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/nonexistent/ca.crt",
            &["csi-attacher", "--enable-otel-tracing"],
            "cannot read /nonexistent/ca.crt",
        ),
        (
            "GODEBUG",
            "fips140=only",
            &["aws-ebs-csi-driver", "controller"],
            "not validated by FIPS 140-3",
        ),
    ] {
        let mut command = Command::new(BINARY);
        command.args(args).env(variable, value);
        if variable.ends_with("CERTIFICATE") {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9");
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn ebs_case_154_validated_cryptography_is_not_pretended() {
    let cluster = Cluster::new().await;
    let endpoint = format!("--endpoint=unix://{}", cluster.socket().display());
    let args = ["aws-ebs-csi-driver", "controller", &endpoint];
    let driver = cluster.start(&args, &[("GODEBUG", "fips140=on")]);
    let serving = async {
        while !cluster.socket().exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, serving).await.unwrap();
    let said = terminated(driver).await;
    assert!(said.contains("GODEBUG=fips140=on has no effect"), "{said}");
}
