//! One network per job, from small subnets of our own.
//!
//! The engine's default address pools end after about thirty networks, so the agent names its subnets itself: `/28`
//! slices of a configured range (13 containers each). It does not keep a list of free ones, which could disagree with
//! the engine's; it tries the next and lets the engine say that it overlaps. Networks are kept and used again by later
//! jobs, never by two at once: creating one takes about as long as starting a container.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::{Engine, LABEL_AGENT, is_missing};
use crate::failure::{Cause, Failure};
use crate::limits::SUBNET_TRIES;

/// Prefix length of one job's subnet.
const SUBNET_PREFIX: u8 = 28;

/// Addresses to make subnets from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    base: u32,
    prefix: u8,
}

impl AddressRange {
    /// 10.83.0.0/16: 4,096 subnets.
    pub const DEFAULT: Self = Self { base: 0x0a53_0000, prefix: 16 };

    /// Reads `10.83.0.0/16`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an IPv4 range such as 10.83.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if !(8..=SUBNET_PREFIX).contains(&prefix) {
            return Err(format!("the range `{text}` must be between /8 and /{SUBNET_PREFIX}"));
        }
        let base = u32::from(address);
        if base & (u32::MAX >> prefix) != 0 {
            return Err(format!("`{text}` has bits set after its prefix"));
        }
        Ok(Self { base, prefix })
    }

    /// Its first address, and the length of its prefix.
    #[must_use]
    pub fn parts(self) -> (Ipv4Addr, u8) {
        (Ipv4Addr::from(self.base), self.prefix)
    }

    /// How many subnets it has.
    fn count(self) -> u32 {
        1 << (SUBNET_PREFIX - self.prefix)
    }

    /// The subnet of this number, modulo their count.
    fn subnet(self, number: u32) -> String {
        let address = self.base | ((number % self.count()) << (32 - SUBNET_PREFIX));
        format!("{}/{SUBNET_PREFIX}", Ipv4Addr::from(address))
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// The agent's networks that no job uses at the moment.
#[derive(Debug)]
pub struct NetworkPool {
    engine: Engine,
    range: AddressRange,
    /// Where the search for a subnet starts; differs by agent so that two on one machine seldom collide.
    next: AtomicU32,
    free: Mutex<Vec<String>>,
    /// How many free ones are kept.
    keep: usize,
}

impl NetworkPool {
    /// An empty pool that keeps at most `keep` free networks.
    pub fn new(engine: Engine, range: AddressRange, keep: usize) -> Self {
        let start =
            engine.agent.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        Self { engine, range, next: AtomicU32::new(start), free: Mutex::new(Vec::new()), keep }
    }

    /// Takes over networks that an earlier process of this agent left, except those in `used`.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn adopt(&self, used: &[String]) -> Result<(), Failure> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_AGENT}={}", self.engine.agent)])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found =
            self.engine.docker.list_networks(Some(options)).await.map_err(|error| {
                self.engine.failure(Cause::EngineUnavailable, "cannot list networks", &error)
            })?;
        for name in found.into_iter().filter_map(|network| network.name) {
            if !used.contains(&name) {
                self.give_back(name).await;
            }
        }
        Ok(())
    }

    /// A network for one job alone.
    ///
    /// # Errors
    /// `container_start` when no subnet of the range is free.
    pub async fn take(&self) -> Result<String, Failure> {
        let pooled = self.lock().pop();
        match pooled {
            Some(name) => Ok(name),
            None => self.create().await,
        }
    }

    /// Gives a network back once no container is attached; beyond `keep` it is removed.
    pub async fn give_back(&self, name: String) {
        let excess = {
            let mut free = self.lock();
            if free.contains(&name) {
                return;
            }
            if free.len() < self.keep {
                free.push(name);
                return;
            }
            name
        };
        if let Err(failure) = self.engine.remove_network(&excess).await {
            tracing::warn!(network = excess, %failure, "a network could not be removed; the next start tries again");
        }
    }

    /// Removes every free network; for an agent that won't come back.
    pub async fn clear(&self) {
        let names = std::mem::take(&mut *self.lock());
        for name in names {
            if let Err(failure) = self.engine.remove_network(&name).await {
                tracing::warn!(network = name, %failure, "a network could not be removed");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn create(&self) -> Result<String, Failure> {
        let tries = SUBNET_TRIES.min(self.range.count());
        for _ in 0..tries {
            let subnet = self.range.subnet(self.next.fetch_add(1, Ordering::Relaxed));
            let name = format!("slipway-{}", uuid::Uuid::new_v4().simple());
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some("bridge".to_owned()),
                labels: Some(HashMap::from([(LABEL_AGENT.to_owned(), self.engine.agent.clone())])),
                // Its addresses would be nobody's to guard.
                enable_ipv6: Some(false),
                ipam: Some(Ipam {
                    config: Some(vec![IpamConfig { subnet: Some(subnet), ..IpamConfig::default() }]),
                    ..Ipam::default()
                }),
                ..NetworkCreateRequest::default()
            };
            match self.engine.docker.create_network(request).await {
                Ok(_) => return Ok(name),
                Err(error) if overlaps(&error) => {}
                Err(error) => {
                    return Err(self.engine.failure(
                        Cause::ContainerStart,
                        "cannot create a network",
                        &error,
                    ));
                }
            }
        }
        Err(Failure::new(
            Cause::ContainerStart,
            format!(
                "{tries} subnets of {} overlap with other networks: name a free range with --subnets",
                self.range
            ),
        ))
    }
}

impl Engine {
    async fn remove_network(&self, name: &str) -> Result<(), Failure> {
        match self.docker.remove_network(name).await {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(self.failure(Cause::EngineUnavailable, "cannot remove a network", &error)),
        }
    }
}

fn overlaps(error: &bollard::errors::Error) -> bool {
    let text = error.to_string();
    text.contains("overlap")
        || text.contains("is not available")
        || text.contains("failed to allocate gateway")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::AddressRange;

    #[test]
    fn a_range_is_cut_into_subnets_and_starts_over() {
        let range = AddressRange::parse("10.83.0.0/24").unwrap();
        assert_eq!(range.subnet(0), "10.83.0.0/28");
        assert_eq!(range.subnet(15), "10.83.0.240/28");
        assert_eq!(range.subnet(16), "10.83.0.0/28");
        assert_eq!(AddressRange::parse("10.83.0.0/16").unwrap(), AddressRange::DEFAULT);
    }

    #[test]
    fn a_bad_range_is_told() {
        for text in ["10.83.0.0", "10.83.0.1/16", "10.83.0.0/29", "10.0.0.0/7", "::/16", "x/16"] {
            let message = AddressRange::parse(text).unwrap_err();
            assert!(message.contains(text), "{message}");
        }
    }
}
