//! Records one after another, each with its length before it: the form in which they are sent, digested and kept.
//!
//! A job may write a million lines a second, so a line is nothing of its own on its way: it is encoded once, into a row of bytes,
//! and that row goes from the agent to the disk in one piece.

use std::convert::Infallible;

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use prost::encoding::{WireType, encode_varint, encoded_len_varint};
use slipway_proto::v1;

/// Tags of [`v1::Record`] and [`v1::LogLine`].
mod tag {
    pub(super) const TIME_MS: u32 = 1;
    pub(super) const STEP: u32 = 2;
    pub(super) const LINE: u32 = 3;
    pub(super) const TEXT: u32 = 1;
    pub(super) const STREAM: u32 = 2;
    pub(super) const PARTIAL: u32 = 3;
}

/// A row of records. Cheap to clone and to cut: all parts are the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    count: usize,
    longest_bytes: usize,
    bytes: Bytes,
}

impl Records {
    /// A row from outside; none when it does not end where its last record does.
    #[must_use]
    pub fn new(bytes: Bytes) -> Option<Self> {
        Self::checked(bytes, |_| Ok::<_, Infallible>(())).unwrap_or_default()
    }

    /// The same, and every record is looked at.
    ///
    /// # Errors
    /// The first of `check`.
    pub(crate) fn checked<E>(
        bytes: Bytes,
        mut check: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        let (mut count, mut longest_bytes) = (0, 0);
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let Some(record) = take_next(&mut rest) else { return Ok(None) };
            check(record)?;
            longest_bytes = longest_bytes.max(record.len());
            count += 1;
        }
        Ok(Some(Self { count, longest_bytes, bytes }))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length of the longest, or somewhat more where the row was cut.
    #[must_use]
    pub fn longest_bytes(&self) -> usize {
        self.longest_bytes
    }

    /// All of them, each with its length before it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// One after the other, without their lengths.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.bytes;
        std::iter::from_fn(move || take_next(&mut rest))
    }

    /// Each in bytes of its own, which share the row's memory.
    pub fn each(&self) -> impl Iterator<Item = Bytes> {
        self.iter().map(|record| self.bytes.slice_ref(record))
    }

    /// Takes records from the front: at most `count`, and at most `max_bytes` of them with their lengths, but at least one if
    /// there is one.
    pub fn take_front(&mut self, count: usize, max_bytes: usize) -> Self {
        if self.count <= count && self.bytes.len() <= max_bytes {
            return std::mem::take(self);
        }
        let whole: &[u8] = &self.bytes;
        let (mut rest, mut taken, mut end) = (whole, 0, 0);
        while taken < count.max(1) && take_next(&mut rest).is_some() {
            let next_end = whole.len() - rest.len();
            if taken > 0 && next_end > max_bytes {
                break;
            }
            (taken, end) = (taken + 1, next_end);
        }
        let front = Self { count: taken, longest_bytes: self.longest_bytes, bytes: self.bytes.split_to(end) };
        self.count -= taken;
        front
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(records: Vec<Bytes>) -> Self {
        let mut row = RecordsBuffer::default();
        row.bytes.reserve(records.iter().map(|record| delimited_len(record.len())).sum());
        records.iter().for_each(|record| row.push(record));
        row.take()
    }
}

/// The next record of a row; none at its end, or where it is cut short.
#[inline]
fn take_next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (record, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(record)
}

/// A row in the making.
#[derive(Debug, Default)]
pub struct RecordsBuffer {
    count: usize,
    longest_bytes: usize,
    bytes: Vec<u8>,
}

impl RecordsBuffer {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of all, with their lengths.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a row.
    pub fn append(&mut self, records: &Records) {
        self.count += records.count;
        self.longest_bytes = self.longest_bytes.max(records.longest_bytes);
        self.bytes.extend_from_slice(&records.bytes);
    }

    /// Adds a record, encoded.
    pub fn push(&mut self, record: &[u8]) {
        self.begin(record.len());
        self.bytes.extend_from_slice(record);
    }

    /// Encodes and adds a record.
    pub fn push_message(&mut self, record: &v1::Record) {
        self.begin(record.encoded_len());
        record.encode_raw(&mut self.bytes);
    }

