//! How the simulated region looks and how fast it works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that can be chosen about the simulated EC2. All of it may be changed while it runs
/// ([`super::Ec2::configure`]); what has begun keeps the times it was begun with.
#[derive(Clone, Debug)]
pub struct Ec2Options {
    /// The region's name.
    pub region: String,
    /// The account that all requests act for.
    pub account_id: String,
    /// The zones, in the order of `DescribeAvailabilityZones`.
    pub zones: Vec<Zone>,
    /// Outposts that volumes may be placed on.
    pub outposts: Vec<Outpost>,
    /// The instance types that exist.
    pub instance_types: Vec<InstanceType>,
    /// The KMS keys that exist; `None` means any name is a key. A volume with an unknown key ends in state `error`.
    pub kms_keys: Option<BTreeSet<String>>,
    /// Whether the account encrypts volumes for which nothing was asked.
    pub encryption_by_default: bool,
    /// How long things take.
    pub timing: Timing,
    /// How long changes stay unseen.
    pub lag: Lag,
    /// How many requests are let through.
    pub throttles: Throttles,
    /// Quotas and rules.
    pub rules: Rules,
    /// How many of the latest requests [`super::Ec2::calls`] remembers.
    pub call_log: usize,
}

impl Default for Ec2Options {
    /// A region in which a snapshot of 10 GiB takes 6 s and new things show after 200 ms.
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "111122223333".to_owned(),
            zones: ["a", "b", "c"]
                .iter()
                .zip(1..)
                .map(|(letter, number)| Zone::new(&format!("us-east-1{letter}"), &format!("use1-az{number}")))
                .collect(),
            outposts: Vec::new(),
            instance_types: vec![
                InstanceType::new("m5.large", 27, 1),
                InstanceType::new("m7i.large", 32, 1),
                InstanceType::new("r8gb.48xlarge", 128, 2),
            ],
            kms_keys: None,
            encryption_by_default: false,
            timing: Timing::default(),
            lag: Lag::default(),
            throttles: Throttles::off(),
            rules: Rules::default(),
            call_log: 10_000,
        }
    }
}

impl Ec2Options {
    /// A region in which everything is done, and seen, at once.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            timing: Timing::instant(),
            lag: Lag::none(),
            ..Self::default()
        }
    }

    /// A region at AWS's pace: its buckets, and the quotas of an account for which nothing was raised.
    #[must_use]
    pub fn aws() -> Self {
        Self {
            throttles: Throttles::aws(),
            rules: Rules::aws(),
            ..Self::default()
        }
    }

    /// As by default, but twice as fast: for showing.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            timing: Timing::quick(),
            ..Self::default()
        }
    }

    /// The options of a name, as a flag may give it.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "quick" => Some(Self::quick()),
            "instant" => Some(Self::instant()),
            "aws" => Some(Self::aws()),
            _ => None,
        }
    }

    /// The names that [`Self::preset`] knows.
    pub const PRESETS: [&'static str; 4] = ["default", "quick", "instant", "aws"];
}

/// An availability zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Name, as `us-east-1a`.
    pub name: String,
    /// ID, the same for all accounts, as `use1-az1`.
    pub id: String,
}

impl Zone {
    /// A zone with this name and ID.
    #[must_use]
    pub fn new(name: &str, id: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: id.to_owned(),
        }
    }
}

/// An Outpost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outpost {
    /// Its ARN.
    pub arn: String,
    /// Name of the zone it is tied to.
    pub zone: String,
}

/// What is known of an instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// Name, as `m5.large`.
    pub name: String,
    /// How many volumes may be attached, the root volume among them.
    pub attachments: usize,
    /// Whether network interfaces count among them.
    pub is_shared: bool,
    /// How many EBS cards there are, at least 1.
    pub ebs_cards: u32,
}

impl InstanceType {
    /// A type of this name with this many attachments and EBS cards. Up to 31 attachments are shared, as EC2's are.
    #[must_use]
    pub fn new(name: &str, attachments: usize, ebs_cards: u32) -> Self {
        Self {
            name: name.to_owned(),
            attachments,
            is_shared: attachments <= 31,
            ebs_cards,
        }
    }
}

