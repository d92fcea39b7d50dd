//! Calls of the driver. Knows no rule.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use controller::{CallFailure, SecretRead};
use csi::v1::{CreateVolumeRequest, DeleteVolumeRequest, GetCapacityRequest, Volume};
use csi::{Channel, Class, Operation};
use futures::future::BoxFuture;
use runtime::ObjectKey;
use tokio::time::Instant;

use crate::capacity::plan::Room;
use crate::observe::{Answer, Begun};
use crate::plan::race::Measure;

/// So long a call may take before the user is told that it has begun (sidecars.md 7.1).
const QUIET: Duration = Duration::from_secs(3);

/// The way to the driver.
pub(crate) struct Calls {
    pub(crate) channel: Channel,
    /// Longest time of one call.
    pub(crate) timeout: Duration,
    /// Calls that are told of while they go on.
    pub(crate) running: Mutex<BTreeMap<ObjectKey, BoxFuture<'static, Answer>>>,
}

impl Calls {
    /// CreateVolume: its answer, or that there is none yet.
    pub(crate) async fn create(&self, key: &ObjectKey, begun: &Begun) -> Answer {
        let mut call: BoxFuture<'static, Answer> = Box::pin(create(
            self.channel.clone(),
            self.timeout,
            begun.request.clone(),
            SecretRead::data(begun.secret.as_ref()),
            begun.is_migrated,
        ));
        match tokio::time::timeout(QUIET, &mut call).await {
            Ok(answer) => answer,
            Err(_) => {
                self.lock().insert(key.clone(), call);
                Answer::Running
            }
        }
    }

    /// What the driver says of a volume of that name (Q4). One that is not in this process is asked nothing.
    pub(crate) async fn look(&self, begun: &Begun) -> Answer {
        let began = Instant::now();
        let made = match self.channel.inventory() {
            Some(inventory) => inventory.made(begun.request.clone(), self.timeout).await,
            None => Ok(None),
        };
        let failed = |status| CallFailure::of(Operation::CreateVolume, &status, &BTreeMap::new());
        Answer::Looked(made.map_err(failed), began.elapsed())
    }

    /// The answer to the call that is going on.
    pub(crate) async fn wait(&self, key: &ObjectKey) -> Option<Answer> {
        let call = self.lock().remove(key)?;
        Some(call.await)
    }

    pub(crate) async fn delete(
        &self,
        handle: &str,
        secret: Option<&SecretRead>,
        is_migrated: bool,
    ) -> Result<(), CallFailure> {
        let secrets = SecretRead::data(secret);
        let asked = DeleteVolumeRequest {
            volume_id: handle.to_owned(),
            secrets: secrets.clone(),
        };
        let mut request = csi::channel::request(asked, self.timeout);
        mark(&mut request, is_migrated);
        let answered = self.channel.controller().delete_volume(request).await;
        answered
            .map(|_| ())
            .map_err(|status| CallFailure::of(Operation::DeleteVolume, &status, &secrets))
    }

    /// GetCapacity. What is less than nothing is nothing.
    pub(crate) async fn room(&self, asked: GetCapacityRequest) -> Result<Room, CallFailure> {
        let request = csi::channel::request(asked, self.timeout);
        match self.channel.controller().get_capacity(request).await {
            Ok(told) => {
                let told = told.into_inner();
                Ok(Room {
                    available: told.available_capacity.max(0),
                    maximum: told.maximum_volume_size.map(|size| size.max(0)),
                })
            }
            Err(status) => {
                let operation = Operation::GetCapacity;
                Err(CallFailure::of(operation, &status, &BTreeMap::new()))
            }
        }
    }

    /// Whether there is room in one of the places. A driver that does not say keeps no claim back.
    pub(crate) async fn has_room(&self, measure: &Measure) -> bool {
        for asked in &measure.requests {
            match self.room(asked.clone()).await {
                Ok(room) if room.available < measure.bytes => {}
                Ok(_) => return true,
                Err(failure) => {
                    tracing::warn!(
                        why = failure.text,
                        "the claim is taken without knowing whether there is room"
                    );
                    return true;
                }
            }
        }
        false
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectKey, BoxFuture<'static, Answer>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn create(
    channel: Channel,
    timeout: Duration,
    mut asked: CreateVolumeRequest,
    secrets: BTreeMap<String, String>,
    is_migrated: bool,
) -> Answer {
    let began = Instant::now();
    asked.secrets.clone_from(&secrets);
    let mut request = csi::channel::request(asked, timeout);
    mark(&mut request, is_migrated);
    let answered = channel.controller().create_volume(request).await;
    let outcome = match answered.map(|answer| answer.into_inner().volume) {
        Ok(volume) => named(volume),
        Err(status) => Err(CallFailure::of(Operation::CreateVolume, &status, &secrets)),
    };
    Answer::Created(outcome, began.elapsed())
}

/// A volume without an ID can neither be used nor deleted: the driver is asked again.
fn named(volume: Option<Volume>) -> Result<Volume, CallFailure> {
    volume
        .filter(|volume| !volume.volume_id.is_empty())
        .ok_or_else(|| CallFailure::nonsense(Class::InProgress, "no volume, or one without an ID"))
}

/// For the metrics.
fn mark<T>(request: &mut tonic::Request<T>, is_migrated: bool) {
    if is_migrated {
        request.extensions_mut().insert(csi::metrics::Migrated);
    }
}