    /// Adds a line: the bytes that [`RecordsBuffer::push_message`] makes of it, without a message in between.
    pub fn push_line(&mut self, time_ms: u64, step: u32, stream: v1::Stream, text: &[u8], partial: bool) {
        let mut tail = Piece::<TAIL_MAX_BYTES>::default();
        tail.field(tag::STREAM, i32::from(stream) as u64);
        tail.field(tag::PARTIAL, partial.into());
        let mut head = Piece::<HEAD_MAX_BYTES>::default();
        head.field(tag::TIME_MS, time_ms);
        head.field(tag::STEP, step.into());
        let text_len = if text.is_empty() { 0 } else { 1 + delimited_len(text.len()) };
        let line_len = text_len + tail.len;
        head.length(tag::LINE, line_len);
        let record_len = head.len + line_len;
        if !text.is_empty() {
            head.length(tag::TEXT, text.len());
        }
        self.begin(record_len);
        self.bytes.extend_from_slice(head.bytes());
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(tail.bytes());
    }

    /// The row that was just taken is not done with: more is added behind it.
    pub fn put_back(&mut self, records: Records) {
        debug_assert!(self.is_empty(), "what was added since would come before it");
        *self =
            Self { count: records.count, longest_bytes: records.longest_bytes, bytes: records.bytes.into() };
    }

    fn begin(&mut self, length: usize) {
        self.count += 1;
        self.longest_bytes = self.longest_bytes.max(length);
        self.bytes.reserve(delimited_len(length));
        encode_varint(length as u64, &mut self.bytes);
    }

    /// The row so far; the next one begins with as much room.
    pub fn take(&mut self) -> Records {
        let next = Vec::with_capacity(self.bytes.len());
        let bytes = std::mem::replace(&mut self.bytes, next).into();
        let records = Records { count: self.count, longest_bytes: self.longest_bytes, bytes };
        (self.count, self.longest_bytes) = (0, 0);
        records
    }
}

/// Bytes before a line's text: two numbers and two lengths, each with its tag.
const HEAD_MAX_BYTES: usize = 4 * (1 + VARINT_MAX_BYTES);

/// Bytes behind it: two numbers.
const TAIL_MAX_BYTES: usize = 2 * (1 + VARINT_MAX_BYTES);

const VARINT_MAX_BYTES: usize = 10;

/// A few bytes of framing on their way: a row grows by a piece at a time, not by a byte.
struct Piece<const MAX: usize> {
    room: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Default for Piece<MAX> {
    fn default() -> Self {
        Self { room: [0; MAX], len: 0 }
    }
}

impl<const MAX: usize> Piece<MAX> {
    fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// A number; one that is zero is left out, as proto3 does.
    fn field(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.put(key(tag, WireType::Varint));
            self.varint(value);
        }
    }

    /// The length of what follows.
    fn length(&mut self, tag: u32, length: usize) {
        self.put(key(tag, WireType::LengthDelimited));
        self.varint(length as u64);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value as u8 | 0x80);
            value >>= 7;
        }
        self.put(value as u8);
    }

    #[inline]
    fn put(&mut self, byte: u8) {
        if let Some(room) = self.room.get_mut(self.len) {
            *room = byte;
            self.len += 1;
        }
    }
}

/// What stands before a field: all tags here fit a byte.
const fn key(tag: u32, wire_type: WireType) -> u8 {
    (tag << 3) as u8 | wire_type as u8
}

fn delimited_len(length: usize) -> usize {
    encoded_len_varint(length as u64) + length
}

/// Length of the text of a line as [`RecordsBuffer::push_line`] writes it; none when these are other bytes, whatever they
/// are.
#[inline]
pub(crate) fn line_text_bytes(record: &[u8]) -> Option<usize> {
    let mut rest = record;
    take_field(&mut rest, tag::TIME_MS)?;
    take_field(&mut rest, tag::STEP)?;
    let mut line = take_bytes(&mut rest, tag::LINE)?.filter(|_| rest.is_empty())?;
    let text = take_bytes(&mut line, tag::TEXT)?.unwrap_or_default();
    take_field(&mut line, tag::STREAM)?;
    take_field(&mut line, tag::PARTIAL)?;
    line.is_empty().then_some(text.len())
}

