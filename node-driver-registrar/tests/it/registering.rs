//! Registering, standing by, going.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use node_driver_registrar::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kubelet::{DRIVER, Node, PATIENCE};

/// Longer than it takes to notice something.
const A_WHILE: Duration = Duration::from_millis(500);

async fn health() -> (String, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let flags = vec![format!("--http-endpoint={address}")];
    (address, flags)
}

/// The code and the body of a GET.
async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits, on the clock of the test, until something is so.
async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn a_driver_is_registered_and_goes_with_its_socket() {
    let node = Node::new();
    let (address, flags) = health().await;
    let registrar = node.start(&flags);
    // The driver comes later.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!node.socket().exists());
    let driver = node.serve_driver(DRIVER).await;
    let info = node.info().await;
    assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", DRIVER));
    assert_eq!(info.supported_versions, ["1.0.0"]);
    assert_eq!(info.endpoint, node.driver_socket().display().to_string());
    assert_eq!(node.node_id(&info.endpoint).await, "node-a");
    assert_eq!(get(&address, "/healthz").await, (200, "ok".to_owned()));
    let (code, text) = get(&address, "/readyz").await;
    assert!(code == 500 && text.contains("not registered"), "{code} {text}");
    node.notify(None).await.unwrap();
    assert_eq!(get(&address, "/readyz").await, (200, "ok".to_owned()));
    drop(driver);
    registrar.scope.stop();
    registrar.ended.await.unwrap().unwrap();
    assert!(
        !node.socket().exists(),
        "so the kubelet knows that the driver is gone"
    );
}

#[tokio::test]
async fn sidecars_case_149_a_driver_is_registered_as_long_as_it_is_there() {
    let node = Node::new();
    let driver = node.serve_driver(DRIVER).await;
    let registrar = node.start(&[]);
    node.info().await;
    registrar.scope.stop();
    // As long as a pre-stop hook takes. A kubelet that begins anew finds it too.
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(node.info().await.name, DRIVER);
    assert!(!registrar.ended.is_finished());
    drop(driver);
    registrar.ended.await.unwrap().unwrap();
    assert!(!node.socket().exists());
    // A driver of another pod at the same path is no reason to stay.
    let old = node.serve_driver(DRIVER).await;
    let registrar = node.start(&[]);
    node.info().await;
    registrar.scope.stop();
    tokio::time::sleep(A_WHILE).await;
    let _new = node.serve_driver(DRIVER).await;
    registrar.ended.await.unwrap().unwrap();
    drop(old);
}

