//! An error, for people.

use super::color::{Paint, Tone};
use super::words::one_line;

/// `error: MESSAGE`, and what to do about it on a line of its own.
pub fn error_text(message: &str, hint: Option<&str>, paint: Paint) -> String {
    let mut out = format!("{} {}\n", paint.tone(Tone::Bad, "error:"), one_line(message));
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
        let text = error_text("no tablets", Some("start the tablets first"), Paint::Plain);
        assert_eq!(text, "error: no tablets\nhint: start the tablets first\n");
        assert_eq!(error_text("no\ntablets", None, Paint::Plain), "error: no tablets\n");
    }
}
