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
    /// `POD_UID`.
    pub pod_uid: Option<String>,
    /// `NODE_NAME`.
    pub node_name: Option<String>,
    /// `KUBECONFIG`.
    pub kubeconfig: Option<String>,
    /// `HTTPS_PROXY` or `https_proxy` names a proxy.
    pub https_proxy: bool,
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
            pod_uid: variable("POD_UID"),
            node_name: variable("NODE_NAME"),
            kubeconfig: variable("KUBECONFIG"),
            https_proxy: ["HTTPS_PROXY", "https_proxy"]
                .into_iter()
                .any(|name| variable(name).is_some()),
            vac_fallback: variable("ENABLE_VAC_FALLBACK").is_some_and(|value| value == "true"),
        }
    }

    /// Who this process is in elections: its host name, and the UID of its pod where that is told, since the pods on a node's
    /// network share its name. A container that is started again is who it was.
    #[must_use]
    pub fn identity(&self) -> String {
        let host = self.host_name.as_deref().unwrap_or("slackwater");
        match &self.pod_uid {
            Some(uid) => format!("{host}-{uid}"),
            None => host.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_case_204_pods_of_one_host_name_are_told_apart_by_their_uid() {
        let identity = |host: Option<&str>, uid: Option<&str>| {
            let environment = Environment {
                host_name: host.map(str::to_owned),
                pod_uid: uid.map(str::to_owned),
                ..Environment::default()
            };
            environment.identity()
        };
        assert_eq!(identity(Some("node-1"), Some("8f14")), "node-1-8f14");
        assert_eq!(identity(Some("node-1"), Some("e45f")), "node-1-e45f");
        assert_eq!(
            identity(Some("ebs-csi-controller-0"), None),
            "ebs-csi-controller-0"
        );
        assert_eq!(identity(None, None), "slackwater");
    }
}
