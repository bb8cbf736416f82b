//! The decisions that make a world. Each has a name and dice of its own, so that one can be left out without changing how any
//! other falls: that is how a world that fails is made smaller.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::dice::Dice;

/// A seed, and what is left out of the world that it makes.
#[derive(Debug, Clone)]
pub struct Choices {
    seed: u64,
    within: String,
    without: Rc<BTreeSet<String>>,
    made: Rc<RefCell<Vec<String>>>,
}

impl Choices {
    /// Those of a seed, but for some.
    pub fn new(seed: u64, without: &BTreeSet<String>) -> Self {
        Self { seed, within: String::new(), without: Rc::new(without.clone()), made: Rc::default() }
    }

    /// Those within one that was made.
    pub fn within(&self, name: &str) -> Self {
        Self { within: self.path(name) + ".", ..self.clone() }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.within)
    }

    /// Dice for what has to be decided somehow.
    pub fn dice(&self, name: &str) -> Dice {
        // FNV-1a, so that names near each other roll differently.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = self.path(name).bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        Dice::new(self.seed ^ hash)
    }

    /// Something that happens in so many of a hundred worlds, unless it is left out.
    pub fn perhaps(&self, percent: u64, name: &str) -> Option<Dice> {
        let mut dice = self.dice(name);
        let path = self.path(name);
        if !dice.percent(percent) || self.without.contains(&path) {
            return None;
        }
        self.made.borrow_mut().push(path);
        Some(dice)
    }

    /// So many of a kind, but for those that are left out, each by its name.
    pub fn several(&self, count: u64, kind: &str) -> Vec<(String, Dice)> {
        let names = (1..=count).map(|number| format!("{kind}-{number}"));
        names.filter_map(|name| self.perhaps(100, &name).map(|dice| (name, dice))).collect()
    }

    /// What was decided so far and can be left out.
    pub fn made(&self) -> Vec<String> {
        self.made.borrow().clone()
    }
}

/// The smallest set of choices that still does it, as far as leaving out some at a time finds it: what was left out, and what
/// came of the rest. `does` lives through a world without some choices, and gives what it was made of if it still does it.
pub fn shrink<T>(
    made: Vec<String>,
    whole: T,
    does: impl Fn(&BTreeSet<String>) -> Option<(Vec<String>, T)>,
) -> (BTreeSet<String>, T) {
    let (mut made, mut smallest, mut without) = (made, whole, BTreeSet::new());
    let mut at_once = made.len().div_ceil(2).max(1);
    loop {
        let (mut at, mut left_out) = (0, false);
        while at < made.len() {
            let more = made.iter().skip(at).take(at_once).cloned();
            let candidate: BTreeSet<String> = without.iter().cloned().chain(more).collect();
            match does(&candidate) {
                Some((still_made, found)) => {
                    (made, smallest, without, left_out) = (still_made, found, candidate, true);
                }
                None => at += at_once,
            }
        }
        if at_once == 1 && !left_out {
            return (without, smallest);
        }
        at_once = at_once.div_ceil(2);
    }
}
