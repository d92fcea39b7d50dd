//! Volumes that wait until EC2 allows their next modification. Source: journeys 7.3.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::names::DRIVER;
use crate::scraped::{Kind, Sample, Scraped};

/// A volume that nobody asked for in this time no longer counts: the resizer asks at least every half hour while its
/// back-off is at the default.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// Why EC2 refuses for now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Too many modifications of the volume in a time.
    RateExceeded,
    /// The last modification is still optimizing.
    Optimizing,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Self::RateExceeded => "rate_exceeded",
            Self::Optimizing => "optimizing",
        }
    }
}

/// The waiting volumes. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    volumes: Arc<Mutex<BTreeMap<String, (Reason, Instant)>>>,
}

impl Waiting {
    /// The outcome of an attempt on this volume.
    pub fn note(&self, volume: &str, reason: Option<Reason>) {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => drop(volumes.insert(volume.to_owned(), (reason, Instant::now()))),
            None => drop(volumes.remove(volume)),
        }
    }

    /// How many wait for this reason.
    #[must_use]
    pub fn count(&self, reason: Reason) -> usize {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        volumes.retain(|_, (_, noted)| noted.elapsed() < FORGOTTEN);
        volumes.values().filter(|(of, _)| *of == reason).count()
    }

    /// The gauge over them.
    ///
    /// # Errors
    /// Never: name and labels are valid.
    pub fn gauge(&self) -> Result<Scraped, prometheus::Error> {
        let waiting = self.clone();
        let read = move || -> Vec<Sample> {
            let sample = |reason: Reason| {
                let count = u32::try_from(waiting.count(reason)).unwrap_or(u32::MAX);
                (vec![DRIVER.to_owned(), reason.label().to_owned()], count.into())
            };
            vec![sample(Reason::RateExceeded), sample(Reason::Optimizing)]
        };
        Scraped::new(
            Kind::Gauge,
            "slackwater_ec2_modify_waiting",
            "Volumes that wait until EC2 allows their next modification",
            &["driver_name", "reason"],
            read,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_volume_waits_until_it_is_changed_or_forgotten() {
        let waiting = Waiting::default();
        waiting.note("vol-1", Some(Reason::Optimizing));
        waiting.note("vol-2", Some(Reason::RateExceeded));
        waiting.note("vol-3", Some(Reason::Optimizing));
        waiting.note("vol-3", None);
        let counts = || {
            (
                waiting.count(Reason::Optimizing),
                waiting.count(Reason::RateExceeded),
            )
        };
        assert_eq!(counts(), (1, 1));
        waiting.note("vol-1", Some(Reason::RateExceeded));
        assert_eq!(counts(), (0, 2));
        tokio::time::advance(FORGOTTEN).await;
        assert_eq!(counts(), (0, 0));
    }
}
