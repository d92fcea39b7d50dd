//! The live page: what the sandbox holds and what is asked of it, in a browser on this machine. One file without anything
//! from elsewhere, which asks `/state.json` twice a second.

mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use base::Scope;
use sandbox::ec2::Ec2;
use sandbox::kube::ApiServer;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::state::{Live, Tally};

const PAGE: &str = include_str!("page.html");
/// Nothing is loaded from elsewhere, and nothing is sent there.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/// What the page shows.
struct Watched {
    api: ApiServer,
    ec2: Ec2,
    started: Instant,
    tally: Mutex<Tally>,
}

/// Serves the page on loopback for as long as the scope lives; answers where.
///
/// # Errors
/// No port can be had.
pub async fn serve(api: &ApiServer, ec2: &Ec2, scope: &Scope) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = router(api, ec2);
    let stopping = scope.stopping_token();
    scope.spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            result = axum::serve(listener, router).into_future() => {
                if let Err(error) = result {
                    tracing::error!(%error, "the live page ended");
                }
            }
        }
    });
    Ok(address)
}

fn router(api: &ApiServer, ec2: &Ec2) -> Router {
    let watched = Watched {
        api: api.clone(),
        ec2: ec2.clone(),
        started: Instant::now(),
        tally: Mutex::default(),
    };
    Router::new()
        .route("/", get(page))
        .route("/state.json", get(now))
        .with_state(Arc::new(watched))
}

async fn page() -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    ([kind, (header::CONTENT_SECURITY_POLICY, POLICY)], PAGE)
}

async fn now(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let live = watched.look();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, serde_json::json!(live).to_string())
}

impl Watched {
    fn look(&self) -> Live {
        let (dump, state) = (self.api.dump(), self.ec2.state());
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(&self.api, &self.ec2);
        Live::of(&dump, &state, &tally, self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use base::{Clock, Random};
    use sandbox::ec2::Ec2Options;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn asked(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_and_what_it_shows_are_served_until_the_end() {
        let (clock, random, scope) = (Clock::system(), Random::seeded(1), Scope::new());
        let api = ApiServer::new(clock.clone(), random.fork(), &scope);
        let ec2 = Ec2::new(clock, random.fork(), Ec2Options::default());
        ec2.create_volume_fixture("us-east-1a", 4, &[("Name", "data")])
            .unwrap();
        let address = serve(&api, &ec2, &scope).await.unwrap();
        let page = asked(address, "/").await;
        assert!(
            page.starts_with("HTTP/1.1 200") && page.contains("<!doctype html>"),
            "{page}"
        );
        // Nothing comes from elsewhere.
        assert!(!PAGE.contains("http://") && !PAGE.contains("https://"));
        let answer = asked(address, "/state.json").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let state: Value = serde_json::from_str(body.trim()).unwrap();
        assert_eq!(state["volumes"][0]["name"], "data");
        assert!(asked(address, "/other").await.starts_with("HTTP/1.1 404"));
        scope.stop();
        scope.finished().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
