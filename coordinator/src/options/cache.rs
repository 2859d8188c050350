//! What backs the cache.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use slipway_cas::cache::RedisOptions;
use slipway_cas::objects::BucketAddress;

use super::{OptionsError, wrong};

/// How much of the disk the cache may use by default, in GiB.
const SIZE_GIB: u64 = 20;

/// The least and the most that it may be given.
const SIZES_GIB: std::ops::RangeInclusive<u64> = 1..=1 << 20;

/// How much of the cache on disk one repository may use unless it is said: one in so many parts.
const QUOTA_PART: u64 = 2;

/// How much less a repository's pull requests may use together than the repository itself: one in so many parts.
const PULL_REQUESTS_PART: u64 = 4;

/// How many days a value stays in the object store after it was last used, by default.
const STORE_DAYS: u32 = 30;

/// The least and the most that may be said of it.
const STORE_DAYS_RANGE: std::ops::RangeInclusive<u32> = 2..=3_650;

/// How much one repository may keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheQuota(Option<u64>);

impl CacheQuota {
    /// So many bytes of each cache.
    #[must_use]
    pub const fn of_bytes(bytes: u64) -> Self {
        Self(Some(bytes))
    }

    /// Bytes of its entries of `actions/cache`, beside what is usual.
    #[must_use]
    pub(crate) fn actions_bytes(self, usual: u64) -> u64 {
        self.0.unwrap_or(usual)
    }

    /// Bytes of the build tools' cache on a disk of so many bytes: of its own refs, and of its pull requests.
    #[must_use]
    pub(crate) fn disk_bytes(self, max_bytes: u64) -> [u64; 2] {
        let own = self.0.unwrap_or(max_bytes / QUOTA_PART).min(max_bytes);
        [own, own / PULL_REQUESTS_PART]
    }

    /// The same in Redis, whose size is not known here: nothing unless it was said.
    #[must_use]
    pub(crate) fn redis_bytes(self) -> Option<[u64; 2]> {
        self.0.map(|own| [own, own / PULL_REQUESTS_PART])
    }
}

/// The quota that was given, in GiB.
pub(super) fn quota(gib: Option<u64>) -> Result<CacheQuota, OptionsError> {
    match gib {
        Some(gib) if !SIZES_GIB.contains(&gib) => Err(wrong(
            "--cache-quota",
            format!("{gib} is not from {} to {} GiB", SIZES_GIB.start(), SIZES_GIB.end()),
        )),
        gib => Ok(CacheQuota(gib.map(|gib| gib << 30))),
    }
}

/// Flags of the caches.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CacheFlags {
    /// What backs the cache of build tools: `disk`, `off`, or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], with `rediss` for TLS and
    /// redis+sentinel://HOST,HOST/SERVICE or redis+cluster://HOST,HOST [default: disk]
    #[arg(long, value_name = "URL", env = "SLIPWAY_CACHE", hide_env_values = true)]
    pub cache: Option<CacheUrl>,
    /// How much of the disk it may use [default: 20]
    #[arg(long, value_name = "GIB", env = "SLIPWAY_CACHE_SIZE")]
    pub cache_size: Option<u64>,
    /// How much one repository may keep: of the build tools' cache on disk [default: half of it] or in Redis [default: what there is
    /// room for], and of actions/cache [default: 10]
    #[arg(long, value_name = "GIB", env = "SLIPWAY_CACHE_QUOTA")]
    pub cache_quota: Option<u64>,
    /// What is behind it, for what it has no room for any more: `s3://BUCKET/PREFIX`, `gs://…` or `az://…` with the usual environment
    /// variables for credentials, or `file:///FOLDER` [default: nothing]
    #[arg(long, value_name = "URL", env = "SLIPWAY_CACHE_STORE")]
    pub cache_store: Option<String>,
    /// For how many days a value stays there after it was last used, at most; at least for half of them [default: 30]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_CACHE_STORE_DAYS")]
    pub cache_store_days: Option<u32>,
}

/// An object store behind the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStore {
    /// Where it is.
    pub address: BucketAddress,
    /// How long a value stays there after it was last used: from half of it to all of it.
    pub ttl: Duration,
}

/// What is to be behind the cache, from what was given.
pub(super) fn store(
    url: Option<String>,
    days: Option<u32>,
    place: &CachePlace,
) -> Result<Option<CacheStore>, OptionsError> {
    let Some(url) = url else {
        return match days {
            None => Ok(None),
            Some(_) => {
                Err(wrong("--cache-store-days", "says how long --cache-store keeps what it has; give that"))
            }
        };
    };
    if *place == CachePlace::Off {
        return Err(wrong("--cache-store", "is behind a cache, and --cache is `off`; give `disk` or Redis"));
    }
    let days = days.unwrap_or(STORE_DAYS);
    if !STORE_DAYS_RANGE.contains(&days) {
        let (least, most) = (STORE_DAYS_RANGE.start(), STORE_DAYS_RANGE.end());
        return Err(wrong("--cache-store-days", format!("{days} is not from {least} to {most}")));
    }
    let folder =
        || url.starts_with("file:///").then(|| BucketAddress { url: url.clone(), settings: Vec::new() });
    let Some(address) = BucketAddress::from_env(&url).or_else(folder) else {
        return Err(wrong(
            "--cache-store",
            format!(
                "`{url}` is no object store; write s3://, gs:// or az://BUCKET/PREFIX, or file:///FOLDER"
            ),
        ));
    };
    Ok(Some(CacheStore { address, ttl: super::days(days.into()) }))
}

