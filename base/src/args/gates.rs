//! Feature gates.

use std::collections::{BTreeMap, BTreeSet};

use super::parse_bool;

/// The flag of feature gates.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FeatureGateArgs {
    /// Features to switch, as Name=true,Other=false; may be repeated.
    #[arg(long, value_name = "GATES", action = clap::ArgAction::Append)]
    pub feature_gates: Vec<String>,
}

/// How far a gate has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off by default; switched by `AllAlpha` too.
    Alpha,
    /// Switched by `AllBeta` too.
    Beta,
    /// Finished; still settable.
    Ga,
    /// Gone upstream: accepted with a warning, without effect.
    Removed,
}

/// A gate that a mode knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name.
    pub name: &'static str,
    /// Whether it is on unless set.
    pub default: bool,
    /// How far it has come.
    pub stage: Stage,
}

/// Why gates were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// No such gate.
    #[error("--feature-gates: unknown gate {name:?}; known are {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// Names of the gates that exist, separated by commas.
        known: String,
    },
    /// Not `Name=bool`.
    #[error("--feature-gates: {0:?} is not of the form Name=true or Name=false")]
    Malformed(String),
}

/// The gates of a mode as they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureGates {
    set: BTreeMap<String, bool>,
    /// Those that the flags name.
    named: BTreeSet<String>,
    /// One line for each setting without effect, to be logged.
    pub warnings: Vec<String>,
}

/// Gates of the libraries that upstream links; manifests may carry them. Source: snapshot 5.1 `[K]`.
const OF_LIBRARIES: [&str; 9] = [
    "ClientsAllowCBOR",
    "ClientsPreferCBOR",
    "ContextualLogging",
    "CoordinatedLeaderElection",
    "InOrderInformers",
    "InformerResourceVersion",
    "LoggingAlphaOptions",
    "LoggingBetaOptions",
    "WatchListClient",
];

impl FeatureGateArgs {
    /// Applies the flags to the gates that a mode knows.
    ///
    /// # Errors
    /// A gate that nobody knows, or an item that is no `Name=bool`.
    pub fn resolve(&self, known: &[Gate]) -> Result<FeatureGates, GateError> {
        let mut gates = FeatureGates::default();
        let mut given = BTreeMap::new();
        for item in self.feature_gates.iter().flat_map(|list| list.split(',')) {
            let item = item.trim();
            if item.is_empty() {
                continue;
            }
            let malformed = || GateError::Malformed(item.to_owned());
            let (name, value) = item.split_once('=').ok_or_else(malformed)?;
            let value = parse_bool(value.trim()).map_err(|_| malformed())?;
            given.insert(name.trim().to_owned(), value);
        }
        for gate in known {
            let by_stage = match gate.stage {
                Stage::Alpha => given.get("AllAlpha"),
                Stage::Beta => given.get("AllBeta"),
                Stage::Ga | Stage::Removed => None,
            };
            gates
                .set
                .insert(gate.name.to_owned(), by_stage.copied().unwrap_or(gate.default));
        }
        for (name, value) in given {
            apply(&mut gates, known, name, value)?;
        }
        Ok(gates)
    }
}

fn apply(gates: &mut FeatureGates, known: &[Gate], name: String, value: bool) -> Result<(), GateError> {
    match known.iter().find(|gate| gate.name == name) {
        Some(gate) if gate.stage == Stage::Removed => {
            gates.warnings.push(format!(
                "feature gate {name} was removed upstream; it has no effect, drop it"
            ));
        }
        Some(_) => {
            gates.named.insert(name.clone());
            gates.set.insert(name, value);
        }
        None if name == "AllAlpha" || name == "AllBeta" => {}
        None if OF_LIBRARIES.contains(&name.as_str()) => {
            gates.warnings.push(format!(
                "feature gate {name} concerns Go libraries; it has no effect here"
            ));
        }
        None => {
            let names: Vec<&str> = known
                .iter()
                .filter(|gate| gate.stage != Stage::Removed)
                .map(|gate| gate.name)
                .collect();
            let known = if names.is_empty() {
                "AllAlpha, AllBeta".to_owned()
            } else {
                names.join(", ")
            };
            return Err(GateError::Unknown { name, known });
        }
    }
    Ok(())
}

impl FeatureGates {
    /// Whether a gate is on; false for one that the mode does not know.
    #[must_use]
    pub fn enabled(&self, name: &str) -> bool {
        self.set.get(name).copied().unwrap_or(false)
    }

    /// Whether the flags switch this gate on by its name.
    #[must_use]
    pub fn demanded(&self, name: &str) -> bool {
        self.named.contains(name) && self.enabled(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Gate; 3] = [
        Gate {
            name: "CSIVolumeGroupSnapshot",
            default: true,
            stage: Stage::Ga,
        },
        Gate {
            name: "ReleaseLeaderElectionOnExit",
            default: false,
            stage: Stage::Alpha,
        },
        Gate {
            name: "HonorPVReclaimPolicy",
            default: true,
            stage: Stage::Removed,
        },
    ];

    fn resolve(flags: &[&str]) -> Result<FeatureGates, GateError> {
        FeatureGateArgs {
            feature_gates: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        }
        .resolve(&KNOWN)
    }

    #[test]
    fn occurrences_merge() {
        let gates = resolve(&[
            "CSIVolumeGroupSnapshot=false",
            "ReleaseLeaderElectionOnExit=true,",
        ])
        .unwrap();
        assert!(!gates.enabled("CSIVolumeGroupSnapshot"));
        assert!(gates.enabled("ReleaseLeaderElectionOnExit"));
        assert!(resolve(&[]).unwrap().enabled("CSIVolumeGroupSnapshot"));
        assert!(
            resolve(&["AllAlpha=true"])
                .unwrap()
                .enabled("ReleaseLeaderElectionOnExit")
        );
        assert!(
            resolve(&["CSIVolumeGroupSnapshot=true"])
                .unwrap()
                .demanded("CSIVolumeGroupSnapshot")
        );
        assert!(!gates.demanded("CSIVolumeGroupSnapshot"));
        assert!(!resolve(&[]).unwrap().demanded("CSIVolumeGroupSnapshot"));
        let own_wins = resolve(&["ReleaseLeaderElectionOnExit=false,AllAlpha=true"]).unwrap();
        assert!(!own_wins.enabled("ReleaseLeaderElectionOnExit"));
    }

    #[test]
    fn sidecars_case_7_removed_gates_warn() {
        let gates = resolve(&["HonorPVReclaimPolicy=true,WatchListClient=true"]).unwrap();
        assert_eq!(gates.warnings.len(), 2);
    }

    #[test]
    fn unknown_gates_name_the_known() {
        let error = resolve(&["Nonsense=true"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "--feature-gates: unknown gate \"Nonsense\"; known are CSIVolumeGroupSnapshot, \
             ReleaseLeaderElectionOnExit"
        );
        assert!(matches!(
            resolve(&["CSIVolumeGroupSnapshot"]),
            Err(GateError::Malformed(_))
        ));
        assert!(matches!(
            resolve(&["CSIVolumeGroupSnapshot=maybe"]),
            Err(GateError::Malformed(_))
        ));
    }
}
