//! Guards that somebody holds back.

use super::{Case, Diagnosis, Runs};

pub(super) fn guard_paused(runs: &Runs) -> Option<Diagnosis> {
    let pause = runs.paused.as_ref()?;
    Some(Diagnosis {
        case: Case::GuardPaused,
        seen: pause.text(),
        promise: "none: until then what goes down stays down, unless somebody types `openmldb-ops recover --all`",
        next: vec!["openmldb-ops guard resume # ends it now".to_owned()],
    })
}
