//! Whether the registration socket is there and answers. It says nothing about whether the kubelet has come.

use std::path::PathBuf;
use std::time::Duration;

use base::http::{Health, Unhealthy};
use base::{Random, Scope};
use csi::channel::request;
use csi::status::error_text;
use csi::{Address, Channel, ConnectOptions};

use crate::socket::is_socket;
use crate::v1::InfoRequest;
use crate::v1::registration_client::RegistrationClient;

/// Looks at the own socket as the kubelet does.
#[derive(Debug)]
pub(crate) struct SocketHealth {
    pub(crate) path: PathBuf,
    pub(crate) driver: String,
    /// For all of a look.
    pub(crate) timeout: Duration,
    pub(crate) random: Random,
    pub(crate) scope: Scope,
}

#[async_trait::async_trait]
impl Health for SocketHealth {
    async fn check(&self) -> Result<(), Unhealthy> {
        let looked = self.look().await;
        match &looked {
            Ok(()) => tracing::debug!("the registration socket answers"),
            Err(Unhealthy::Missing(why) | Unhealthy::Failed(why)) => {
                tracing::error!(why, "the registration socket does not answer");
            }
        }
        looked
    }
}

impl SocketHealth {
    async fn look(&self) -> Result<(), Unhealthy> {
        let path = self.path.display();
        match is_socket(&self.path) {
            Ok(None) => {
                return Err(Unhealthy::Missing(
                    "registration socket does not exist".to_owned(),
                ));
            }
            Ok(Some(false)) => return Err(Unhealthy::Failed(format!("{path} exists and is no socket"))),
            Ok(Some(true)) => {}
            Err(error) => return Err(Unhealthy::Failed(format!("cannot look at {path}: {error}"))),
        }
        // The connection ends with the look.
        let scope = self.scope.child();
        let options = ConnectOptions {
            scope: scope.clone(),
            random: self.random.fork(),
        };
        let channel = Channel::connect(&Address::Unix(self.path.clone()), options);
        let asked = RegistrationClient::new(channel)
            .get_info(request(InfoRequest {}, self.timeout))
            .await;
        scope.abort();
        let info = asked.map_err(|status| {
            let text = error_text(&status);
            Unhealthy::Failed(format!(
                "error getting info from the registration socket {path}: {text}"
            ))
        })?;
        let name = info.into_inner().name;
        if name == self.driver {
            return Ok(());
        }
        Err(Unhealthy::Failed(format!("invalid driver name {name}")))
    }
}
