//! `slackwater aws-ebs-csi-driver MODE`: the modes of the driver's own image.
//!
//! | Mode | Where |
//! |---|---|
//! | `controller` | [`crate::controller`], with this one function |
//! | `node`, `all` | `serve` |
//! | `metadataLabeler` | `labeler` |
//! | `pre-stop-hook` | `pre_stop` |

mod labeler;
mod pre_stop;
mod serve;

use anyhow::Context as _;
use base::args::Environment;
use ebs_driver::ec2::client;
use ebs_driver::node::metadata::kubernetes::Right;
use ebs_driver::node::metadata::{Learned, sources};
use ebs_driver::{Config, NodeOptions, Role};
use prometheus::Registry;
use runtime::client::{Clients, Connection, proxy_remark};

use crate::VERSION;
use crate::controller::{self, ArgsError, Commands, WhenLost};

/// Runs a mode of the driver until it is told to stop, or its work is done.
///
/// # Errors
/// What keeps it from running; the text says what to do.
pub async fn run(args: ebs_driver::Args) -> anyhow::Result<()> {
    let config = args.config().map_err(ArgsError::from)?;
    match args.role().map_err(ArgsError::from)? {
        Role::Controller => {
            let commands = Commands {
                driver: Some(args),
                ..Commands::default()
            };
            controller::run(&commands, WhenLost::Exit).await
        }
        role @ (Role::Node | Role::All) => {
            client::check(&config.ec2).await?;
            let node = args.node_options().map_err(ArgsError::from)?;
            serve::run(config, node, role).await
        }
        Role::Labeler => {
            client::check(&config.ec2).await?;
            labeler::run(config, args.node_options().map_err(ArgsError::from)?).await
        }
        Role::PreStop => pre_stop::run(&args.node_options().map_err(ArgsError::from)?).await,
    }
}

/// Learns the region where nothing tells it: as upstream from the instance, by the metadata sources. The modes with the node
/// service learn more of their instance.
pub(crate) async fn learn_region(config: &mut Config, options: &NodeOptions) -> anyhow::Result<()> {
    let told = client::configured_region(&config.ec2).await;
    config.ec2.region = Some(match told {
        Some(region) => region,
        None => region_of_instance(options)
            .await
            .context("no AWS region is known: set AWS_REGION")?,
    });
    Ok(())
}

async fn region_of_instance(options: &NodeOptions) -> anyhow::Result<String> {
    // Nobody serves the metrics of one request.
    let clients = clients(options, &Registry::new()).await;
    let client = clients
        .map(|clients| clients.work)
        .map_err(|error| error.to_string());
    let sources = sources(
        &options.sources,
        &client,
        options.node_name.as_deref(),
        Right::List,
    )?;
    Ok(Learned::from_first(sources).await?.known().region)
}

/// Clients of the Kubernetes API, where it can be reached at all.
async fn clients(options: &NodeOptions, registry: &Registry) -> anyhow::Result<Clients> {
    let agent = format!("slackwater/{VERSION} driver");
    if let Some(remark) = proxy_remark(&options.kubernetes, &Environment::of_process()) {
        tracing::warn!("{remark}");
    }
    let connection = Connection::from_args(&options.kubernetes, &agent).await?;
    Ok(connection.clients("driver", registry)?)
}