#[tokio::test]
async fn sidecars_case_127_a_stale_socket_is_replaced_and_a_file_is_not() {
    let node = Node::new();
    let driver = node.serve_driver(DRIVER).await;
    // As a crash leaves it: a socket at which nobody listens.
    drop(UnixListener::bind(node.socket()).unwrap());
    assert!(node.socket().exists());
    let registrar = node.start(&[]);
    assert_eq!(node.info().await.name, DRIVER);
    drop(driver);
    registrar.scope.stop();
    registrar.ended.await.unwrap().unwrap();

    let _driver = node.serve_driver(DRIVER).await;
    std::fs::write(node.socket(), "words").unwrap();
    let registrar = node.start(&[]);
    let error = registrar.ended.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Socket(_)), "{error}");
    assert!(error.to_string().contains("is no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(node.socket()).unwrap(), "words");
}

#[tokio::test]
async fn a_stale_socket_goes_before_the_driver_comes() {
    let node = Node::new();
    drop(UnixListener::bind(node.socket()).unwrap());
    let registrar = node.start(&[]);
    until(|| !node.socket().exists()).await;
    assert!(!registrar.ended.is_finished());
    // One at which somebody listens stays.
    let _other = UnixListener::bind(node.socket()).unwrap();
    let second = node.start(&[]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(node.socket().exists());
    assert!(!second.ended.is_finished());
}

#[tokio::test]
async fn sidecars_case_128_a_refusal_of_the_kubelet_ends_the_process() {
    let node = Node::new();
    let _driver = node.serve_driver(DRIVER).await;
    let registrar = node.start(&[]);
    node.info().await;
    let error = tokio::select! {
        biased;
        ended = registrar.ended => ended.unwrap().unwrap_err(),
        told = node.notify(Some("no CSINode")) => panic!("answered before the end: {told:?}"),
    };
    assert!(
        matches!(&error, Error::Refused(why) if why == "no CSINode"),
        "{error}"
    );
}

#[tokio::test]
async fn sidecars_case_129_the_socket_of_another_pod_stays() {
    let node = Node::new();
    let driver = node.serve_driver(DRIVER).await;
    let old = node.start(&[]);
    node.info().await;
    let inode = || {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(node.socket()).map(|found| found.ino()).ok()
    };
    let of_old = inode();
    let new = node.start(&[]);
    until(|| inode().is_some_and(|now| Some(now) != of_old)).await;
    old.scope.stop();
    tokio::time::sleep(A_WHILE).await;
    drop(driver);
    let driver = node.serve_driver(DRIVER).await;
    old.ended.await.unwrap().unwrap();
    assert_eq!(node.info().await.name, DRIVER);
    node.notify(None).await.unwrap();
    drop(driver);
    new.scope.stop();
    new.ended.await.unwrap().unwrap();
    assert!(!node.socket().exists());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_130_a_lost_socket_is_told_and_made_again() {
    let node = Node::new();
    let _driver = node.serve_driver(DRIVER).await;
    let (address, flags) = health().await;
    let _registrar = node.start(&flags);
    node.info().await;
    assert_eq!(get(&address, "/healthz").await, (200, "ok".to_owned()));
    std::fs::remove_file(node.socket()).unwrap();
    let missing = "registration socket does not exist".to_owned();
    assert_eq!(get(&address, "/healthz").await, (404, missing));
    std::fs::write(node.socket(), "").unwrap();
    let (code, text) = get(&address, "/healthz").await;
    assert!(code == 500 && text.contains("is no socket"), "{code} {text}");
    std::fs::remove_file(node.socket()).unwrap();
    let lost = tokio::time::Instant::now();
    until(|| node.socket().exists()).await;
    assert!(lost.elapsed() <= Duration::from_secs(10), "{:?}", lost.elapsed());
    assert_eq!(node.info().await.name, DRIVER);
    assert_eq!(get(&address, "/healthz").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn another_driver_at_the_socket_is_not_well() {
    let node = Node::new();
    let driver = node.serve_driver(DRIVER).await;
    let (address, flags) = health().await;
    let _registrar = node.start(&flags);
    node.info().await;
    drop(driver);
    // A registrar of another driver takes the path, as a broken manifest may have it.
    std::fs::remove_file(node.socket()).unwrap();
    let _other = node.serve_driver("other.test").await;
    let of_other = node.start(&[]);
    let other = node.registration().join("other.test-reg.sock");
    until(|| other.exists()).await;
    std::fs::rename(&other, node.socket()).unwrap();
    let (code, text) = get(&address, "/healthz").await;
    assert_eq!((code, text.as_str()), (500, "invalid driver name other.test"));
    drop(of_other);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_does_not_come_ends_the_process() {
    let node = Node::new();
    let error = node.start(&[]).ended.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NoDriver { .. }), "{error}");
    assert!(error.to_string().contains("csi.sock"), "{error}");
}

#[tokio::test]
async fn sidecars_case_246_a_driver_may_listen_long_before_it_serves() {
    let node = Node::new();
    let _driver = node.serve_driver_after(Duration::from_secs(3), DRIVER).await;
    let registrar = node.start(&["--timeout=1s".to_owned()]);
    let info = node.info().await;
    assert_eq!(info.name, DRIVER);
    drop(registrar);
}
