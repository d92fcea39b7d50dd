//! The actions around instances and attachments, one request each.

use async_trait::async_trait;

use super::super::Instances;
use super::super::errors::{Action, Ec2Error, Lost};
use super::super::types::{Attachment, Initialization, Instance, InstanceType, NewAttachment, Selection};
use super::QueryEc2;
use super::answers::{AttachmentElement, InstanceTypes, Reservations, VolumeStatuses};
use super::form::Form;
use crate::deadline::Deadline;
use crate::hyperpod::ClusterNode;

#[async_trait]
impl Instances for QueryEc2 {
    async fn attach_volume(
        &self,
        attachment: &NewAttachment,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        let form = Form::new(Action::AttachVolume)
            .with("VolumeId", &attachment.volume_id)
            .with("InstanceId", &attachment.instance_id)
            .with("Device", &attachment.device)
            .with_set("EbsCardIndex", attachment.card)
            .owned_by(Some(&attachment.instance_id));
        let answer: AttachmentElement = self.call(&form, deadline).await?;
        Ok(answer.into())
    }

    async fn detach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        let form = Form::new(Action::DetachVolume)
            .with("VolumeId", volume_id)
            .with("InstanceId", instance_id)
            .owned_by(Some(instance_id));
        let answer: AttachmentElement = self.call(&form, deadline).await?;
        Ok(answer.into())
    }

    async fn attach_to_cluster(
        &self,
        node: &ClusterNode,
        volume_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        self.of_cluster(Action::AttachClusterNodeVolume, node, volume_id, deadline)
            .await
    }

    async fn detach_from_cluster(
        &self,
        node: &ClusterNode,
        volume_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        self.of_cluster(Action::DetachClusterNodeVolume, node, volume_id, deadline)
            .await
    }

    async fn describe_instances(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Instance>, Ec2Error> {
        let form =
            Form::new(Action::DescribeInstances).with_selection("InstanceId", "instance-id", selection);
        let split = |page: Reservations| {
            let reservations = page.reservation_set.into_vec().into_iter();
            let instances = reservations.flat_map(|reservation| reservation.instances_set.into());
            (instances.collect(), page.next_token)
        };
        self.pages(&form, deadline, split).await
    }

    async fn describe_instance_type(
        &self,
        instance_type: &str,
        deadline: Deadline,
    ) -> Result<InstanceType, Ec2Error> {
        let action = Action::DescribeInstanceTypes;
        let form = Form::new(action).with("InstanceType.1", instance_type);
        let answer: InstanceTypes = self.call(&form, deadline).await?;
        let row = answer.instance_type_set.into_vec().into_iter().next();
        match row.and_then(|row| row.ebs_info) {
            Some(info) => Ok(info.into()),
            None => Err(Ec2Error::lost(action, Lost::Malformed, "ebsInfo is missing")),
        }
    }

    async fn describe_initialization(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<(String, Initialization)>, Ec2Error> {
        let form = Form::new(Action::DescribeVolumeStatus).with_selection("VolumeId", "volume-id", selection);
        let split = |page: VolumeStatuses| (page.volume_status_set.into(), page.next_token);
        self.pages(&form, deadline, split).await
    }
}