/// How long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From `creating` to `available`.
    pub volume_creation: Duration,
    /// How long a deleted volume is shown as `deleting`.
    pub volume_deletion: Duration,
    /// From `pending` to `completed`, for any size.
    pub snapshot: Duration,
    /// What each GiB adds to it.
    pub snapshot_per_gib: Duration,
    /// What it never exceeds.
    pub snapshot_at_most: Duration,
    /// How long a modification is `modifying`.
    pub modifying: Duration,
    /// How long a modification is `optimizing` after that, for any size.
    pub optimizing: Duration,
    /// What each GiB of the target size adds to it.
    pub optimizing_per_gib: Duration,
    /// From `attaching` to `attached`.
    pub attaching: Duration,
    /// From `detaching` to gone.
    pub detaching: Duration,
    /// How fast a volume from a snapshot is filled when no rate is asked for.
    pub initialization_per_gib: Duration,
    /// How long a fast snapshot restore stays in each of `enabling` and `optimizing`.
    pub fast_restore: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            volume_creation: Duration::from_millis(1500),
            volume_deletion: Duration::from_millis(500),
            snapshot: Duration::from_secs(1),
            snapshot_per_gib: Duration::from_millis(500),
            snapshot_at_most: Duration::from_secs(3600),
            modifying: Duration::from_secs(2),
            optimizing: Duration::from_secs(5),
            optimizing_per_gib: Duration::from_millis(100),
            attaching: Duration::from_secs(1),
            detaching: Duration::from_secs(1),
            initialization_per_gib: Duration::from_millis(100),
            fast_restore: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Half as long each, for showing.
    #[must_use]
    pub fn quick() -> Self {
        let Self {
            volume_creation,
            volume_deletion,
            snapshot,
            snapshot_per_gib,
            snapshot_at_most,
            modifying,
            optimizing,
            optimizing_per_gib,
            attaching,
            detaching,
            initialization_per_gib,
            fast_restore,
        } = Self::default();
        Self {
            volume_creation: volume_creation / 2,
            volume_deletion: volume_deletion / 2,
            snapshot: snapshot / 2,
            snapshot_per_gib: snapshot_per_gib / 2,
            snapshot_at_most,
            modifying: modifying / 2,
            optimizing: optimizing / 2,
            optimizing_per_gib: optimizing_per_gib / 2,
            attaching: attaching / 2,
            detaching: detaching / 2,
            initialization_per_gib: initialization_per_gib / 2,
            fast_restore: fast_restore / 2,
        }
    }

    /// Everything is done at once.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            volume_creation: Duration::ZERO,
            volume_deletion: Duration::ZERO,
            snapshot: Duration::ZERO,
            snapshot_per_gib: Duration::ZERO,
            snapshot_at_most: Duration::MAX,
            modifying: Duration::ZERO,
            optimizing: Duration::ZERO,
            optimizing_per_gib: Duration::ZERO,
            attaching: Duration::ZERO,
            detaching: Duration::ZERO,
            initialization_per_gib: Duration::ZERO,
            fast_restore: Duration::ZERO,
        }
    }
}

/// How long what has changed stays unseen by the Describe actions. Actions that change things see it at once, but for
/// [`Self::change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// A new volume, by ID and in lists.
    pub volume: Duration,
    /// A new snapshot, by ID and in lists.
    pub snapshot: Duration,
    /// A new tag, as a filter and, when it came after its resource, in what is shown.
    pub tag: Duration,
    /// A new modification of a volume.
    pub modification: Duration,
    /// What was attached to an instance or detached from it, in DescribeInstances; volumes show it at once.
    pub instance: Duration,
    /// A new snapshot, for the actions that change it.
    pub change: Duration,
    /// That a snapshot was deleted, by ID and in lists.
    pub deletion: Duration,
}

impl Default for Lag {
    fn default() -> Self {
        let short = Duration::from_millis(200);
        Self {
            volume: short,
            snapshot: short,
            tag: short,
            modification: Duration::ZERO,
            instance: Duration::ZERO,
            change: Duration::ZERO,
            deletion: short,
        }
    }
}

impl Lag {
    /// Everything is seen at once.
    #[must_use]
    pub fn none() -> Self {
        Self::all(Duration::ZERO)
    }

    /// New volumes, snapshots and tags stay unseen by the Describe actions for this long; modifications and attachments do
    /// not.
    #[must_use]
    pub fn all(duration: Duration) -> Self {
        Self {
            volume: duration,
            snapshot: duration,
            tag: duration,
            modification: Duration::ZERO,
            instance: Duration::ZERO,
            change: Duration::ZERO,
            deletion: Duration::ZERO,
        }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    /// How many requests may come at once.
    pub burst: f64,
    /// How many more may come each second.
    pub per_second: f64,
}

/// A bucket that several actions share.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedBucket {
    /// Its name, for people.
    pub name: &'static str,
    /// How large it is, and how fast it fills.
    pub throttle: Throttle,
    /// Which requests take from it.
    pub takes: Takes,
}

/// Which requests take from a shared bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Those of these actions.
    Actions(&'static [&'static str]),
    /// Describe actions with a filter or a page size.
    Described,
    /// Describe actions with neither.
    DescribedWhole,
    /// All others.
    Others,
}

