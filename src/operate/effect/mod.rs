//! How a step's effect is recognised, whatever was answered. Each effect is said in its step's own file.

mod metadata;
mod operations;

use std::fmt;
use std::time::Duration;

use crate::model::{Endpoint, OpId, PartitionId, Role, Snapshot, Tablet};
use crate::recovery::{Probe, Question};

pub(super) use metadata::{flags, is_gone, is_recovered, placed, role};
pub(super) use operations::{OP_SHOWS, after_ops, nothing_began, under_way};

/// What a step is to bring about.
pub trait Effect: fmt::Debug + Send + Sync {
    /// What is seen of it. `since` is the newest operation from before it was asked for.
    fn effect_status(&self, seen: &Snapshot, since: Option<OpId>) -> EffectStatus;

    /// What has to be asked beside what the nameserver knows and tablets hold.
    fn asks(&self, _seen: &Snapshot) -> Vec<Ask> {
        Vec::new()
    }

    /// Why it is waited for in vain, so long (in the cluster's time) after it was asked for: what was answered with 0 and begins
    /// nothing shows itself by not showing.
    fn in_vain(&self, _seen: &Snapshot, _since: Option<OpId>, _waited: Duration) -> Option<Vain> {
        None
    }

    /// What to do where it was not seen in time, if that is anything else than to look and to ask for it again.
    fn when_late(&self) -> Option<String> {
        None
    }
}

/// What is seen of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectStatus {
    /// It is so.
    Reached(String),
    /// Not yet.
    Waiting(String),
    /// What was to bring it about has ended, and it is not so.
    Missed {
        /// What was seen.
        text: String,
        /// What to do.
        hint: String,
    },
}

impl EffectStatus {
    /// What was seen.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Reached(text) | Self::Waiting(text) | Self::Missed { text, .. } => text,
        }
    }
}

/// A question to a tablet about a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// To whom, and what.
    pub probe: Probe,
    /// About which partition.
    pub partition: PartitionId,
}

/// Why an effect will not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vain {
    /// The beginning of a sentence that ends with what was seen.
    pub because: &'static str,
    /// What to do.
    pub hint: String,
}

/// What is seen of an effect, so long (in the cluster's time) after it was asked for.
pub(super) fn status_in_time(
    effect: &dyn Effect,
    seen: &Snapshot,
    since: Option<OpId>,
    waited: Duration,
) -> EffectStatus {
    match effect.effect_status(seen, since) {
        EffectStatus::Waiting(text) => match effect.in_vain(seen, since, waited) {
            Some(Vain { because, hint }) => EffectStatus::Missed { text: format!("{because}{text}"), hint },
            None => EffectStatus::Waiting(text),
        },
        clear => clear,
    }
}

/// Asks the leaders of partitions to whom they replicate.
pub(super) fn ask_leaders(ids: impl IntoIterator<Item = PartitionId>, seen: &Snapshot) -> Vec<Ask> {
    let leads = |(at, tablet): (&Endpoint, &Tablet), partition: PartitionId| {
        let held = tablet.held.known()?.get(&partition)?;
        let probe = Probe { endpoint: at.clone(), question: Question::Followers };
        (held.role == Role::Leader && held.state.is_loaded()).then_some(Ask { probe, partition })
    };
    ids.into_iter().flat_map(|id| seen.tablets.iter().filter_map(move |tablet| leads(tablet, id))).collect()
}
