//! What tablets do, seen from outside: through their calls.

mod aggregates;
mod fixture;
mod loading;
mod recorded;
mod replication;
mod roles;
mod snapshots;
mod traverse;
mod writers;
