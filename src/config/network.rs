//! IP networks, as in `10.0.0.0/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::setting::{Kind, Reader, Setting, Shown, quoted};
use super::tree::Node;

/// Addresses that begin alike: `10.0.0.0/8`; a single one is written without its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits they have in common.
    length: u8,
}

impl Network {
    pub const fn of(address: IpAddr) -> Network {
        Network { address, length: bits(address) }
    }

    /// An address of IPv4 is in no network of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(u32::from(32 - self.length)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(u32::from(128 - self.length)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Network, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let length = length.map_or(Ok(bits(address)), |length| length.parse().map_err(drop))?;
        if length > bits(address) { Err(()) } else { Ok(Network { address, length }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length == bits(self.address) {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.length),
        }
    }
}

impl Setting for Network {
    fn kind() -> Kind {
        Kind::Value { name: "IP address or network", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        let network = text.parse().ok();
        if network.is_none() {
            reader.report(&node.origin, format!("{} is no IP address or network", quoted(&text))).help =
                Some("write it as in \"192.0.2.7\" or \"10.0.0.0/8\"".into());
        }
        network
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        let f = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        };
        f("10.0.0.0/8", "10.255.0.1", true);
        f("10.0.0.0/8", "11.0.0.1", false);
        f("127.0.0.1", "127.0.0.1", true);
        f("127.0.0.1", "127.0.0.2", false);
        f("0.0.0.0/0", "203.0.113.9", true);
        f("0.0.0.0/0", "::1", false);
        f("2001:db8::/32", "2001:db8:1::9", true);
        f("2001:db8::/32", "2001:db9::", false);
        f("::/0", "2001:db9::", true);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("::1/128".parse::<Network>().unwrap().to_string(), "::1");
    }
}
