//! Every rule of docs/design as a named test, in a file by its subject.

mod builder;
mod carrying_on;
mod deletes;
mod early;
mod elections;
mod followers;
mod histories;
mod leading;
mod loading;
mod looks;
mod losses;
mod memories;
mod named;
mod objections;
mod out_of_reach;
mod plans;
mod reattaching;
mod resending;
mod rows;
mod stuck;
mod suspects;
mod terms;
mod turns;
mod unseen;
mod waits;
mod without_recover;
