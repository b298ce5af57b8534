//! Links, addresses and routes, through rtnetlink.

use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::str::FromStr;

use futures::TryStreamExt;
use nix::sched::{CloneFlags, setns};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::{Error, Result};

/// A block of addresses: `10.42.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    pub base: Ipv4Addr,
    /// How many leading bits are the block's, at most 32.
    pub length: u8,
}

impl Cidr {
    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0)
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.base)
    }

    /// How many addresses it has.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.length))
    }

    /// Its `index`-th address, counted from its base.
    pub fn nth(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(index))
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::Invalid(format!("{text:?} is no block of IPv4 addresses such as 10.42.0.0/16"));
        let (base, length) = text.split_once('/').ok_or_else(invalid)?;
        let (base, length): (Ipv4Addr, u8) =
            (base.parse().map_err(|_| invalid())?, length.parse().map_err(|_| invalid())?);
        let cidr = Self { base, length };
        if length > 32 || !cidr.contains(base) { Err(invalid()) } else { Ok(cidr) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

/// The links of one network namespace.
#[derive(Clone)]
pub struct Links(Handle);

impl Links {
    /// The namespace of the calling thread; must be called inside a tokio runtime.
    pub fn here() -> Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|cause| failed("open netlink", cause))?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The index of a link; nothing if there is none of that name.
    pub async fn index(&self, name: &str) -> Result<Option<u32>> {
        match self.0.link().get().match_name(name).execute().try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(failed(format!("look up link {name}"), error)),
        }
    }

    /// Makes a bridge that is up, if there is none; answers its index.
    pub async fn bridge(&self, name: &str) -> Result<u32> {
        if let Some(index) = self.index(name).await? {
            return Ok(index);
        }
        done(format!("add bridge {name}"), self.0.link().add(LinkBridge::new(name).build()).execute().await)?;
        self.index(name).await?.ok_or_else(|| failed(format!("add bridge {name}"), "it is gone at once"))
    }

    /// Makes a veth pair: `name` on the bridge, up; `peer` in the other namespace, still down.
    pub async fn veth(&self, name: &str, bridge: u32, peer: &str, namespace: &std::fs::File) -> Result<()> {
        let peer = LinkUnspec::new_with_name(peer).setns_by_fd(namespace.as_raw_fd());
        let pair = LinkVeth::new(name, "").set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
        let added = self.0.link().add(pair.controller(bridge).build()).execute().await;
        done(format!("add veth {name}"), added)?;
        let index = self.index(name).await?.ok_or_else(|| failed(format!("add veth {name}"), "it is gone at once"))?;
        // Where the kernel filters bridged packets, a pod's packets to itself turn round on the bridge.
        let hairpin = LinkBridgePort::new(index).hairpin(true).build();
        self.0.link().set_port(hairpin).execute().await.map_err(|cause| failed("set hairpin mode", cause))?;
        self.up(index).await
    }

    /// Removes a link; it may be gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let Some(index) = self.index(name).await? else { return Ok(()) };
        match self.0.link().del(index).execute().await {
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(()),
            result => result.map_err(|cause| failed(format!("delete link {name}"), cause)),
        }
    }

    pub async fn up(&self, index: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.0.link().change(message).execute().await.map_err(|cause| failed(format!("set link {index} up"), cause))
    }

    /// The names of the links on a bridge.
    pub async fn on_bridge(&self, bridge: u32) -> Result<Vec<String>> {
        let links = self.0.link().get().execute().try_collect::<Vec<_>>().await;
        let links = links.map_err(|cause| failed("list links", cause))?;
        let on_bridge = links.into_iter().filter(|link| link.attributes.contains(&LinkAttribute::Controller(bridge)));
        Ok(on_bridge.filter_map(|link| link.attributes.into_iter().find_map(name_attribute)).collect())
    }

    /// Adds an address; it may be there.
    pub async fn add_address(&self, index: u32, address: Ipv4Addr, length: u8) -> Result<()> {
        let added = self.0.address().add(index, address.into(), length).execute().await;
        done(format!("add address {address}/{length}"), added)
    }

    /// Removes the addresses of a link but `keep`.
    pub async fn retain_addresses(&self, index: u32, keep: &[(Ipv4Addr, u8)]) -> Result<()> {
        let all = self.0.address().get().set_link_index_filter(index).execute().try_collect::<Vec<_>>().await;
        for message in all.map_err(|cause| failed("list addresses", cause))? {
            let length = message.header.prefix_len;
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(std::net::IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            if address.is_some_and(|address| !keep.contains(&(address, length))) {
                let deleted = self.0.address().del(message).execute().await;
                deleted.map_err(|cause| failed("delete an address", cause))?;
            }
        }
        Ok(())
    }

    /// Leads `to` through a gateway, or straight out of the link when there is none.
    pub async fn route(&self, index: u32, to: Cidr, gateway: Option<Ipv4Addr>) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to.base, to.length);
        let message = match gateway {
            Some(gateway) if index == 0 => route.gateway(gateway).build(),
            Some(gateway) => route.gateway(gateway).output_interface(index).build(),
            None => route.output_interface(index).scope(RouteScope::Link).build(),
        };
        let added = self.0.route().add(message).replace().execute().await;
        added.map_err(|cause| failed(format!("add route to {to}"), cause))
    }

    /// Routes through gateways into `within`: where to, and by whom.
    pub async fn gateway_routes(&self, within: Cidr) -> Result<Vec<(Cidr, Ipv4Addr)>> {
        let filter = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.0.route().get(filter).execute().try_collect::<Vec<_>>().await;
        let routes = routes.map_err(|cause| failed("list routes", cause))?;
        Ok(routes
            .iter()
            .filter_map(gateway_route)
            .filter(|(to, _)| within.contains(to.base) && *to != within)
            .collect())
    }

    pub async fn delete_route(&self, to: Cidr, gateway: Ipv4Addr) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to.base, to.length).gateway(gateway);
        let deleted = self.0.route().del(route.build()).execute().await;
        deleted.map_err(|cause| failed(format!("delete route to {to}"), cause))
    }
}

