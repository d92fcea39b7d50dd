//! Seeded random numbers: jitter, generated names and UIDs come from here, so that a seed replays a run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A shared generator. Clones draw from the same sequence. Not for secrets that must resist guessing
/// unless made by [`Random::from_entropy`].
#[derive(Clone, Debug)]
pub struct Random {
    generator: Arc<Mutex<fastrand::Rng>>,
}

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            generator: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    /// A sequence that differs at each start.
    #[must_use]
    pub fn from_entropy() -> Self {
        Self {
            generator: Arc::new(Mutex::new(fastrand::Rng::new())),
        }
    }

    /// An independent generator, seeded from this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::seeded(self.next_u64())
    }

    /// Any 64-bit number.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        self.with(|generator| generator.u64(..))
    }

    /// A number below `bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.with(|generator| if bound == 0 { 0 } else { generator.u64(..bound) })
    }

    /// True with this probability, 0.0 to 1.0.
    #[must_use]
    pub fn chance(&self, probability: f64) -> bool {
        self.with(|generator| generator.f64() < probability)
    }

    /// `duration` spread evenly over 100 % to 100 % + `share`, in whole milliseconds; `share` is 0.0 to 1.0.
    ///
    /// Timers tick in milliseconds, and where in a tick a simulation begins differs from run to run: finer waits would end
    /// in one tick or in two.
    #[must_use]
    pub fn jittered(&self, duration: Duration, share: f64) -> Duration {
        let spread = duration.mul_f64(1.0 + share * self.with(fastrand::Rng::f64));
        let whole = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(whole).max(duration)
    }

    /// A version 4 UUID in its usual text form.
    #[must_use]
    pub fn uuid(&self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// `length` characters of the alphabet that Kubernetes uses for generated names.
    #[must_use]
    pub fn name_suffix(&self, length: usize) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.with(|generator| {
            (0..length)
                .map(|_| char::from(ALPHABET[generator.usize(..ALPHABET.len())]))
                .collect()
        })
    }

    fn with<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.generator.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let (left, right) = (Random::seeded(7), Random::seeded(7));
        for _ in 0..10 {
            assert_eq!(left.uuid(), right.uuid());
            assert_eq!(left.name_suffix(5), right.name_suffix(5));
        }
        assert_ne!(Random::seeded(7).uuid(), Random::seeded(8).uuid());
    }

    #[test]
    fn uuids_have_version_and_variant() {
        let uuid = Random::seeded(1).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
    }

    #[test]
    fn jitter_only_lengthens_and_by_whole_milliseconds() {
        let random = Random::seeded(3);
        for _ in 0..100 {
            let jittered = random.jittered(Duration::from_secs(10), 0.5);
            assert_eq!(jittered.subsec_nanos() % 1_000_000, 0);
            assert!(jittered >= Duration::from_secs(10) && jittered <= Duration::from_secs(15));
        }
    }
}
