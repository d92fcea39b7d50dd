//! The actions around instances and attachments, one request each.

use async_trait::async_trait;
use aws_sdk_ec2::types as sdk;

use super::super::errors::{Action, Ec2Error, Lost};
use super::super::types::{Attachment, Initialization, Instance, NewAttachment, Selection};
use super::super::{Instances, convert};
use super::{SdkEc2, failure};
use crate::deadline::Deadline;

#[async_trait]
impl Instances for SdkEc2 {
    async fn attach_volume(
        &self,
        attachment: &NewAttachment,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        let action = Action::AttachVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .attach_volume()
                .volume_id(&attachment.volume_id)
                .instance_id(&attachment.instance_id)
                .device(&attachment.device)
                .set_ebs_card_index(attachment.card)
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        Ok(convert::attachment(
            sdk::VolumeAttachment::builder()
                .set_instance_id(answer.instance_id)
                .set_device(answer.device)
                .set_state(answer.state)
                .set_ebs_card_index(answer.ebs_card_index)
                .set_attach_time(answer.attach_time)
                .build(),
        ))
    }

    async fn detach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        let action = Action::DetachVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let request = client
                .detach_volume()
                .volume_id(volume_id)
                .instance_id(instance_id);
            request.send().await.map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        Ok(convert::attachment(
            sdk::VolumeAttachment::builder()
                .set_instance_id(answer.instance_id)
                .set_device(answer.device)
                .set_state(answer.state)
                .set_attach_time(answer.attach_time)
                .build(),
        ))
    }

    async fn describe_instances(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Instance>, Ec2Error> {
        let action = Action::DescribeInstances;
        let client = self.client(action, deadline).await?;
        let (ids, filters) = convert::selection_parts(selection, "instance-id");
        let send = |token| {
            let request = client.describe_instances().set_instance_ids(ids.clone());
            let request = request.set_filters(filters.clone()).set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let reservations = self
            .pages(action, deadline, send, |answer| {
                (answer.reservations.unwrap_or_default(), answer.next_token)
            })
            .await?;
        reservations
            .into_iter()
            .flat_map(|reservation| reservation.instances.unwrap_or_default())
            .map(convert::instance)
            .collect()
    }

    async fn describe_cards(&self, instance_type: &str, deadline: Deadline) -> Result<u32, Ec2Error> {
        let action = Action::DescribeInstanceTypes;
        let client = self.client(action, deadline).await?;
        let wanted = sdk::InstanceType::from(instance_type);
        let send = || async {
            let request = client.describe_instance_types().instance_types(wanted.clone());
            request.send().await.map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        let row = answer.instance_types().first();
        let cards = row
            .and_then(|row| row.ebs_info())
            .map(|info| info.maximum_ebs_cards().unwrap_or(1));
        match cards {
            Some(cards) => Ok(u32::try_from(cards).unwrap_or(1).max(1)),
            None => Err(Ec2Error::lost(action, Lost::Malformed, "ebsInfo is missing")),
        }
    }

    async fn describe_initialization(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<(String, Initialization)>, Ec2Error> {
        let action = Action::DescribeVolumeStatus;
        let client = self.client(action, deadline).await?;
        let (ids, filters) = convert::selection_parts(selection, "volume-id");
        let send = |token| {
            let request = client.describe_volume_status().set_volume_ids(ids.clone());
            let request = request.set_filters(filters.clone()).set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let rows = self
            .pages(action, deadline, send, |answer| {
                (answer.volume_statuses.unwrap_or_default(), answer.next_token)
            })
            .await?;
        rows.into_iter().map(convert::initialization).collect()
    }
}
