//! What a caller may say beside a message, as gRPC metadata. CSI knows none of it and other drivers ignore
//! it; a driver of ours does less, or is surer, for it.

use tonic::Request;
use tonic::metadata::{MetadataMap, MetadataValue};

const FIRST_ATTEMPT: &str = "slackwater-first-attempt";
const STORED_SNAPSHOT: &str = "slackwater-stored-snapshot";
const SINGLE_CHANGE: &str = "slackwater-single-change";
const COMES_BACK: &str = "slackwater-comes-back";
const YES: &str = "true";

/// What the caller of CreateSnapshot knows of earlier calls of the same name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CreateSnapshotHint<'a> {
    /// Nothing: there may have been some.
    #[default]
    None,
    /// There was none, by anybody: the caller has just set its durable mark, under a precondition that
    /// there was no mark before.
    FirstAttempt,
    /// One has answered this snapshot, and the caller has stored it. It is the one to keep.
    Stored(&'a str),
}

impl<'a> CreateSnapshotHint<'a> {
    /// Puts it beside a message.
    pub fn attach<T>(self, request: &mut Request<T>) {
        let metadata = request.metadata_mut();
        match self {
            Self::None => {}
            Self::FirstAttempt => {
                metadata.insert(FIRST_ATTEMPT, MetadataValue::from_static(YES));
            }
            Self::Stored(handle) => {
                // A handle that metadata cannot hold is left out: the driver then looks by name.
                if let Ok(value) = handle.parse() {
                    metadata.insert(STORED_SNAPSHOT, value);
                }
            }
        }
    }

    /// What stands beside a message.
    #[must_use]
    pub fn read(metadata: &'a MetadataMap) -> Self {
        let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
        match (text(STORED_SNAPSHOT), text(FIRST_ATTEMPT)) {
            (Some(handle), _) => Self::Stored(handle),
            (None, Some(YES)) => Self::FirstAttempt,
            _ => Self::None,
        }
    }
}

/// Says that no other change of the volume is pending: see [`is_single_change`].
pub fn attach_single_change<T>(request: &mut Request<T>) {
    let metadata = request.metadata_mut();
    metadata.insert(SINGLE_CHANGE, MetadataValue::from_static(YES));
}

/// Whether the caller knows that no other change of the volume is pending, so that there is nothing to wait
/// for and to merge with (decision 24).
#[must_use]
pub fn is_single_change(metadata: &MetadataMap) -> bool {
    metadata.get(SINGLE_CHANGE).is_some_and(|value| value == YES)
}

/// Says that the caller keeps `google.rpc.RetryInfo`: see [`comes_back`].
pub fn attach_comes_back<T>(request: &mut Request<T>) {
    let metadata = request.metadata_mut();
    metadata.insert(COMES_BACK, MetadataValue::from_static(YES));
}

/// Whether the caller keeps `google.rpc.RetryInfo`, and takes it for a wait: then it may be told at once when to come back,
/// instead of having a worker of it wait for what may take minutes (decision 123).
#[must_use]
pub fn comes_back(metadata: &MetadataMap) -> bool {
    metadata.get(COMES_BACK).is_some_and(|value| value == YES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_arrive_as_they_were_attached() {
        for hint in [
            CreateSnapshotHint::None,
            CreateSnapshotHint::FirstAttempt,
            CreateSnapshotHint::Stored("snap-1"),
        ] {
            let mut request = Request::new(());
            hint.attach(&mut request);
            assert_eq!(CreateSnapshotHint::read(request.metadata()), hint);
            assert!(!is_single_change(request.metadata()));
            attach_single_change(&mut request);
            assert!(is_single_change(request.metadata()));
            assert!(!comes_back(request.metadata()));
            attach_comes_back(&mut request);
            assert!(comes_back(request.metadata()));
        }
    }

    #[test]
    fn a_handle_that_is_no_text_is_left_out() {
        let mut request = Request::new(());
        CreateSnapshotHint::Stored("snap\n1").attach(&mut request);
        assert_eq!(
            CreateSnapshotHint::read(request.metadata()),
            CreateSnapshotHint::None
        );
    }
}
