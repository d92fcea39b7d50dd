//! Nodes of clusters of SageMaker HyperPod: what their IDs say, and what volumes say of them. Their instances belong to the
//! service, so that volumes are attached by SageMaker and not by EC2. Source: spec 3.10; cases 156 to 158.

use thiserror::Error;

use crate::names::HYPERPOD_PREFIX;

/// A node, from its ID `hyperpod-<cluster>-i-<id>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterNode {
    /// The ID of the cluster.
    pub cluster: String,
    /// Its instance, which EC2 shows nobody but the service.
    pub instance_id: String,
}

/// An ID that is none of a node.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{0:?} is no ID of a node of SageMaker HyperPod: those have the form hyperpod-<cluster>-i-<id>")]
pub struct NoClusterNode(String);

impl ClusterNode {
    /// What a node ID says; none of nodes that are instances of EC2.
    ///
    /// # Errors
    /// For an ID that only begins as that of a node of HyperPod.
    pub fn of(node_id: &str) -> Result<Option<Self>, NoClusterNode> {
        let Some(rest) = node_id.strip_prefix(HYPERPOD_PREFIX) else {
            return Ok(None);
        };
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match rest.split_once("-i-") {
            Some((cluster, id)) if is_word(cluster) && is_word(id) => Ok(Some(Self {
                cluster: cluster.to_owned(),
                instance_id: format!("i-{id}"),
            })),
            _ => Err(NoClusterNode(node_id.to_owned())),
        }
    }

    /// The ARN of the cluster. `caller` is that of whoever asks, which names the partition and the account.
    #[must_use]
    pub fn cluster_arn(&self, caller: &Caller, region: &str) -> String {
        let Caller { partition, account } = caller;
        format!(
            "arn:{partition}:sagemaker:{region}:{account}:cluster/{}",
            self.cluster
        )
    }
}

/// In whose name is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// `aws`, `aws-us-gov`.
    pub partition: String,
    /// The account.
    pub account: String,
}

impl Caller {
    /// From what STS answers: `arn:aws:sts::111122223333:assumed-role/role/session` and the account.
    #[must_use]
    pub fn of(arn: &str, account: &str) -> Self {
        let partition = arn.split(':').nth(1).filter(|partition| !partition.is_empty());
        Self {
            partition: partition.unwrap_or("aws").to_owned(),
            account: account.to_owned(),
        }
    }
}

/// The instance at the end of what a volume names as its associated resource,
/// `arn:aws:sagemaker:<region>:<account>:cluster/<cluster>-i-<id>`.
#[must_use]
pub fn instance_of_resource(arn: &str) -> Option<&str> {
    let start = arn.rfind("-i-")? + 1;
    Some(&arn[start..]).filter(|id| id.len() > 2 && !id[2..].contains('-'))
}

/// The code of EC2 and its text in what SageMaker says of an attachment: `HyperPod - Ec2ErrCode: <code> : Ec2ErrMsg: <text>`.
#[must_use]
pub fn cause(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("HyperPod - Ec2ErrCode:")?;
    let (code, text) = rest.split_once(" : Ec2ErrMsg:").unwrap_or((rest, ""));
    let code = code.trim().split(char::is_whitespace).next().unwrap_or_default();
    Some((code, text.trim())).filter(|(code, _)| !code.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ebs_case_156_ids_of_nodes_are_read() {
        let node = |cluster: &str, id: &str| {
            Ok(Some(ClusterNode {
                cluster: cluster.to_owned(),
                instance_id: id.to_owned(),
            }))
        };
        for (id, expected) in [
            ("i-0123456789abcdef0", Ok(None)),
            ("", Ok(None)),
            (
                "hyperpod-abcde3ghij4l-i-0123456789abcdef0",
                node("abcde3ghij4l", "i-0123456789abcdef0"),
            ),
        ] {
            assert_eq!(ClusterNode::of(id), expected, "{id}");
        }
        for wrong in [
            "hyperpod-",
            "hyperpod-i-0123",
            "hyperpod-abc",
            "hyperpod-abc-0123",
            "hyperpod-abc-i-",
            "hyperpod-a/b-i-0123",
            "hyperpod-abc-i-01-23",
        ] {
            let error = ClusterNode::of(wrong).unwrap_err().to_string();
            assert!(error.contains("hyperpod-<cluster>-i-<id>"), "{error}");
        }
    }

    #[test]
    fn ebs_case_156_clusters_are_named_in_the_partition_of_the_caller() {
        let node = ClusterNode::of("hyperpod-abc-i-01").unwrap().unwrap();
        for (arn, expected) in [
            (
                "arn:aws:sts::111122223333:assumed-role/ebs/1",
                "arn:aws:sagemaker:us-west-2:111122223333:cluster/abc",
            ),
            (
                "arn:aws-us-gov:iam::111122223333:user/u",
                "arn:aws-us-gov:sagemaker:us-west-2:111122223333:cluster/abc",
            ),
            ("", "arn:aws:sagemaker:us-west-2:111122223333:cluster/abc"),
        ] {
            let caller = Caller::of(arn, "111122223333");
            assert_eq!(node.cluster_arn(&caller, "us-west-2"), expected);
        }
    }

    #[test]
    fn ebs_case_156_volumes_name_the_node() {
        let of = |end: &str| {
            let arn = format!("arn:aws:sagemaker:us-west-2:123456789012:cluster/{end}");
            instance_of_resource(&arn).map(str::to_owned)
        };
        assert_eq!(of("abc-i-0123"), Some("i-0123".to_owned()));
        assert_eq!(of("abc-invalid-id"), None);
        assert_eq!(of("abc-i-"), None);
        assert_eq!(instance_of_resource(""), None);
    }

    #[test]
    fn ebs_case_157_the_cause_is_that_of_ec2() {
        let message =
            "HyperPod - Ec2ErrCode: AttachmentLimitExceeded : Ec2ErrMsg: Volume attachment limit exceeded";
        let limit = ("AttachmentLimitExceeded", "Volume attachment limit exceeded");
        assert_eq!(cause(message), Some(limit));
        assert_eq!(
            cause("HyperPod - Ec2ErrCode: IncorrectState"),
            Some(("IncorrectState", ""))
        );
        assert_eq!(cause("1 validation error detected"), None);
        assert_eq!(cause("HyperPod - Ec2ErrCode: "), None);
    }
}
