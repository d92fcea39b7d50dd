//! The two actions of SageMaker around volumes of HyperPod, in Amazon's JSON protocol, version 1.1. What went wrong in EC2 is told
//! as EC2's, so that one table of codes holds for both services. Source: SageMaker API reference; spec 3.10.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::super::errors::{Action, Ec2Error, Failure, Lost};
use super::super::limit::bucket::Bucket;
use super::super::limit::line::Asks;
use super::super::retry::Request;
use super::super::types::Attachment;
use super::answers::attachment_state;
use super::setup::{Answer, JsonOperation, JsonRequest};
use super::{Ec2Transport, QueryEc2, failure, setup};
use crate::deadline::Deadline;
use crate::hyperpod::{Caller, ClusterNode, cause};

/// How SageMaker is reached, and in whose name.
pub(super) struct SageMaker {
    pub(super) operation: JsonOperation,
    pub(super) caller: Caller,
    pub(super) region: String,
}

/// The answer of both actions.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attached {
    #[serde(default)]
    device_name: String,
    status: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl QueryEc2 {
    /// One of the two actions.
    pub(super) async fn of_cluster(
        &self,
        action: Action,
        node: &ClusterNode,
        volume_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error> {
        let sagemaker = self.sagemaker(action, deadline).await?;
        let body = json!({
            "ClusterArn": node.cluster_arn(&sagemaker.caller, &sagemaker.region),
            "NodeId": node.instance_id,
            "VolumeId": volume_id,
        });
        let request = Request {
            action,
            bucket: Bucket::of(action, false),
            asks: Asks {
                work: format!("{}{body}", action.name()),
                owner: node.instance_id.clone(),
                needs: 1,
            },
        };
        let attempt = || async {
            let request = JsonRequest {
                target: format!("SageMaker.{}", action.name()),
                body: body.to_string(),
            };
            if self.endpoint.logs_bodies {
                tracing::info!(request = request.body, "a request to SageMaker");
            }
            let answer = sagemaker.operation.invoke(request).await;
            let Answer { status, body } = answer.map_err(|error| failure(action, &error))?;
            if self.endpoint.logs_bodies {
                tracing::info!(status, answer = %String::from_utf8_lossy(&body), "an answer of SageMaker");
            }
            read(action, status, &body)
        };
        let attached = self.caller.call(&request, deadline, attempt).await?;
        Ok(Attachment {
            instance_id: node.instance_id.clone(),
            device: attached.device_name,
            state: attachment_state(&attached.status),
            card: None,
            is_of_service: true,
        })
    }

    /// Who asks is found out once; what cannot be used is looked for again at the next call.
    async fn sagemaker(&self, action: Action, deadline: Deadline) -> Result<&SageMaker, Ec2Error> {
        let found = self.sagemaker.get_or_try_init(async || match &self.transport {
            Ec2Transport::Network => setup::sagemaker_over_network(&self.endpoint).await,
            Ec2Transport::InProcess(service) => {
                Ok(setup::sagemaker_in_process(&self.endpoint, service, &self.clock))
            }
        });
        match deadline.limit(found).await {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(Ec2Error::lost(action, Lost::NotSent, error.to_string())),
            None => Err(Ec2Error::lost(
                action,
                Lost::Credentials,
                "STS took too long to tell the account",
            )),
        }
    }
}

/// What SageMaker says, or why it says nothing.
fn read(action: Action, status: u16, body: &Bytes) -> Result<Attached, Ec2Error> {
    let unreadable = |why: &dyn ToString| {
        let detail = format!("HTTP status {status}: {}", why.to_string());
        Ec2Error::lost(action, Lost::Malformed, detail)
    };
    if (200..300).contains(&status) {
        return serde_json::from_slice(body).map_err(|error| unreadable(&error));
    }
    let refusal: Refusal = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    // `com.amazonaws.sagemaker#ValidationException` or its last part alone.
    let kind = refusal.kind.rsplit('#').next().unwrap_or_default();
    if kind.is_empty() {
        return Err(unreadable(&"no error code"));
    }
    let (code, message) = cause(&refusal.message).unwrap_or((kind, &refusal.message));
    Err(Ec2Error {
        action,
        failure: Failure::Answer {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ebs_case_157_answers_are_read() {
        let read = |status, body: &str| {
            read(
                Action::AttachClusterNodeVolume,
                status,
                &Bytes::from(body.to_owned()),
            )
        };
        let good = r#"{"AttachTime":1.7E9,"ClusterArn":"a","DeviceName":"/dev/sdf","NodeId":"i-1","Status":"attaching","VolumeId":"vol-1"}"#;
        let attached = read(200, good).unwrap();
        assert_eq!(
            (attached.device_name.as_str(), attached.status.as_str()),
            ("/dev/sdf", "attaching")
        );
        for (body, code) in [
            (
                r#"{"__type":"com.amazonaws.sagemaker#ValidationException","message":"HyperPod - Ec2ErrCode: VolumeInUse : Ec2ErrMsg: vol-1 is attached"}"#,
                "VolumeInUse",
            ),
            (
                r#"{"__type":"ResourceNotFound","Message":"no cluster"}"#,
                "ResourceNotFound",
            ),
        ] {
            let error = read(400, body).err().unwrap();
            assert_eq!(error.code(), Some(code), "{error}");
        }
        for (status, body) in [(200, "{"), (200, "{}"), (400, "<html>"), (400, "{}")] {
            let error = read(status, body).err().unwrap();
            assert!(
                matches!(
                    error.failure,
                    Failure::Lost {
                        why: Lost::Malformed,
                        ..
                    }
                ),
                "{body}: {error}"
            );
        }
    }
}
