//! Reading from a Redis that is a network away, beside the same way without the network's delay.

use std::time::{Duration, Instant};

use slipway_coordinator::options::CachePlace;

use super::door::Door;
use super::redis_server::{self, RedisServer};
use super::streams::{self, FRAME_BYTES, ROUNDS, Shape, Way, fresh, transfer, warm_up};
use super::{delay, median};
use crate::figure::{Figure, Samples};

/// The delay each way: a round trip of 2.4 ms.
const DELAY: Duration = Duration::from_micros(1_200);

/// The blobs' length, in MiB.
const MEBIBYTES: usize = 64;

/// Streams at once.
const STREAMS: [usize; 2] = [1, 4];

/// Round trips that are timed.
const PINGS: usize = 50;

const NEAR: &str = "the same proxy without delay";

pub(super) async fn measure(redis: &RedisServer) -> anyhow::Result<Vec<Figure>> {
    let ports = [delay::start(redis.port(), DELAY)?, delay::start(redis.port(), Duration::ZERO)?];
    let [far_trip, near_trip] = [round_trip(ports[0]).await?, round_trip(ports[1]).await?];
    let mut figures = vec![Figure::new("build_cache.far_round_trip_p50", "ms", far_trip, NEAR, near_trip)];
    let url = |port: u16| CachePlace::Redis(format!("redis://127.0.0.1:{port}").as_str().into());
    let [far, near] = [Door::open(url(ports[0])).await?, Door::open(url(ports[1])).await?];
    for door in [&far, &near] {
        warm_up(&door.client).await?;
    }
    for streams in STREAMS {
        let shape = Shape { mebibytes: MEBIBYTES, streams, frame: FRAME_BYTES };
        let blobs = fresh(shape, 0);
        streams::transfer(&near.client, &blobs, shape, Way::Write).await?;
        near.client.clone().ensure_kept(&blobs).await?;
        let (mut far_rates, mut near_rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            far_rates.push(transfer(&far.client, &blobs, shape, Way::Read).await?);
            near_rates.push(transfer(&near.client, &blobs, shape, Way::Read).await?);
        }
        let name = format!("build_cache.far_read_{MEBIBYTES}MiB_x{streams}");
        figures.push(Figure::new(name, "MB_per_s", median(far_rates), NEAR, median(near_rates)));
        redis.flush().await?;
    }
    far.close().await;
    near.close().await;
    Ok(figures)
}

/// What a question takes by this way, in milliseconds.
async fn round_trip(port: u16) -> anyhow::Result<f64> {
    let mut connection = redis_server::connection(port).await?;
    let mut times = Samples::default();
    for _ in 0..PINGS {
        let begin = Instant::now();
        let () = redis::cmd("PING").query_async(&mut connection).await?;
        times.add(begin.elapsed());
    }
    Ok(times.quantile_ms(0.5))
}
