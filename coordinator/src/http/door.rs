//! By which door a request came, for the audit trail.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use super::forward::FORWARDED;
use crate::access::Caller;
use crate::audit::Origin;

/// `http` and the caller's address; of a request that another coordinator passed on, that one's after it.
pub(super) struct Door(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Door {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let door = of("http", parts);
        // Whose token it is, where it is not the administrator's.
        let caller = parts.extensions.get::<Caller>();
        Ok(Self(caller.map_or(door.clone(), |caller| caller.through(door))))
    }
}

/// Who asks, by which door.
pub(super) struct Asker(pub(super) Origin);

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Door(door) = Door::from_request_parts(parts, state).await?;
        let caller = parts.extensions.get::<Caller>();
        Ok(Self(caller.map_or_else(|| Origin::of_client(door.clone()), |caller| caller.origin(door.clone()))))
    }
}

/// This word and the caller's address.
pub(crate) fn of(word: &str, parts: &Parts) -> String {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let peer = peer.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
    let first = parts.headers.get(&FORWARDED).and_then(|value| value.to_str().ok());
    match first {
        Some(first) => format!("{word} {first} by way of {peer}"),
        None => format!("{word} {peer}"),
    }
}
