//! Lines stay whole, and a reader that goes away stops nothing.

use serde_json::Value;

use super::*;

/// A writer that fails after so many bytes, and counts how often it was tried.
struct Pipe {
    room: usize,
    tries: usize,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tries += 1;
        if self.room < bytes.len() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.room -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn note(text: &str) -> Event {
    Event::Note { text: text.to_owned() }
}

#[test]
fn each_event_is_one_line_whatever_its_text() {
    let lines = JsonLines::new(Vec::new());
    let listener = lines.listener();
    listener(&note("two\nlines"));
    lines.error("no \"tablets\"", None, &[]).unwrap();
    let out = lines.out.lock().unwrap();
    let text = std::str::from_utf8(&out.to).unwrap();
    let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.iter().map(|value| value["event"].as_str().unwrap()).collect::<Vec<_>>(), ["note", "error"]);
    assert_eq!(values[0]["text"], "two\nlines");
    assert!(text.ends_with('\n'));
}

#[test]
fn a_reader_that_goes_away_stops_no_run_and_nothing_follows_a_gap() {
    let lines = JsonLines::new(Pipe { room: 40, tries: 0 });
    let listener = lines.listener();
    listener(&note("short"));
    listener(&note("too long for what is left of the room there is"));
    listener(&note("s"));
    assert_eq!(lines.out.lock().unwrap().to.tries, 2, "once it has failed, it is left alone");
    let error = lines.error("late", None, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(super::super::reader_gone_is_fine(Err(error)).is_ok());
}
