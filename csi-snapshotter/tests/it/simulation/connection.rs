//! A driver behind a real socket that goes away. Sockets need real time; the waits are short.

use std::time::Duration;

use base::{Random, Scope};
use controller::testing::{Driver, Process};
use csi::{Address, Channel, ConnectOptions, Listener};
use sandbox::faults::Faults;
use tempfile::TempDir;

use crate::build::dynamic;
use crate::world::World;

/// The socket, and the scope that owns our end of it.
struct Socket {
    address: Address,
    scope: Scope,
    _directory: TempDir,
}

impl Socket {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            address: Address::Unix(directory.path().join("csi.sock")),
            scope: Scope::new(),
            _directory: directory,
        }
    }

    async fn serve(&self, driver: &Driver) -> Scope {
        let (server, routes) = (Scope::new(), driver.routes());
        let listener = Listener::bind(&self.address).await.unwrap();
        let token = server.stopping_token();
        server.spawn(async move { listener.serve(routes, token).await.unwrap() });
        server
    }

    fn start(&self, world: &World) -> Process {
        let options = ConnectOptions {
            scope: self.scope.clone(),
            random: Random::seeded(1),
        };
        world.start_over(Channel::connect(&self.address, options), Faults::none())
    }
}

async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    for _ in 0..500 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn snapshot_case_18_the_process_survives_the_loss_of_its_driver() {
    let (world, socket) = (World::new(), Socket::new());
    world.create(&dynamic());
    // Not even there at the start.
    let process = socket.start(&world);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let server = socket.serve(&world.driver).await;
    until("ready", || async { world.is_ready() }).await;

    server.stop();
    server.finished().await;
    world.delete();
    until("told", || async { world.reasons() == ["SnapshotDeleteError"] }).await;
    let _server = socket.serve(&world.driver).await;
    until("deleted", || async { world.content().is_none() }).await;
    assert!(process.failure().is_none());
}

#[tokio::test]
async fn snapshot_case_18_exit_on_connection_loss_is_kept_for_those_who_want_it() {
    let (mut world, socket) = (World::new(), Socket::new());
    world.flags = "--exit-on-connection-loss".into();
    world.create(&dynamic());
    let server = socket.serve(&world.driver).await;
    let process = socket.start(&world);
    until("ready", || async { world.is_ready() }).await;
    server.stop();
    until("ended", || async { process.failure().is_some() }).await;
    assert_eq!(
        process.failure().unwrap(),
        "Lost connection to CSI driver, exiting"
    );
}

#[tokio::test]
async fn another_driver_behind_the_socket_ends_the_process() {
    let (world, socket) = (World::new(), Socket::new());
    world.create(&dynamic());
    let server = socket.serve(&world.driver).await;
    let process = socket.start(&world);
    until("ready", || async { world.is_ready() }).await;
    server.stop();
    server.finished().await;
    world.driver.state().name = "other".into();
    let _server = socket.serve(&world.driver).await;
    until("ended", || async { process.failure().is_some() }).await;
    let failure = process.failure().unwrap();
    assert!(
        failure.contains("d.example.com") && failure.contains("other"),
        "{failure}"
    );
}
