//! What all services of one driver share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Scope};
use csi::modify::v1::modify_server::ModifyServer;
use csi::panics::Panics;
use csi::v1::controller_server::ControllerServer;
use csi::v1::group_controller_server::GroupControllerServer;
use csi::v1::identity_server::IdentityServer;
use prometheus::Registry;
use tokio::time::Instant;
use tonic::service::Routes;

use crate::args::Config;
use crate::attachments::Attachments;
use crate::coalesce::Coalescer;
use crate::ec2::Ec2;
use crate::ec2::client::{Ec2Transport, QueryEc2};
use crate::ec2::limit::Limits;
use crate::ec2::limit::bucket::Bucket;
use crate::ec2::lookups::Lookups;
use crate::ec2::retry::Caller;
use crate::in_flight::InFlight;
use crate::inventory::Volumes;
use crate::iops::Ceilings;
use crate::memory::{GroupMemory, SnapshotMemory};
use crate::metrics::Metrics;
use crate::node::NodeService;
use crate::polls::Polls;
use crate::quotas::Quotas;
use crate::rpc::expand_volume::{Changed, Expander};
use crate::rpc::{ControllerService, GroupControllerService, IdentityService, ModifyService};
use crate::scraped::{Kind, Scraped};
use crate::token::Tokens;
use crate::waiting::Waiting;
use crate::waits::Waits;

/// The driver: its services over one EC2. Clones share everything.
#[derive(Clone, Debug)]
pub struct Driver {
    core: Arc<Core>,
    panics: Panics,
}

/// The state behind the services. All of it may be lost at any moment without losing or doubling a volume or
/// a snapshot.
#[derive(Debug)]
pub(crate) struct Core {
    pub config: Config,
    pub ec2: Arc<dyn Ec2>,
    pub lookups: Lookups,
    pub polls: Polls,
    /// Snapshots that wait until EC2 takes another one.
    pub quotas: Quotas,
    pub tokens: Tokens,
    pub ceilings: Arc<Ceilings>,
    pub snapshots: SnapshotMemory,
    pub groups: GroupMemory,
    pub in_flight: InFlight,
    pub changes: Coalescer<Changed>,
    /// Volumes whose next change EC2 does not allow yet.
    pub waiting: Waiting,
    pub waits: Waits,
    pub attachments: Attachments,
    pub clock: Clock,
    /// When EC2 last said that it would have let us.
    pub access_checked: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for dyn Ec2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ec2")
    }
}

impl Driver {
    /// A driver over this EC2. Nothing is sent before the first call that needs it. Long waits inside calls
    /// end when `scope` is stopping.
    ///
    /// # Errors
    /// When the registry already has metrics of a driver.
    pub fn new(
        config: Config,
        ec2: Ec2Transport,
        clock: Clock,
        random: Random,
        scope: &Scope,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(registry, config.deprecated_names)?;
        let limits = Limits::new(config.limits);
        let caller = Caller::new(limits.clone(), random, metrics.clone());
        let endpoint = config.ec2.clone();
        let client = QueryEc2::new(ec2, endpoint, clock.clone(), caller);
        let panics = Panics::new(registry)?;
        let core = Core::new(config, Arc::new(client), limits.clone(), clock, scope, &metrics);
        registry.register(Box::new(pending_detachments(core.attachments.clone())?))?;
        registry.register(Box::new(core.waiting.gauge()?))?;
        registry.register(Box::new(queues(limits, core.quotas.clone())?))?;
        Ok(Self {
            core: Arc::new(core),
            panics,
        })
    }

    /// The services, for a socket or for a channel in process. A panic in a call ends that call only.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.watched(self.services())
    }

    /// The services of mode `all`: the controller's, and this node's.
    #[must_use]
    pub fn routes_with(&self, node: &NodeService) -> Routes {
        self.watched(self.services().add_service(node.server()))
    }

    /// What sidecars of this process may ask beside CSI.
    #[must_use]
    pub fn inventory(&self) -> Arc<dyn csi::Inventory> {
        Arc::new(Volumes(self.core.clone()))
    }

    fn services(&self) -> Routes {
        let identity = IdentityServer::new(IdentityService::new(self.core.clone()));
        let controller = ControllerServer::new(ControllerService::new(self.core.clone()));
        let groups = GroupControllerServer::new(GroupControllerService::new(self.core.clone()));
        let modify = ModifyServer::new(ModifyService::new(self.core.clone()));
        Routes::new(identity)
            .add_service(controller)
            .add_service(groups)
            .add_service(modify)
    }

    fn watched(&self, routes: Routes) -> Routes {
        csi::traces::trace(self.panics.catch(routes))
    }

    /// Where the panics of calls are counted.
    pub(crate) fn panics(&self) -> &Panics {
        &self.panics
    }
}

/// How many requests wait for EC2.
fn queues(limits: Limits, quotas: Quotas) -> Result<Scraped, prometheus::Error> {
    let sample = |label: &str, count: usize| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        (vec![label.to_owned()], count.into())
    };
    Scraped::new(
        Kind::Gauge,
        "slackwater_ec2_queue_length",
        "Requests that wait for their turn at a bucket or a quota of EC2",
        &["bucket"],
        move || {
            let buckets = Bucket::ALL.map(|bucket| sample(bucket.label(), limits.waiting(bucket)));
            let pending = sample("pending_snapshots", quotas.waiting());
            buckets.into_iter().chain([pending]).collect()
        },
    )
}

/// Detachments that hang, as upstream shows them.
fn pending_detachments(attachments: Attachments) -> Result<Scraped, prometheus::Error> {
    Scraped::new(
        Kind::Counter,
        "aws_ebs_csi_ec2_detach_pending_seconds_total",
        "For how long detachments of more than a minute have been pending",
        &["volume_id", "instance_id", "attachment_state"],
        move || {
            let pending = attachments.pending().into_iter();
            pending
                .map(|(labels, age)| (labels.to_vec(), age.as_secs_f64()))
                .collect()
        },
    )
}

impl Core {
    fn new(
        config: Config,
        ec2: Arc<dyn Ec2>,
        limits: Limits,
        clock: Clock,
        scope: &Scope,
        metrics: &Metrics,
    ) -> Self {
        let lookups = Lookups::new(&ec2, config.batching, metrics);
        let waits = Waits::new(scope.stopping_token(), limits);
        let (ceilings, waiting) = (Arc::new(Ceilings::default()), Waiting::default());
        let expander = Expander::new(
            ec2.clone(),
            lookups.clone(),
            ceilings.clone(),
            waits.clone(),
            clock.clone(),
        );
        Self {
            polls: Polls::new(ec2.clone(), metrics.clone()),
            quotas: Quotas::new(ec2.clone(), waits.clone(), metrics.clone()),
            tokens: Tokens::default(),
            snapshots: SnapshotMemory::default(),
            groups: GroupMemory::default(),
            in_flight: InFlight::default(),
            changes: Coalescer::new(config.modify_window, expander.execute(waiting.clone())),
            waiting,
            access_checked: Mutex::new(None),
            attachments: Attachments::default(),
            clock,
            waits,
            ceilings,
            lookups,
            ec2,
            config,
        }
    }

    /// How far EC2's Describe answers may lag.
    pub fn consistency_delay(&self) -> Duration {
        self.config.consistency_delay
    }
}
