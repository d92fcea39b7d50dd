//! The configuration of the client outside of a cluster: a file, an address, or both.

use std::path::Path;

use http::Uri;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::explain::ClientError;

/// What the file says. `master` is asked instead of the server that it names, with its credentials. Source: client-go, where an
/// address that is given takes the name for the certificate away too.
pub(super) async fn read(path: &Path, master: Option<&str>) -> Result<Config, ClientError> {
    let broken = |error| ClientError::kubeconfig(path, error);
    let mut file = Kubeconfig::read_from(path).map_err(broken)?;
    if let Some(master) = master {
        let server = address(master)?.to_string();
        // The others are not used.
        for named in &mut file.clusters {
            let cluster = named.cluster.get_or_insert_default();
            cluster.server = Some(server.clone());
            cluster.tls_server_name = None;
        }
    }
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(broken)
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
