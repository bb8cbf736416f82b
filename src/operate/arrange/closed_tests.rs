//! Tablets that are given nothing.

use super::super::partition_context::Given;
use super::tests::{cluster, tablet};
use super::*;

/// What it leads alone gets another replica for the time being.
#[test]
fn nobody_stands_in_for_an_upgraded_tablet_who_is_upgraded_or_emptied() {
    let seen = cluster(3, &[("shop", vec![vec![0]])]);
    let stands_in = |closed: &Closed| {
        let pre = Undertaking::UpgradePre { endpoint: tablet(0), allow_unavailable: false };
        arrange(&pre, &seen, None, closed, &Sizes::default()).map(|arrangement| arrangement.goals[0].replicas.clone())
    };
    assert_eq!(stands_in(&Closed::default()).unwrap(), [tablet(0), tablet(1)]);
    let emptied = |at: &[usize]| {
        let endpoints = at.iter().map(|at| tablet(*at)).collect();
        Closed::new([], Some(&Undertaking::ScaleIn { endpoints }))
    };
    for (closed, other) in [(emptied(&[1]), 2), (emptied(&[2]), 1)] {
        assert_eq!(stands_in(&closed).unwrap(), [tablet(0), tablet(other)]);
    }
    assert!(stands_in(&emptied(&[1, 2])).is_err(), "there is nobody else");
}

/// Also where nobody named it: of followers that hold the same the first one is taken.
#[test]
fn what_a_single_step_sends_gives_nothing_to_an_upgraded_tablet() {
    let closed = Closed::new([tablet(0)], None);
    let refused = |at: usize| {
        let given = [Given::leader(&tablet(at)), Given::replica(&tablet(at))];
        given.map(|given| closed.refuse_given(&given).err().map(|refusal| refusal.text))
    };
    assert_eq!(refused(1), [None, None]);
    let open = "`upgrade pre";
    assert!(refused(0).into_iter().all(|text| text.is_some_and(|text| text.contains(open))), "{:?}", refused(0));
}
