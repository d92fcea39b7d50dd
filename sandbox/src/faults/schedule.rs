//! What befalls which call.

use std::time::Duration;

use base::Random;

use super::{Call, Fault, Refusal, Transport};

const CREATE_VOLUME: &str = "/csi.v1.Controller/CreateVolume";

/// Says what befalls a call. Asked once for each, in the order of their numbers.
pub trait Schedule: Send + Sync {
    /// What befalls this call.
    fn fault(&self, call: &Call) -> Fault;
}

/// Every call arrives.
pub struct Healthy;

impl Schedule for Healthy {
    fn fault(&self, _: &Call) -> Fault {
        Fault::None
    }
}

/// One call meets a fault, all others arrive.
pub struct At {
    /// The number of the call.
    pub number: u64,
    /// What befalls it.
    pub fault: Fault,
}

impl Schedule for At {
    fn fault(&self, call: &Call) -> Fault {
        if call.number == self.number {
            self.fault.clone()
        } else {
            Fault::None
        }
    }
}

/// Random faults of all kinds, the same for the same seed.
pub struct Storm {
    /// Where the dice come from.
    pub random: Random,
    /// The share of calls that meet a fault, 0.0 to 1.0.
    pub share: f64,
    /// Whether the process may be killed.
    pub crashes: bool,
}

impl Schedule for Storm {
    fn fault(&self, call: &Call) -> Fault {
        if !self.random.chance(self.share) {
            return Fault::None;
        }
        if call.watch {
            self.watch_fault()
        } else {
            self.call_fault(call)
        }
    }
}

impl Storm {
    fn watch_fault(&self) -> Fault {
        let duration = Duration::from_millis(1 + self.random.below(8_000));
        match self.random.below(3) {
            0 => Fault::LagWatch(duration),
            1 => Fault::CutWatch(duration),
            _ => Fault::Refuse(Refusal::ServerError),
        }
    }

    fn call_fault(&self, call: &Call) -> Fault {
        let transport = call.transport;
        match self.random.below(if self.crashes { 9 } else { 7 }) {
            0 => Fault::Delay(Duration::from_millis(1 + self.random.below(4_000))),
            // RESOURCE_EXHAUSTED of CreateVolume says that there is no room and no volume, which only a driver can know.
            1 if call.name == CREATE_VOLUME => Fault::Refuse(Refusal::ServerError),
            1 => Fault::Refuse(Refusal::Throttled),
            2 => Fault::Refuse(Refusal::ServerError),
            3 if transport == Transport::Kubernetes => Fault::Refuse(Refusal::Conflict),
            3 | 4 => Fault::LoseRequest,
            5 => Fault::LoseAnswer,
            // A repeated CreateSnapshot is EC2's to prevent, not a network's: HTTP clients do not resend it.
            6 if transport == Transport::Ec2 => Fault::LoseAnswer,
            6 => Fault::Repeat,
            7 => Fault::CrashBefore,
            _ => Fault::CrashAfter,
        }
    }
}
