//! The command lines of etcd, kube-apiserver and kube-controller-manager.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use super::{Options, SERVICE};
use crate::{Launch, Programs};

/// What kube-controller-manager is to do: what the journeys need, nothing that needs kubelets or a cloud.
const CONTROLLERS: [&str; 10] = [
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
];

/// The folder of etcd's data.
pub(super) const ETCD_DATA: &str = "etcd";

/// Ports on loopback, and where the API server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) apiserver: SocketAddrV4,
}

pub(super) fn etcd(programs: &Programs, folder: &Path, ports: Ports) -> Launch {
    let (client, peer) = (
        format!("http://127.0.0.1:{}", ports.etcd),
        format!("http://127.0.0.1:{}", ports.etcd_peer),
    );
    Launch::new("etcd", &programs.path("etcd")).args([
        format!("--data-dir={}", folder.join(ETCD_DATA).display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // The data live as long as the test.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ])
}

pub(super) fn apiserver(programs: &Programs, folder: &Path, ports: Ports, options: &Options) -> Launch {
    let path = |name: &str| folder.join(name).display().to_string();
    Launch::new("kube-apiserver", &programs.path("kube-apiserver"))
        .args([
            format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
            format!("--secure-port={}", ports.apiserver.port()),
            format!("--cert-dir={}", path("certificates")),
            format!("--token-auth-file={}", path("tokens.csv")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", path("service-accounts.key")),
            format!(
                "--service-account-signing-key-file={}",
                path("service-accounts.key")
            ),
            format!("--service-cluster-ip-range={SERVICE}/24"),
            "--endpoint-reconciler-type=none".to_owned(),
            // As every cluster with node services has it.
            "--allow-privileged=true".to_owned(),
            format!("--audit-policy-file={}", path("audit-policy.json")),
            format!("--audit-log-path={}", path("audit.log")),
            // One file: a rotated one would be missed.
            "--audit-log-maxsize=100000".to_owned(),
        ])
        .args(match options.serves_pods {
            true => vec![
                format!("--bind-address={}", Ipv4Addr::UNSPECIFIED),
                format!("--advertise-address={SERVICE}"),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
            ],
            false => vec![
                format!("--bind-address={}", Ipv4Addr::LOCALHOST),
                "--authorization-mode=RBAC".to_owned(),
                // Pods are made without the default service account, which comes late.
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        })
        .args(&options.apiserver_args)
}

pub(super) fn controller_manager(
    programs: &Programs,
    folder: &Path,
    kubeconfig: &Path,
    options: &Options,
) -> Launch {
    let path = |name: &str| folder.join(name).display().to_string();
    let of_pods = || {
        vec![
            "--controllers=*".to_owned(),
            format!("--root-ca-file={}", path("certificates/apiserver.crt")),
            format!(
                "--service-account-private-key-file={}",
                path("service-accounts.key")
            ),
        ]
    };
    Launch::new(
        "kube-controller-manager",
        &programs.path("kube-controller-manager"),
    )
    .args([
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--cert-dir={}", path("certificates")),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        // Kinds whose definitions are new are counted then, and not five minutes later.
        "--resource-quota-sync-period=5s".to_owned(),
    ])
    .args(match options.serves_pods {
        true => of_pods(),
        false => vec![format!("--controllers={}", CONTROLLERS.join(","))],
    })
    .args(&options.controller_manager_args)
}
