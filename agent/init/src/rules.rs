//! Routing rules that keep jobs away from the addresses at which cloud machines tell their own programs who they are.
//!
//! Whoever reaches such an address over HTTP can act with the machine's role. A rule of the kernel's routing (`ip rule`) takes packets
//! from the networks of jobs to them away before any table is looked at; unlike filter rules it is the same whatever firewall
//! the machine has. TCP alone, and not port 53: at some of these addresses is the machine's resolver, too.
//!
//! Reading rules needs no privilege, which is how the agent knows that they stand; adding them needs `CAP_NET_ADMIN`, which the agent has
//! not: a container of init's own does it.

use std::io;
use std::net::Ipv4Addr;

mod message;
mod socket;

/// What shows that a rule is ours: `ip rule flush protocol 83` removes them.
pub const PROTOCOL: u8 = 83;

/// Their place: behind the addresses of the machine itself (0), before every table (from 32766 on).
pub const PRIORITY: u32 = 83;

/// Where metadata services are, and who says so.
pub const DESTINATIONS: [(Ipv4Addr, u8); 4] = [
    // 169.254.169.254: Amazon ("Instance metadata and user data"), Google ("About VM metadata"), Azure ("Azure Instance Metadata
    // Service"), and whoever follows OpenStack's Nova ("Metadata service"). 169.254.170.2: Amazon ECS ("Task IAM role");
    // 169.254.170.23: Amazon EKS ("EKS Pod Identity"). Addresses of one link (RFC 3927): nothing else there is a job's business.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Azure ("What is IP address 168.63.129.16?"): certificates and settings of the machine.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Alibaba Cloud ("View instance metadata").
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    // Oracle Cloud Infrastructure Classic ("Retrieving instance metadata").
    (Ipv4Addr::new(192, 0, 0, 192), 32),
];

/// All ports but that of DNS, and the last one, which the kernel takes in no range.
const PORTS: [(u16, u16); 2] = [(1, 52), (54, u16::MAX - 1)];

/// A rule: TCP from a range of addresses to another, to these ports, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Of jobs, and its prefix length.
    pub source: (Ipv4Addr, u8),
    /// Of a service, and its prefix length.
    pub destination: (Ipv4Addr, u8),
    /// First and last.
    pub ports: (u16, u16),
}

/// The rules for jobs with addresses of this range.
#[must_use]
pub fn wanted(source: (Ipv4Addr, u8)) -> Vec<Rule> {
    let rules =
        DESTINATIONS.iter().flat_map(|&destination| PORTS.map(|ports| Rule { source, destination, ports }));
    rules.collect()
}

/// Which of the rules for this range are not there.
///
/// # Errors
/// When the kernel does not tell.
pub fn missing(source: (Ipv4Addr, u8)) -> io::Result<Vec<Rule>> {
    let found = socket::Socket::open()?.list()?;
    Ok(wanted(source).into_iter().filter(|rule| !found.contains(rule)).collect())
}

/// Adds the rules for this range that are not there. Several may do so at once: the kernel takes none twice.
///
/// # Errors
/// When the kernel refuses: without `CAP_NET_ADMIN`, or before Linux 4.17.
pub fn add(source: (Ipv4Addr, u8)) -> io::Result<()> {
    let mut socket = socket::Socket::open()?;
    missing(source)?.iter().try_for_each(|rule| socket.add(rule))
}

/// Reads `10.83.0.0/16`.
#[must_use]
pub fn range(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix))?;
    Some((address.parse().ok()?, prefix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_destination_has_all_ports_but_one() {
        let rules = wanted(range("10.83.0.0/16").unwrap());
        assert_eq!(rules.len(), 2 * DESTINATIONS.len());
        for (destination, _) in DESTINATIONS {
            let ports: u32 = rules
                .iter()
                .filter(|rule| rule.destination.0 == destination)
                .map(|rule| u32::from(rule.ports.1 - rule.ports.0) + 1)
                .sum();
            assert_eq!(ports, 65_533, "1 to 65534 without 53");
        }
        assert_eq!([range("10.0.0.0"), range("10.0.0.0/0"), range("x/8"), range("::/8")], [None; 4]);
    }

    #[test]
    fn rules_can_be_read_without_privileges() {
        missing(range("10.83.0.0/16").unwrap()).unwrap();
    }
}
