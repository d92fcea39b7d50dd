//! One driver, or several after each other, over one simulated EC2.

use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::Channel;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use csi::v1::{
    CapacityRange, CreateSnapshotRequest, CreateVolumeRequest, Snapshot, Topology, TopologyRequirement,
    Volume, VolumeCapability,
};
use ebs_driver::{Config, Driver, Ec2Transport};
use prometheus::Registry;
use sandbox::ec2::{Ec2, Ec2Options};
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;

pub const GIB: i64 = 1 << 30;

/// A driver over a region of its own.
pub struct World {
    pub ec2: Ec2,
    pub channel: Channel,
    pub registry: Registry,
    pub clock: Clock,
    config: Config,
    scope: Scope,
}

impl World {
    /// Everything in EC2 is done and seen at once.
    pub fn new() -> Self {
        Self::with(Ec2Options::instant(), Config::default())
    }

    pub fn with(options: Ec2Options, config: Config) -> Self {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let ec2 = Ec2::new(clock.clone(), Random::seeded(7), options);
        Self::over(ec2, clock, config)
    }

    /// The same where EC2's clock shows another time than the driver's.
    pub fn with_clock_of_ec2(now: &str, options: Ec2Options, config: Config) -> Self {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let of_ec2 = Clock::simulated(now.parse().unwrap());
        Self::over(Ec2::new(of_ec2, Random::seeded(7), options), clock, config)
    }

    fn over(ec2: Ec2, clock: Clock, config: Config) -> Self {
        let registry = Registry::new();
        let scope = Scope::new();
        let transport = Ec2Transport::InProcess(BoxCloneSyncService::new(ec2.clone()));
        let random = Random::seeded(1);
        let driver = Driver::new(
            config.clone(),
            transport,
            clock.clone(),
            random,
            &scope,
            &registry,
        )
        .unwrap();
        Self {
            channel: Channel::in_process(driver.routes()),
            ec2,
            registry,
            clock,
            config,
            scope,
        }
    }

    /// The driver has been there for longer than EC2's answers lag.
    pub async fn settled() -> Self {
        let world = Self::new();
        world.settle().await;
        world
    }

    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }

    /// The process dies and another one begins.
    pub fn restarted(self) -> Self {
        self.scope.abort();
        drop(self.channel);
        Self::over(self.ec2, self.clock, self.config)
    }

    /// The actions that EC2 was asked for since the call with this number, in order.
    pub fn actions_since(&self, number: u64) -> Vec<String> {
        self.ec2
            .calls_since(number)
            .into_iter()
            .map(|call| call.action)
            .collect()
    }

    pub fn calls(&self) -> u64 {
        self.ec2.calls().last().map_or(0, |call| call.number)
    }

    /// A parameter of the last call of an action, as sent.
    pub fn sent(&self, action: &str, parameter: &str) -> Option<String> {
        let calls = self.ec2.calls();
        let call = calls
            .iter()
            .rfind(|call| call.action == action && !call.dry_run)?;
        call.parameters.get(parameter).cloned()
    }

    pub async fn create_volume(&self, request: CreateVolumeRequest) -> Result<Volume, Status> {
        let answer = self.channel.controller().create_volume(request).await?;
        Ok(answer.into_inner().volume.unwrap())
    }

    pub async fn create_snapshot(&self, request: CreateSnapshotRequest) -> Result<Snapshot, Status> {
        let request = csi::channel::request(request, Duration::from_secs(60));
        let answer = self.channel.controller().create_snapshot(request).await?;
        Ok(answer.into_inner().snapshot.unwrap())
    }

    /// The value of a counter.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        metrics
            .iter()
            .filter(|metric| {
                labels.iter().all(|(key, value)| {
                    metric
                        .get_label()
                        .iter()
                        .any(|label| label.name() == *key && label.value() == *value)
                })
            })
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }
}

/// A mount capability for one node.
pub fn mount(fs_type: &str) -> VolumeCapability {
    capability(
        AccessType::Mount(MountVolume {
            fs_type: fs_type.into(),
            ..MountVolume::default()
        }),
        Mode::SingleNodeWriter,
    )
}

pub fn block(mode: Mode) -> VolumeCapability {
    capability(AccessType::Block(BlockVolume::default()), mode)
}

pub fn capability(access_type: AccessType, mode: Mode) -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(access_type),
    }
}

/// CreateVolume of one GiB ext4 in zone a, with these parameters.
pub fn volume(name: &str, parameters: &[(&str, &str)]) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.into(),
        capacity_range: range(GIB, 0),
        volume_capabilities: vec![mount("ext4")],
        parameters: map(parameters),
        accessibility_requirements: zones(&[&[("topology.kubernetes.io/zone", "us-east-1a")]], &[]),
        ..CreateVolumeRequest::default()
    }
}

pub fn range(required_bytes: i64, limit_bytes: i64) -> Option<CapacityRange> {
    Some(CapacityRange {
        required_bytes,
        limit_bytes,
    })
}

type Entries<'a> = &'a [&'a [(&'a str, &'a str)]];

pub fn zones(preferred: Entries<'_>, requisite: Entries<'_>) -> Option<TopologyRequirement> {
    let entries = |entries: Entries<'_>| {
        let entries = entries.iter().map(|entry| Topology { segments: map(entry) });
        entries.collect()
    };
    Some(TopologyRequirement {
        preferred: entries(preferred),
        requisite: entries(requisite),
    })
}

pub fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn snapshot(name: &str, volume_id: &str, parameters: &[(&str, &str)]) -> CreateSnapshotRequest {
    CreateSnapshotRequest {
        name: name.into(),
        source_volume_id: volume_id.into(),
        parameters: map(parameters),
        ..CreateSnapshotRequest::default()
    }
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.expect_err("a refusal").code()
}
