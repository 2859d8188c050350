//! Which server of a cluster has a key: CRC-16 of the key, or of what is in its first braces, modulo 16,384 (the
//! "Redis cluster specification").

use redis::Value as Reply;

use super::commands::{number, text};

/// Slots of a cluster.
pub(super) const SLOTS: usize = 16_384;

/// The slot of a key.
pub(super) fn slot(key: &str) -> usize {
    let bytes = key.as_bytes();
    let tag = bytes.iter().position(|byte| *byte == b'{').and_then(|open| {
        let length = bytes[open + 1..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &bytes[open + 1..open + 1 + length])
    });
    usize::from(crc16(tag.unwrap_or(bytes))) % SLOTS
}

/// CRC-16 as XMODEM has it: polynomial 0x1021, starting at 0.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = table();
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut crc, mut bit) = ((at as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

/// A part of the slots and its primary.
pub(super) type Range = (usize, usize, String, u16);

/// What `CLUSTER SLOTS` answered. A server that does not know its own address leaves it out: it is `asked` then.
pub(super) fn ranges(reply: Option<&Reply>, asked: &str) -> Option<Vec<Range>> {
    let Some(Reply::Array(ranges)) = reply else { return None };
    let range = |reply: &Reply| {
        let Reply::Array(parts) = reply else { return None };
        let [start, stop, Reply::Array(primary), ..] = &parts[..] else { return None };
        let host = primary.first().and_then(text).filter(|host| !host.is_empty());
        let port = u16::try_from(primary.get(1).and_then(number)?).ok()?;
        let (start, stop) = (usize::try_from(number(start)?).ok()?, usize::try_from(number(stop)?).ok()?);
        (start <= stop && stop < SLOTS).then(|| (start, stop, host.unwrap_or_else(|| asked.to_owned()), port))
    };
    ranges.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{}{bar}"), usize::from(crc16(b"foo{}{bar}")) % SLOTS);
        assert_eq!(slot("foo{{bar}}zap"), usize::from(crc16(b"{bar")) % SLOTS);
    }
}
