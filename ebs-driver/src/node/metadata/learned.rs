//! The first source that answers at the start, asked again for what changes. Source: spec 4.7, 4.8; case 90.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use thiserror::Error;

use super::{InstanceInfo, Metadata, MetadataError, Source};

/// No source answered; the process ends with exit 1.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("cannot learn what instance this is{}; see --metadata-sources", list(.failures))]
pub struct NoSource {
    /// What each source said, in the order in which they were asked.
    pub failures: Vec<MetadataError>,
}

fn list(failures: &[MetadataError]) -> String {
    let each: Vec<String> = failures.iter().map(ToString::to_string).collect();
    if each.is_empty() {
        ": no source may be asked".to_owned()
    } else {
        format!(": {}", each.join("; "))
    }
}

/// What a source said.
pub struct Learned {
    source: Box<dyn Source>,
    known: Mutex<InstanceInfo>,
}

impl Learned {
    /// Asks the sources in this order until one answers.
    ///
    /// # Errors
    /// When none answers.
    pub async fn from_first(sources: Vec<Box<dyn Source>>) -> Result<Self, NoSource> {
        let mut failures = Vec::new();
        for source in sources {
            match source.learn().await {
                Ok(known) => {
                    tracing::info!(
                        source = source.place(),
                        instance = known.instance_id,
                        instance_type = known.instance_type,
                        zone = known.zone,
                        interfaces = known.interfaces,
                        "learned what instance this is"
                    );
                    let known = Mutex::new(known);
                    return Ok(Self { source, known });
                }
                Err(error) => {
                    tracing::warn!(%error, "a metadata source does not answer");
                    failures.push(error);
                }
            }
        }
        Err(NoSource { failures })
    }

    /// What was learned last. Asks nothing.
    #[must_use]
    pub fn known(&self) -> InstanceInfo {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Metadata for Learned {
    async fn instance(&self) -> Result<InstanceInfo, MetadataError> {
        let known = self.known();
        match self.source.refresh(&known).await {
            Ok(fresh) => {
                self.known
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone_from(&fresh);
                Ok(fresh)
            }
            Err(error) => {
                tracing::warn!(%error, "nothing new is known of the instance; going by what was known");
                Ok(known)
            }
        }
    }
}
