//! Layer 11: a real kubelet, containerd and devices; the suite as `deploy/` installs it, from images as they are laid out;
//! every journey follows the bytes by their checksums.
//!
//! One cluster serves all tests. Those that only use it run beside each other; those that take parts of it away have it
//! alone.

mod devices;
mod drained;
mod failures;
mod journeys;
mod killed;
mod pace;
mod person;
mod shapes;
mod suite;
mod tutorial;
mod upstream;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conformance::{Error, Kubectl, OneNode, until};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::person::Person;
use self::suite::Shape;
use crate::shared::{self, say};

const LAYER: &str = "11 one node";
/// How long a pod, a claim or a snapshot may take; builds may use the same processors.
const PATIENCE: &str = "--timeout=180s";
/// What EC2 may take to be rid of what Kubernetes has deleted.
const GONE_WITHIN: Duration = Duration::from_secs(180);

static SITE: RwLock<Option<Site>> = RwLock::const_new(None);
/// A test has failed: what it left behind must not fail the next one.
static IS_SPOILED: AtomicBool = AtomicBool::new(false);
/// How many checksums were compared.
static COMPARED: AtomicUsize = AtomicUsize::new(0);

/// The cluster, and how the suite is installed in it.
struct Site {
    node: OneNode,
    shape: Shape,
}

/// The cluster as a test has it.
struct Cluster {
    hold: Hold,
    begun: Instant,
}

enum Hold {
    Beside(RwLockReadGuard<'static, Option<Site>>),
    Alone(RwLockWriteGuard<'static, Option<Site>>),
    Left,
}

impl Cluster {
    /// The cluster with the suite, together with other tests; none, and a line that says so, where it cannot be.
    async fn beside_others() -> Option<Self> {
        loop {
            let site = SITE.read().await;
            let begun = Instant::now();
            if site.as_ref().is_some_and(Site::is_usual) {
                let hold = Hold::Beside(site);
                return Some(Self { hold, begun });
            }
            drop(site);
            let mut site = SITE.write().await;
            if !site.as_ref().is_some_and(Site::is_usual) && !Site::make_usual(&mut site).await {
                return None;
            }
        }
    }

    /// The same for one test alone.
    async fn alone() -> Option<Self> {
        Self::alone_where(Site::is_usual).await
    }

    /// The same, however the suite is installed: the test installs it.
    async fn alone_in_any_shape() -> Option<Self> {
        Self::alone_where(|_| !IS_SPOILED.load(Ordering::Relaxed)).await
    }

    async fn alone_where(suits: impl Fn(&Site) -> bool) -> Option<Self> {
        let mut site = SITE.write().await;
        let begun = Instant::now();
        if !site.as_ref().is_some_and(suits) && !Site::make_usual(&mut site).await {
            return None;
        }
        let hold = Hold::Alone(site);
        Some(Self { hold, begun })
    }

    fn site(&self) -> &Site {
        let site = match &self.hold {
            Hold::Beside(site) => site.as_ref(),
            Hold::Alone(site) => site.as_ref(),
            Hold::Left => None,
        };
        site.unwrap()
    }

    fn site_mut(&mut self) -> &mut Site {
        match &mut self.hold {
            Hold::Alone(site) => site.as_mut().unwrap(),
            _ => panic!("others use the cluster"),
        }
    }

    fn node(&self) -> &OneNode {
        &self.site().node
    }

    fn node_mut(&mut self) -> &mut OneNode {
        &mut self.site_mut().node
    }

    fn kubectl(&self) -> Kubectl {
        self.node().plane().kubectl()
    }

    /// Somebody with a namespace of their own.
    fn person(&self, name: &str) -> Person {
        Person::new(self.kubectl(), name)
    }

    /// Installs the suite in another way, over what is there.
    fn install(&mut self, shape: Shape) {
        let site = self.site_mut();
        // Should it fail, nobody takes it for what was there.
        site.shape = shape;
        suite::install(&site.node, shape);
    }

    /// After a test: nothing is left in EC2 of what it made, nor of what others made that have ended meanwhile. While
    /// others are at work the last one of them looks.
    async fn nothing_is_left(mut self) {
        if let Hold::Beside(_) = self.hold {
            self.hold = Hold::Left;
            if IS_SPOILED.load(Ordering::Relaxed) {
                return;
            }
            let Ok(site) = SITE.try_write() else { return };
            self.hold = Hold::Alone(site);
        }
        let node = self.node();
        let looked = until("nothing is left in EC2", GONE_WITHIN, async || {
            let snapshots = node.ec2().state().unwrap().snapshots;
            (node.volumes().unwrap().is_empty() && snapshots.is_empty()).then_some(())
        });
        if looked.await.is_err() {
            assert_eq!(node.volumes().unwrap(), []);
            assert_eq!(node.ec2().state().unwrap().snapshots, []);
        }
        let attached = ["get", "volumeattachments", "-o", "name"];
        assert_eq!(self.kubectl().ok(&attached).unwrap(), "");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            IS_SPOILED.store(true, Ordering::Relaxed);
        }
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        let seconds = self.begun.elapsed().as_secs_f64();
        let compared = COMPARED.load(Ordering::Relaxed);
        say(&format!("layer {LAYER}: {name} took {seconds:.1} s"));
        say(&format!("layer {LAYER}: {compared} checksums compared"));
    }
}

impl Site {
    /// Whether tests find it as they expect it.
    fn is_usual(&self) -> bool {
        self.shape == Shape::DropIn && !IS_SPOILED.load(Ordering::Relaxed)
    }

    /// Starts the cluster where there is none that can be used, and installs the suite. False where it cannot be.
    async fn make_usual(site: &mut Option<Self>) -> bool {
        if IS_SPOILED.swap(false, Ordering::Relaxed) {
            *site = None;
        }
        let begun = Instant::now();
        let told = |what: &str| {
            let seconds = begun.elapsed().as_secs_f64();
            say(&format!("layer {LAYER}: {what} after {seconds:.1} s"));
        };
        if site.is_none() {
            match OneNode::start().await {
                Ok(node) => {
                    let shape = Shape::None;
                    *site = Some(Self { node, shape });
                }
                Err(error @ Error::Missing { .. }) => {
                    shared::not_run(LAYER, &error);
                    return false;
                }
                Err(error) => panic!("{error}"),
            }
            told("a node");
        }
        if let Some(site) = site {
            suite::install(&site.node, Shape::DropIn);
            site.shape = Shape::DropIn;
            told("the suite");
        }
        true
    }
}
