//! EC2's own figure for the type of an instance.

use std::time::Duration;

use base::{Clock, Random};
use prometheus::Registry;

use super::Kind;
use crate::args::Config;
use crate::deadline::Deadline;
use crate::ec2::client::Ec2Transport;

/// The start of a node waits no longer for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks EC2 once what the type's limit is (`ec2:DescribeInstanceTypes`); `None` where it may not be asked, does not answer
/// in time or does not say, and then our table holds. A role for the node is not needed, so that it is no error.
///
/// # Errors
/// Never: the metrics are new.
pub async fn ask(
    config: &Config,
    transport: Ec2Transport,
    clock: Clock,
    random: Random,
    instance_type: &str,
) -> Result<Option<Kind>, prometheus::Error> {
    let ec2 = crate::instances(config, transport, clock, random, &Registry::new())?;
    let answer = ec2
        .describe_instance_type(instance_type, Deadline::within(PATIENCE))
        .await;
    let reason = match answer {
        Ok(known) => match known.attachments {
            Some((attachments, is_shared)) => {
                let kind = Kind::told(instance_type, attachments, is_shared);
                tracing::info!(instance_type, ?kind, "EC2 tells how many volumes may be attached");
                return Ok(Some(kind));
            }
            None => "EC2 does not tell".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    tracing::info!(
        instance_type,
        reason,
        "the number of volumes is taken from the table of this version"
    );
    Ok(None)
}
