//! Faults that wait for their moment.

use super::{Fault, FaultKind, Method, Place, Trigger, Which};
use crate::Millis;
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::call::Effect;

/// A call, as far as faults tell calls apart.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: &'static str,
    pub(crate) effect: Effect,
    /// The server called.
    pub(crate) server: Endpoint,
    /// The endpoint that the request names.
    pub(crate) names: Option<Endpoint>,
    /// The partitions that the request names.
    pub(crate) partitions: Vec<PartitionId>,
}

/// A place, as the world knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Tablet(Endpoint),
    Partition(PartitionId),
    /// Nothing in the world is called so.
    Nowhere,
}

/// A fault whose moment has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) kind: FaultKind,
    pub(crate) place: Option<Known>,
}

#[derive(Debug, Clone)]
struct Waiting {
    fault: Fault,
    /// Calls that counted so far.
    counted: u32,
    over: bool,
}

/// Faults, and how far each is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    since: Millis,
    faults: Vec<Waiting>,
    dice: u64,
}

impl Script {
    /// Faults set at that time, with a seed for those that chance decides on.
    pub(crate) fn new(faults: Vec<Fault>, since: Millis, seed: u64) -> Self {
        let faults = faults.into_iter().map(|fault| Waiting { fault, counted: 0, over: false }).collect();
        Self { since, faults, dice: seed }
    }

    /// Whether no call can meet anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.faults.iter().all(|waiting| waiting.over)
    }

    /// When the next fault of the clock's is due.
    pub(crate) fn next(&self) -> Option<Millis> {
        let at = |waiting: &Waiting| match waiting.fault.trigger {
            Trigger::After(millis) if !waiting.over => Some(self.since + millis),
            _ => None,
        };
        self.faults.iter().filter_map(at).min()
    }

    /// The faults of the clock's that are due.
    pub(crate) fn due(&mut self, now: Millis, known: impl Fn(&Place) -> Known) -> Vec<Met> {
        let since = self.since;
        let is_due = |waiting: &&mut Waiting| match waiting.fault.trigger {
            Trigger::After(millis) => !waiting.over && since + millis <= now,
            Trigger::Call(..) => false,
        };
        let due = self.faults.iter_mut().filter(is_due);
        due.map(|waiting| {
            waiting.over = true;
            Met { kind: waiting.fault.kind, place: waiting.fault.place.as_ref().map(&known) }
        })
        .collect()
    }

    /// The faults that a call meets, in the order they were given.
    pub(crate) fn meet(&mut self, seen: &Seen, known: impl Fn(&Place) -> Known) -> Vec<Met> {
        let mut met = Vec::new();
        for waiting in self.faults.iter_mut().filter(|waiting| !waiting.over) {
            let Trigger::Call(method, which) = waiting.fault.trigger else { continue };
            let place = waiting.fault.place.as_ref().map(&known);
            if !method.counts(seen) || !place.as_ref().is_none_or(|place| place.counts(seen)) {
                continue;
            }
            waiting.counted += 1;
            let happens = match which {
                Which::Every => true,
                Which::From(nth) => waiting.counted >= nth,
                Which::Nth(nth) => {
                    waiting.over = waiting.counted >= nth;
                    waiting.over
                }
                Which::PerMille(per_mille) => roll(&mut self.dice) % 1_000 < u64::from(per_mille),
            };
            if happens {
                met.push(Met { kind: waiting.fault.kind, place });
            }
        }
        met
    }
}

impl Method {
    fn counts(self, seen: &Seen) -> bool {
        match self {
            Self::Any => true,
            Self::Mutation => seen.effect == Effect::Mutate,
            Self::Named(name) => seen.method == name,
        }
    }
}

impl Known {
    fn counts(&self, seen: &Seen) -> bool {
        match self {
            Self::Tablet(tablet) => seen.server == *tablet || seen.names.as_ref() == Some(tablet),
            Self::Partition(id) => seen.partitions.contains(id),
            Self::Nowhere => false,
        }
    }
}

/// SplitMix64.
fn roll(dice: &mut u64) -> u64 {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *dice;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::world::partition;

    fn call(method: &'static str, server: &str) -> Seen {
        let (server, partitions) = (server.into(), vec![partition(7, 1)]);
        Seen { method, effect: Effect::Mutate, server, names: None, partitions }
    }

    fn known(place: &Place) -> Known {
        match place {
            Place::Tablet(number) => Known::Tablet(format!("t{number}").as_str().into()),
            Place::Partition(_, pid) => Known::Partition(partition(7, *pid)),
        }
    }

    fn met(spec: &str, calls: &[Seen]) -> Vec<usize> {
        let mut script = Script::new(vec![spec.parse().unwrap()], 0, 1);
        let meets = |seen: &Seen, script: &mut Script| !script.meet(seen, known).is_empty();
        calls.iter().enumerate().filter(|(_, seen)| meets(seen, &mut script)).map(|(at, _)| at).collect()
    }

    #[test]
    fn a_fault_happens_at_the_call_it_names_and_never_again() {
        let calls =
            [call("LoadTable", "t1"), call("DropTable", "t1"), call("LoadTable", "t2"), call("LoadTable", "t1")];
        assert_eq!(met("LoadTable:2=refused", &calls), [2]);
        assert_eq!(met("LoadTable@tablet1:2=refused", &calls), [3]);
        assert_eq!(met("LoadTable:every=refused", &calls), [0, 2, 3]);
        assert_eq!(met("mutation:2=refused", &calls), [1]);
        assert_eq!(met("DropTable@orders/1=refused", &calls), [1]);
        assert_eq!(met("DropTable@orders/2=refused", &calls), [0_usize; 0]);
    }

    #[test]
    fn chance_is_as_the_seed_has_it() {
        let calls: Vec<Seen> = (0..2_000).map(|_| call("LoadTable", "t1")).collect();
        let often = met("*:10%=refused", &calls);
        assert_eq!(often, met("*:10%=refused", &calls));
        assert!((150..250).contains(&often.len()), "{}", often.len());
    }

    #[test]
    fn the_clocks_faults_are_due_once() {
        let mut script = Script::new(vec!["3s@tablet2=tablet-dies".parse().unwrap()], 1_000, 1);
        assert_eq!((script.next(), script.due(3_999, known).len()), (Some(4_000), 0));
        assert_eq!(script.due(4_000, known)[0].place, Some(Known::Tablet("t2".into())));
        assert_eq!((script.next(), script.due(9_000, known).len()), (None, 0));
    }
}
