//! IP addresses and networks.

use std::net::IpAddr;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Foreign, Value};

pub const LIBRARY: &[Declaration] = &[
    ("string_to_ip ip(string) -> net.IP", to_ip),
    ("ip_family net.IP:family() -> int", family),
    ("ip_is_canonical ip.isCanonical(string) -> bool", is_canonical),
    ("ip_is_unspecified net.IP:isUnspecified() -> bool", is_unspecified),
    ("ip_is_loopback net.IP:isLoopback() -> bool", is_loopback),
    ("ip_is_link_local_multicast net.IP:isLinkLocalMulticast() -> bool", is_link_local_multicast),
    ("ip_is_link_local_unicast net.IP:isLinkLocalUnicast() -> bool", is_link_local_unicast),
    ("ip_is_global_unicast net.IP:isGlobalUnicast() -> bool", is_global_unicast),
    ("is_ip isIP(string) -> bool", is_ip),
    ("ip_to_string string(net.IP) -> string", ip_to_string),
    ("string_to_cidr cidr(string) -> net.CIDR", to_cidr),
    ("cidr_contains_ip_string net.CIDR:containsIP(string) -> bool", contains_ip),
    ("cidr_contains_ip_ip net.CIDR:containsIP(net.IP) -> bool", contains_ip),
    ("cidr_contains_cidr_string net.CIDR:containsCIDR(string) -> bool", contains_cidr),
    ("cidr_contains_cidr net.CIDR:containsCIDR(net.CIDR) -> bool", contains_cidr),
    ("cidr_ip net.CIDR:ip() -> net.IP", cidr_ip),
    ("cidr_prefix_length net.CIDR:prefixLength() -> int", prefix_length),
    ("cidr_masked net.CIDR:masked() -> net.CIDR", masked),
    ("is_cidr isCIDR(string) -> bool", is_cidr),
    ("cidr_to_string string(net.CIDR) -> string", cidr_to_string),
];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ip(IpAddr);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Foreign for Ip {
    fn type_name(&self) -> &'static str {
        "net.IP"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref() == Some(self)
    }

    fn size(&self) -> u64 {
        if self.0.is_ipv4() { 4 } else { 16 }
    }
}

impl Foreign for Cidr {
    fn type_name(&self) -> &'static str {
        "net.CIDR"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref() == Some(self)
    }

    fn size(&self) -> u64 {
        u64::from(self.bits).div_ceil(8)
    }
}

impl Cidr {
    fn masked(self) -> Self {
        Self { address: mask(self.address, self.bits), bits: self.bits }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && mask(address, self.bits) == mask(self.address, self.bits)
    }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn parse_ip(text: &str) -> Result<IpAddr, Error> {
    let (unzoned, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let parsed: Result<IpAddr, _> = unzoned.parse();
    let address = parsed.map_err(|_| {
        let reason = format!("ParseAddr({text:?}): unable to parse IP");
        Error::failed(format!("IP Address {text:?} parse error during conversion from string: {reason}"))
    })?;
    if zone.is_some() {
        return Err(Error::failed(format!("IP address {text:?} with zone value is not allowed")));
    }
    if is_mapped(address) {
        return Err(Error::failed(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(address)
}

fn parse_cidr(text: &str) -> Result<Cidr, String> {
    let fault = |reason: &str| {
        let reason = format!("netip.ParsePrefix({text:?}): {reason}");
        format!("network address parse error during conversion from string: {reason}")
    };
    let (address, length) = text.rsplit_once('/').ok_or_else(|| fault("no '/'"))?;
    let parsed: Result<IpAddr, _> = address.parse();
    let address = parsed.map_err(|_| fault(&format!("ParseAddr({address:?}): unable to parse IP")))?;
    let written_well = length == "0" || length.bytes().all(|byte| byte.is_ascii_digit()) && !length.starts_with('0');
    let bits: Option<u8> = length.parse().ok().filter(|_| written_well);
    let bits = bits.ok_or_else(|| fault(&format!("bad bits after slash: {length:?}")))?;
    if bits > if address.is_ipv4() { 32 } else { 128 } {
        return Err(fault("prefix length out of range"));
    }
    if is_mapped(address) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    Ok(Cidr { address, bits })
}

type Outcome<'a> = Result<Value<'a>, Error>;

fn ip(value: &Value<'_>) -> Result<IpAddr, Error> {
    value.downcast::<Ip>().map(|ip| ip.0).ok_or(Error::NoOverload)
}

fn cidr(value: &Value<'_>) -> Result<Cidr, Error> {
    value.downcast::<Cidr>().copied().ok_or(Error::NoOverload)
}

fn text<'v>(values: &'v [Value<'_>]) -> Result<&'v str, Error> {
    values[0].as_str().ok_or(Error::NoOverload)
}

fn to_ip<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    parse_ip(text(values)?).map(|address| Value::foreign(Ip(address)))
}

fn is_ip<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(parse_ip(text(values)?).is_ok()))
}

fn is_canonical<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let text = text(values)?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == text))
}

fn ip_to_string<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::from(ip(&values[0])?.to_string()))
}

fn family<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Int(if ip(&values[0])?.is_ipv4() { 4 } else { 6 }))
}

fn is_unspecified<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(ip(&values[0])?.is_unspecified()))
}

fn is_loopback<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(ip(&values[0])?.is_loopback()))
}

fn is_link_local_multicast<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(match ip(&values[0])? {
        IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_link_local_unicast<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(is_link_local(ip(&values[0])?)))
}

fn is_global_unicast<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let address = ip(&values[0])?;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let other = address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_link_local(address);
    Ok(Value::Bool(!broadcast && !other))
}

fn to_cidr<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    read_cidr(text(values)?).map(Value::foreign)
}

fn read_cidr(text: &str) -> Result<Cidr, Error> {
    parse_cidr(text)
        .map_err(|reason| Error::failed(format!("network address parse error during conversion from string: {reason}")))
}

fn is_cidr<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(parse_cidr(text(values)?).is_ok()))
}

fn cidr_to_string<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let Cidr { address, bits } = cidr(&values[0])?;
    Ok(Value::from(format!("{address}/{bits}")))
}

fn contains_ip<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let address = match &values[1] {
        // An address that cannot be read is told apart from others by nothing but this.
        Value::String(text) => parse_ip(text).map_err(|_| Error::failed("no such overload"))?,
        value => ip(value)?,
    };
    Ok(Value::Bool(cidr(&values[0])?.contains(address)))
}

fn contains_cidr<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let outer = cidr(&values[0])?;
    let inner = match &values[1] {
        Value::String(text) => read_cidr(text)?,
        value => cidr(value)?,
    };
    Ok(Value::Bool(outer.bits <= inner.bits && outer.contains(inner.address)))
}

fn cidr_ip<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::foreign(Ip(cidr(&values[0])?.address)))
}

fn prefix_length<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Int(i64::from(cidr(&values[0])?.bits)))
}

fn masked<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::foreign(cidr(&values[0])?.masked()))
}
