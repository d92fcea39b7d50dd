//! Upstream's flags (snapshot.md 1.4).

use std::path::PathBuf;

use base::args::{LogArgs, ProcessArgs};

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

    /// PEM file with the certificate and its chain. A renewed one is taken without a restart.
    #[arg(long, value_name = "FILE", required_unless_present = "version")]
    pub tls_cert_file: Option<PathBuf>,

    /// PEM file with the key of the certificate.
    #[arg(long, value_name = "FILE", required_unless_present = "version")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Port of HTTPS.
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub port: u16,
}
