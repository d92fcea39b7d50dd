//! The configuration of the client outside of a cluster: a file, an address, or both.

use std::path::Path;

use base::args::Environment;
use http::Uri;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::explain::ClientError;
use crate::args::KubeArgs;

/// Stands in a file that names no proxy: else kube takes one from the environment, whatever `NO_PROXY` says.
const NO_PROXY: &str = "http://none.invalid";

/// What is to be logged, once a process, of a proxy that only the environment names; none where that says nothing of one, or in a
/// cluster, where such a proxy is for others.
#[must_use]
pub fn proxy_remark(args: &KubeArgs, environment: &Environment) -> Option<&'static str> {
    let is_outside = args.kubeconfig().is_some() || args.master().is_some();
    (is_outside && environment.https_proxy).then_some(
        "the API server is asked without the proxy that the environment names (HTTPS_PROXY), whatever NO_PROXY says",
    )
}

/// What the file says. `master` is asked instead of the server that it names, with its credentials. Source: client-go, where an
/// address that is given takes the name for the certificate away too.
pub(super) async fn read(path: &Path, master: Option<&str>) -> Result<Config, ClientError> {
    let broken = |error| ClientError::kubeconfig(path, error);
    let mut file = Kubeconfig::read_from(path).map_err(broken)?;
    let server = master.map(address).transpose()?.map(|server| server.to_string());
    // One of them is used.
    for named in &mut file.clusters {
        let cluster = named.cluster.get_or_insert_default();
        if let Some(server) = &server {
            cluster.server = Some(server.clone());
            cluster.tls_server_name = None;
        }
        let proxy = cluster.proxy_url.take().filter(|proxy| !proxy.is_empty());
        cluster.proxy_url = Some(proxy.unwrap_or_else(|| NO_PROXY.to_owned()));
    }
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(broken)?;
    if config.proxy_url.take().is_some_and(|proxy| proxy != NO_PROXY) {
        return Err(ClientError::Proxy {
            path: path.to_owned(),
        });
    }
    // A program that gets the credentials may be told of the cluster.
    let told = config
        .auth_info
        .exec
        .as_mut()
        .and_then(|exec| exec.cluster.as_mut());
    if let Some(told) = told {
        told.proxy_url = None;
    }
    Ok(config)
}

/// The API server at this address, asked without credentials. Source: client-go.
pub(super) fn without_file(master: &str) -> Result<Config, ClientError> {
    Ok(Config::new(address(master)?))
}

fn address(master: &str) -> Result<Uri, ClientError> {
    let address = master.parse::<Uri>().ok();
    let is_url = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    address
        .filter(is_url)
        .ok_or_else(|| ClientError::Master(master.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for good in [
            "http://127.0.0.1:8080",
            "https://api.example.com",
            "https://[::1]:6443/prefix",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:8080",
            "localhost",
            "/api",
            "ftp://host",
            "https://",
            "https:// host",
            "",
        ] {
            assert!(matches!(address(bad), Err(ClientError::Master(_))), "{bad}");
        }
    }
}
