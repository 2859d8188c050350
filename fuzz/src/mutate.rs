//! Inputs from seeds.

use crate::Target;
use crate::random::Random;

/// Longest input, in bytes: long enough for every depth and count that matters, short enough for many a second.
const MAX_INPUT_BYTES: usize = 64 * 1024;
/// Most copies of one piece.
const MAX_REPEATS: usize = 2_000;
/// Most changes to an input.
const MAX_CHANGES: usize = 12;

pub(crate) fn input(target: Target, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let corpus = target.corpus();
    let mut bytes = random.pick(corpus).to_vec();
    for _ in 0..=random.below(MAX_CHANGES) {
        change(&mut bytes, target, &mut random);
        bytes.truncate(MAX_INPUT_BYTES);
    }
    bytes
}

fn range(length: usize, random: &mut Random) -> std::ops::Range<usize> {
    let from = random.below(length + 1);
    let most = if random.below(4) == 0 { length - from } else { (length - from).min(24) };
    from..from + random.below(most + 1)
}

fn insert(bytes: &mut Vec<u8>, piece: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    bytes.splice(at..at, piece.iter().copied());
}

fn change(bytes: &mut Vec<u8>, target: Target, random: &mut Random) {
    match random.below(12) {
        0 => {
            let at = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            let at = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap_or(0);
            }
        }
        2..=5 => insert(bytes, random.pick(target.dictionary()), random),
        6 => {
            let range = range(bytes.len(), random);
            bytes.drain(range);
        }
        7 => {
            let piece = bytes.get(range(bytes.len(), random)).unwrap_or_default().to_vec();
            insert(bytes, &piece, random);
        }
        8 => {
            let other = random.pick(target.corpus());
            let piece = other.get(range(other.len(), random)).unwrap_or_default();
            insert(bytes, piece, random);
        }
        9 => {
            let piece = random.pick(target.dictionary()).repeat(random.below(MAX_REPEATS));
            insert(bytes, &piece, random);
        }
        10 => bytes.truncate(random.below(bytes.len() + 1)),
        _ => {
            let range = range(bytes.len(), random);
            let piece = random.pick(target.dictionary()).to_vec();
            bytes.splice(range, piece);
        }
    }
}
