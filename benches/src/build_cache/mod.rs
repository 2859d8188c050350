//! `cache`, the build tools' half: the remote cache over real gRPC on loopback, by a client of our own.
//!
//! Coordinator, client and every baseline are in this process and share its threads; Redis is a process of its own, started
//! and ended here. A figure and its baseline take turns, round by round, and the medians count: what the machine does beside
//! strikes both alike. Nothing is put into the figures that was not kept: after each write the cache is asked.

mod bare;
mod client;
mod delay;
mod disk;
mod door;
mod far;
mod limit;
mod peer;
mod questions;
mod redis_server;
mod small;
mod streams;

use std::net::SocketAddr;

use slipway_coordinator::options::CachePlace;

use crate::figure::Figure;
use bare::Bare;
use client::Client;
use door::Door;
use limit::Limit;
use redis_server::RedisServer;

/// Measures all of it, or what another server of the protocol at `beside` does too, beside that; needs `redis-server` on the path, and uses `redis-benchmark` if it is there too.
///
/// # Errors
/// When a server cannot be started, or answers wrongly.
pub async fn measure(beside: Option<SocketAddr>) -> anyhow::Result<Vec<Figure>> {
    let redis = RedisServer::start().await?;
    let door = Door::open(CachePlace::Redis(redis.url().as_str().into())).await?;
    let limit = Limit::start(&redis).await?;
    if let Some(address) = beside {
        // It takes any token, or none.
        let other = Client::connect(address, "none").await?;
        let figures = peer::measure(&door.client, &other, &limit.client, &redis).await?;
        door.close().await;
        return Ok(figures);
    }
    let bare = Bare::start().await?;
    let mut figures = streams::measure(&door.client, &bare, &limit, &redis).await?;
    figures.extend(small::measure(&door.client, &bare, &redis).await?);
    redis.flush().await?;
    figures.extend(questions::measure(&door.client, &redis).await?);
    door.close().await;
    redis.flush().await?;
    figures.extend(far::measure(&redis).await?);
    figures.extend(disk::measure().await?);
    Ok(figures)
}

/// The middle one; NaN of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
