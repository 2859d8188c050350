//! Which servers there are, and which one to ask.
//!
//! What is known is used until an answer shows that it is out of date (a key has moved, a server is read-only now, a
//! connection is gone); then it is asked for anew and the call repeated, once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::join_all;
use redis::{Pipeline, ServerErrorKind, Value as Reply};
use tokio::sync::Mutex;

use super::cluster::{self, SLOTS};
use super::commands::{Request, refusal};
use super::connect::Connector;
use super::node::{Node, NodeError};
use super::options::{OptionsError, RedisOptions, Servers};
use super::sentinel::Sentinels;

/// The servers of one Redis.
pub(super) struct Topology {
    connector: Connector,
    finding: Finding,
    map: RwLock<Option<Arc<Map>>>,
    /// One at a time asks for it anew.
    renewing: Mutex<()>,
}

enum Finding {
    Fixed(String, u16),
    Sentinel(Sentinels),
    Cluster(Vec<(String, u16)>),
}

/// Servers, and who has which slot; without a cluster, one has them all.
struct Map {
    nodes: Vec<Node>,
    addresses: Vec<(String, u16)>,
    /// Empty without a cluster.
    slots: Vec<u16>,
}

impl Map {
    fn of(&self, key: &str) -> usize {
        match self.slots.is_empty() {
            true => 0,
            false => usize::from(self.slots[cluster::slot(key)]),
        }
    }
}

impl Topology {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, OptionsError> {
        let connector = Connector::new(options)?;
        let finding = match &options.servers {
            Servers::Single(host, port) => Finding::Fixed(host.clone(), *port),
            Servers::Sentinel { sentinels, service } => {
                Finding::Sentinel(Sentinels::new(&connector, sentinels, service).map_err(OptionsError::Url)?)
            }
            Servers::Cluster(seeds) => Finding::Cluster(seeds.clone()),
        };
        Ok(Self { connector, finding, map: RwLock::new(None), renewing: Mutex::new(()) })
    }

    /// Whether one server has all keys.
    pub(super) fn is_one(&self) -> bool {
        !matches!(self.finding, Finding::Cluster(_))
    }

    fn known(&self) -> Option<Arc<Map>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn map(self: &Arc<Self>) -> Result<Arc<Map>, String> {
        match self.known() {
            Some(map) => Ok(map),
            None => self.renew(None).await,
        }
    }

    /// Finds the servers anew, unless somebody did since `old` was looked up; in a task of its own, for which the calls of others
    /// wait too.
    async fn renew(self: &Arc<Self>, old: Option<&Arc<Map>>) -> Result<Arc<Map>, String> {
        let (this, old) = (Arc::clone(self), old.cloned());
        let renewing = tokio::spawn(async move { this.find(old.as_ref()).await });
        renewing.await.unwrap_or_else(|_| Err("the process ends".to_owned()))
    }

