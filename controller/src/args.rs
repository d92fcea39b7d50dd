//! Flags of every sidecar, with upstream's names and defaults. Source: sidecars.md 1.1.

use base::args::parse_bool;

/// How to reach the driver.
#[derive(Clone, Debug, clap::Args)]
pub struct DriverArgs {
    /// Address of the CSI driver: an absolute path, unix://path or tcp://host:port.
    #[arg(long, value_name = "ADDRESS", default_value = "/run/csi/socket")]
    pub csi_address: String,

    /// End with exit 1 when the connection to the driver is lost, as upstream does.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub exit_on_connection_loss: bool,
}
