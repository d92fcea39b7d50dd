//! The instance metadata service through Amazon's client: token, hop, retries, endpoint from
//! `AWS_EC2_METADATA_SERVICE_ENDPOINT` or the profile. Without tokens where there are none. Source: spec 4.8.

use std::error::Error;

use async_trait::async_trait;
use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use serde::Deserialize;

use super::{InstanceInfo, MetadataError, Source};
use crate::tokenless;

const PLACE: &str = "instance metadata service";
const IDENTITY: &str = "/latest/dynamic/instance-identity/document";
const INTERFACES: &str = "/latest/meta-data/network/interfaces/macs";
const VOLUMES: &str = "/latest/meta-data/block-device-mapping";
const OUTPOST: &str = "/latest/meta-data/outpost-arn";
const NOT_FOUND: u16 = 404;

/// The service.
#[derive(Debug)]
pub struct Imds {
    client: Client,
}

/// The part of the instance identity document that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    instance_id: String,
    instance_type: String,
    region: String,
    availability_zone: String,
}

/// Why one question has no answer.
enum Unanswered {
    NotFound,
    Failed(String),
}

impl Imds {
    /// The service at this address; by default where environment and profile say, else at its usual one. Asks
    /// nothing yet.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(endpoint: Option<&str>) -> Result<Self, MetadataError> {
        let mut builder = tokenless::client(ProviderConfig::default()).max_attempts(3);
        if let Some(endpoint) = endpoint {
            builder = builder
                .endpoint(endpoint)
                .map_err(|error| MetadataError::new(PLACE, format!("bad address {endpoint}: {error}")))?;
        }
        Ok(Self {
            client: builder.build(),
        })
    }

    async fn get(&self, path: &'static str) -> Result<String, Unanswered> {
        let answer = self.client.get(path).await;
        answer.map(String::from).map_err(|error| match &error {
            ImdsError::ErrorResponse(answer) => match answer.response().status().as_u16() {
                NOT_FOUND => Unanswered::NotFound,
                status => Unanswered::Failed(format!("{path} answers HTTP status {status}")),
            },
            _ => Unanswered::Failed(chain(&error)),
        })
    }

    async fn must(&self, path: &'static str) -> Result<String, MetadataError> {
        self.get(path).await.map_err(|unanswered| {
            MetadataError::new(
                PLACE,
                match unanswered {
                    Unanswered::NotFound => format!("{path} is not there"),
                    Unanswered::Failed(reason) => reason,
                },
            )
        })
    }

    async fn interfaces(&self) -> Result<u32, MetadataError> {
        let list = self.must(INTERFACES).await?;
        let count = list.split_whitespace().count();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn outpost(&self) -> Result<Option<String>, MetadataError> {
        match self.get(OUTPOST).await {
            Ok(arn) => Ok(Some(arn.trim().to_owned()).filter(|arn| !arn.is_empty())),
            Err(Unanswered::NotFound) => Ok(None),
            Err(Unanswered::Failed(reason)) => Err(MetadataError::new(PLACE, reason)),
        }
    }
}

/// An error and its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

/// What the document says; every field must be there.
fn identity(document: &str) -> Result<Identity, MetadataError> {
    let failed = |reason: String| MetadataError::new(PLACE, format!("{IDENTITY}: {reason}"));
    let identity: Identity = serde_json::from_str(document).map_err(|error| failed(error.to_string()))?;
    for (field, value) in [
        ("instanceId", &identity.instance_id),
        ("instanceType", &identity.instance_type),
        ("region", &identity.region),
        ("availabilityZone", &identity.availability_zone),
    ] {
        if value.is_empty() {
            return Err(failed(format!("{field} is missing")));
        }
    }
    Ok(identity)
}

/// Volumes of the mapping besides the root volume: lines such as `ebs1`.
fn extra_volumes(mapping: &str) -> u32 {
    u32::try_from(mapping.matches("ebs").count()).unwrap_or(u32::MAX)
}

#[async_trait]
impl Source for Imds {
    fn place(&self) -> &'static str {
        PLACE
    }

    async fn learn(&self) -> Result<InstanceInfo, MetadataError> {
        let identity = identity(&self.must(IDENTITY).await?)?;
        Ok(InstanceInfo {
            instance_id: identity.instance_id,
            instance_type: identity.instance_type,
            region: identity.region,
            zone: identity.availability_zone,
            interfaces: self.interfaces().await?,
            extra_volumes: extra_volumes(&self.must(VOLUMES).await?),
            outpost_arn: self.outpost().await?,
        })
    }

    /// The service shows interfaces that come later, but no volumes: its mapping is that of the start.
    async fn refresh(&self, known: &InstanceInfo) -> Result<InstanceInfo, MetadataError> {
        Ok(InstanceInfo {
            interfaces: self.interfaces().await?,
            ..known.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_a_field_is_refused() {
        let whole = r#"{"instanceId":"i-1","instanceType":"m5.large","region":"us-east-1",
                        "availabilityZone":"us-east-1a","accountId":"1"}"#;
        assert_eq!(identity(whole).unwrap().availability_zone, "us-east-1a");
        for bad in ["", "[]", "{}", r#"{"instanceId":"i-1","region":""}"#] {
            assert!(identity(bad).is_err(), "{bad}");
        }
        assert_eq!(extra_volumes("ami\nebs1\nebs2\nephemeral0\nroot"), 2);
    }
}
