//! The functions that the binary has: one line a function.

use std::fmt;

use controller::Entry;

/// Every function that works against the Kubernetes API.
const FUNCTIONS: [Entry; 5] = [
    snapshot_controller::ENTRY,
    csi_provisioner::ENTRY,
    csi_attacher::ENTRY,
    csi_snapshotter::ENTRY,
    resizer::ENTRY,
];

/// A function by its name: the driver, or one of those that work against the Kubernetes API.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Function(&'static str);

impl Function {
    /// The EBS CSI driver.
    pub const DRIVER: Self = Self("driver");

    /// Every function, in the order in which they start.
    pub const ALL: [Self; FUNCTIONS.len() + 1] = {
        let mut all = [Self::DRIVER; FUNCTIONS.len() + 1];
        let mut next = 0;
        while next < FUNCTIONS.len() {
            all[next + 1] = Self(FUNCTIONS[next].name);
            next += 1;
        }
        all
    };

    /// Its name in `--functions`, in the prefix of its flags, and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// The function of this name. Upstream's programs that run several sidecars leave out `csi-`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is_it = |function: &Self| function.0 == name || function.0.strip_prefix("csi-") == Some(name);
        Self::ALL.into_iter().find(is_it)
    }

    /// What is known of it before it runs; the driver has none of that.
    #[must_use]
    pub fn entry(self) -> Option<&'static Entry> {
        FUNCTIONS.iter().find(|entry| entry.name == self.0)
    }

    /// What `slackwater controller` runs without being told (decision 1): clusters usually have a snapshot-controller in
    /// another namespace, whose lease cannot be seen from here.
    pub fn by_default() -> impl Iterator<Item = Self> {
        let runs = |function: &Self| function.entry().is_none_or(|entry| entry.by_default);
        Self::ALL.into_iter().filter(runs)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}
