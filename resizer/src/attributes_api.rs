//! Whether attributes classes can be followed at all. Source: resize.md 1.1 step 6, Q27.

use base::Random;
use kube::Client;
use runtime::ApiErrorClass;
use runtime::access::{Permission, may, verdict};

const GROUP: &str = "storage.k8s.io";
const GROUP_VERSION: &str = "storage.k8s.io/v1";
const CLASSES: &str = "volumeattributesclasses";

const LIST: Permission = Permission {
    verb: "list",
    group: GROUP,
    resource: CLASSES,
};
const WATCH: Permission = Permission {
    verb: "watch",
    ..LIST
};

/// Why not, if it is so: the API server has no such kind, or our role does not show it. While the API server gives no
/// verdict it is asked again.
pub(crate) async fn obstacle(client: &Client, random: &Random) -> Option<String> {
    if let Err(why) = is_served(client, random).await {
        return Some(why);
    }
    if !may(client, random, LIST).await || !may(client, random, WATCH).await {
        return Some(format!(
            "the role of the csi-resizer may not list and watch {CLASSES} of {GROUP}; grant both"
        ));
    }
    None
}

async fn is_served(client: &Client, random: &Random) -> Result<(), String> {
    let served = verdict(random, || client.list_api_group_resources(GROUP_VERSION)).await;
    let absent = || format!("the API server does not serve {CLASSES} of {GROUP_VERSION}");
    match served {
        Ok(list) if list.resources.iter().any(|resource| resource.name == CLASSES) => Ok(()),
        Ok(_) => Err(absent()),
        Err(error) if error.class() == ApiErrorClass::NotFound => Err(absent()),
        Err(error) => Err(format!(
            "the API server does not say which kinds it serves: {error}"
        )),
    }
}
