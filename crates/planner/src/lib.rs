//! What is decided, and nothing else: no socket, no clock, no file but the playbooks. A crate of its own so that it stays so:
//! what it does not depend on it cannot do.
//!
//! ```
//! use openmldb_planner::playbook::{DEFAULT, Playbook};
//!
//! let playbook = Playbook::find(DEFAULT)?;
//! assert_eq!(Playbook::parse("mine.yaml", &playbook.to_yaml())?, playbook);
//!
//! let wrong = playbook.to_yaml().replace("version: 1", "version: 2");
//! let error = Playbook::parse("mine.yaml", &wrong).unwrap_err();
//! assert!(error.to_string().starts_with("mine.yaml:"), "{error}");
//! # Ok::<(), openmldb_planner::playbook::PlaybookError>(())
//! ```

pub mod playbook;
pub mod recovery;
pub mod verify;
