//! Upstream's flags (snapshot.md 1.4), and those of certificates that are made here.

use std::path::PathBuf;

use axum::http::Uri;
use base::args::{Environment, LogArgs, ProcessArgs};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    ServiceReference, WebhookClientConfig,
};
use runtime::ObjectKey;
use runtime::args::KubeArgs;

use super::certificate::keeper::{Options, PERIOD};

/// The command line of `slackwater snapshot-conversion-webhook`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = super::NAME,
    disable_version_flag = true,
    about = "Converts group snapshot objects between their API versions for the API server"
)]
pub struct Args {
    /// What every process has.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// How to reach the API server, for certificates that are made here.
    #[command(flatten)]
    pub kube: KubeArgs,

    /// Who makes the certificate: somebody else, who writes the two files; or this program, which keeps it in a Secret, writes
    /// itself into the definition and renews the certificate. Unset means files where they are named.
    #[arg(long, value_name = "ISSUER")]
    pub certificate_issuer: Option<CertificateIssuer>,

    /// PEM file with the certificate and its chain. A renewed one is taken without a restart.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file",
          required_if_eq("certificate_issuer", "files"), conflicts_with_all = SELF_SIGNED)]
    pub tls_cert_file: Option<PathBuf>,

    /// PEM file with the key of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file",
          required_if_eq("certificate_issuer", "files"), conflicts_with_all = SELF_SIGNED)]
    pub tls_private_key_file: Option<PathBuf>,

    /// Port of HTTPS.
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub port: u16,

    /// Secret that all replicas keep their certificate in. Default: snapshot-conversion-webhook-certificate.
    #[arg(long, value_name = "NAME")]
    pub secret_name: Option<String>,

    /// Service by which the API server reaches the webhook, at port 443. Default: snapshot-conversion-webhook.
    #[arg(long, value_name = "NAME")]
    pub service_name: Option<String>,

    /// Namespace of Secret and Service. Default: that of the pod.
    #[arg(long, value_name = "NAMESPACE")]
    pub service_namespace: Option<String>,

    /// https address of the webhook, for API servers that reach no Service; it ends with /convert.
    #[arg(long, value_name = "URL", value_parser = https, conflicts_with = "service_name")]
    pub url: Option<Uri>,
}

/// Flags that have no meaning for certificates in files.
const SELF_SIGNED: [&str; 4] = ["secret_name", "service_name", "service_namespace", "url"];

/// Who makes the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CertificateIssuer {
    /// Somebody else, such as cert-manager; it is in files.
    Files,
    /// The webhook.
    SelfSigned,
}

/// Files are named, and own certificates are asked for.
#[derive(Debug, thiserror::Error)]
#[error("--certificate-issuer=self-signed takes no --tls-cert-file and --tls-private-key-file")]
pub struct TwoIssuers;

impl Args {
    /// The certificate and its key, where somebody else makes them.
    ///
    /// # Errors
    /// They are named, and it is said that the webhook makes them.
    pub fn files(&self) -> Result<Option<(PathBuf, PathBuf)>, TwoIssuers> {
        let files = self.tls_cert_file.clone().zip(self.tls_private_key_file.clone());
        match (files, self.certificate_issuer) {
            (Some(_), Some(CertificateIssuer::SelfSigned)) => Err(TwoIssuers),
            (files, _) => Ok(files),
        }
    }

    /// Where own certificates are kept, and for whom they are.
    #[must_use]
    pub fn own(&self, environment: &Environment) -> Options {
        let or = |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
        let namespace = self
            .service_namespace
            .clone()
            .unwrap_or_else(|| environment.namespace());
        let secret = or(&self.secret_name, "snapshot-conversion-webhook-certificate");
        let service = or(&self.service_name, super::NAME);
        let secret = ObjectKey::new(namespace.as_str(), secret);
        if let Some(url) = &self.url {
            let host = url.host().unwrap_or_default();
            let client = WebhookClientConfig {
                url: Some(url.to_string()),
                ..WebhookClientConfig::default()
            };
            return Options {
                secret,
                names: vec![host.trim_matches(['[', ']']).to_owned()],
                client,
                period: PERIOD,
            };
        }
        Options {
            secret,
            names: vec![format!("{service}.{namespace}.svc")],
            client: WebhookClientConfig {
                service: Some(ServiceReference {
                    name: service,
                    namespace,
                    path: Some("/convert".to_owned()),
                    port: Some(443),
                }),
                ..WebhookClientConfig::default()
            },
            period: PERIOD,
        }
    }
}

fn https(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) => Ok(url),
        _ => Err("it is no https:// address".to_owned()),
    }
}
