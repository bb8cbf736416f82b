//! What is decided, and nothing else: no socket, no clock, no file but the playbooks. A crate of its own so that it stays so:
//! what it does not depend on it cannot do.

pub mod playbook;
pub mod recovery;
pub mod verify;
