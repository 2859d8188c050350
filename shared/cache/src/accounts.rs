//! What clients asked for and got: by whose cache it is, by door, and by kind of client; and by the hour.
//!
//! A kind of client is what it calls itself, so a client may call itself anything: whoever comes when there are many accounts
//! shares one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Accounts at most, and one for all that come later.
const ACCOUNTS_MAX: usize = 1_000;

/// Hours that are remembered: a week.
const HOURS: usize = 7 * 24;

/// The longest name of a kind of client, in bytes.
const CLIENT_MAX_BYTES: usize = 24;

/// A client that does not say what it is, or that came when there were many.
const OTHER: &str = "other";

/// A door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// The remote execution API.
    Grpc,
    /// All others.
    Http,
}

impl Door {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }

    /// The door of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Grpc, Self::Http].into_iter().find(|door| door.name() == name)
    }
}

/// Whose figures these are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// The repository of a job; empty: people and their machines.
    pub repository: String,
    /// The door it came by.
    pub door: Door,
    /// What it calls itself, without its version.
    pub client: String,
}

/// Figures since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Results, files and blobs that were asked for and given.
    pub hits: u64,
    /// The same, and not there.
    pub misses: u64,
    /// Bytes given.
    pub read_bytes: u64,
    /// Bytes taken and kept.
    pub written_bytes: u64,
}

/// An hour's hits and misses, of all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// When it began, in seconds since 1970.
    pub start_s: u64,
    /// As [`Figures::hits`].
    pub hits: u64,
    /// As [`Figures::misses`].
    pub misses: u64,
}

/// One account: counted up by all calls of its clients.
#[derive(Debug, Default)]
pub struct Account {
    hits: AtomicU64,
    misses: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    hours: Arc<Hours>,
}

impl Account {
    /// So much was asked for and given, and so many were not there.
    pub fn asked(&self, hits: u64, misses: u64, read_bytes: u64) {
        self.hits.fetch_add(hits, Ordering::Relaxed);
        self.misses.fetch_add(misses, Ordering::Relaxed);
        self.read_bytes.fetch_add(read_bytes, Ordering::Relaxed);
        self.hours.count(now_s(), hits, misses);
    }

