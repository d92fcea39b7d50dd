//! Whether attributes classes can be followed at all. Source: resize.md 1.1 step 6, Q27.

use base::Random;
use kube::Client;
use runtime::access::{is_served, may_follow};

const GROUP: &str = "storage.k8s.io";
const GROUP_VERSION: &str = "storage.k8s.io/v1";
const CLASSES: &str = "volumeattributesclasses";

/// Why not, if it is so: the API server has no such kind, or our role does not show it. While the API server gives no
/// verdict it is asked again.
pub(crate) async fn obstacle(client: &Client, random: &Random) -> Option<String> {
    match is_served(client, random, GROUP_VERSION, CLASSES).await {
        Ok(true) if may_follow(client, random, GROUP, CLASSES).await => None,
        Ok(true) => Some(format!(
            "the role of the csi-resizer may not list and watch {CLASSES} of {GROUP}; grant both"
        )),
        Ok(false) => Some(format!(
            "the API server does not serve {CLASSES} of {GROUP_VERSION}"
        )),
        Err(error) => Some(format!(
            "the API server does not say which kinds it serves: {error}"
        )),
    }
}
