//! Nothing is lost, and auto_failover always comes back: proved in worlds that a simulated cluster lives through in virtual
//! time. `matrix` tries every fault at every step of every playbook in one small world; `hunt` random faults and kill points
//! in random worlds brought about by random lives; `minimal` and `once_wrong` keep what they found. What must hold is in `judge` (at
//! the moment of every change) and `invariants` (after every run). `undertakings` scales and upgrades worlds that are well, under
//! writers; `rehearsals` are runs in the likeness of a world.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::disallowed_types)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod addressed;
mod aggregated;
mod beside;
mod calm;
mod choices;
mod counts;
mod deletes;
mod dice;
mod expiring;
mod eyes;
mod guarded;
mod hunt;
mod hunted;
mod invariants;
mod judge;
mod leaderless;
mod ledger;
mod left_over;
mod life;
mod matrix;
mod minimal;
mod once_wrong;
mod papers;
mod parted;
mod patience;
mod rehearsals;
mod rows;
mod run;
mod shown;
mod slow_loads;
mod troubles;
mod typed;
mod undertakings;
mod unseen;
mod written;

/// A fifth of a hunt's time went to allocating.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
