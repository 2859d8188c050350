//! Rules as the kernel's routing netlink has them (`linux/rtnetlink.h`, `linux/fib_rules.h`).

use std::net::Ipv4Addr;

use super::{PRIORITY, PROTOCOL, Rule};

/// Bytes of a message's own header, and of a rule's.
pub(super) const HEADER_BYTES: usize = 16;
const RULE_BYTES: usize = 12;
const ATTRIBUTE_BYTES: usize = 4;

pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// Refuses a rule that is there: flag `NLM_F_EXCL`.
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;

const AF_INET: u8 = 2;
const FR_ACT_PROHIBIT: u8 = 8;
const IPPROTO_TCP: u8 = 6;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_DPORT_RANGE: u16 = 24;

/// Asks for all rules of IPv4.
pub(super) fn list(sequence: u32) -> Vec<u8> {
    let mut body = [0; RULE_BYTES];
    body[0] = AF_INET;
    message(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, sequence, &body)
}

/// Adds a rule.
pub(super) fn add(rule: &Rule, sequence: u32) -> Vec<u8> {
    let mut body = vec![0; RULE_BYTES];
    body[..3].copy_from_slice(&[AF_INET, rule.destination.1, rule.source.1]);
    body[7] = FR_ACT_PROHIBIT;
    let ports = [rule.ports.0.to_ne_bytes(), rule.ports.1.to_ne_bytes()].concat();
    attribute(&mut body, FRA_DST, &rule.destination.0.octets());
    attribute(&mut body, FRA_SRC, &rule.source.0.octets());
    attribute(&mut body, FRA_PRIORITY, &PRIORITY.to_ne_bytes());
    attribute(&mut body, FRA_PROTOCOL, &[PROTOCOL]);
    attribute(&mut body, FRA_IP_PROTO, &[IPPROTO_TCP]);
    attribute(&mut body, FRA_DPORT_RANGE, &ports);
    message(RTM_NEWRULE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sequence, &body)
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + body.len()) as u32;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(((ATTRIBUTE_BYTES + value.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// One message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A rule like ours.
    Rule(Rule),
    /// Another rule, or something else.
    Other,
    /// The end of a list.
    Done,
    /// How a request went: 0, or an error's number.
    Result(i32),
}

/// The messages of a datagram. What is malformed ends it.
pub(super) fn answers(datagram: &[u8]) -> Vec<Answer> {
    let (mut rest, mut answers) = (datagram, Vec::new());
    while let Some(length) = number(rest.get(..4)) {
        let length = length as usize;
        let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADER_BYTES) else { break };
        let body = message.get(HEADER_BYTES..).unwrap_or_default();
        answers.push(match short(message.get(4..6)) {
            Some(NLMSG_DONE) => Answer::Done,
            Some(NLMSG_ERROR) => Answer::Result(number(body.get(..4)).map_or(0, |code| -(code as i32))),
            Some(RTM_NEWRULE) => rule(body).map_or(Answer::Other, Answer::Rule),
            _ => Answer::Other,
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

/// A rule that refuses TCP, if it is one.
fn rule(body: &[u8]) -> Option<Rule> {
    let (head, mut rest) = body.split_at_checked(RULE_BYTES)?;
    let (destination_length, source_length) = (*head.get(1)?, *head.get(2)?);
    if head.first() != Some(&AF_INET) || head.get(7) != Some(&FR_ACT_PROHIBIT) {
        return None;
    }
    let (mut source, mut destination, mut ports) = (None, None, None);
    let (mut protocol, mut priority) = (None, None);
    while let Some(length) = short(rest.get(..2)) {
        let length = usize::from(length);
        let value = rest.get(ATTRIBUTE_BYTES..length)?;
        match short(rest.get(2..4))? {
            FRA_DST => destination = address(value),
            FRA_SRC => source = address(value),
            FRA_PRIORITY => priority = number(Some(value)),
            FRA_IP_PROTO => protocol = value.first().copied(),
            FRA_DPORT_RANGE => ports = Some((short(value.get(..2))?, short(value.get(2..4))?)),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if protocol != Some(IPPROTO_TCP) || priority != Some(PRIORITY) {
        return None;
    }
    let (source, destination) = ((source?, source_length), (destination?, destination_length));
    Some(Rule { source, destination, ports: ports? })
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

fn number(bytes: Option<&[u8]>) -> Option<u32> {
    bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
}

fn short(bytes: Option<&[u8]>) -> Option<u16> {
    bytes.and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_added_is_known_again() {
        for wanted in super::super::wanted(super::super::range("10.83.0.0/16").unwrap()) {
            assert_eq!(answers(&add(&wanted, 1)), [Answer::Rule(wanted)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in 0u32..200) {
            let _ = answers(&bytes);
            let mut framed = message(RTM_NEWRULE, 0, 0, &bytes);
            framed[..4].copy_from_slice(&length.to_ne_bytes());
            let _ = answers(&framed);
        }
    }
}