impl Takes {
    fn takes(self, action: &str, is_narrow: bool) -> bool {
        let describes = action.starts_with("Describe");
        match self {
            Self::Actions(actions) => actions.contains(&action),
            Self::Described => describes && is_narrow,
            Self::DescribedWhole => describes && !is_narrow,
            Self::Others => true,
        }
    }
}

/// How many requests are let through; the others get `RequestLimitExceeded`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Throttles {
    /// By action: a bucket of its own.
    pub actions: BTreeMap<String, Throttle>,
    /// For actions that are not in `actions`: of these the first that takes the request.
    pub shared: Vec<SharedBucket>,
}

impl Throttles {
    /// Every request is let through.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// The buckets of an account in a Region. Source: decision 64; EC2's developer guide, "Request throttling".
    #[must_use]
    pub fn aws() -> Self {
        let bucket = |name, burst, per_second, takes| SharedBucket {
            name,
            throttle: Throttle { burst, per_second },
            takes,
        };
        Self {
            actions: BTreeMap::new(),
            shared: vec![
                bucket("snapshots", 100.0, 5.0, Takes::Actions(&SNAPSHOT_ACTIONS)),
                bucket("volumes", 100.0, 5.0, Takes::Actions(&VOLUME_ACTIONS)),
                bucket("tags", 100.0, 10.0, Takes::Actions(&TAG_ACTIONS)),
                bucket("describe", 100.0, 20.0, Takes::Described),
                bucket("describe-whole", 50.0, 10.0, Takes::DescribedWhole),
                bucket("changes", 50.0, 5.0, Takes::Others),
            ],
        }
    }

    /// Name and measure of the bucket from which a request takes; `is_narrow` says that it has a filter or a page size.
    #[must_use]
    pub fn of<'a>(&'a self, action: &'a str, is_narrow: bool) -> Option<(&'a str, Throttle)> {
        if let Some(throttle) = self.actions.get(action) {
            return Some((action, *throttle));
        }
        let mut shared = self.shared.iter();
        let bucket = shared.find(|bucket| bucket.takes.takes(action, is_narrow))?;
        Some((bucket.name, bucket.throttle))
    }
}

const SNAPSHOT_ACTIONS: [&str; 3] = ["CreateSnapshot", "CreateSnapshots", "DeleteSnapshot"];
const VOLUME_ACTIONS: [&str; 3] = ["CopyVolumes", "CreateVolume", "DeleteVolume"];
const TAG_ACTIONS: [&str; 2] = ["CreateTags", "DeleteTags"];

/// Quotas and rules that differ between accounts and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often a volume may be modified.
    pub modification_rate: ModificationRate,
    /// Whether `VolumeModificationRateExceeded` says from when on the volume may be modified again.
    pub modification_rate_names_time: bool,
    /// How many GiB may be under modification at a time; `VolumeModificationSizeLimitExceeded` above.
    pub modification_gib: Option<u64>,
    /// How many volumes there may be; `VolumeLimitExceeded` above.
    pub volumes: Option<usize>,
    /// How many snapshots there may be; `SnapshotLimitExceeded` above.
    pub snapshots: Option<usize>,
    /// The least time between two snapshots of one volume; `SnapshotCreationPerVolumeRateExceeded` below. EC2
    /// has 15 s.
    pub snapshot_interval: Option<Duration>,
    /// Whether only 5 (of `st1` and `sc1`: 1) snapshots of a volume may be pending;
    /// `ConcurrentSnapshotLimitExceeded` above.
    pub pending_snapshots: bool,
    /// How many snapshots of the account may be pending; `PendingSnapshotLimitExceeded` above. EC2 has 100.
    pub pending_in_account: Option<usize>,
    /// How long a client token is remembered.
    pub client_token_lifetime: Duration,
    /// How many rows a page has at most, whatever is asked for.
    pub page: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            modification_rate: ModificationRate::FourInADay,
            modification_rate_names_time: false,
            modification_gib: None,
            volumes: None,
            snapshots: None,
            snapshot_interval: None,
            pending_snapshots: true,
            pending_in_account: None,
            client_token_lifetime: Duration::from_secs(12 * 3600),
            page: 1000,
        }
    }
}

impl Rules {
    /// The quotas of an account for which nothing was raised. Source: decision 64; EBS user guide, "Quotas".
    #[must_use]
    pub fn aws() -> Self {
        Self {
            modification_rate_names_time: true,
            snapshots: Some(100_000),
            snapshot_interval: Some(Duration::from_secs(15)),
            pending_in_account: Some(100),
            ..Self::default()
        }
    }
}

/// How often a volume may be modified. Source: decision 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModificationRate {
    /// As often as the one before is completed.
    Unlimited,
    /// Four times in a rolling 24 h.
    FourInADay,
    /// The older rule: once in 6 h.
    OnceInSixHours,
}
