//! The batches that the driver keeps, and what an unknown ID means in one. Source: spec 3.4, Q3, Q4, Q5.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Ec2;
use super::batch::{Batcher, Batching};
use super::codes::Meaning;
use super::errors::{Action, Ec2Error};
use super::types::{Initialization, Instance, Modification, Selection, Snapshot, Volume};
use crate::deadline::Deadline;
use crate::metrics::Metrics;
use crate::names::{TAG_GROUP_NAME, TAG_SNAPSHOT_NAME, TAG_VOLUME_NAME, without_snow};

/// EC2 allows so many values in one filter.
pub const MAX_FILTER_VALUES: usize = 200;
/// So many IDs go in one DescribeVolumes.
const MAX_VOLUME_IDS: usize = 500;
/// So many IDs go in one DescribeSnapshots.
pub const MAX_SNAPSHOT_IDS: usize = 1000;

/// So many IDs go in one DescribeInstances.
const MAX_INSTANCE_IDS: usize = 50;
/// So many IDs go in one DescribeVolumeStatus.
const MAX_STATUS_IDS: usize = 1000;

/// Merged lookups of all kinds.
#[derive(Clone, Debug)]
pub struct Lookups {
    /// Volumes by ID.
    pub volumes: Batcher<Volume>,
    /// Volumes by CSI name; several may bear one name.
    pub volumes_by_name: Batcher<Vec<Volume>>,
    /// Snapshots by ID.
    pub snapshots: Batcher<Snapshot>,
    /// Snapshots by CSI name; several may bear one name.
    pub snapshots_by_name: Batcher<Vec<Snapshot>>,
    /// Snapshots by the CSI name of their group.
    pub snapshots_by_group: Batcher<Vec<Snapshot>>,
    /// The latest modification by volume ID.
    pub modifications: Batcher<Modification>,
    /// Instances by ID.
    pub instances: Batcher<Instance>,
    /// How far volumes are filled from their snapshots, by volume ID.
    pub initialization: Batcher<Initialization>,
}

impl Lookups {
    /// Lookups over this port.
    #[must_use]
    pub fn new(ec2: &Arc<dyn Ec2>, batching: Batching, metrics: &Metrics) -> Self {
        Self {
            volumes: volumes(ec2.clone(), batching, metrics.clone()),
            volumes_by_name: volumes_by_name(ec2.clone(), batching, metrics.clone()),
            snapshots: snapshots(ec2.clone(), batching, metrics.clone()),
            snapshots_by_name: snapshots_by_tag(
                ("snapshots_by_name", TAG_SNAPSHOT_NAME),
                ec2.clone(),
                batching,
                metrics.clone(),
            ),
            snapshots_by_group: snapshots_by_tag(
                ("snapshots_by_group", TAG_GROUP_NAME),
                ec2.clone(),
                batching,
                metrics.clone(),
            ),
            modifications: modifications(ec2.clone(), batching, metrics.clone()),
            instances: instances(ec2.clone(), batching, metrics.clone()),
            initialization: initialization(ec2.clone(), batching, metrics.clone()),
        }
    }
}

fn volumes(ec2: Arc<dyn Ec2>, batching: Batching, metrics: Metrics) -> Batcher<Volume> {
    let lookup = Arc::new(move |ids, deadline| {
        let ec2 = ec2.clone();
        async move { volumes_by_id(ec2, ids, deadline).await }.boxed()
    });
    let action = Action::DescribeVolumes;
    Batcher::new("volumes", action, batching, MAX_VOLUME_IDS, lookup, metrics)
}

fn volumes_by_name(ec2: Arc<dyn Ec2>, batching: Batching, metrics: Metrics) -> Batcher<Vec<Volume>> {
    let lookup = Arc::new(move |values, deadline| {
        let ec2 = ec2.clone();
        async move {
            let key = TAG_VOLUME_NAME;
            let found = ec2
                .describe_volumes(&Selection::Tag { key, values }, deadline)
                .await?;
            Ok(by_tag(key, found, |volume| &volume.tags))
        }
        .boxed()
    });
    let (name, action) = ("volumes_by_name", Action::DescribeVolumes);
    Batcher::new(name, action, batching, MAX_FILTER_VALUES, lookup, metrics)
}

