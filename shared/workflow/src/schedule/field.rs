//! One field of a schedule: a list of numbers, names, ranges and steps.

use std::ops::RangeInclusive;

/// The values that a field names, each below 64, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    bits: u64,
    wild: bool,
}

impl Field {
    pub(super) fn parse(
        text: &str,
        what: &str,
        range: RangeInclusive<u8>,
        names: &[&str],
    ) -> Result<Self, String> {
        let mut field = Self { bits: 0, wild: text.starts_with('*') };
        let (least, most) = (*range.start(), *range.end());
        let wrong = |part: &str| format!("has `{part}` as {what}, which goes from {least} to {most}");
        let number = |part: &str| -> Result<u8, String> {
            let by_name = names.iter().position(|name| part.eq_ignore_ascii_case(name));
            let value = match by_name {
                Some(position) => u8::try_from(position).ok().map(|position| position + least),
                None if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse().ok(),
                None => None,
            };
            value.filter(|value| range.contains(value)).ok_or_else(|| wrong(part))
        };
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                Some((span, step)) => {
                    let valid = step.parse::<u8>().ok().filter(|step| (1..=most).contains(step));
                    (span, valid.ok_or_else(|| format!("has `{part}` as {what}: `{step}` is no step"))?)
                }
                None => (part, 1),
            };
            let (from, to) = match span.split_once('-') {
                _ if span == "*" => (least, most),
                Some((from, to)) => (number(from)?, number(to)?),
                None if part.contains('/') => (number(span)?, most),
                None => (number(span)?, number(span)?),
            };
            if from > to {
                return Err(format!("has `{part}` as {what}, which runs backwards"));
            }
            for value in (from..=to).step_by(step.into()) {
                field.bits |= 1 << value;
            }
        }
        Ok(field)
    }

    /// Whether it begins with `*`, whatever its step.
    pub(super) fn is_wild(self) -> bool {
        self.wild
    }

    pub(super) fn has(self, value: u8) -> bool {
        value < 64 && self.bits & (1 << value) != 0
    }

    /// The first value at or after this one.
    pub(super) fn first_from(self, value: u8) -> Option<u8> {
        (value..64).find(|value| self.has(*value))
    }
}