/// Leaves out the number of this tag, if it comes next.
#[inline]
fn take_field(rest: &mut &[u8], tag: u32) -> Option<()> {
    if rest.first() == Some(&key(tag, WireType::Varint)) {
        rest.advance(1);
        varint(rest)?;
    }
    Some(())
}

/// The bytes of this tag, if they come next.
#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8], tag: u32) -> Option<Option<&'a [u8]>> {
    if rest.first() != Some(&key(tag, WireType::LengthDelimited)) {
        return Some(None);
    }
    rest.advance(1);
    take_next(rest).map(Some)
}

/// A number, of few bytes nearly always.
#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    match *rest {
        [one, after @ ..] if *one < 0x80 => {
            *rest = after;
            Some(u64::from(*one))
        }
        [one, two, after @ ..] if *two < 0x80 => {
            *rest = after;
            Some(u64::from(*one & 0x7f) | u64::from(*two) << 7)
        }
        _ => prost::encoding::decode_varint(rest).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use slipway_proto::v1::record::Record as Kind;

    use super::*;

    fn message(time_ms: u64, step: u32, stream: v1::Stream, text: &[u8], partial: bool) -> v1::Record {
        let line = v1::LogLine { text: Bytes::copy_from_slice(text), stream: stream.into(), partial };
        v1::Record { time_ms, step, record: Some(Kind::Line(line)) }
    }

    #[test]
    fn a_row_is_cut_between_records() {
        let records: Vec<Bytes> = (0..200_u8).map(|n| vec![n; usize::from(n)].into()).collect();
        let whole = Records::from(records.clone());
        assert_eq!(Records::new(whole.bytes().clone()).unwrap(), whole);
        for (count, max_bytes) in [(1, 1_000), (7, 1_000), (1_000, 1), (1_000, 333), (50, 100_000)] {
            let (mut rest, mut again) = (whole.clone(), Vec::new());
            while !rest.is_empty() {
                let front = rest.take_front(count, max_bytes);
                assert!((1..=count).contains(&front.count()));
                assert!(front.count() == 1 || front.bytes().len() <= max_bytes);
                assert_eq!(front.iter().count(), front.count());
                again.extend(front.each());
            }
            assert_eq!(again, records);
        }
        for cut in 1..20 {
            assert_eq!(Records::new(whole.bytes().slice(..whole.bytes().len() - cut)), None);
        }
    }

    proptest! {
        #[test]
        fn a_line_is_encoded_as_a_message_is(
            time_ms in prop_oneof![Just(0), any::<u64>()],
            step in prop_oneof![Just(0_u32), any::<u32>()],
            stream in 0..4_i32,
            text in prop_oneof![Just(0), 1..300_usize, Just(20_000)].prop_map(|length| vec![b'x'; length]),
            partial: bool,
        ) {
            let stream = v1::Stream::try_from(stream).unwrap();
            let mut row = RecordsBuffer::default();
            row.push_line(time_ms, step, stream, &text, partial);
            let mut by_message = RecordsBuffer::default();
            by_message.push_message(&message(time_ms, step, stream, &text, partial));
            let row = row.take();
            prop_assert_eq!(&row, &by_message.take());
            let record = row.iter().next().unwrap();
            prop_assert_eq!(line_text_bytes(record), Some(text.len()));
        }

        /// What passes for a line without being decoded is one.
        #[test]
        fn what_looks_like_a_line_is_one(
            mut record in Just(message(1_700_000_000_000, 3, v1::Stream::Stdout, b"some text", true).encode_to_vec()),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            for (at, byte) in changes {
                let at = at.index(record.len());
                record[at] = byte;
            }
            if let Some(text_bytes) = line_text_bytes(&record) {
                let decoded = v1::Record::decode(record.as_slice());
                prop_assert!(decoded.is_ok(), "{decoded:?}");
                let Some(Kind::Line(line)) = decoded.unwrap().record else { unreachable!() };
                prop_assert_eq!(line.text.len(), text_bytes);
            }
        }
    }
}
