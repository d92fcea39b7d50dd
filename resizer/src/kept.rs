//! Which claims the process keeps in memory: there is one for every volume of the cluster, whoever's it is (resize.md 7, Q1).

use runtime::objects::{Claim, Volume};
use runtime::{Cache, ObjectKey, migration};

use crate::plan;

/// Claims of the volumes that are kept ([`migration::volumes_of`]), and those that want something: their volume may come later. The volumes must be synced.
pub(crate) fn claims(
    driver: &str,
    volumes: Cache<Volume>,
) -> impl Fn(&Claim) -> bool + Send + Sync + 'static {
    let is_kept = migration::volumes_of(driver);
    move |claim| {
        let volume = || volumes.get(&ObjectKey::cluster(claim.volume_name.as_ref()?));
        plan::wants_something(claim) || volume().is_some_and(|volume| is_kept(&volume))
    }
}
