//! `ip` and `cidr`: addresses and ranges of them.

use std::net::IpAddr;

use cel::common::types::{CelBool, CelInt, CelString};
use cel::common::value::Val as _;
use cel::{Env, ExecutionError, add_member_overload, add_overload};
use ipnet::IpNet;

use super::{Declared, error, opaque};

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ip(IpAddr);

/// An address with the length of the prefix that its range has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cidr(IpNet);

opaque!(Ip, "net.IP");
opaque!(Cidr, "net.CIDR");

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_type(Ip::cel_type().to_owned())?;
    env.add_type(Cidr::cel_type().to_owned())?;
    add_overload!(env, fn ip: (CelString) -> Result<Ip>)?;
    add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    add_overload!(env, fn ip_text: (Ip) -> CelString, name = "string")?;
    add_member_overload!(env, fn family: (Ip) -> CelInt)?;
    add_member_overload!(env, fn is_unspecified: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_loopback: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_link_local_multicast: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_link_local_unicast: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_global_unicast: (Ip) -> CelBool)?;
    add_overload!(env, fn cidr: (CelString) -> Result<Cidr>)?;
    add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    add_overload!(env, fn cidr_text: (Cidr) -> CelString, name = "string")?;
    add_member_overload!(env, fn contains_ip: (Cidr, Ip) -> CelBool, name = "containsIP")?;
    add_member_overload!(env, fn contains_ip_text: (Cidr, CelString) -> Result<CelBool>, name = "containsIP")?;
    add_member_overload!(env, fn contains_cidr: (Cidr, Cidr) -> CelBool, name = "containsCIDR")?;
    add_member_overload!(env, fn contains_cidr_text: (Cidr, CelString) -> Result<CelBool>, name = "containsCIDR")?;
    add_member_overload!(env, fn cidr_ip: (Cidr) -> Ip, name = "ip")?;
    add_member_overload!(env, fn masked: (Cidr) -> Cidr)?;
    add_member_overload!(env, fn prefix_length: (Cidr) -> CelInt)
}

/// Addresses that an IPv6 form wraps are refused there, and so are zones.
fn read(text: &str) -> Result<IpAddr, String> {
    let error = "parse error during conversion from string";
    let unread = |_| format!("IP Address {text:?} {error}: ParseAddr({text:?}): unable to parse IP");
    let address: IpAddr = text.parse().map_err(unread)?;
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
        }
        _ => Ok(address),
    }
}

fn read_range(text: &str) -> Result<IpNet, String> {
    let fault = || unread(text, "bad bits after slash");
    let (address, length) = text.split_once('/').ok_or_else(|| unread(text, "no '/'"))?;
    // No leading zeros and no sign.
    let length: u8 = length
        .parse()
        .ok()
        .filter(|number: &u8| number.to_string() == length)
        .ok_or_else(fault)?;
    IpNet::new(read(address)?, length).map_err(|_| fault())
}

fn unread(text: &str, reason: &str) -> String {
    // The real one says it twice.
    let error = "network address parse error during conversion from string";
    format!("{error}: {error}: netip.ParsePrefix({text:?}): {reason}")
}

fn ip(text: &CelString<'_>) -> Result<Ip, ExecutionError> {
    read(text).map(Ip).map_err(|message| error("ip", message))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    read(text).is_ok().into()
}

fn is_canonical(text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let address = ip(text)?.0;
    Ok((address.to_string() == text.inner()).into())
}

fn ip_text(ip: &Ip) -> CelString<'static> {
    ip.0.to_string().into()
}

fn family(ip: &Ip) -> CelInt {
    (if ip.0.is_ipv4() { 4 } else { 6 }).into()
}

fn is_unspecified(ip: &Ip) -> CelBool {
    ip.0.is_unspecified().into()
}

fn is_loopback(ip: &Ip) -> CelBool {
    ip.0.is_loopback().into()
}

fn is_link_local_multicast(ip: &Ip) -> CelBool {
    match ip.0 {
        IpAddr::V4(four) => four.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
    }
    .into()
}

fn link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

fn is_link_local_unicast(ip: &Ip) -> CelBool {
    link_local_unicast(ip.0).into()
}

/// Private addresses count as global.
fn is_global_unicast(ip: &Ip) -> CelBool {
    let is_broadcast = matches!(ip.0, IpAddr::V4(four) if four.is_broadcast());
    let is_other = ip.0.is_unspecified() || ip.0.is_loopback() || ip.0.is_multicast();
    (!is_broadcast && !is_other && !link_local_unicast(ip.0)).into()
}

fn cidr(text: &CelString<'_>) -> Result<Cidr, ExecutionError> {
    read_range(text)
        .map(Cidr)
        .map_err(|message| error("cidr", message))
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    read_range(text).is_ok().into()
}

fn cidr_text(cidr: &Cidr) -> CelString<'static> {
    cidr.0.to_string().into()
}

fn contains_ip(cidr: &Cidr, ip: &Ip) -> CelBool {
    cidr.0.contains(&ip.0).into()
}

fn contains_ip_text(cidr: &Cidr, text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(contains_ip(cidr, &ip(text)?))
}

fn contains_cidr(outer: &Cidr, inner: &Cidr) -> CelBool {
    outer.0.contains(&inner.0).into()
}

fn contains_cidr_text(outer: &Cidr, text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    Ok(contains_cidr(outer, &cidr(text)?))
}

fn cidr_ip(cidr: &Cidr) -> Ip {
    Ip(cidr.0.addr())
}

fn masked(cidr: &Cidr) -> Cidr {
    Cidr(cidr.0.trunc())
}

fn prefix_length(cidr: &Cidr) -> CelInt {
    i64::from(cidr.0.prefix_len()).into()
}
