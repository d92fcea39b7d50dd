//! Calls of the driver. Knows no rule.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::CallFailure;
use csi::v1::{CapacityRange, ControllerExpandVolumeRequest, ControllerModifyVolumeRequest};
use csi::{Channel, Class, Operation};
use runtime::objects::Quantity;

use crate::observe::Grown;
use crate::plan::record::too_little;
use crate::plan::{Expand, modify};

/// The way to the driver.
pub(crate) struct Calls {
    pub(crate) channel: Channel,
    /// Longest time of one call.
    pub(crate) timeout: Duration,
}

impl Calls {
    pub(crate) async fn expand(
        &self,
        call: &Expand,
        secrets: BTreeMap<String, String>,
    ) -> Result<Grown, CallFailure> {
        let asked = ControllerExpandVolumeRequest {
            volume_id: call.volume_handle.clone(),
            capacity_range: Some(CapacityRange {
                required_bytes: call.target.bytes(),
                limit_bytes: 0,
            }),
            secrets: secrets.clone(),
            volume_capability: Some(call.capability.clone()),
        };
        let mut request = csi::channel::request(asked, self.timeout);
        if call.single_change {
            csi::hints::attach_single_change(&mut request);
        }
        mark(&mut request, call.migrated);
        let answered = self.channel.controller().controller_expand_volume(request).await;
        let answer = answered
            .map_err(|status| CallFailure::of(Operation::ExpandVolume, &status, &secrets))?
            .into_inner();
        let (answered, asked) = (answer.capacity_bytes, call.target.bytes());
        if answered <= 0 {
            // What is no size must not be written (Q9).
            return Err(CallFailure::nonsense(Class::Final, &too_little(answered, asked)));
        }
        Ok(Grown {
            capacity: if answered == asked {
                // In the user's form.
                call.target
            } else {
                Quantity::from_bytes(answered)
            },
            node_stage: answer.node_expansion_required,
        })
    }

    pub(crate) async fn modify(
        &self,
        call: &modify::Call,
        secrets: BTreeMap<String, String>,
    ) -> Result<(), CallFailure> {
        let asked = ControllerModifyVolumeRequest {
            volume_id: call.volume_handle.clone(),
            secrets: secrets.clone(),
            mutable_parameters: call.parameters.clone(),
        };
        let mut request = csi::channel::request(asked, self.timeout);
        if call.single_change {
            csi::hints::attach_single_change(&mut request);
        }
        mark(&mut request, call.migrated);
        let answered = self.channel.controller().controller_modify_volume(request).await;
        answered
            .map(|_| ())
            .map_err(|status| CallFailure::of(Operation::ModifyVolume, &status, &secrets))
    }
}

/// For the metrics.
fn mark<T>(request: &mut tonic::Request<T>, migrated: bool) {
    if migrated {
        request.extensions_mut().insert(csi::metrics::Migrated);
    }
}
