//! What is asked of Redis, and what it answers.

use redis::{Cmd, RedisWrite, ToRedisArgs, Value as Reply};

use crate::cache::engine::{Keep, Value};
use crate::cache::envelope;
use crate::cache::key::{KEY_TEXT_BYTES, Key};
use crate::cache::limits::MAX_NAMESPACE_BYTES;

/// Bytes that each key of a call may bring back, for its time limit.
pub(super) const REPLY_BYTES: usize = 64 << 10;

/// One command, about one key unless one server has all.
pub(super) struct Request {
    /// The key, by which a cluster decides where it goes.
    pub(super) key: String,
    pub(super) command: Cmd,
    /// Bytes that go out with it.
    pub(super) bytes: usize,
}

/// A stored value as one argument, without copying it once more to put the header before it.
struct Stored<'a> {
    header: [u8; envelope::HEADER_BYTES],
    value: &'a Value,
}

impl ToRedisArgs for Stored<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        use std::io::Write as _;
        let mut argument = out.writer_for_next_arg();
        // Writing to memory does not fail.
        let _ = argument.write_all(&self.header).and_then(|()| argument.write_all(&self.value.data));
    }
}

impl redis::ToSingleRedisArg for Stored<'_> {}

impl Request {
    fn new(key: &str, command: Cmd, bytes: usize) -> Self {
        Self { key: key.to_owned(), command, bytes }
    }

    /// A command with room for its arguments: batches make thousands of them.
    fn short(key: &str) -> Cmd {
        Cmd::with_capacity(4, key.len() + 32)
    }

    /// The value, and its time to live as new.
    pub(super) fn get(key: &str, ttl_s: u64) -> Self {
        let mut command = Self::short(key);
        command.arg("GETEX").arg(key).arg("EX").arg(ttl_s);
        Self::new(key, command, 0)
    }

    /// The values of all of these, on one server, and no more time to live.
    pub(super) fn get_all(keys: &[String]) -> Self {
        let mut command = Cmd::with_capacity(keys.len() + 1, keys.iter().map(String::len).sum::<usize>() + 8);
        command.arg("MGET").arg(keys);
        // What they bring back is counted for the time limit as if each had been asked for by itself.
        Self::new("", command, keys.len() * REPLY_BYTES)
    }

    /// Stores a value; `name` is the key without its prefix.
    pub(super) fn set(key: &str, name: &str, value: &Value, ttl_s: u64, keep: Keep) -> Self {
        let bytes = envelope::HEADER_BYTES + value.data.len();
        let mut command = Cmd::with_capacity(6, bytes + key.len() + 64);
        command.arg("SET").arg(key).arg(Stored { header: envelope::header(name, value), value });
        command.arg("EX").arg(ttl_s);
        if keep == Keep::Temporary {
            command.arg("NX");
        }
        Self::new(key, command, bytes)
    }

    /// Whether it is there; if so, its time to live as new. This also counts as a use to Redis' own eviction.
    pub(super) fn renew(key: &str, ttl_s: u64) -> Self {
        let mut command = Self::short(key);
        command.arg("EXPIRE").arg(key).arg(ttl_s);
        Self::new(key, command, 0)
    }

    /// How many of these are there, on one server; a use to Redis' own eviction, and no more time to live.
    pub(super) fn touch_all(prefix: &str, keys: &[Key]) -> Self {
        let longest = prefix.len() + 1 + KEY_TEXT_BYTES + MAX_NAMESPACE_BYTES;
        let mut command = Cmd::with_capacity(keys.len() + 1, keys.len() * longest);
        command.arg("TOUCH");
        let mut text = String::with_capacity(longest);
        for key in keys {
            text.clear();
            text.push_str(prefix);
            text.push(':');
            key.push_text(&mut text);
            command.arg(text.as_str());
        }
        // One server has all keys: whichever decides where it goes.
        Self::new("", command, 0)
    }

    pub(super) fn delete(key: &str) -> Self {
        let mut command = Self::short(key);
        // Not `DEL`: a server's other clients do not wait while megabytes are given back.
        command.arg("UNLINK").arg(key);
        Self::new(key, command, 0)
    }
}

/// What a `GETEX` brought.
pub(super) enum Read {
    Bytes(Vec<u8>),
    Missing,
}

/// The value of a reply; an error about a single key is a miss.
pub(super) fn read(reply: Reply) -> Read {
    match reply {
        Reply::BulkString(bytes) => Read::Bytes(bytes),
        _ => Read::Missing,
    }
}

/// The replies of a command for so many values; `None` if it is none.
pub(super) fn values(replies: Vec<Reply>, count: usize) -> Option<Vec<Reply>> {
    match replies.into_iter().next() {
        Some(Reply::Array(values)) if values.len() == count => Some(values),
        _ => None,
    }
}

/// What a reply says went wrong, if anything.
pub(super) fn refusal(reply: &Reply) -> Option<String> {
    match reply {
        Reply::ServerError(error) => Some(error.to_string()),
        _ => None,
    }
}

/// The number of a reply.
pub(super) fn number(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// The text of a reply.
pub(super) fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Reply::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// The cursor and keys of a `SCAN`; keys that are no text are not ours.
pub(super) fn scanned(reply: Option<Reply>) -> Option<(u64, Vec<String>)> {
    let Some(Reply::Array(parts)) = reply else { return None };
    let [cursor, Reply::Array(keys)] = &parts[..] else { return None };
    Some((text(cursor)?.parse().ok()?, keys.iter().filter_map(text).collect()))
}
