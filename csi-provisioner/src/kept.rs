//! Which claims the process keeps in memory: there is one for every volume of the cluster, whoever's it is (sidecars.md Q23).

use runtime::objects::{Claim, Volume};
use runtime::{Cache, ObjectKey, migration};

use crate::plan::source::CLONE_FINALIZER;

/// Claims without a volume, whoever is to make it: they count as users of their source. Claims of volumes of our driver, which may be
/// cloned; these volumes must be synced. Protected claims, whether their volume is known or not: it may come later, or be gone, and
/// nothing else tells that they are to be let go.
pub(crate) fn claims(
    driver: &str,
    volumes: Cache<Volume>,
) -> impl Fn(&Claim) -> bool + Send + Sync + 'static {
    let driver = driver.to_owned();
    let is_ours = move |volume: &Volume| migration::driver_of(volume) == Some(&*driver);
    move |claim| {
        let Some(name) = &claim.volume_name else {
            return true;
        };
        let volume = || volumes.get(&ObjectKey::cluster(name));
        let finalizers = claim.metadata.finalizers.iter().flatten();
        let is_protected = || finalizers.into_iter().any(|name| name == CLONE_FINALIZER);
        is_protected() || volume().is_some_and(|volume| is_ours(&volume))
    }
}
