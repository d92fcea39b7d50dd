//! What the pod says about itself: the only place where the process environment is read.

use std::path::Path;

const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// What environment variables and mounted files say; read once in `main`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `POD_NAMESPACE`.
    pub pod_namespace: Option<String>,
    /// The namespace in the mounted service account.
    pub service_account_namespace: Option<String>,
    /// The host name, in a cluster the pod's name.
    pub host_name: Option<String>,
    /// `NAMESPACE`: where upstream's provisioner keeps what it publishes.
    pub namespace: Option<String>,
    /// `POD_NAME`.
    pub pod_name: Option<String>,
    /// `NODE_NAME`.
    pub node_name: Option<String>,
    /// `KUBECONFIG`.
    pub kubeconfig: Option<String>,
    /// `ENABLE_VAC_FALLBACK` is `true`: attributes classes may be those of `v1beta1`.
    pub vac_fallback: bool,
}

impl Environment {
    /// That of this process. Empty values count as absent.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            pod_namespace: variable("POD_NAMESPACE"),
            service_account_namespace: first_line(Path::new(NAMESPACE_FILE)),
            host_name: first_line(Path::new(HOST_NAME_FILE)).or_else(|| variable("HOSTNAME")),
            namespace: variable("NAMESPACE"),
            pod_name: variable("POD_NAME"),
            node_name: variable("NODE_NAME"),
            kubeconfig: variable("KUBECONFIG"),
            vac_fallback: variable("ENABLE_VAC_FALLBACK").is_some_and(|value| value == "true"),
        }
    }

    /// The namespace of this process: `POD_NAMESPACE`, else that of the service account, else `default`.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.pod_namespace
            .clone()
            .or_else(|| self.service_account_namespace.clone())
            .unwrap_or_else(|| "default".to_owned())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn first_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}