fn instances(ec2: Arc<dyn Ec2>, batching: Batching, metrics: Metrics) -> Batcher<Instance> {
    let lookup = Arc::new(move |ids, deadline| {
        let ec2 = ec2.clone();
        async move {
            let describe = move |selection: Selection| {
                let ec2 = ec2.clone();
                async move { ec2.describe_instances(&selection, deadline).await }.boxed()
            };
            let found = by_id(ids, "i-", IdFilter::Known, describe).await?.into_iter();
            Ok(found.map(|instance| (instance.id.clone(), instance)).collect())
        }
        .boxed()
    });
    let action = Action::DescribeInstances;
    Batcher::new("instances", action, batching, MAX_INSTANCE_IDS, lookup, metrics)
}

fn initialization(ec2: Arc<dyn Ec2>, batching: Batching, metrics: Metrics) -> Batcher<Initialization> {
    let lookup = Arc::new(move |ids, deadline| {
        let ec2 = ec2.clone();
        async move {
            let describe = move |selection: Selection| {
                let ec2 = ec2.clone();
                async move { ec2.describe_initialization(&selection, deadline).await }.boxed()
            };
            Ok(by_id(ids, "vol-", IdFilter::None, describe)
                .await?
                .into_iter()
                .collect())
        }
        .boxed()
    });
    let (name, action) = ("volume_status", Action::DescribeVolumeStatus);
    Batcher::new(name, action, batching, MAX_STATUS_IDS, lookup, metrics)
}

fn snapshots(ec2: Arc<dyn Ec2>, batching: Batching, metrics: Metrics) -> Batcher<Snapshot> {
    let lookup = Arc::new(move |ids, deadline| {
        let ec2 = ec2.clone();
        async move { snapshots_by_id(ec2, ids, deadline).await }.boxed()
    });
    let action = Action::DescribeSnapshots;
    Batcher::new("snapshots", action, batching, MAX_SNAPSHOT_IDS, lookup, metrics)
}

fn snapshots_by_tag(
    (name, key): (&'static str, &'static str),
    ec2: Arc<dyn Ec2>,
    batching: Batching,
    metrics: Metrics,
) -> Batcher<Vec<Snapshot>> {
    let lookup = Arc::new(move |values, deadline| {
        let ec2 = ec2.clone();
        async move {
            let found = ec2
                .describe_snapshots(&Selection::Tag { key, values }, deadline)
                .await?;
            Ok(by_tag(key, found, |snapshot| &snapshot.tags))
        }
        .boxed()
    });
    let action = Action::DescribeSnapshots;
    Batcher::new(name, action, batching, MAX_FILTER_VALUES, lookup, metrics)
}

/// By the value of this tag.
fn by_tag<T>(
    key: &str,
    found: Vec<T>,
    tags: impl Fn(&T) -> &BTreeMap<String, String>,
) -> BTreeMap<String, Vec<T>> {
    let mut by_value: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for one in found {
        if let Some(value) = tags(&one).get(key).cloned() {
            by_value.entry(value).or_default().push(one);
        }
    }
    by_value
}

fn modifications(ec2: Arc<dyn Ec2>, batching: Batching, metrics: Metrics) -> Batcher<Modification> {
    let lookup = Arc::new(move |ids: Vec<String>, deadline| {
        let ec2 = ec2.clone();
        async move {
            let found = ec2.describe_modifications(&ids, deadline).await?;
            // Rows may come in any order: the latest of each volume counts.
            let mut latest: BTreeMap<String, Modification> = BTreeMap::new();
            for row in found {
                let is_later = latest
                    .get(&row.volume_id)
                    .is_none_or(|known| row.started >= known.started);
                if is_later {
                    latest.insert(row.volume_id.clone(), row);
                }
            }
            Ok(latest)
        }
        .boxed()
    });
    let action = Action::DescribeVolumesModifications;
    Batcher::new(
        "modifications",
        action,
        batching,
        MAX_FILTER_VALUES,
        lookup,
        metrics,
    )
}

