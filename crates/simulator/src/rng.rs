//! Chance, from a seed: the same seed gives the same history.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose between a few.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let draw = self.next() >> 32;
        u32::try_from((draw * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_over_the_range_and_repeatable() {
        let mut counts = [0; 3];
        let (mut rng, mut again) = (Rng::new(7), Rng::new(7));
        for _ in 0..3_000 {
            let draw = rng.below(3);
            assert_eq!(draw, again.below(3));
            counts[draw as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
