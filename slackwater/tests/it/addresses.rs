//! Where processes serve that tests start.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that Linux gives to outgoing connections, which would take a port before the process binds it.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// An address on loopback at which nobody listens, and that this process was not told before.
pub fn free_address() -> String {
    static TOLD: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    let next = || FIRST + (begin + TOLD.fetch_add(1, Ordering::Relaxed)) % COUNT;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let port = (0..COUNT).map(|_| next()).find(is_free).unwrap();
    format!("127.0.0.1:{port}")
}
