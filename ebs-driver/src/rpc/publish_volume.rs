//! ControllerPublishVolume. Source: spec 1.6, 1.8, 3.6, 3.9, 3.10, Q3, Q19; cases 49-59, 156-158.

use csi::v1::{ControllerPublishVolumeRequest, ControllerPublishVolumeResponse};
use tonic::Status;

use super::{Call, capability, initialization, node_local, required};
use crate::attach::{self, Expected, Seen};
use crate::attachments::Reserved;
use crate::driver::Core;
use crate::ec2::codes::{self, Meaning, Purpose};
use crate::ec2::errors::Ec2Error;
use crate::ec2::types::{AttachmentState, Instance, InstanceType, NewAttachment};
use crate::hyperpod::ClusterNode;
use crate::in_flight::Key;
use crate::names::{BLOCK_ATTACH, DEVICE_PATH, NODE_LOCAL_PREFIX};

pub(super) async fn call(
    core: &Core,
    request: &ControllerPublishVolumeRequest,
    call: Call,
) -> Result<ControllerPublishVolumeResponse, Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let node_id = required(&request.node_id, "node_id")?;
    let wanted = request
        .volume_capability
        .as_ref()
        .ok_or_else(|| Status::invalid_argument("volume_capability is missing"))?;
    let is_node_local = volume_id.starts_with(NODE_LOCAL_PREFIX);
    let is_supported = if is_node_local {
        capability::is_supported_node_local(wanted)
    } else {
        capability::is_supported(wanted)
    };
    if !is_supported {
        return Err(Status::invalid_argument(
            "EBS supports SINGLE_NODE_WRITER, and MULTI_NODE_MULTI_WRITER for block volumes",
        ));
    }
    if is_node_local {
        return node_local::publish(core, volume_id, node_id, call).await;
    }
    let cluster_node = cluster_node(node_id)?;
    let key = Key::Attachment {
        volume_id: volume_id.to_owned(),
        node_id: node_id.to_owned(),
    };
    let _guard = core.in_flight.begin(key)?;
    let device = match &cluster_node {
        Some(node) => {
            Pair::of(volume_id, &node.instance_id)
                .attach_to(node, core, call)
                .await?
        }
        None => Pair::of(volume_id, node_id).attach(core, call).await?,
    };
    if request
        .volume_context
        .get(BLOCK_ATTACH)
        .is_some_and(|value| value == "true")
    {
        initialization::wait(core, volume_id, call.deadline).await?;
    }
    Ok(ControllerPublishVolumeResponse {
        publish_context: [(DEVICE_PATH.to_owned(), device)].into(),
    })
}

/// The node of HyperPod that this is the ID of, whose volumes another service attaches.
pub(super) fn cluster_node(node_id: &str) -> Result<Option<ClusterNode>, Status> {
    ClusterNode::of(node_id).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The instance with this ID.
pub(super) async fn instance(core: &Core, node_id: &str, call: Call) -> Result<Instance, Status> {
    let found = core.lookups.instances.get(node_id, call.deadline).await;
    found
        .map_err(|error| Purpose::AttachRead.status(&error))?
        .ok_or_else(|| Status::not_found(format!("there is no instance {node_id}")))
}

struct Pair<'a> {
    volume_id: &'a str,
    node_id: &'a str,
}

impl<'a> Pair<'a> {
    fn of(volume_id: &'a str, node_id: &'a str) -> Self {
        Self { volume_id, node_id }
    }

    /// The same where SageMaker attaches, and chooses the device. What the volume shows is looked at first, since there is no
    /// instance to look at.
    async fn attach_to(&self, node: &ClusterNode, core: &Core, call: Call) -> Result<String, Status> {
        if let Some(device) = self.resume(core, call).await? {
            return Ok(device);
        }
        let asked = core.ec2.attach_to_cluster(node, self.volume_id, call.deadline);
        match asked.await {
            Ok(answer) if answer.state == AttachmentState::Attached => Ok(answer.device),
            Ok(_) => {
                self.wait(core, &Expected::default(), OnDetached::Wait, call)
                    .await
            }
            Err(error) if Purpose::Attach.looks_first(&error) => self.look_again(core, &error, call).await,
            Err(error) => Err(Purpose::Attach.status(&error)),
        }
    }

    /// Attaches the volume, or finds it attached: the device name by which it is.
    async fn attach(&self, core: &Core, call: Call) -> Result<String, Status> {
        let instance = instance(core, self.node_id, call).await?;
        let is_mapped = attach::mapped(&instance, self.volume_id).is_some();
        // What an instance shows may be past: only the volume tells whether it is attached.
        let is_begun = is_mapped || core.attachments.reserved(self.node_id, self.volume_id).is_some();
        if is_begun && let Some(device) = self.resume(core, call).await? {
            return Ok(device);
        }
        let cards = self.cards(core, &instance.instance_type, call).await;
        let reserved = core
            .attachments
            .reserve(&instance, self.volume_id, cards)
            .map_err(|error| Status::internal(error.to_string()))?;
        self.begin(core, reserved, call).await
    }

    async fn begin(&self, core: &Core, reserved: Reserved, call: Call) -> Result<String, Status> {
        let wanted = NewAttachment {
            volume_id: self.volume_id.to_owned(),
            instance_id: self.node_id.to_owned(),
            device: reserved.device.clone(),
            card: reserved.card,
        };
        let expected = Expected {
            device: Some(reserved.device.clone()),
            card: reserved.card,
        };
        match core.ec2.attach_volume(&wanted, call.deadline).await {
            Ok(answer) if answer.state == AttachmentState::Attached => {
                core.attachments.attached(self.node_id, self.volume_id);
                Ok(reserved.device)
            }
            Ok(_) => self.wait(core, &expected, OnDetached::Wait, call).await,
            Err(error) if Purpose::Attach.looks_first(&error) => self.look_again(core, &error, call).await,
            Err(error) => {
                if error.meaning() != Meaning::Unclear {
                    core.attachments.release(self.node_id, self.volume_id);
                }
                if codes::is_device_taken(&error) {
                    core.attachments.mark_bad(self.node_id, &reserved.device);
                }
                Err(Purpose::Attach.status(&error))
            }
        }
    }

