//! Whether attributes classes can be followed at all. Source: resize.md 1.1 step 6, Q27.

use std::time::Duration;

use base::Random;
use kube::Client;
use runtime::access::{Permission, may};
use runtime::{ApiError, ApiErrorClass};

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

/// Longest wait for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So often in a row may the question be refused before it counts as an answer.
const PATIENCE: u32 = 6;

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
    let mut pause = Duration::from_millis(200);
    let mut refused = 0;
    loop {
        let asked = client.list_api_group_resources(GROUP_VERSION);
        let answered = match tokio::time::timeout(REQUEST_TIMEOUT, asked).await {
            Ok(answered) => answered.map_err(ApiError::from),
            Err(_) => Err(ApiError::no_answer("no answer within 10 s")),
        };
        let absent = format!("the API server does not serve {CLASSES} of {GROUP_VERSION}");
        match answered {
            Ok(list) if list.resources.iter().any(|resource| resource.name == CLASSES) => return Ok(()),
            Ok(_) => return Err(absent),
            Err(error) if error.class() == ApiErrorClass::NotFound => return Err(absent),
            Err(error) if error.class() == ApiErrorClass::Transient => {
                tracing::debug!(%error, "cannot ask yet which kinds are served, trying on");
            }
            Err(error) => {
                refused += 1;
                if refused == PATIENCE {
                    return Err(format!(
                        "the API server does not say which kinds it serves: {error}"
                    ));
                }
            }
        }
        tokio::time::sleep(random.jittered(pause, 0.5)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
