//! SageMaker's AttachClusterNodeVolume and DetachClusterNodeVolume. The instances of a cluster belong to the service: EC2 shows
//! them to nobody, and their attachments under the name of the cluster. Source: spec ebs-driver 3.10.

use std::collections::BTreeSet;

use super::super::errors::Ec2Error;
use super::super::model::after;
use super::super::model::instance::ClusterNode;
use super::super::model::volume::Attachment;
use super::super::query::Form;
use super::super::state::{Answer, Call, State};
use super::super::xml::Xml;
use super::attachments::check_volume;

/// The names that the service gives: `/dev/sdf` to `/dev/sdp`, then `/dev/xvdb` to `/dev/xvdz`.
fn names() -> impl Iterator<Item = String> {
    let first = ('f'..='p').map(|letter| format!("/dev/sd{letter}"));
    first.chain(('b'..='z').map(|letter| format!("/dev/xvd{letter}")))
}

struct Asked {
    cluster: String,
    node: ClusterNode,
    volume: String,
}

fn asked(state: &State, form: &mut Form) -> Result<Asked, Ec2Error> {
    let (cluster, node, volume) = (
        form.required("ClusterArn")?,
        form.required("NodeId")?,
        form.required("VolumeId")?,
    );
    std::mem::take(form).finish()?;
    let name = cluster.rsplit_once(":cluster/").map(|(_, name)| name);
    let found = state.cluster_nodes.get(&node);
    match found.filter(|found| Some(found.cluster.as_str()) == name) {
        Some(found) => Ok(Asked {
            node: found.clone(),
            cluster,
            volume,
        }),
        None => Err(Ec2Error::new(
            "ResourceNotFound",
            format!("No node {node} in the cluster {cluster}."),
        )),
    }
}

/// Carries out AttachClusterNodeVolume.
pub(in crate::ec2) fn attach(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let Asked {
        cluster,
        node,
        volume: id,
    } = asked(state, &mut form)?;
    let volume = state.volume_mut(&id)?.clone();
    check_volume(&volume, &node.id, call)?;
    if volume.zone != node.zone {
        return Err(Ec2Error::new(
            "InvalidVolume.ZoneMismatch",
            format!(
                "The volume '{id}' is not in the same availability zone as instance '{}'",
                node.id
            ),
        ));
    }
    let at_node = state.volumes.values().flat_map(|volume| &volume.attachments);
    let taken: BTreeSet<&str> = at_node
        .filter(|one| one.instance_id == node.id)
        .map(|one| one.device.as_str())
        .collect();
    let free = names().find(|name| !taken.contains(name.as_str()));
    let Some(device) = free.filter(|_| taken.len() < node.kind.attachments) else {
        return Err(Ec2Error::new(
            "AttachmentLimitExceeded",
            format!("Attachment limit exceeded for instance '{}'.", node.id),
        ));
    };
    let attachment = Attachment {
        cluster: Some(cluster),
        instance_id: node.id,
        device,
        card: None,
        delete_on_termination: false,
        begun_at: call.now,
        attached_at: after(call.now, call.options.timing.attaching),
        gone_at: None,
        is_forced: false,
    };
    let answer = answer(&attachment, &id, call);
    state.volume_mut(&id)?.attachments.push(attachment);
    Ok(answer)
}

/// Carries out DetachClusterNodeVolume.
pub(in crate::ec2) fn detach(state: &mut State, mut form: Form, call: &Call<'_>) -> Answer {
    let Asked { node, volume: id, .. } = asked(state, &mut form)?;
    let gone_at = after(call.now, call.options.timing.detaching);
    let volume = state.volume_mut(&id)?;
    if volume.attachments.is_empty() {
        return Err(Ec2Error::state(format!(
            "Volume '{id}' is in the 'available' state."
        )));
    }
    let mut attachments = volume.attachments.iter_mut();
    let Some(attachment) = attachments.find(|one| one.instance_id == node.id) else {
        return Err(Ec2Error::new(
            "InvalidAttachment.NotFound",
            format!("The volume '{id}' is not attached to instance '{}'.", node.id),
        ));
    };
    attachment.gone_at.get_or_insert(gone_at);
    let answer = answer(attachment, &id, call);
    volume.settle(call.now);
    Ok(answer)
}

fn answer(attachment: &Attachment, volume_id: &str, call: &Call<'_>) -> Xml {
    let mut fields = Xml::new();
    fields.field("AttachTime", attachment.begun_at.as_second());
    fields.field("ClusterArn", attachment.cluster.as_deref().unwrap_or_default());
    fields.field("DeviceName", &attachment.device);
    fields.field("NodeId", &attachment.instance_id);
    fields.field("Status", attachment.status(call.now));
    fields.field("VolumeId", volume_id);
    fields
}