    /// After a refusal that may mean that it is attached already.
    async fn look_again(&self, core: &Core, error: &Ec2Error, call: Call) -> Result<String, Status> {
        let outcome = self.look(core, &Expected::default(), call).await;
        core.attachments.release(self.node_id, self.volume_id);
        match outcome? {
            Seen::Attached(device) => Ok(device),
            Seen::NotYet => {
                self.wait(core, &Expected::default(), OnDetached::Wait, call)
                    .await
            }
            Seen::Elsewhere(other) => Err(self.elsewhere(&other)),
            _ => Err(Purpose::Attach.status(error)),
        }
    }

    /// Goes on with an attachment that was begun before; none when nothing is left of it.
    async fn resume(&self, core: &Core, call: Call) -> Result<Option<String>, Status> {
        let expected = Expected::default();
        match self.look(core, &expected, call).await? {
            Seen::Attached(device) => {
                core.attachments.attached(self.node_id, self.volume_id);
                Ok(Some(device))
            }
            Seen::Detached => {
                core.attachments.release(self.node_id, self.volume_id);
                Ok(None)
            }
            Seen::NotYet => {
                let device = self.wait(core, &expected, OnDetached::End, call).await?;
                Ok(Some(device).filter(|device| !device.is_empty()))
            }
            other => Err(self.failed(core, other, call).await),
        }
    }

    async fn look(&self, core: &Core, expected: &Expected, call: Call) -> Result<Seen, Status> {
        let volume = core.lookups.volumes.get(self.volume_id, call.deadline).await;
        let volume = volume.map_err(|error| Purpose::AttachRead.status(&error))?;
        let is_attaching = attach::is_attaching(volume.as_ref(), self.node_id);
        let attaching_for = core
            .attachments
            .attaching(self.node_id, self.volume_id, is_attaching);
        Ok(attach::seen(
            volume.as_ref(),
            self.node_id,
            expected,
            attaching_for,
        ))
    }

    /// Polls until the volume is there: its device. Errors of single polls are passed over. With
    /// [`OnDetached::End`] the device is empty when the volume is seen detached.
    async fn wait(
        &self,
        core: &Core,
        expected: &Expected,
        on_detached: OnDetached,
        call: Call,
    ) -> Result<String, Status> {
        for pause in attach::pauses() {
            if let Err(interrupted) = core.waits.poll(pause, call.deadline).await {
                return Err(self.not_yet(&interrupted.to_string()));
            }
            match self.look(core, expected, call).await {
                Ok(Seen::Attached(device)) => {
                    core.attachments.attached(self.node_id, self.volume_id);
                    return Ok(device);
                }
                Ok(Seen::Detached) if on_detached == OnDetached::End => {
                    core.attachments.release(self.node_id, self.volume_id);
                    return Ok(String::new());
                }
                // What was just attached may not show yet, and where it was before may show still.
                Ok(Seen::NotYet | Seen::Detached) | Err(_) => {}
                Ok(Seen::Elsewhere(_)) if on_detached == OnDetached::Wait => {}
                Ok(other) => return Err(self.failed(core, other, call).await),
            }
        }
        Err(self.not_yet("it took too long"))
    }

    async fn failed(&self, core: &Core, seen: Seen, call: Call) -> Status {
        let Self { volume_id, node_id } = self;
        match seen {
            Seen::Elsewhere(other) => self.elsewhere(&other),
            Seen::Stuck => {
                let detached = core.ec2.detach_volume(volume_id, node_id, call.deadline).await;
                let outcome = match detached {
                    Ok(_) => "it is being detached".to_owned(),
                    Err(error) => error.to_string(),
                };
                Status::internal(format!(
                    "volume {volume_id} hangs on its way to instance {node_id}; {outcome}; detached volumes are \
                     attached again"
                ))
            }
            _ => Status::internal(format!("there is no volume {volume_id} any more")),
        }
    }

    fn elsewhere(&self, other: &str) -> Status {
        Status::internal(format!(
            "volume {} is attached to instance {other}, and can be attached to one instance only",
            self.volume_id
        ))
    }

    fn not_yet(&self, why: &str) -> Status {
        Status::internal(format!(
            "volume {} is not attached to instance {} yet: {why}",
            self.volume_id, self.node_id
        ))
    }

    /// How many EBS cards the instance has; one where EC2 does not say.
    async fn cards(&self, core: &Core, instance_type: &str, call: Call) -> u32 {
        if instance_type.is_empty() {
            return 1;
        }
        if let Some(known) = core.attachments.cards(instance_type) {
            return known;
        }
        match core
            .ec2
            .describe_instance_type(instance_type, call.deadline)
            .await
        {
            Ok(InstanceType { cards, .. }) => {
                core.attachments.learn_cards(instance_type, cards);
                cards
            }
            Err(error) => {
                tracing::warn!(instance_type, %error, "assuming one EBS card");
                1
            }
        }
    }
}

/// What it means that a volume is seen detached, or elsewhere.
#[derive(Clone, Copy, Eq, PartialEq)]
enum OnDetached {
    /// EC2's answers lag: wait on.
    Wait,
    /// What was under way is over.
    End,
}
