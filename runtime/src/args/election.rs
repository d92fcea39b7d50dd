//! Leader election flags.

use std::collections::BTreeMap;
use std::time::Duration;

use base::args::{Environment, GoDuration, parse_bool};

/// Flags of leader election. Source: sidecars 1.1, snapshot 5.1.
#[derive(Clone, Debug, clap::Args)]
pub struct LeaderElectionArgs {
    /// Work only while this replica holds the lease.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub leader_election: bool,

    /// Namespace of the lease; empty means that of the pod.
    #[arg(long, value_name = "NAMESPACE", default_value = "")]
    pub leader_election_namespace: String,

    /// How long candidates wait after the last renewal before they take the lease.
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub leader_election_lease_duration: GoDuration,

    /// How long a leader tries to renew before it gives up.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub leader_election_renew_deadline: GoDuration,

    /// Time between two tries to renew or to take the lease.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub leader_election_retry_period: GoDuration,

    /// Labels of the lease while this replica holds it, as key:value,key:value; may be repeated.
    #[arg(long, value_name = "LABELS", value_parser = parse_labels, action = clap::ArgAction::Append)]
    pub leader_election_labels: Vec<BTreeMap<String, String>>,
}

/// Durations that cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionArgsError {
    /// A leader would not notice in time that its lease may be taken.
    #[error(
        "--leader-election-lease-duration ({lease}) must be longer than --leader-election-renew-deadline ({renew})"
    )]
    LeaseTooShort {
        /// The lease duration.
        lease: GoDuration,
        /// The renew deadline.
        renew: GoDuration,
    },
    /// A leader would give up before its second try.
    #[error(
        "--leader-election-renew-deadline ({renew}) must be longer than 1.2 times \
         --leader-election-retry-period ({retry})"
    )]
    DeadlineTooShort {
        /// The renew deadline.
        renew: GoDuration,
        /// The retry period.
        retry: GoDuration,
    },
    /// Not even a millisecond.
    #[error("--leader-election-retry-period ({0}) must be at least 1ms")]
    RetryTooShort(GoDuration),
    /// The lease stores whole seconds.
    #[error("--leader-election-lease-duration ({0}) must be at least 1s")]
    LeaseBelowASecond(GoDuration),
}

impl LeaderElectionArgs {
    /// The namespace of the lease: the flag, else that of the process.
    #[must_use]
    pub fn namespace(&self, environment: &Environment) -> String {
        if self.leader_election_namespace.is_empty() {
            environment.namespace()
        } else {
            self.leader_election_namespace.clone()
        }
    }

    /// All the labels; of equal keys the last counts.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.leader_election_labels
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Checks that the durations work together. Source: client-go's rules.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ElectionArgsError> {
        let (lease, renew, retry) = (
            self.leader_election_lease_duration,
            self.leader_election_renew_deadline,
            self.leader_election_retry_period,
        );
        if retry.0 < Duration::from_millis(1) {
            return Err(ElectionArgsError::RetryTooShort(retry));
        }
        if renew.0 <= retry.0.saturating_mul(12) / 10 {
            return Err(ElectionArgsError::DeadlineTooShort { renew, retry });
        }
        if lease <= renew {
            return Err(ElectionArgsError::LeaseTooShort { lease, renew });
        }
        if lease.0 < Duration::from_secs(1) {
            return Err(ElectionArgsError::LeaseBelowASecond(lease));
        }
        Ok(())
    }
}

impl Default for LeaderElectionArgs {
    fn default() -> Self {
        Self {
            leader_election: false,
            leader_election_namespace: String::new(),
            leader_election_lease_duration: GoDuration(Duration::from_secs(15)),
            leader_election_renew_deadline: GoDuration(Duration::from_secs(10)),
            leader_election_retry_period: GoDuration(Duration::from_secs(5)),
            leader_election_labels: Vec::new(),
        }
    }
}

/// Reads `key:value,key:value`.
///
/// # Errors
/// A text naming the item without exactly one colon.
pub fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    text.split(',')
        .map(|item| match item.split_once(':') {
            Some((key, value)) if !key.is_empty() && !value.contains(':') => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("{item:?} is not of the form key:value")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_comes_from_flag_pod_account_or_default() {
        let mut args = LeaderElectionArgs::default();
        let mut environment = Environment::default();
        assert_eq!(args.namespace(&environment), "default");
        environment.service_account_namespace = Some("account".to_owned());
        assert_eq!(args.namespace(&environment), "account");
        environment.pod_namespace = Some("pod".to_owned());
        assert_eq!(args.namespace(&environment), "pod");
        args.leader_election_namespace = "flag".to_owned();
        assert_eq!(args.namespace(&environment), "flag");
    }

    #[test]
    fn labels_need_exactly_one_colon() {
        assert_eq!(parse_labels("a:b,c:d").unwrap().len(), 2);
        for bad in ["a", "a:b:c", "", "a:b,", ":b"] {
            assert!(parse_labels(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn durations_must_fit_together() {
        let with = |lease, renew, retry| {
            LeaderElectionArgs {
                leader_election_lease_duration: GoDuration(Duration::from_millis(lease)),
                leader_election_renew_deadline: GoDuration(Duration::from_millis(renew)),
                leader_election_retry_period: GoDuration(Duration::from_millis(retry)),
                ..LeaderElectionArgs::default()
            }
            .validate()
        };
        assert_eq!(LeaderElectionArgs::default().validate(), Ok(()));
        assert!(matches!(
            with(10_000, 10_000, 5_000),
            Err(ElectionArgsError::LeaseTooShort { .. })
        ));
        assert!(matches!(
            with(15_000, 6_000, 5_000),
            Err(ElectionArgsError::DeadlineTooShort { .. })
        ));
        assert!(matches!(
            with(15_000, 6_000, 0),
            Err(ElectionArgsError::RetryTooShort(_))
        ));
        assert!(matches!(
            with(900, 600, 100),
            Err(ElectionArgsError::LeaseBelowASecond(_))
        ));
    }
}