fn name_attribute(attribute: LinkAttribute) -> Option<String> {
    match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    }
}

fn gateway_route(message: &RouteMessage) -> Option<(Cidr, Ipv4Addr)> {
    let address = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(base)) => Some((Some(*base), None)),
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some((None, Some(*gateway))),
        _ => None,
    };
    let found: Vec<_> = message.attributes.iter().filter_map(address).collect();
    let base = found.iter().find_map(|(base, _)| *base)?;
    let gateway = found.iter().find_map(|(_, gateway)| *gateway)?;
    Some((Cidr { base, length: message.header.destination_prefix_length }, gateway))
}

/// Runs `work` on the links of another network namespace, on a thread of its own.
///
/// A netlink socket stays in the namespace where it was opened, and a thread that changed its namespace must
/// not go back to the runtime's pool.
pub async fn in_namespace<T, F>(path: &Path, work: impl FnOnce(Links) -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let path = path.to_owned();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("pod-netns".to_owned()).spawn(move || {
        // Whoever asked may be gone; then nobody wants the answer.
        drop(answer.send(enter(&path, work)));
    });
    thread.map_err(|cause| failed("start a thread", cause))?;
    answered.await.map_err(|_| failed("work in a network namespace", "the thread panicked"))?
}

fn enter<T, F: Future<Output = Result<T>>>(path: &Path, work: impl FnOnce(Links) -> F) -> Result<T> {
    let namespace = std::fs::File::open(path).map_err(|cause| Error::File { path: path.to_owned(), cause })?;
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|cause| failed("enter a network namespace", cause))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| failed("start a runtime", cause))?;
    runtime.block_on(async { work(Links::here()?).await })
}

/// Sets a kernel parameter of the network namespace of the calling thread: `net/ipv4/ip_forward`.
pub fn set_parameter(name: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(name);
    std::fs::write(&path, value).map_err(|cause| Error::File { path, cause })
}

/// Being there already is as good as being added.
fn done(doing: String, result: std::result::Result<(), rtnetlink::Error>) -> Result<()> {
    match result {
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
        result => result.map_err(|cause| failed(doing, cause)),
    }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

fn failed(doing: impl Into<String>, cause: impl fmt::Display) -> Error {
    Error::Link { doing: doing.into(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_addresses_is_read_and_counted() {
        let cidr: Cidr = "10.42.1.0/24".parse().unwrap();
        assert_eq!((cidr.nth(1), cidr.size()), ("10.42.1.1".parse().unwrap(), 256));
        assert!(cidr.contains("10.42.1.255".parse().unwrap()) && !cidr.contains("10.42.2.0".parse().unwrap()));
        for wrong in ["10.42.1.0", "10.42.1.1/24", "10.42.1.0/33", "x/8"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
