//! The simulator's own random numbers: xoshiro256++ by Blackman and Vigna (public domain), seeded through splitmix64 as its
//! authors advise. Written here so that no dependency's update changes what a seed means.

/// A generator; equal seeds give equal sequences, for good.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: [(); 4].map(|()| splitmix(&mut mixer)) }
    }

    /// The generator for one thing of a seed's world: it does not depend on what else happens there.
    #[must_use]
    pub fn about(seed: u64, what: &[u64]) -> Self {
        Self::new(Self::word(seed, what))
    }

    /// 64 bits for one thing of a seed's world.
    #[must_use]
    pub fn word(seed: u64, what: &[u64]) -> u64 {
        what.iter().fold(seed, |word, part| {
            let mut mixer = word ^ part.rotate_left(32);
            splitmix(&mut mixer)
        })
    }

    /// A word for a name, to be part of what something is about: FNV-1a, so that names that differ give words that do.
    #[must_use]
    pub fn name(name: &str) -> u64 {
        name.bytes().fold(0xcbf2_9ce4_8422_2325, |word: u64, byte| {
            (word ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// 128 bits, for ids.
    pub fn wide(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    /// A number below `bound`, which is not 0; the bias of about `bound` / 2⁶⁴ does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `per_mille` of 1,000 cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_keeps_its_meaning() {
        // Reference: splitmix64 of 0, and xoshiro256++ over its first four outputs.
        let mut mixer = 0;
        assert_eq!(splitmix(&mut mixer), 0xe220_a839_7b1d_cdaf);
        let mut random = Random::new(0);
        assert_eq!(random.bits(), 0x5317_5d61_490b_23df);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(1);
        for bound in 1..100 {
            assert!(random.below(bound) < bound);
            assert!((bound..=2 * bound).contains(&random.between(bound, 2 * bound)));
        }
    }
}