async fn volumes_by_id(
    ec2: Arc<dyn Ec2>,
    ids: Vec<String>,
    deadline: Deadline,
) -> Result<BTreeMap<String, Volume>, Ec2Error> {
    let describe = move |selection: Selection| {
        let ec2 = ec2.clone();
        async move { ec2.describe_volumes(&selection, deadline).await }.boxed()
    };
    let found = by_id(ids, "vol-", IdFilter::Known, describe).await?;
    Ok(found
        .into_iter()
        .map(|volume| (volume.id.clone(), volume))
        .collect())
}

/// Looks up snapshots by ID; unknown and malformed IDs have no entry.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn snapshots_by_id(
    ec2: Arc<dyn Ec2>,
    ids: Vec<String>,
    deadline: Deadline,
) -> Result<BTreeMap<String, Snapshot>, Ec2Error> {
    let describe = move |selection: Selection| {
        let ec2 = ec2.clone();
        async move { ec2.describe_snapshots(&selection, deadline).await }.boxed()
    };
    let found = by_id(ids, "snap-", IdFilter::Known, describe).await?;
    Ok(found
        .into_iter()
        .map(|snapshot| (snapshot.id.clone(), snapshot))
        .collect())
}

/// Whether the action has a filter that means the same as its list of IDs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum IdFilter {
    Known,
    None,
}

/// Describes by ID; what EC2 does not know has no row. Several IDs go by filter, which leaves unknown ones out and takes
/// the larger of EC2's buckets. Where they are too many for one, or the action has none, a refusal names the unknown ones,
/// and the rest is asked for again at once: once by list, then by filter where there is one, so that EC2 may name them one
/// by one. What is no ID of EC2 is not sent.
async fn by_id<T>(
    ids: Vec<String>,
    prefix: &str,
    filter: IdFilter,
    describe: impl Fn(Selection) -> BoxFuture<'static, Result<Vec<T>, Ec2Error>>,
) -> Result<Vec<T>, Ec2Error> {
    let mut ids = ids;
    ids.retain(|id| is_id(id, prefix));
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    if filter == IdFilter::Known && (2..=MAX_FILTER_VALUES).contains(&ids.len()) {
        return describe(Selection::FilteredIds(ids)).await;
    }
    let mut was_refused = false;
    loop {
        let error = match describe(Selection::Ids(ids.clone())).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let is_named = drop_named(&mut ids, &error, prefix)?;
        // A single one that the refusal does not name was refused all the same.
        if ids.is_empty() || (ids.len() == 1 && !is_named) {
            return Ok(Vec::new());
        }
        match filter {
            IdFilter::Known if was_refused || !is_named => break,
            IdFilter::None if !is_named => return Err(error),
            _ => was_refused = true,
        }
    }
    let mut found = Vec::new();
    for chunk in ids.chunks(MAX_FILTER_VALUES) {
        found.extend(describe(Selection::FilteredIds(chunk.to_vec())).await?);
    }
    Ok(found)
}

/// Whether this can be an ID of EC2, or of a Snow device.
fn is_id(text: &str, prefix: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    without_snow(text).strip_prefix(prefix).is_some_and(is_number)
}

