//! The addresses of one range, and in which order they are given.

use std::net::Ipv4Addr;

/// The usable addresses of a network: all but its own and the broadcast address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRange {
    text: String,
    network: u32,
    broadcast: u32,
    /// How many addresses at the start are left to those who ask for one by name, while others are free.
    reserved: u32,
}

/// Of the addresses of a range a sixteenth is reserved, within these bounds.
/// (upstream: calculateRangeOffset)
const RESERVED: (u32, u32) = (16, 256);

impl AddressRange {
    /// Nothing for what is no IPv4 network.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
        let hosts = u32::MAX.checked_shr(bits).unwrap_or(0);
        let network = u32::from(address) & !hosts;
        let (least, most) = RESERVED;
        let usable = hosts.saturating_sub(1);
        let reserved = if usable <= least { 0 } else { (usable / 16).clamp(least, most) };
        Some(Self { text: text.to_owned(), network, broadcast: network + hosts, reserved })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.network..=self.broadcast).contains(&address.into())
    }

    pub fn is_usable(&self, address: Ipv4Addr) -> bool {
        self.contains(address) && ![self.network, self.broadcast].contains(&address.into())
    }

    pub fn first(&self) -> Ipv4Addr {
        self.network.saturating_add(1).into()
    }

    /// Every usable address once, those that are not reserved first, from a random one on.
    pub fn candidates(&self, random_below: impl Fn(usize) -> usize) -> impl Iterator<Item = Ipv4Addr> {
        let usable = self.broadcast.saturating_sub(self.network).saturating_sub(1);
        let reserved = self.reserved.min(usable);
        let from = |start: u32, count: u32| {
            let skip = if count == 0 { 0 } else { random_below(count as usize) as u32 };
            (0..count).map(move |step| start + ((u64::from(step) + u64::from(skip)) % u64::from(count)) as u32)
        };
        let first = u32::from(self.first());
        from(first + reserved, usable - reserved).chain(from(first, reserved)).map(Ipv4Addr::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        AddressRange::parse(text).unwrap()
    }

    #[test]
    fn a_range_gives_every_address_once_and_the_reserved_ones_last() {
        let all: Vec<Ipv4Addr> = range("10.0.0.0/24").candidates(|count| count - 1).collect();
        assert_eq!(all.len(), 254);
        let shown = [all[0], all[1], all[237], all[238]].map(|address| address.to_string());
        assert_eq!(shown, ["10.0.0.254", "10.0.0.17", "10.0.0.253", "10.0.0.16"]);
        let sorted: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(sorted.len(), 254);
    }

    #[test]
    fn small_ranges_reserve_nothing_and_the_smallest_have_nothing() {
        let count = |text: &str| range(text).candidates(|_| 0).count();
        assert_eq!(range("10.0.0.16/28").candidates(|_| 0).next(), Some(Ipv4Addr::new(10, 0, 0, 17)));
        assert_eq!(
            [count("10.0.0.16/28"), count("10.0.0.0/30"), count("10.0.0.0/31"), count("255.255.255.255/32")],
            [14, 2, 0, 0]
        );
    }

    #[test]
    fn a_networks_own_addresses_are_in_it_but_not_usable() {
        let range = range("10.0.0.0/24");
        let [network, broadcast, other] = ["10.0.0.0", "10.0.0.255", "10.0.1.0"].map(|text| text.parse().unwrap());
        assert!(range.contains(network) && range.contains(broadcast) && !range.contains(other));
        assert!(!range.is_usable(network) && !range.is_usable(broadcast) && range.is_usable(range.first()));
        assert_eq!(AddressRange::parse("fd00::/64"), None);
        assert_eq!(AddressRange::parse("10.0.0.0/33"), None);
    }
}
