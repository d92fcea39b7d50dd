//! Client tokens of CreateVolume and CopyVolumes, and the memory of burnt ones. Source: spec 3.2, 3.11, Q1, Q2.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// How long a suffix is remembered after its last use.
const MEMORY: Duration = Duration::from_secs(3600);

/// The token of a CSI name: lower-case hex SHA-256, 64 characters; from the second attempt on of `<name>-<n>`.
#[must_use]
pub fn token(name: &str, attempt: u32) -> String {
    let text = match attempt {
        0 | 1 => name.to_owned(),
        attempt => format!("{name}-{attempt}"),
    };
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Which tokens are burnt: a token stays so for about 12 h after an asynchronous failure or a mismatch.
/// Lost on restart; a burnt token is then found out again by its mismatch.
#[derive(Debug, Default)]
pub struct Tokens {
    attempts: Mutex<BTreeMap<String, (u32, Instant)>>,
}

impl Tokens {
    /// The token to use for this name now.
    pub fn current(&self, name: &str) -> String {
        let now = Instant::now();
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|_, (_, used)| now.duration_since(*used) < MEMORY);
        let attempt = attempts.get_mut(name).map_or(1, |(attempt, used)| {
            *used = now;
            *attempt
        });
        token(name, attempt)
    }

    /// Gives up the present token of this name.
    pub fn burn(&self, name: &str) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        attempts
            .entry(name.to_owned())
            .and_modify(|(attempt, used)| (*attempt, *used) = (*attempt + 1, now))
            .or_insert((2, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_are_stable_and_change_only_when_burnt() {
        let tokens = Tokens::default();
        let first = tokens.current("pvc-1");
        assert_eq!(first.len(), 64);
        assert_eq!(first, token("pvc-1", 1));
        assert_eq!(first, tokens.current("pvc-1"));
        tokens.burn("pvc-1");
        assert_eq!(tokens.current("pvc-1"), token("pvc-1", 2));
        tokens.burn("pvc-1");
        assert_eq!(tokens.current("pvc-1"), token("pvc-1", 3));
        assert_eq!(token("pvc-1", 3), hex::encode(Sha256::digest(b"pvc-1-3")));
        assert_eq!(tokens.current("pvc-2"), token("pvc-2", 1));
        tokio::time::advance(MEMORY).await;
        assert_eq!(tokens.current("pvc-1"), first);
    }
}
