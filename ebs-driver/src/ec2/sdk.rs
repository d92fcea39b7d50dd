//! The port over `aws-sdk-ec2`. The SDK sends and reads; retries, limits, metrics and time are ours.
//! Source: spec 3.1, 3.8; decision 30.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types as sdk;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::DispatchFailure;
use bytes::Bytes;
use runtime::Clock;
use tokio::sync::OnceCell;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use super::connector::{ClockSource, InProcess};
use super::errors::{Action, Ec2Error, Failure, Lost, stable_message};
use super::retry::Caller;
use super::types::{
    Modification, NewSnapshot, NewVolume, Selection, Snapshot, SnapshotList, SnapshotPage, Volume,
    VolumeChange, VolumeCopy,
};
use super::{Ec2, convert};
use crate::deadline::Deadline;
use crate::parameters::snapshot::Lock;

/// EC2 as a service in this process: the sandbox.
pub type InProcessService = BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>;

/// How EC2 is reached.
#[derive(Clone)]
pub enum Ec2Transport {
    /// Over the network, with the credentials of the default chain: environment, profile, web identity (IRSA),
    /// container (Pod Identity, ECS), IMDS. Nothing is asked before the first EC2 call.
    Sdk,
    /// A service in this process, with fixed credentials.
    InProcess(InProcessService),
}

impl fmt::Debug for Ec2Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sdk => "Sdk",
            Self::InProcess(_) => "InProcess",
        })
    }
}

/// What the flags and the environment say of EC2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Endpoint {
    /// Overrides the address of EC2 (`AWS_EC2_ENDPOINT`).
    pub url: Option<String>,
    /// Overrides the region (`AWS_REGION`).
    pub region: Option<String>,
    /// Names us in the user agent.
    pub user_agent: String,
}

/// The port over the SDK.
pub struct SdkEc2 {
    transport: Ec2Transport,
    endpoint: Endpoint,
    clock: Clock,
    caller: Caller,
    client: OnceCell<Client>,
}

impl fmt::Debug for SdkEc2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkEc2")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl SdkEc2 {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(transport: Ec2Transport, endpoint: Endpoint, clock: Clock, caller: Caller) -> Self {
        Self {
            transport,
            endpoint,
            clock,
            caller,
            client: OnceCell::new(),
        }
    }

    async fn client(&self, action: Action, deadline: Deadline) -> Result<&Client, Ec2Error> {
        let client = self.client.get_or_init(async || {
            let config = match &self.transport {
                Ec2Transport::Sdk => self.network_config().await,
                Ec2Transport::InProcess(service) => self.in_process_config(service),
            };
            Client::from_conf(config.build())
        });
        deadline
            .limit(client)
            .await
            .ok_or_else(|| Ec2Error::lost(action, Lost::Credentials, "the AWS configuration took too long"))
    }

    async fn network_config(&self) -> Builder {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        if let Some(region) = &self.endpoint.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Ok(name) = AppName::new(self.endpoint.user_agent.clone()) {
            loader = loader.app_name(name);
        }
        let mut builder = ours(Builder::from(&loader.load().await));
        builder.set_endpoint_url(self.endpoint.url.clone());
        builder
    }

    fn in_process_config(&self, service: &InProcessService) -> Builder {
        let region = self
            .endpoint
            .region
            .clone()
            .unwrap_or_else(|| "us-east-1".to_owned());
        ours(Builder::new())
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(InProcess(service.clone()))
            .time_source(ClockSource(self.clock.clone()))
            .credentials_provider(Credentials::from_keys("sandbox", "sandbox", None))
            .identity_cache(IdentityCache::no_cache())
            .region(Region::new(region))
            .endpoint_url("http://ec2.sandbox")
    }

    /// One page after the other.
    async fn pages<A, T, F>(
        &self,
        action: Action,
        deadline: Deadline,
        send: impl Fn(Option<String>) -> F,
        split: impl Fn(A) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Ec2Error>
    where
        F: Future<Output = Result<A, Ec2Error>>,
    {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            let answer = self.caller.call(action, deadline, || send(token.clone())).await?;
            let (page, next) = split(answer);
            all.extend(page);
            let next = next.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(all);
            }
            if next == token {
                return Err(Ec2Error::lost(
                    action,
                    Lost::Malformed,
                    "the same page token came twice",
                ));
            }
            token = next;
        }
    }
}

