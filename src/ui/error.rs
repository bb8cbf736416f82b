//! An error, for people.

use super::color::{Paint, Tone};
use super::words::one_line;

/// Details told; the JSON output has all of them.
const DETAILS: usize = 20;

/// `error: MESSAGE`, its details and what to do about it on lines of their own.
pub fn error_text(message: &str, details: &[String], hint: Option<&str>, paint: Paint) -> String {
    let mut out = format!("{} {}\n", paint.tone(Tone::Bad, "error:"), one_line(message));
    for detail in details.iter().take(DETAILS) {
        out += &format!("  {}\n", one_line(detail));
    }
    if details.len() > DETAILS {
        out += &format!("  and {} more\n", details.len() - DETAILS);
    }
    if let Some(hint) = hint {
        out += &format!("{} {}\n", paint.tone(Tone::Strong, "hint:"), one_line(hint));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do_next() {
        let text = error_text("no tablets", &[], Some("start the tablets first"), Paint::Plain);
        assert_eq!(text, "error: no tablets\nhint: start the tablets first\n");
        assert_eq!(error_text("no\ntablets", &[], None, Paint::Plain), "error: no tablets\n");
    }
    #[test]
    fn details_stand_below_it_as_many_as_can_be_read() {
        let details: Vec<String> = (1..=22).map(|nth| format!("field {nth}")).collect();
        let text = error_text("stale", &details, None, Paint::Plain);
        assert!(
            text.starts_with("error: stale\n  field 1\n") && text.ends_with("  field 20\n  and 2 more\n"),
            "{text}"
        );
    }
}