/// Takes the IDs out that a refusal names as unknown; false when it names none of them. Other errors are passed on.
fn drop_named(ids: &mut Vec<String>, error: &Ec2Error, prefix: &str) -> Result<bool, Ec2Error> {
    // A Describe that names nothing but IDs has no other parameter to refuse.
    if !matches!(
        error.meaning(),
        Meaning::NotFound | Meaning::MalformedId | Meaning::BadParameter
    ) {
        return Err(error.clone());
    }
    let named = error.named_ids(prefix);
    let before = ids.len();
    ids.retain(|id| !named.iter().any(|named| named == without_snow(id)));
    Ok(ids.len() < before)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::errors::Failure;
    use super::*;

    /// Looks up 300 IDs, of which these are unknown to an EC2 that names so many of them at a time: the numbers of IDs in
    /// its calls.
    async fn calls(unknown: &[&str], names: usize, filter: IdFilter) -> Result<Vec<usize>, Ec2Error> {
        let ids: Vec<String> = (0..300).map(|number| format!("vol-{number:03}")).collect();
        let unknown: Vec<String> = unknown.iter().map(|id| (*id).to_owned()).collect();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let describe = |selection: Selection| {
            let (sent, unknown) = (sent.clone(), unknown.clone());
            async move {
                let (ids, is_listed) = match selection {
                    Selection::Ids(ids) => (ids, true),
                    Selection::FilteredIds(ids) => (ids, false),
                    Selection::Tag { .. } => (Vec::new(), false),
                };
                sent.lock().unwrap().push(ids.len());
                let (missing, found): (Vec<String>, Vec<String>) =
                    ids.into_iter().partition(|id| unknown.contains(id));
                if missing.is_empty() || !is_listed {
                    return Ok(found);
                }
                let named = &missing[..names.min(missing.len())];
                Err(Ec2Error {
                    action: Action::DescribeVolumes,
                    failure: Failure::Answer {
                        status: 400,
                        code: "InvalidVolume.NotFound".to_owned(),
                        message: format!("The volumes '{}' do not exist.", named.join(", ")),
                    },
                })
            }
            .boxed()
        };
        let found = by_id(ids, "vol-", filter, describe).await?;
        assert_eq!(found.len(), 300 - unknown.len());
        Ok(sent.lock().unwrap().clone())
    }

    #[tokio::test]
    async fn ebs_case_203_ids_of_a_snow_device_are_looked_up() {
        for (id, prefix, expected) in [
            ("i-0a", "i-", true),
            ("s.i-0a", "i-", true),
            ("s.vol-0a", "vol-", true),
            ("s.snap-0a", "snap-", true),
            ("s.vol-0a", "snap-", false),
            ("s.vol-", "vol-", false),
            ("s.s.vol-0a", "vol-", false),
            ("x.vol-0a", "vol-", false),
        ] {
            assert_eq!(is_id(id, prefix), expected, "{id}");
        }
        let describe = |selection: Selection| {
            async move {
                match selection {
                    Selection::Ids(ids) if ids.len() > 1 => Err(Ec2Error {
                        action: Action::DescribeVolumeStatus,
                        failure: Failure::Answer {
                            status: 400,
                            code: "InvalidVolume.NotFound".to_owned(),
                            message: "The volume 's.vol-0b' does not exist.".to_owned(),
                        },
                    }),
                    Selection::Ids(ids) => Ok(ids),
                    _ => Ok(Vec::new()),
                }
            }
            .boxed()
        };
        let ids = ["s.vol-0a", "s.vol-0b"].map(str::to_owned).to_vec();
        let found = by_id(ids, "vol-", IdFilter::None, describe).await.unwrap();
        assert_eq!(found, ["s.vol-0a"], "the refusal names the other one");
    }

    #[tokio::test]
    async fn ebs_case_109_a_long_list_is_not_asked_for_again_for_each_refused_id() {
        let unknown = ["vol-001", "vol-101", "vol-201"];
        let known = IdFilter::Known;
        assert_eq!(calls(&[], 9, known).await.unwrap(), [300]);
        assert_eq!(calls(&unknown, 9, known).await.unwrap(), [300, 297]);
        assert_eq!(calls(&unknown, 1, known).await.unwrap(), [300, 299, 200, 98]);
        assert_eq!(calls(&unknown, 0, known).await.unwrap(), [300, 200, 100]);
        assert_eq!(calls(&unknown, 9, IdFilter::None).await.unwrap(), [300, 297]);
        calls(&unknown, 0, IdFilter::None).await.unwrap_err();
    }
}
