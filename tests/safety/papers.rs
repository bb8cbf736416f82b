//! Where undertakings keep their files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory of its own, gone when dropped.
pub struct Papers(pub PathBuf);

impl Papers {
    pub fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("openmldb-ops-undertakings-{}-{number}", std::process::id())))
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        // There may be none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