/// Where the cache is, as it was given; it may have a password, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct CacheUrl(String);

impl fmt::Debug for CacheUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheUrl(…)")
    }
}

impl From<&str> for CacheUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

/// What backs the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// Nothing: there is no cache for build tools.
    Off,
    /// The data directory, with at most so many bytes.
    Disk {
        /// The bound.
        max_bytes: u64,
    },
    /// Redis.
    Redis(CacheUrl),
}

impl Default for CachePlace {
    fn default() -> Self {
        Self::Disk { max_bytes: SIZE_GIB << 30 }
    }
}

impl CacheUrl {
    /// The servers and how they are spoken to. It was read once already, when the options were.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub(crate) fn redis(&self) -> Result<RedisOptions, String> {
        RedisOptions::from_url(&self.0).map_err(|error| error.to_string())
    }
}

/// Where the cache is to be, from what was given.
pub(super) fn place(url: Option<CacheUrl>, size_gib: Option<u64>) -> Result<CachePlace, OptionsError> {
    let size_gib = match (size_gib, &url) {
        (Some(_), Some(url)) if url.0 != "disk" => {
            return Err(wrong("--cache-size", "bounds the cache on disk; Redis has its own `maxmemory`"));
        }
        (size_gib, _) => size_gib.unwrap_or(SIZE_GIB),
    };
    if !SIZES_GIB.contains(&size_gib) {
        return Err(wrong(
            "--cache-size",
            format!("{size_gib} is not from {} to {} GiB", SIZES_GIB.start(), SIZES_GIB.end()),
        ));
    }
    match url {
        None => Ok(CachePlace::Disk { max_bytes: size_gib << 30 }),
        Some(url) if url.0 == "disk" => Ok(CachePlace::Disk { max_bytes: size_gib << 30 }),
        Some(url) if url.0 == "off" => Ok(CachePlace::Off),
        Some(url) => match url.redis() {
            Ok(_) => Ok(CachePlace::Redis(url)),
            Err(reason) => Err(wrong("--cache", format!("{reason}; or give `disk` or `off`"))),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_disk_redis_and_nowhere() {
        let of = |url: Option<&str>, size| place(url.map(CacheUrl::from), size);
        assert_eq!(of(None, None).unwrap(), CachePlace::Disk { max_bytes: 20 << 30 });
        assert_eq!(of(Some("disk"), Some(3)).unwrap(), CachePlace::Disk { max_bytes: 3 << 30 });
        assert_eq!(of(Some("off"), None).unwrap(), CachePlace::Off);
        assert!(matches!(of(Some("redis://:secret@cache:1/2"), None).unwrap(), CachePlace::Redis(_)));
        for (url, size, word) in [
            (Some("memcached://a"), None, "redis://"),
            (Some("redis://u:secret@a/x"), None, "--cache"),
            (Some("redis://a"), Some(3), "maxmemory"),
            (None, Some(0), "--cache-size"),
            (None, Some(u64::MAX), "--cache-size"),
        ] {
            let error = of(url, size).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", of(Some("redis://:secret@cache"), None).unwrap()).contains("secret"));
    }

    #[test]
    fn a_store_is_behind_a_cache() {
        let of = |url: Option<&str>, days| store(url.map(str::to_owned), days, &CachePlace::default());
        assert_eq!(of(None, None).unwrap(), None);
        let thirty = of(Some("s3://bucket/prefix"), None).unwrap().unwrap();
        assert_eq!((thirty.address.url.as_str(), thirty.ttl.as_secs()), ("s3://bucket/prefix", 30 * 86_400));
        assert_eq!(of(Some("file:///srv/x"), Some(2)).unwrap().unwrap().ttl.as_secs(), 2 * 86_400);
        for (url, days, word) in [
            (None, Some(3), "give that"),
            (Some("s3://bucket"), Some(1), "from 2 to 3650"),
            (Some("file://relative"), None, "file:///FOLDER"),
            (Some("redis://a"), None, "no object store"),
        ] {
            let error = of(url, days).unwrap_err().to_string();
            assert!(error.contains("--cache-store") && error.contains(word), "{error}");
        }
        let off = store(Some("s3://bucket".to_owned()), None, &CachePlace::Off).unwrap_err();
        assert!(off.to_string().contains("`off`"), "{off}");
    }

    #[test]
    fn a_quota_is_of_each_cache_and_never_more_than_the_disk_holds() {
        let usual = quota(None).unwrap();
        assert_eq!((usual.actions_bytes(7), usual.disk_bytes(80)), (7, [40, 10]));
        let three = quota(Some(3)).unwrap();
        assert_eq!((three.actions_bytes(7), three.disk_bytes(8 << 30)), (3 << 30, [3 << 30, 3 << 28]));
        assert_eq!((usual.redis_bytes(), three.redis_bytes()), (None, Some([3 << 30, 3 << 28])));
        assert_eq!(three.disk_bytes(1 << 30), [1 << 30, 1 << 28]);
        for gib in [0, u64::MAX] {
            assert!(quota(Some(gib)).unwrap_err().to_string().contains("--cache-quota"));
        }
    }
}
