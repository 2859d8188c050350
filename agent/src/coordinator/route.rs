//! Which of several coordinators the agent speaks to: the leader. The others say where it is; when nobody says, the agent
//! tries those that it was given in turn.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ClientConfig;
use tonic::transport::Endpoint;

use super::server::{Server, ServerError};
use super::{Authorize, Client, JOB_KEEP_ALIVE, Presented, SESSION_KEEP_ALIVE, client, connection, prepare};
use crate::limits::{TUNNEL_STREAM_WINDOW_BYTES, TUNNEL_WINDOW_BYTES};

/// The way to the leader, as far as it is known.
pub(super) struct Route {
    given: Vec<Server>,
    authorize: Authorize,
    current: RwLock<Current>,
}

struct Current {
    hop: Hop,
    /// Which of those given was tried last.
    place: usize,
}

/// One coordinator and the connections to it.
#[derive(Clone)]
struct Hop {
    server: Server,
    client: Client,
    tls: Option<Arc<ClientConfig>>,
    for_tunnels: Endpoint,
}

impl Hop {
    fn new(server: &Server, authorize: &Authorize) -> Result<Self, ServerError> {
        let for_tunnels = prepare(server, JOB_KEEP_ALIVE)?
            .initial_stream_window_size(TUNNEL_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(TUNNEL_WINDOW_BYTES);
        let tls = server.tls()?;
        let for_session = prepare(server, SESSION_KEEP_ALIVE)?;
        let client = client(connection(server, tls.clone(), for_session, authorize.clone()));
        Ok(Self { server: server.clone(), client, tls, for_tunnels })
    }
}

impl Route {
    /// Prepares connections to the first of these; nothing is sent yet.
    pub(super) fn new(given: &[Server], authorize: Authorize) -> Result<Self, ServerError> {
        // Each is checked now: what cannot be used is an error of whoever started the agent, not of a later turn.
        let hops = given.iter().map(|server| Hop::new(server, &authorize)).collect::<Result<Vec<_>, _>>()?;
        let first = hops.into_iter().next().ok_or_else(|| ServerError::Address(String::new()))?;
        let current = RwLock::new(Current { hop: first, place: 0 });
        Ok(Self { given: given.to_vec(), authorize, current })
    }

    fn hop(&self) -> Hop {
        self.current.read().unwrap_or_else(PoisonError::into_inner).hop.clone()
    }

    pub(super) fn client(&self) -> Client {
        self.hop().client
    }

    /// A connection for what one job moves.
    pub(super) fn for_job(&self) -> Presented {
        let hop = self.hop();
        connection(&hop.server, hop.tls, hop.for_tunnels, self.authorize.clone())
    }

    /// Another connection to the same coordinator.
    pub(super) fn reconnect(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match Hop::new(&current.hop.server, &self.authorize) {
            Ok(hop) => current.hop = hop,
            // It was possible before.
            Err(error) => tracing::warn!(%error, "no other connection can be made"),
        }
    }

    /// There was no session: turns to the leader, if the coordinator said where it is, else to the next of those given.
    pub(super) fn turn(&self, leader: Option<&str>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let next = match leader {
            Some(url) => current.hop.server.leader(url),
            None => {
                current.place = (current.place + 1) % self.given.len();
                match self.given.get(current.place) {
                    Some(server) => Ok(server.clone()),
                    None => return,
                }
            }
        };
        // A connection to the same place finds its way by itself.
        let next = next.and_then(|server| match server.to_string() == current.hop.server.to_string() {
            true => Ok(None),
            false => Hop::new(&server, &self.authorize).map(Some),
        });
        match next {
            Ok(Some(hop)) => {
                tracing::info!(coordinator = %hop.server, "turns to another coordinator");
                current.hop = hop;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the coordinator named a leader that cannot be used"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn route(servers: &[&str]) -> Route {
        let servers: Vec<Server> =
            servers.iter().map(|server| Server::new(server, None, false).unwrap()).collect();
        Route::new(&servers, Authorize::new("token").unwrap()).unwrap()
    }

    fn at(route: &Route) -> String {
        route.hop().server.to_string()
    }

    // Channels want a runtime even before they connect.
    #[tokio::test]
    async fn it_goes_where_the_leader_is_and_back_to_those_given_in_turn() {
        let route = route(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        assert_eq!(at(&route), "http://127.0.0.1:1");
        route.turn(Some("http://127.0.0.1:3"));
        assert_eq!(at(&route), "http://127.0.0.1:3");
        route.turn(None);
        assert_eq!(at(&route), "http://127.0.0.1:2");
        route.turn(None);
        assert_eq!(at(&route), "http://127.0.0.1:1");
    }

    #[tokio::test]
    async fn a_leader_that_cannot_be_used_is_left_alone() {
        let route = route(&["http://127.0.0.1:1"]);
        for url in ["http://ci.example:7443", "nonsense", ""] {
            route.turn(Some(url));
            assert_eq!(
                at(&route),
                "http://127.0.0.1:1",
                "{url}: clear text was not allowed, or is no address"
            );
        }
        route.turn(None);
        assert_eq!(at(&route), "http://127.0.0.1:1");
    }
}
