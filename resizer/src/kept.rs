//! Which claims and volumes the process keeps in memory: there is one of each for every volume of the cluster, whoever's it is
//! (resize.md 7, Q1).

use runtime::objects::{Claim, Volume};
use runtime::{Cache, ObjectKey, migration};

use crate::plan;

/// Volumes of our driver; and where it took over an in-tree plugin those of no driver, so that one which is handed to us and
/// cannot be translated is told.
pub(crate) fn volumes(driver: &str) -> impl Fn(&Volume) -> bool + Send + Sync + 'static {
    let (driver, took_over) = (driver.to_owned(), migration::is_migrated_driver(driver));
    move |volume| is_ours(volume, &driver, took_over)
}

fn is_ours(volume: &Volume, driver: &str, took_over: bool) -> bool {
    volume.csi.as_ref().map_or(took_over, |csi| csi.driver == driver)
}

/// Claims of these volumes, and those that want something: their volume may come later. The volumes must be synced.
pub(crate) fn claims(
    driver: &str,
    volumes: Cache<Volume>,
) -> impl Fn(&Claim) -> bool + Send + Sync + 'static {
    let is_kept = self::volumes(driver);
    move |claim| {
        let volume = || volumes.get(&ObjectKey::cluster(claim.volume_name.as_ref()?));
        plan::wants_something(claim) || volume().is_some_and(|volume| is_kept(&volume))
    }
}
