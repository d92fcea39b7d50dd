//! Whether attributes classes can be followed at all, and in which version. Source: resize.md 1.1 step 6, Q27; sidecars.md 2.1.

use base::Random;
use kube::Client;
use runtime::Selection;
use runtime::access::{may_follow, served_version};
use runtime::objects::AttributesClass;

const GROUP: &str = "storage.k8s.io";
const CLASSES: &str = "volumeattributesclasses";

/// All classes as the API server has them; with `falls_back` those of an older version where it has no others. Else why not: it
/// has no such kind, or our role does not show it. While the API server gives no verdict it is asked again.
pub(crate) async fn all(client: &Client, random: &Random, falls_back: bool) -> Result<Selection, String> {
    let versions = AttributesClass::versions(falls_back);
    match served_version(client, random, GROUP, versions, CLASSES).await {
        Ok(Some(version)) if may_follow(client, random, GROUP, CLASSES).await => {
            Ok(Selection::default().in_version::<AttributesClass>(version))
        }
        Ok(Some(_)) => Err(format!(
            "the role of the csi-resizer may not list and watch {CLASSES} of {GROUP}; grant both"
        )),
        Ok(None) => Err(format!(
            "the API server does not serve {CLASSES} of {GROUP}/{}",
            versions.join(" or ")
        )),
        Err(error) => Err(format!(
            "the API server does not say which kinds it serves: {error}"
        )),
    }
}
