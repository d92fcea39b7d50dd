//! Ports for processes that are started beside each other.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Random;

/// Below those that Linux gives to outgoing connections, which would take a port between the look and its use.
const PORTS: Range<u16> = 10_000..32_000;

/// A port on loopback that was free a moment ago, and that this process was not told before: whoever was may bind it later.
///
/// # Errors
/// When there is none.
pub fn free_port() -> std::io::Result<u16> {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(Random::from_entropy().below(PORTS.len() as u64)));
    let next = || NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len() as u64;
    let port = |_| PORTS.start + u16::try_from(next()).unwrap_or_default();
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    PORTS.map(port).find(is_free).ok_or(ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::free_port;

    #[test]
    fn a_port_is_told_once() {
        let ports: BTreeSet<u16> = (0..1000).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 1000);
    }
}
