//! A bar as indicatif draws it, as text: the rows of a run are put together first and shown at once, so that they fit the terminal.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// `name [====>   ] 3/12  beside`, with so many columns between the brackets.
pub(super) fn bar(name: &str, (done, of): (usize, usize), beside: &str, length: usize) -> String {
    let template = format!("{{prefix:>9}} [{{bar:{length}}}] {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let paper = Paper::default();
    let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
    // Nothing out of nothing is not done: indicatif would draw a full bar.
    let bar = ProgressBar::with_draw_target(Some(as_u64(of.max(1))), target)
        .with_style(style.progress_chars("=> "))
        .with_prefix(name.to_owned())
        .with_message(format!("{done}/{of}  {beside}"))
        .with_position(as_u64(done));
    // Draws it as it is, and never again.
    bar.abandon();
    let drawn = paper.0.lock().unwrap_or_else(PoisonError::into_inner);
    drawn.trim_end().to_owned()
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What indicatif takes for a terminal: it keeps what is written.
#[derive(Debug, Clone, Default)]
struct Paper(Arc<Mutex<String>>);

impl TermLike for Paper {
    /// indicatif fills a row up to it; what is longer is not cut.
    fn width(&self) -> u16 {
        80
    }

    fn height(&self) -> u16 {
        u16::MAX
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_shows_how_far_it_is() {
        assert_eq!(bar("loaded", (3, 12), "replicas, 2/s", 8), "   loaded [==>     ] 3/12  replicas, 2/s");
        assert_eq!(bar("serving", (12, 12), "", 4), "  serving [====] 12/12");
        assert_eq!(bar("serving", (0, 0), "", 4), "  serving [    ] 0/0");
        let beside = "x".repeat(200);
        assert!(bar("redundant", (0, 30_000), &beside, 40).ends_with(&beside), "what is long is not cut here");
    }
}
