//! One clear line for what keeps us from the API server.

use std::error::Error;
use std::path::{Path, PathBuf};

use kube::client::AuthError;
use kube::config::{InClusterError, KubeconfigError};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No `--kubeconfig`, and this is no pod.
    #[error(
        "no --kubeconfig is given and this does not look like a pod with a service account ({reason}); \
         give --kubeconfig=FILE outside of a cluster"
    )]
    NotInACluster {
        /// What is missing.
        reason: String,
    },
    /// The named file cannot be used.
    #[error(
        "cannot use kubeconfig {path:?}: {reason}; check --kubeconfig, or try `kubectl --kubeconfig FILE version`"
    )]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `--master` is no URL.
    #[error("--master={0:?} is no address of an API server: write it like https://HOST:6443")]
    Master(String),
    /// The named file asks for a proxy.
    #[error(
        "kubeconfig {path:?} names a proxy by proxy-url, which is not supported: name an address of the API server that needs \
         none, and take proxy-url away"
    )]
    Proxy {
        /// The file.
        path: PathBuf,
    },
    /// Certificates or keys cannot be used.
    #[error("cannot set up the connection to {server}: {reason}")]
    Setup {
        /// URL of the API server.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a header value.
    #[error("the user agent is no valid header value")]
    UserAgent,
}

impl ClientError {
    pub(super) fn not_in_a_cluster(error: InClusterError) -> Self {
        Self::NotInACluster {
            reason: chain(&error),
        }
    }

    pub(super) fn kubeconfig(path: &Path, error: KubeconfigError) -> Self {
        let reason = match &error {
            KubeconfigError::ReadConfig(source, _) => source.to_string(),
            // The parser quotes the file, which holds credentials.
            KubeconfigError::Parse(_) => "it is not valid YAML of kind Config".to_owned(),
            KubeconfigError::CurrentContextNotSet => {
                "it names no current-context (set one with `kubectl config use-context`)".to_owned()
            }
            other => chain(other),
        };
        Self::Kubeconfig {
            path: path.to_owned(),
            reason,
        }
    }

    pub(super) fn setup(server: &str, error: &kube::Error) -> Self {
        Self::Setup {
            server: server.to_owned(),
            reason: explain(error),
        }
    }
}

/// A failed request in one line, with a hint where the cause is a usual one. Nothing of what was sent or
/// answered is quoted but the API server's own message.
#[must_use]
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => "the API server does not accept our credentials (401): check the service account or kubeconfig".to_owned(),
            403 => format!("not allowed (403): {}; check the RBAC rules of our service account", one_line(&status.message)),
            code => format!("the API server answered {code}: {}", one_line(&status.message)),
        },
        kube::Error::SerdeError(_) => "the API server's answer is not what was expected".to_owned(),
        kube::Error::Service(source) => transport(source.as_ref()),
        kube::Error::HyperError(source) => transport(source),
        other => chain(other),
    }
}

/// An error with its causes, in one text. What an exec plugin printed is left out: it may be credentials.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(text) = of_plugin(error) {
            return text;
        }
        cause = error.source();
    }
    base::error::chain(error)
}

fn of_plugin(error: &(dyn Error + 'static)) -> Option<String> {
    let of_kube = error.downcast_ref().and_then(|error| match error {
        kube::Error::Auth(error) => Some(error),
        _ => None,
    });
    match of_kube.or(error.downcast_ref())? {
        AuthError::AuthExecRun { out, .. } => Some(format!(
            "the exec plugin of the kubeconfig failed ({}): run its command by hand",
            out.status
        )),
        AuthError::AuthExecParse(_) => Some(
            "the exec plugin of the kubeconfig prints no ExecCredential that can be read: run its command by hand".to_owned(),
        ),
        _ => None,
    }
}

fn transport(error: &(dyn Error + 'static)) -> String {
    let text = one_line(&chain(error));
    let lower = text.to_lowercase();
    let hint = [
        ("certificate", "check the certificate authority of the cluster"),
        (
            "connection refused",
            "is the API server running, and is its address right?",
        ),
        ("dns", "check its host name and the cluster's DNS"),
        (
            "failed to lookup address",
            "check its host name and the cluster's DNS",
        ),
        ("timed out", "is a firewall or network policy in the way?"),
        (
            "deadline has elapsed",
            "is a firewall or network policy in the way?",
        ),
        ("unreachable", "is a firewall or network policy in the way?"),
    ]
    .iter()
    .find(|(sign, _)| lower.contains(sign));
    match hint {
        Some((_, hint)) => format!("cannot reach the API server: {text}; {hint}"),
        None => format!("cannot reach the API server: {text}"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn usual_causes_come_with_a_hint() {
        let io = |kind| kube::Error::Service(Box::new(std::io::Error::from(kind)));
        assert_eq!(
            explain(&io(std::io::ErrorKind::ConnectionRefused)),
            "cannot reach the API server: connection refused; is the API server running, and is its address right?"
        );
        assert!(explain(&io(std::io::ErrorKind::TimedOut)).contains("firewall"));
        let forbidden = Status::failure("leases is\nforbidden", "Forbidden").with_code(403);
        assert_eq!(
            explain(&kube::Error::Api(forbidden.boxed())),
            "not allowed (403): leases is forbidden; check the RBAC rules of our service account"
        );
    }

    #[test]
    fn what_a_plugin_prints_is_not_quoted() {
        use std::os::unix::process::ExitStatusExt;
        let failed = || {
            let out = std::process::Output {
                status: std::process::ExitStatus::from_raw(256),
                stdout: b"secret".to_vec(),
                stderr: b"secret".to_vec(),
            };
            kube::Error::Auth(AuthError::AuthExecRun {
                cmd: "TOKEN=secret plugin".to_owned(),
                out: Box::new(out),
            })
        };
        for error in [failed(), kube::Error::Service(Box::new(failed()))] {
            let text = explain(&error);
            assert!(
                !text.contains("secret") && text.contains("exit status: 1"),
                "{text}"
            );
            assert!(!crate::ApiError::from(error).to_string().contains("secret"));
        }
    }

    #[test]
    fn answers_are_not_quoted() {
        let broken = serde_json::from_str::<u8>("\"secret\"").unwrap_err();
        assert!(!explain(&kube::Error::SerdeError(broken)).contains("secret"));
    }
}
