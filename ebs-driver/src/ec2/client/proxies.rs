//! Which hosts the proxies of the environment are not asked for. The HTTP client's own reading of `NO_PROXY` knows neither `*.x`
//! nor ports nor that loopback needs no proxy, so that Go's stands before it. Source: golang.org/x/net/http/httpproxy.

use std::net::IpAddr;

use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Uri;
use ipnet::IpNet;

use super::environment::variable;

/// The variables that name a proxy.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What `NO_PROXY` says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct NoProxy {
    is_all: bool,
    networks: Vec<IpNet>,
    addresses: Vec<(IpAddr, Option<u16>)>,
    domains: Vec<Domain>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Domain {
    /// Of the hosts below it, with the dot.
    suffix: String,
    /// Whether the host of that name is meant too.
    has_itself: bool,
    port: Option<u16>,
}

impl NoProxy {
    /// As the environment has it; none where there is no proxy.
    pub(super) fn of_environment() -> Option<Self> {
        PROXIES.into_iter().find_map(variable)?;
        let list = ["NO_PROXY", "no_proxy"].into_iter().find_map(variable);
        Some(Self::of(&list.unwrap_or_default()))
    }

    fn of(list: &str) -> Self {
        let mut read = Self::default();
        for entry in list.split(',') {
            read.add(&entry.trim().to_lowercase());
        }
        read
    }

    fn add(&mut self, entry: &str) {
        if entry == "*" {
            self.is_all = true;
            return;
        }
        if let Ok(network) = entry.parse::<IpNet>() {
            self.networks.push(network);
            return;
        }
        let (host, port) = split(entry);
        let Ok(port) = port.map(str::parse::<u16>).transpose() else {
            // No port has that name.
            return;
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            self.addresses.push((address.to_canonical(), port));
            return;
        }
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        if host.is_empty() {
            return;
        }
        let has_itself = !host.starts_with('.');
        self.domains.push(Domain {
            suffix: if has_itself {
                format!(".{host}")
            } else {
                host.to_owned()
            },
            has_itself,
            port,
        });
    }

    /// Whether it is reached without a proxy.
    fn names(&self, uri: &Uri) -> bool {
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("http") => 80,
            _ => 443,
        });
        let host = uri.host().unwrap_or_default().to_lowercase();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_of = |of: &Option<u16>| of.is_none_or(|of| of == port);
        if host == "localhost" || self.is_all {
            return true;
        }
        match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => {
                let mut addresses = self.addresses.iter();
                address.is_loopback()
                    || self.networks.iter().any(|network| network.contains(&address))
                    || addresses.any(|(is, of)| *is == address && is_of(of))
            }
            Err(_) => self.domains.iter().any(|domain| {
                let is_itself = domain.has_itself && domain.suffix.strip_prefix('.') == Some(host);
                (is_itself || host.ends_with(&domain.suffix)) && is_of(&domain.port)
            }),
        }
    }
}

/// Host and port of an entry, as Go splits it: what has more colons than one and no brackets is an address without a port.
fn split(entry: &str) -> (&str, Option<&str>) {
    let parts = match entry.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:"),
        None => entry.split_once(':'),
    };
    match parts {
        Some((host, port)) if !port.contains(':') => (host, Some(port).filter(|port| !port.is_empty())),
        _ => (entry, None),
    }
}

/// Connections of two kinds.
#[derive(Clone, Debug)]
pub(super) struct ByHost {
    /// Through the proxies of the environment.
    pub(super) through_proxies: SharedHttpClient,
    /// For the hosts that need none.
    pub(super) direct: SharedHttpClient,
    /// Which those are.
    pub(super) no_proxy: NoProxy,
}

impl HttpClient for ByHost {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            clients: self.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.through_proxies.connector_metadata()
    }
}

/// The way is known by the request; whatever is not used is not set up.
#[derive(Debug)]
struct Connector {
    clients: ByHost,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let clients = &self.clients;
        let is_direct = request
            .uri()
            .parse::<Uri>()
            .is_ok_and(|uri| clients.no_proxy.names(&uri));
        let client = if is_direct {
            &clients.direct
        } else {
            &clients.through_proxies
        };
        let connector = client.http_connector(&self.settings, &self.components);
        connector.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC2: &str = "https://ec2.us-east-1.amazonaws.com";

    #[test]
    fn ebs_case_192_hosts_without_a_proxy_are_named_as_go_names_them() {
        for (list, uri, is_direct) in [
            ("", EC2, false),
            ("*", EC2, true),
            ("a, *", "https://10.0.0.1", true),
            ("amazonaws.com", EC2, true),
            (".amazonaws.com", EC2, true),
            (".amazonaws.com", "https://amazonaws.com", false),
            ("*.amazonaws.com", EC2, true),
            ("*.amazonaws.com", "https://amazonaws.com", false),
            ("*amazonaws.com", EC2, false),
            ("*.us-*.amazonaws.com", EC2, false),
            ("amazonaws.com", "https://notamazonaws.com", false),
            (" Example.org ,EC2.US-EAST-1.AMAZONAWS.COM", EC2, true),
            ("ec2.us-east-1.amazonaws.com:443", EC2, true),
            ("*.amazonaws.com:443", EC2, true),
            (".amazonaws.com:8443", EC2, false),
            (".example.org:8443", "https://ec2.example.org:8443", true),
            (".example.org:8443", "https://ec2.example.org", false),
            ("example.org:80", "http://example.org/latest", true),
            ("example.org:", "https://example.org:8443", true),
            ("example.org:https", "https://example.org", false),
            (":443", EC2, false),
            (".", EC2, false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.1.2.3/8", "https://10.9.9.9:8443", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:8443", true),
            ("10.1.2.3:443", "https://10.1.2.3", true),
            ("10.1.2.3:443", "https://10.1.2.3:8443", false),
            ("fd00::1", "https://[fd00::1]:8443", true),
            ("[fd00::1]:443", "https://[fd00::1]", true),
            ("[fd00::1]:443", "https://[fd00::1]:8443", false),
            ("fd00::/8", "https://[fd00::1]", true),
            ("::ffff:10.1.2.3", "https://10.1.2.3", true),
            ("", "http://localhost:8080", true),
            ("", "http://127.0.0.2:8080", true),
            ("", "http://[::1]:8080", true),
            ("", "http://169.254.170.23/v1/credentials", false),
            ("169.254.0.0/16", "http://169.254.170.23/v1/credentials", true),
        ] {
            let read = NoProxy::of(list);
            assert_eq!(read.names(&uri.parse().unwrap()), is_direct, "{list:?} {uri}");
        }
    }
}
