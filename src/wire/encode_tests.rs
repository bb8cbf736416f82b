//! What encoding sends, and what it leaves out.