    /// So many bytes were kept.
    pub fn wrote(&self, bytes: u64) {
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn figures(&self) -> Figures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            hits: read(&self.hits),
            misses: read(&self.misses),
            read_bytes: read(&self.read_bytes),
            written_bytes: read(&self.written_bytes),
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The last hours, oldest first; those in which nobody asked are not there.
#[derive(Debug, Default)]
struct Hours(Mutex<VecDeque<Hour>>);

impl Hours {
    fn count(&self, now_s: u64, hits: u64, misses: u64) {
        let start_s = now_s - now_s % 3600;
        let mut hours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match hours.back_mut() {
            // Also when the clock was set back: it counts for the latest.
            Some(last) if last.start_s >= start_s => {
                last.hits = last.hits.saturating_add(hits);
                last.misses = last.misses.saturating_add(misses);
            }
            _ => {
                if hours.len() == HOURS {
                    hours.pop_front();
                }
                hours.push_back(Hour { start_s, hits, misses });
            }
        }
    }

    fn all(&self) -> Vec<Hour> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// All accounts of a process; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    by_who: Arc<Mutex<BTreeMap<Who, Arc<Account>>>>,
    hours: Arc<Hours>,
}

impl Accounts {
    fn by_who(&self) -> MutexGuard<'_, BTreeMap<Who, Arc<Account>>> {
        self.by_who.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of a client that calls itself `client` (the header `user-agent`).
    #[must_use]
    pub fn of(&self, repository: &str, door: Door, client: Option<&str>) -> Arc<Account> {
        let client = client.and_then(kind).unwrap_or_else(|| OTHER.to_owned());
        let mut who = Who { repository: repository.to_owned(), door, client };
        let mut by_who = self.by_who();
        if by_who.len() >= ACCOUNTS_MAX && !by_who.contains_key(&who) {
            who = Who { repository: OTHER.to_owned(), door, client: OTHER.to_owned() };
        }
        let new = || Arc::new(Account { hours: Arc::clone(&self.hours), ..Account::default() });
        Arc::clone(by_who.entry(who).or_insert_with(new))
    }

    /// What each did, in the order of their names.
    #[must_use]
    pub fn figures(&self) -> Vec<(Who, Figures)> {
        self.by_who().iter().map(|(who, account)| (who.clone(), account.figures())).collect()
    }

    /// The last week's hours in which somebody asked, oldest first.
    #[must_use]
    pub fn hours(&self) -> Vec<Hour> {
        self.hours.all()
    }
}

/// What a client calls itself, without its version: `ccache` of `ccache/4.7.5 (…)`.
fn kind(agent: &str) -> Option<String> {
    let name = agent.split(['/', ' ', '(']).next()?.to_ascii_lowercase();
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    ((1..=CLIENT_MAX_BYTES).contains(&name.len()) && name.bytes().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_without_their_versions() {
        let of = |agent: &str| kind(agent).unwrap_or_default();
        assert_eq!(of("ccache/4.7.5"), "ccache");
        assert_eq!(of("Gradle/4.4.1 (Linux;6.1)"), "gradle");
        assert_eq!(of("turbo 2.11.11 rustc"), "turbo");
        assert_eq!(of("grpc-java-netty/1.32.2"), "grpc-java-netty");
        for agent in ["", "/1", "ä/1", "a\"b/1", &"x".repeat(CLIENT_MAX_BYTES + 1)] {
            assert_eq!(kind(agent), None, "{agent}");
        }
    }

    #[test]
    fn each_has_an_account_until_there_are_many() {
        let accounts = Accounts::default();
        accounts.of("f/o/n", Door::Http, Some("ccache/4.7")).asked(2, 1, 300);
        accounts.of("f/o/n", Door::Http, Some("ccache/4.14")).wrote(50);
        accounts.of("f/o/n", Door::Grpc, None).asked(0, 1, 0);
        let who =
            |door, client: &str| Who { repository: "f/o/n".to_owned(), door, client: client.to_owned() };
        assert_eq!(
            accounts.figures(),
            [
                (who(Door::Grpc, OTHER), Figures { misses: 1, ..Figures::default() }),
                (
                    who(Door::Http, "ccache"),
                    Figures { hits: 2, misses: 1, read_bytes: 300, written_bytes: 50 }
                ),
            ]
        );
        for number in 0..2 * ACCOUNTS_MAX {
            accounts.of("", Door::Http, Some(&format!("client-{number}/1"))).asked(1, 0, 1);
        }
        assert!(accounts.figures().len() <= ACCOUNTS_MAX + 1);
        let hits: u64 = accounts.figures().iter().map(|(_, figures)| figures.hits).sum();
        assert_eq!(hits, 2 + 2 * ACCOUNTS_MAX as u64, "none is lost");
        assert_eq!(accounts.hours().iter().map(|hour| hour.hits).sum::<u64>(), hits);
    }

    #[test]
    fn the_last_hours_are_kept() {
        let hours = Hours::default();
        for hour in 0..2 * HOURS as u64 {
            hours.count(hour * 3600 + 5, 1, 2);
            hours.count(hour * 3600 + 3599, 1, 0);
        }
        let all = hours.all();
        assert_eq!(all.len(), HOURS);
        assert_eq!(all.first().map(|hour| hour.start_s), Some(HOURS as u64 * 3600));
        assert!(all.iter().all(|hour| (hour.hits, hour.misses) == (2, 2)));
        // A clock that was set back makes no hour of its own.
        hours.count(0, 5, 0);
        assert_eq!(hours.all().last().map(|hour| hour.hits), Some(7));
    }
}
