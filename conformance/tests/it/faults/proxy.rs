//! A proxy that forgets its connections.

use base::Scope;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Between the processes and the API server. When it goes mute, connections that are open then stay open and carry
/// nothing any more, as behind a load balancer that has forgotten them.
pub struct Proxy {
    pub url: String,
    mute: watch::Sender<()>,
    _scope: Scope,
}

impl Proxy {
    pub async fn new(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let to = to.trim_start_matches("https://").to_owned();
        let (scope, connections, mute) = (Scope::new(), Scope::new(), watch::Sender::new(()));
        let muted = mute.clone();
        scope.spawn_named("proxy", async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (to, mut muted) = (to.clone(), muted.subscribe());
                connections.spawn_named("proxied connection", async move {
                    // One that cannot be had is refused, as by a load balancer.
                    let Ok(mut server) = TcpStream::connect(&to).await else {
                        return;
                    };
                    let is_mute = tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => false,
                        _ = muted.changed() => true,
                    };
                    if is_mute {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self {
            url,
            mute,
            _scope: scope,
        }
    }

    /// Connections that are open now carry nothing any more; later ones do.
    pub fn go_mute(&self) {
        self.mute.send_replace(());
    }
}
