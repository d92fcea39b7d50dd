//! Clients: what they count, when they wait, what they say when there is no API server.

use std::io::Write as _;
use std::time::Duration;

use base::RateLimit;
use base::args::Environment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use prometheus::{Encoder as _, Registry, TextEncoder};
use runtime::args::KubeArgs;
use runtime::client::{Connection, explain, proxy_remark};
use runtime::{ApiErrorClass, ObjectKey, Writer};
use tokio::time::Instant;

use crate::store::{Fault, Store};

fn kubeconfig(text: &str) -> (tempfile::NamedTempFile, KubeArgs) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let args = KubeArgs {
        kubeconfig: file.path().to_str().unwrap().to_owned(),
        ..KubeArgs::default()
    };
    (file, args)
}

fn text(registry: &Registry) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_component() {
    let (store, registry) = (Store::default(), Registry::new());
    let clients = Connection::over(store.client(), None)
        .clients("driver", &registry)
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(clients.work.clone(), "ns");
    assert!(maps.get("absent").await.is_err());
    store.faults(|_| Fault {
        lose: true,
        after: Duration::from_secs(3),
        ..Fault::default()
    });
    assert!(maps.get("absent").await.is_err());
    let text = text(&registry);
    let labels = r#"component="driver",resource="configmaps",subresource="",verb="get""#;
    for code in ["404", "error"] {
        let labels = format!("code=\"{code}\",{labels}");
        assert!(
            text.contains(&format!("slackwater_kube_requests_total{{{labels}}} 1\n")),
            "{text}"
        );
    }
    assert!(
        text.contains("slackwater_kube_request_seconds_sum{component=\"driver\",verb=\"get\"} 3\n"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_answer_ends_after_a_minute() {
    let store = Store::default();
    store.faults(|_| Fault {
        before: Duration::from_secs(100_000),
        ..Fault::default()
    });
    let clients = Connection::over(store.client(), None)
        .clients("driver", &Registry::new())
        .unwrap();
    let start = Instant::now();
    let error = Api::<ConfigMap>::namespaced(clients.work, "ns")
        .get("x")
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    assert_eq!(
        explain(&error),
        "cannot reach the API server: timed out: no answer within 60 s; is a firewall or network policy in the way?"
    );
}

#[tokio::test(start_paused = true)]
async fn only_work_waits_for_the_limit_that_was_asked_for() {
    let (store, registry) = (Store::default(), Registry::new());
    let limit = RateLimit { qps: 2.0, burst: 2 };
    let clients = Connection::over(store.client(), Some(limit))
        .clients("driver", &registry)
        .unwrap();
    for (client, seconds) in [(clients.work, 4), (clients.leases, 0)] {
        let start = Instant::now();
        let maps: Api<ConfigMap> = Api::namespaced(client, "ns");
        futures::future::join_all((0..10).map(|_| maps.get("x"))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(seconds));
    }
    let text = text(&registry);
    assert!(
        text.contains("slackwater_kube_throttle_seconds_total{component=\"driver\"} 18\n"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_203_requests_that_wait_for_the_limit_are_sent_however_many_there_are() {
    let (store, limit) = (Store::default(), RateLimit { qps: 5.0, burst: 10 });
    let clients = Connection::over(store.client(), Some(limit))
        .clients("driver", &Registry::new())
        .unwrap();
    let writer: Writer<ConfigMap> = Writer::new(&clients.work, "test");
    let start = Instant::now();
    let answers = futures::future::join_all((0..1_010).map(|_| async {
        let absent = writer.get(&ObjectKey::new("ns", "absent")).await;
        absent.unwrap_err().class()
    }));
    let answers = answers.await;
    assert_eq!(start.elapsed(), Duration::from_secs(200));
    assert!(answers.iter().all(|class| *class == ApiErrorClass::NotFound));
    assert_eq!(store.sent().len(), 1_010);
}

#[tokio::test(start_paused = true)]
async fn what_the_functions_share_is_slowed_down_by_no_limit_of_one_of_them() {
    let (store, registry, shared) = (Store::default(), Registry::new(), Registry::new());
    let connection = Connection::over(store.client(), Some(RateLimit { qps: 1.0, burst: 1 }));
    let clients = connection.clients("csi-resizer", &registry).unwrap();
    let watches = connection.shared("slackwater/0.1.0 watches").unwrap();
    let watches = watches.clients("watches", &shared).unwrap();
    let start = Instant::now();
    for client in [clients.work, watches.work] {
        let maps: Api<ConfigMap> = Api::namespaced(client, "ns");
        futures::future::join_all((0..3).map(|_| maps.get("x"))).await;
        assert_eq!(
            start.elapsed(),
            Duration::from_secs(2),
            "only the first one waits"
        );
    }
    for (registry, component) in [(&registry, "csi-resizer"), (&shared, "watches")] {
        let text = text(registry);
        let total = text
            .lines()
            .find(|line| line.starts_with("slackwater_kube_requests_total{"));
        let total = total.unwrap();
        assert!(
            total.contains(&format!("component=\"{component}\"")) && total.ends_with(" 3"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_counts_as_canceled() {
    let (store, registry) = (Store::default(), Registry::new());
    store.faults(|_| Fault {
        before: Duration::from_secs(9),
        ..Fault::default()
    });
    let clients = Connection::over(store.client(), None)
        .clients("driver", &registry)
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(clients.work, "ns");
    let cut = tokio::time::timeout(Duration::from_secs(4), maps.get("x")).await;
    assert!(cut.is_err());
    let text = text(&registry);
    assert!(
        text.contains("slackwater_kube_requests_total{code=\"canceled\",component=\"driver\","),
        "{text}"
    );
    assert!(
        text.contains("slackwater_kube_request_seconds_sum{component=\"driver\",verb=\"get\"} 4\n"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn only_so_many_requests_are_open_at_the_same_time() {
    let store = Store::default();
    store.faults(|_| Fault {
        before: Duration::from_secs(1),
        ..Fault::default()
    });
    let clients = Connection::over(store.client(), None)
        .clients("driver", &Registry::new())
        .unwrap();
    for (client, seconds) in [(clients.work, 2), (clients.leases, 1)] {
        let start = Instant::now();
        let maps: Api<ConfigMap> = Api::namespaced(client, "ns");
        futures::future::join_all((0..64).map(|_| maps.get("x"))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn a_bad_kubeconfig_is_one_clear_line_without_its_secrets() {
    let secret = "token: hunter2";
    let context = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";
    let user = format!("users: [{{name: u, user: {{{secret}}}}}]\n");
    for (config, says) in [
        (format!("{{ {secret}"), "it is not valid YAML"),
        (format!("apiVersion: v1\nkind: Config\n{user}"), "current-context"),
        (
            format!("apiVersion: v1\nkind: Config\n{context}{user}"),
            "cluster",
        ),
        (
            format!("apiVersion: v1\nkind: Config\n{context}{user}clusters: [{{name: k, cluster: {{}}}}]\n"),
            "cluster url is missing",
        ),
    ] {
        let (_file, args) = kubeconfig(&config);
        let error = Connection::from_args(&args, "slackwater/0.1.0")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot use kubeconfig") && error.contains(says),
            "{error}"
        );
        assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
    }
    let args = KubeArgs {
        kubeconfig: "/nonexistent/config".to_owned(),
        ..KubeArgs::default()
    };
    let error = Connection::from_args(&args, "slackwater/0.1.0")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("\"/nonexistent/config\": No such file"), "{error}");
}

/// A kubeconfig whose one cluster has these members.
fn kubeconfig_of(cluster: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         users: [{{name: u, user: {{token: hunter2}}}}]\nclusters: [{{name: k, cluster: {{{cluster}}}}}]\n"
    )
}

#[tokio::test]
async fn sidecars_case_237_the_address_that_is_given_is_asked_instead_of_the_file_s() {
    let of_file = "server: 'https://127.0.0.1:6441', tls-server-name: other";
    for (cluster, master, server) in [
        (Some(of_file), "", "https://127.0.0.1:6441"),
        (Some(of_file), "http://127.0.0.1:6442", "http://127.0.0.1:6442"),
        (Some(""), "http://127.0.0.1:6442", "http://127.0.0.1:6442"),
        (None, "http://127.0.0.1:6442", "http://127.0.0.1:6442"),
    ] {
        let file = cluster.map(|cluster| kubeconfig(&kubeconfig_of(cluster)));
        let args = KubeArgs {
            master: master.to_owned(),
            ..file.as_ref().map(|(_, args)| args.clone()).unwrap_or_default()
        };
        let connection = Connection::from_args(&args, "slackwater/0.1.0").await.unwrap();
        assert!(connection.server().starts_with(server), "{connection:?}");
    }
    let args = KubeArgs {
        master: "localhost:8080".to_owned(),
        ..KubeArgs::default()
    };
    let refused = Connection::from_args(&args, "slackwater/0.1.0")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("--master=\"localhost:8080\""),
        "{refused}"
    );
}

#[tokio::test]
async fn sidecars_case_238_a_kubeconfig_with_a_proxy_is_refused() {
    for (proxy, is_refused) in [("'http://user:hunter2@proxy:3128'", true), ("''", false)] {
        let cluster = format!("server: 'http://127.0.0.1:6441', proxy-url: {proxy}");
        let (_file, args) = kubeconfig(&kubeconfig_of(&cluster));
        let connection = Connection::from_args(&args, "slackwater/0.1.0").await;
        assert_eq!(connection.is_err(), is_refused, "{proxy}");
        if let Err(error) = connection {
            let text = error.to_string();
            assert!(
                text.contains("names a proxy by proxy-url") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
}

#[test]
fn sidecars_case_238_a_proxy_of_the_environment_is_remarked_where_it_could_be_meant() {
    for (kubeconfig, master, https_proxy, is_remarked) in [
        ("/k", "", true, true),
        ("", "http://api", true, true),
        ("", "", true, false),
        ("/k", "", false, false),
    ] {
        let args = KubeArgs {
            kubeconfig: kubeconfig.to_owned(),
            master: master.to_owned(),
            ..KubeArgs::default()
        };
        let environment = Environment {
            https_proxy,
            ..Environment::default()
        };
        let remark = proxy_remark(&args, &environment);
        assert_eq!(remark.is_some(), is_remarked, "{args:?} {https_proxy}");
    }
}

#[tokio::test]
async fn outside_of_a_cluster_a_kubeconfig_is_asked_for() {
    let error = Connection::from_args(&KubeArgs::default(), "slackwater/0.1.0")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("give --kubeconfig=FILE outside of a cluster"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_one_clear_line() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (_file, args) = kubeconfig(&format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         users: [{{name: u, user: {{token: hunter2}}}}]\nclusters: [{{name: k, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n"
    ));
    let connection = Connection::from_args(&args, "slackwater/0.1.0").await.unwrap();
    assert!(!format!("{connection:?}").contains("hunter2"));
    let clients = connection.clients("driver", &Registry::new()).unwrap();
    let error = clients.work.apiserver_version().await.unwrap_err();
    let line = explain(&error);
    assert!(line.starts_with("cannot reach the API server: "), "{line}");
    assert!(
        line.ends_with("is the API server running, and is its address right?"),
        "{line}"
    );
    assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
}

#[tokio::test]
async fn the_user_agent_names_the_program() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_file, args) = kubeconfig(&format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         users: [{{name: u, user: {{}}}}]\nclusters: [{{name: k, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n"
    ));
    let connection = Connection::from_args(&args, "csi-snapshotter/0.1.0")
        .await
        .unwrap();
    let clients = connection.clients("driver", &Registry::new()).unwrap();
    let serve = async {
        use tokio::io::AsyncReadExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4_096];
        let length = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..length]).to_lowercase()
    };
    let (head, _) = tokio::join!(serve, clients.work.apiserver_version());
    assert!(head.contains("user-agent: csi-snapshotter/0.1.0\r\n"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn requests_are_told_by_the_names_of_client_go() {
    let (store, registry, shared) = (Store::default(), Registry::new(), Registry::new());
    store.faults(|_| Fault {
        before: Duration::from_secs(3),
        ..Fault::default()
    });
    let limit = RateLimit { qps: 0.25, burst: 1 };
    let connection = Connection::over(store.client(), Some(limit));
    let clients = connection.clients("csi-resizer", &registry).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(clients.work.clone(), "ns");
    let map = ConfigMap {
        metadata: kube::core::ObjectMeta {
            name: Some("m".repeat(60)),
            ..Default::default()
        },
        ..ConfigMap::default()
    };
    let made = maps
        .create(&kube::api::PostParams::default(), &map)
        .await
        .unwrap();
    // It waits a second for the limit and is given up.
    let cut = tokio::time::timeout(Duration::from_secs(2), maps.get("m")).await;
    assert!(cut.is_err() && made.metadata.name.is_some());
    let watches = connection.shared("slackwater/0.1.0 watches").unwrap();
    let watches = watches.clients_beside(&clients, "watches", &shared).unwrap();
    let followed: Api<ConfigMap> = Api::namespaced(watches.work, "ns");
    let watch = followed
        .watch(&kube::api::WatchParams::default(), "1")
        .await
        .unwrap();
    drop(watch);
    let told = text(&registry);
    for line in [
        "rest_client_requests_total{code=\"201\",host=\"none\",method=\"POST\"} 1",
        "rest_client_requests_total{code=\"<error>\",host=\"none\",method=\"GET\"} 1",
        "rest_client_requests_total{code=\"200\",host=\"none\",method=\"GET\"} 1",
        "rest_client_request_duration_seconds_sum{host=\"none\",verb=\"POST\"} 3",
        "rest_client_request_duration_seconds_bucket{host=\"none\",verb=\"POST\",le=\"0.005\"} 0",
        "rest_client_request_duration_seconds_count{host=\"none\",verb=\"GET\"} 1",
        "rest_client_request_size_bytes_count{host=\"none\",verb=\"POST\"} 1",
        "rest_client_request_size_bytes_bucket{host=\"none\",verb=\"POST\",le=\"64\"} 0",
        "rest_client_request_size_bytes_sum{host=\"none\",verb=\"GET\"} 0",
        "rest_client_response_size_bytes_count{host=\"none\",verb=\"POST\"} 1",
        "rest_client_rate_limiter_duration_seconds_sum{host=\"none\",verb=\"GET\"} 1",
        "rest_client_rate_limiter_duration_seconds_count{host=\"none\",verb=\"POST\"} 1",
    ] {
        assert!(told.contains(&format!("{line}\n")), "{line}\n{told}");
    }
    assert!(
        !text(&shared).contains("rest_client"),
        "no series twice in one process"
    );
}
