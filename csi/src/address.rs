//! Where a CSI driver listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a CSI driver. Text forms: an absolute path, `unix:path`, `unix://path`, `tcp://host:port`
/// (sidecars.md 1.2, ebs-driver.md 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket. Always absolute.
    Unix(PathBuf),
    /// `host:port`, plain text.
    Tcp(String),
}

/// An address that is none of the accepted forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no CSI address: {reason}; use an absolute path such as /run/csi/socket, unix:///path or tcp://host:port"
)]
pub struct InvalidAddress {
    text: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidAddress {
            text: text.to_string(),
            reason,
        };
        if let Some(path) = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
        {
            return match path {
                "" => Err(invalid("the path is empty")),
                path if path.starts_with('/') => Ok(Self::Unix(path.into())),
                // Upstream's default endpoint `unix://tmp/csi.sock` means `/tmp/csi.sock`.
                path => Ok(Self::Unix(format!("/{path}").into())),
            };
        }
        if let Some(target) = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("tcp:")) {
            let (host, port) = target
                .rsplit_once(':')
                .ok_or_else(|| invalid("the port is missing"))?;
            if port.parse::<u16>().is_err() {
                return Err(invalid("the port is no number from 0 to 65535"));
            }
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            return Ok(Self::Tcp(format!("{host}:{port}")));
        }
        match text {
            "" => Err(invalid("it is empty")),
            path if path.starts_with('/') => Ok(Self::Unix(path.into())),
            _ => Err(invalid("it is neither an absolute path nor a known scheme")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(target) => write!(formatter, "tcp://{target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown) in [
            ("/run/csi/socket", "unix:///run/csi/socket"),
            ("unix:///csi/csi.sock", "unix:///csi/csi.sock"),
            ("unix:/csi/csi.sock", "unix:///csi/csi.sock"),
            ("unix://tmp/csi.sock", "unix:///tmp/csi.sock"),
            ("unix:tmp/csi.sock", "unix:///tmp/csi.sock"),
            ("tcp://127.0.0.1:10000", "tcp://127.0.0.1:10000"),
            ("tcp://[::1]:10000", "tcp://[::1]:10000"),
            ("tcp://:10000", "tcp://0.0.0.0:10000"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "",
            "csi.sock",
            "unix://",
            "unix:",
            "tcp://host",
            "tcp://host:port",
            "http://x:1",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("is no CSI address"), "{text}: {error}");
        }
    }
}