/// What holds for every transport.
fn ours(builder: Builder) -> Builder {
    builder
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(4))
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .sleep_impl(TokioSleep::new())
}

/// The SDK's error as ours.
fn failure<E>(action: Action, error: SdkError<E, HttpResponse>) -> Ec2Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let metadata = answer.err().meta();
            match metadata.code() {
                Some(code) => Ec2Error {
                    action,
                    failure: Failure::Answer {
                        status,
                        code: code.to_owned(),
                        message: stable_message(metadata.message().unwrap_or_default()),
                    },
                },
                None => Ec2Error::lost(
                    action,
                    Lost::Malformed,
                    format!("HTTP status {status} without an error code"),
                ),
            }
        }
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let detail = format!("HTTP status {status}: {}", root_cause(&error));
            Ec2Error::lost(action, Lost::Malformed, detail)
        }
        SdkError::TimeoutError(_) => Ec2Error::lost(action, Lost::Timeout, ""),
        SdkError::DispatchFailure(dispatch) => {
            Ec2Error::lost(action, lost(dispatch, &error), root_cause(&error))
        }
        _ => Ec2Error::lost(action, Lost::NotSent, root_cause(&error)),
    }
}

fn lost(dispatch: &DispatchFailure, error: &(dyn Error + 'static)) -> Lost {
    if chain(error).any(|cause| cause.is::<CredentialsError>()) {
        Lost::Credentials
    } else if chain(error).any(|cause| cause.is::<ResolveDnsError>()) {
        Lost::Dns
    } else if dispatch.is_timeout() {
        Lost::Timeout
    } else if dispatch.is_user() {
        Lost::NotSent
    } else {
        Lost::Connection
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn int(value: i64) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

#[async_trait]
impl Ec2 for SdkEc2 {
    async fn create_volume(&self, volume: &NewVolume, deadline: Deadline) -> Result<Volume, Ec2Error> {
        let action = Action::CreateVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .create_volume()
                .client_token(&volume.client_token)
                .size(int(volume.size_gib))
                .volume_type(sdk::VolumeType::from(volume.volume_type.as_str()))
                .encrypted(volume.is_encrypted)
                .multi_attach_enabled(volume.is_multi_attach)
                .set_availability_zone(volume.place.zone.clone())
                .set_availability_zone_id(volume.place.zone_id.clone())
                .set_outpost_arn(volume.place.outpost_arn.clone())
                .set_kms_key_id(volume.kms_key_id.clone())
                .set_snapshot_id(volume.snapshot_id.clone())
                .set_volume_initialization_rate(volume.initialization_rate)
                .set_iops(volume.iops)
                .set_throughput(volume.throughput)
                .tag_specifications(convert::tag_specification(
                    sdk::ResourceType::Volume,
                    &volume.tags,
                ))
                .send()
                .await
                .map_err(|error| failure(action, error))
                .and_then(convert::created_volume)
        };
        self.caller.call(action, deadline, send).await
    }

    async fn probe_iops(&self, volume: &NewVolume, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::CreateVolume;
        let place = &volume.place;
        let zone_id = place.zone_id.clone().filter(|_| place.zone.is_none());
        let probe = self
            .client(action, deadline)
            .await?
            .create_volume()
            .dry_run(true)
            .size(4)
            .iops(i32::MAX)
            .volume_type(sdk::VolumeType::from(volume.volume_type.as_str()))
            .set_availability_zone(place.zone.clone())
            .set_availability_zone_id(zone_id)
            .set_outpost_arn(place.outpost_arn.clone())
            .tag_specifications(convert::tag_specification(
                sdk::ResourceType::Volume,
                &volume.tags,
            ))
            .send();
        let answer = deadline.limit(probe).await;
        let answer = answer.ok_or_else(|| Ec2Error::lost(action, Lost::Timeout, ""))?;
        answer.map(drop).map_err(|error| failure(action, error))
    }

    async fn copy_volume(&self, copy: &VolumeCopy, deadline: Deadline) -> Result<Volume, Ec2Error> {
        let action = Action::CopyVolumes;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .copy_volumes()
                .source_volume_id(&copy.source_volume_id)
                .client_token(&copy.client_token)
                .size(int(copy.size_gib))
                .volume_type(sdk::VolumeType::from(copy.volume_type.as_str()))
                .multi_attach_enabled(copy.is_multi_attach)
                .set_iops(copy.iops)
                .set_throughput(copy.throughput)
                .tag_specifications(convert::tag_specification(sdk::ResourceType::Volume, &copy.tags))
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        let mut volumes = answer.volumes.unwrap_or_default();
        match (volumes.pop(), volumes.len()) {
            (Some(volume), 0) => convert::volume(action, volume),
            (_, others) => {
                let detail = format!("{others} volumes came back, not one");
                Err(Ec2Error::lost(action, Lost::Malformed, detail))
            }
        }
    }

    async fn delete_volume(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::DeleteVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let answer = client.delete_volume().volume_id(id).send().await;
            answer.map(drop).map_err(|error| failure(action, error))
        };
        self.caller.call(action, deadline, send).await
    }

    async fn describe_volumes(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Volume>, Ec2Error> {
        let action = Action::DescribeVolumes;
        let client = self.client(action, deadline).await?;
        let (ids, filters) = convert::selection_parts(selection, "volume-id");
        let send = |token| {
            let request = client.describe_volumes().set_volume_ids(ids.clone());
            let request = request.set_filters(filters.clone()).set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let volumes = self
            .pages(action, deadline, send, |answer| {
                (answer.volumes.unwrap_or_default(), answer.next_token)
            })
            .await?;
        volumes
            .into_iter()
            .map(|volume| convert::volume(action, volume))
            .collect()
    }

    async fn modify_volume(
        &self,
        change: &VolumeChange,
        deadline: Deadline,
    ) -> Result<Modification, Ec2Error> {
        let action = Action::ModifyVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .modify_volume()
                .volume_id(&change.volume_id)
                .set_size(change.size_gib.map(int))
                .set_volume_type(change.volume_type.as_deref().map(sdk::VolumeType::from))
                .set_iops(change.iops)
                .set_throughput(change.throughput)
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        match answer.volume_modification {
            Some(modification) => convert::modification(action, modification),
            None => Err(Ec2Error::lost(
                action,
                Lost::Malformed,
                "volumeModification is missing",
            )),
        }
    }

    async fn describe_modifications(
        &self,
        volume_ids: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Modification>, Ec2Error> {
        let action = Action::DescribeVolumesModifications;
        let client = self.client(action, deadline).await?;
        let filter = convert::filter("volume-id", volume_ids.to_vec());
        let send = |token| {
            let request = client.describe_volumes_modifications().filters(filter.clone());
            let request = request.set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let modifications = self
            .pages(action, deadline, send, |answer| {
                (
                    answer.volumes_modifications.unwrap_or_default(),
                    answer.next_token,
                )
            })
            .await?;
        modifications
            .into_iter()
            .map(|modification| convert::modification(action, modification))
            .collect()
    }

    async fn create_snapshot(
        &self,
        snapshot: &NewSnapshot,
        deadline: Deadline,
    ) -> Result<Snapshot, Ec2Error> {
        let action = Action::CreateSnapshot;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .create_snapshot()
                .volume_id(&snapshot.volume_id)
                .description(&snapshot.description)
                .set_outpost_arn(snapshot.outpost_arn.clone())
                .tag_specifications(convert::tag_specification(
                    sdk::ResourceType::Snapshot,
                    &snapshot.tags,
                ))
                .send()
                .await
                .map_err(|error| failure(action, error))
                .and_then(convert::created_snapshot)
        };
        self.caller.call(action, deadline, send).await
    }

    async fn delete_snapshot(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::DeleteSnapshot;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let answer = client
                .delete_snapshot()
                .snapshot_id(id)
                .dry_run(false)
                .send()
                .await;
            answer.map(drop).map_err(|error| failure(action, error))
        };
        self.caller.call(action, deadline, send).await
    }

    async fn describe_snapshots(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Snapshot>, Ec2Error> {
        let action = Action::DescribeSnapshots;
        let client = self.client(action, deadline).await?;
        let (ids, filters) = convert::selection_parts(selection, "snapshot-id");
        let send = |token| {
            let request = client.describe_snapshots().set_snapshot_ids(ids.clone());
            let request = request.set_filters(filters.clone()).set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let snapshots = self
            .pages(action, deadline, send, |answer| {
                (answer.snapshots.unwrap_or_default(), answer.next_token)
            })
            .await?;
        snapshots.into_iter().map(convert::snapshot).collect()
    }

    async fn list_snapshots(
        &self,
        list: &SnapshotList,
        deadline: Deadline,
    ) -> Result<SnapshotPage, Ec2Error> {
        let action = Action::DescribeSnapshots;
        let client = self.client(action, deadline).await?;
        let filters = list
            .volume_id
            .as_ref()
            .map(|id| vec![convert::filter("volume-id", vec![id.clone()])]);
        let send = || async {
            client
                .describe_snapshots()
                .owner_ids("self")
                .set_filters(filters.clone())
                .set_max_results(list.max_results)
                .set_next_token(list.next_token.clone())
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        let snapshots = answer.snapshots.unwrap_or_default().into_iter();
        Ok(SnapshotPage {
            snapshots: snapshots.map(convert::snapshot).collect::<Result<_, _>>()?,
            next_token: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn enable_fast_restores(
        &self,
        snapshot_id: &str,
        zones: &[String],
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let action = Action::EnableFastSnapshotRestores;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .enable_fast_snapshot_restores()
                .set_availability_zones(Some(zones.to_vec()))
                .source_snapshot_ids(snapshot_id)
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        match answer.unsuccessful().first() {
            None => Ok(()),
            Some(item) => Err(unsuccessful(item)),
        }
    }

    async fn lock_snapshot(
        &self,
        snapshot_id: &str,
        lock: &Lock,
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let action = Action::LockSnapshot;
        let client = self.client(action, deadline).await?;
        let expiration = lock
            .expiration
            .map(|end| aws_smithy_types::DateTime::from_secs(end.as_second()));
        let send = || async {
            let request = client
                .lock_snapshot()
                .snapshot_id(snapshot_id)
                .set_lock_mode(lock.mode.as_deref().map(sdk::LockMode::from))
                .set_lock_duration(lock.duration_days)
                .set_expiration_date(expiration)
                .set_cool_off_period(lock.cool_off_hours);
            let answer = request.send().await;
            answer.map(drop).map_err(|error| failure(action, error))
        };
        self.caller.call(action, deadline, send).await
    }

    async fn describe_zones(&self, deadline: Deadline) -> Result<Vec<String>, Ec2Error> {
        let action = Action::DescribeAvailabilityZones;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let answer = client.describe_availability_zones().send().await;
            answer.map_err(|error| failure(action, error))
        };
        let zones = self.caller.call(action, deadline, send).await?.availability_zones;
        let names = zones
            .unwrap_or_default()
            .into_iter()
            .filter_map(|zone| zone.zone_name);
        Ok(names.collect())
    }

    async fn check_access(&self, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::DescribeAvailabilityZones;
        let client = self.client(action, deadline).await?;
        let answer = deadline.limit(client.describe_availability_zones().dry_run(true).send());
        let answer = answer
            .await
            .ok_or_else(|| Ec2Error::lost(action, Lost::Timeout, ""))?;
        answer.map(drop).map_err(|error| failure(action, error))
    }
}

/// An item of EnableFastSnapshotRestores that failed, as an error.
fn unsuccessful(item: &sdk::EnableFastSnapshotRestoreErrorItem) -> Ec2Error {
    let state = item.fast_snapshot_restore_state_errors().first();
    let zone = state
        .and_then(|state| state.availability_zone())
        .unwrap_or_default();
    let error = state.and_then(|state| state.error());
    let message = error.and_then(|error| error.message()).unwrap_or_default();
    Ec2Error {
        action: Action::EnableFastSnapshotRestores,
        failure: Failure::Answer {
            status: 200,
            code: error
                .and_then(|error| error.code())
                .unwrap_or("Unsuccessful")
                .to_owned(),
            message: format!("{zone}: {}", stable_message(message)),
        },
    }
}
