//! The cases that a cluster is in, as text and as JSON.

use serde::Serialize;

use crate::run::Diagnosis;

use super::color::{Paint, Tone};
use super::words::one_line;

/// A case as a line.
#[derive(Serialize)]
pub struct DiagnosisLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

impl<'a> DiagnosisLine<'a> {
    /// The line for a case.
    pub fn of(diagnosis: &'a Diagnosis) -> Self {
        Self { event: "diagnosis", diagnosis }
    }
}

/// Each case: what is seen, what OpenMLDB promises, what to do.
pub fn diagnoses_text(found: &[Diagnosis], paint: Paint) -> String {
    let mut out = String::new();
    for diagnosis in found {
        out += &format!("{} {}\n", paint.tone(Tone::Strong, "case:"), one_line(&diagnosis.seen));
        out += &format!("  expect: {}\n", one_line(diagnosis.promise));
        for next in &diagnosis.next {
            out += &format!("  next: {}\n", one_line(next));
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}