    async fn find(&self, old: Option<&Arc<Map>>) -> Result<Arc<Map>, String> {
        let _renewing = self.renewing.lock().await;
        if let Some(known) = self.known()
            && old.is_none_or(|old| !Arc::ptr_eq(old, &known))
        {
            return Ok(known);
        }
        let (addresses, slots) = match &self.finding {
            Finding::Fixed(host, port) => (vec![(host.clone(), *port)], Vec::new()),
            Finding::Sentinel(sentinels) => (vec![sentinels.primary().await?], Vec::new()),
            Finding::Cluster(seeds) => self.cluster(seeds, old).await?,
        };
        if let Some(old) = old
            && old.addresses == addresses
            && old.slots == slots
        {
            // The same as before, and its connections mend themselves.
            return Ok(Arc::clone(old));
        }
        let nodes = addresses.iter().map(|(host, port)| Node::new(&self.connector, host, *port));
        let map = Arc::new(Map { nodes: nodes.collect::<Result<_, _>>()?, addresses, slots });
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&map));
        Ok(map)
    }

    /// The servers of a cluster and their slots, as the first says that answers.
    async fn cluster(&self, seeds: &[(String, u16)], old: Option<&Arc<Map>>) -> Result<Addresses, String> {
        let mut candidates = seeds.to_vec();
        candidates.extend(old.iter().flat_map(|old| old.addresses.clone()));
        candidates.dedup();
        let asked = candidates.into_iter().map(|(host, port)| {
            Box::pin(async move {
                let mut question = Pipeline::new();
                question.cmd("CLUSTER").arg("SLOTS");
                let node = Node::new(&self.connector, &host, port)?;
                let replies = node.ask(&question, 0).await.map_err(reason)?;
                let ranges = cluster::ranges(replies.first(), &host);
                ranges.and_then(whole).ok_or_else(|| format!("{host}:{port} knows no whole cluster"))
            })
        });
        futures_util::future::select_ok(asked).await.map(|(found, _)| found)
    }

    /// Asks for every key where it is; the replies in the order of the requests.
    pub(super) async fn ask(self: &Arc<Self>, requests: Vec<Request>) -> Result<Vec<Reply>, String> {
        let count = requests.len();
        let map = self.map().await?;
        let parts = split(&map, requests.into_iter().enumerate());
        let map = match ask_all(&map, &parts, count).await {
            Ok(replies) if !replies.iter().any(is_outdated) => return Ok(replies),
            Ok(_) => self.renew(Some(&map)).await?,
            Err(NodeError::Broken(why) | NodeError::Silent(why)) => {
                // Whoever has one fixed address has nowhere else to ask.
                if matches!(self.finding, Finding::Fixed(..)) {
                    return Err(why);
                }
                let renewed = self.renew(Some(&map)).await?;
                if Arc::ptr_eq(&renewed, &map) {
                    return Err(why);
                }
                renewed
            }
        };
        let parts = split(&map, parts.into_iter().flat_map(Part::into_requests));
        let replies = ask_all(&map, &parts, count).await.map_err(reason)?;
        match replies.iter().find(|reply| is_outdated(reply)).and_then(refusal) {
            // Slots on the move, or a failover that is not over.
            Some(refused) => Err(refused),
            None => Ok(replies),
        }
    }

    /// Asks the `number`th server; `None` if there are not so many.
    pub(super) async fn ask_node(
        self: &Arc<Self>,
        number: usize,
        pipeline: &Pipeline,
    ) -> Result<Option<Vec<Reply>>, String> {
        let map = self.map().await?;
        match map.nodes.get(number) {
            Some(node) => node.ask(pipeline, 0).await.map(Some).map_err(reason),
            None => Ok(None),
        }
    }
}

type Addresses = (Vec<(String, u16)>, Vec<u16>);

/// Servers and the slots of each; `None` unless every slot has one.
fn whole(ranges: Vec<cluster::Range>) -> Option<Addresses> {
    let (mut addresses, mut numbers) = (Vec::new(), HashMap::new());
    let mut slots = vec![u16::MAX; SLOTS];
    for (start, stop, host, port) in ranges {
        let number = *numbers.entry((host.clone(), port)).or_insert_with(|| {
            addresses.push((host, port));
            addresses.len() - 1
        });
        slots[start..=stop].fill(u16::try_from(number).ok()?);
    }
    (!slots.contains(&u16::MAX)).then_some((addresses, slots))
}

/// What one server is asked, and whose answers those are.
struct Part {
    node: usize,
    pipeline: Pipeline,
    /// Place in the call, and key.
    places: Vec<(usize, String)>,
    bytes: usize,
}

impl Part {
    /// The requests once more; the values in them are copied, which is why they are not kept from the start.
    fn into_requests(self) -> Vec<(usize, Request)> {
        let commands = self.pipeline.cmd_iter().cloned();
        let request = |((at, key), command)| (at, Request { key, command, bytes: 0 });
        let mut requests: Vec<_> = self.places.into_iter().zip(commands).map(request).collect();
        if let Some((_, first)) = requests.first_mut() {
            first.bytes = self.bytes;
        }
        requests
    }
}

fn split(map: &Map, requests: impl Iterator<Item = (usize, Request)>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut numbers = HashMap::new();
    for (at, request) in requests {
        let node = map.of(&request.key);
        let number = *numbers.entry(node).or_insert_with(|| {
            parts.push(Part { node, pipeline: Pipeline::new(), places: Vec::new(), bytes: 0 });
            parts.len() - 1
        });
        if let Some(part) = parts.get_mut(number) {
            part.pipeline.add_command(request.command);
            part.places.push((at, request.key));
            part.bytes += request.bytes;
        }
    }
    parts
}

async fn ask_all(map: &Map, parts: &[Part], count: usize) -> Result<Vec<Reply>, NodeError> {
    let asked = parts.iter().map(|part| map.nodes[part.node].ask(&part.pipeline, part.bytes));
    let mut replies = vec![Reply::Nil; count];
    for (part, answered) in parts.iter().zip(join_all(asked).await) {
        for ((at, _), reply) in part.places.iter().zip(answered?) {
            replies[*at] = reply;
        }
    }
    Ok(replies)
}

/// Whether a reply says that another server is to be asked.
fn is_outdated(reply: &Reply) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    let Reply::ServerError(error) = reply else { return false };
    matches!(error.kind(), Some(Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain))
}

fn reason(error: NodeError) -> String {
    match error {
        NodeError::Broken(why) | NodeError::Silent(why) => why,
    }
}
