//! What a terminal shows of what is drawn and printed on it.

use avt::Terminal;
use proptest::prelude::*;

use super::*;

/// A terminal that rearranges its lines when it is resized, and what a program has written to it.
#[derive(Clone)]
struct Screen(Arc<Mutex<Terminal>>);

impl Screen {
    fn of(columns: usize, lines: usize) -> (Self, Board) {
        let screen = Self(Arc::new(Mutex::new(Terminal::with_scrollback(columns, lines, None).unwrap())));
        let sized = screen.clone();
        let size = move || {
            let (columns, lines) = sized.0.lock().unwrap().size();
            (u16::try_from(lines).unwrap(), u16::try_from(columns).unwrap())
        };
        let board = Board::new(Box::new(screen.clone()), Box::new(size));
        (screen, board)
    }

    /// Everything on it, with what has scrolled away.
    fn text(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap().screen().text();
        lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn resize(&self, columns: usize, lines: usize) {
        self.0.lock().unwrap().resize(columns, lines);
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // As a terminal's driver does it.
        self.0.lock().unwrap().feed(std::str::from_utf8(bytes).unwrap().replace('\n', "\r\n").as_str());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn rows(board: &Board, rows: &[&str]) {
    board.show(rows.iter().map(|text| (*text).to_owned()).collect());
    board.lock().draw();
}

#[test]
fn what_is_printed_stays_above_the_rows_and_nothing_of_them_is_left() {
    let (screen, board) = Screen::of(40, 10);
    rows(&board, &["one", "two", "three"]);
    board.say("a note");
    board.print(&mut screen.clone(), b"a line\nand another\n").unwrap();
    assert_eq!(screen.text(), ["a note", "a line", "and another", "one", "two", "three"]);
    rows(&board, &["1", "", "3"]);
    assert_eq!(screen.text(), ["a note", "a line", "and another", "1", "", "3"]);
    board.clear();
    board.print(&mut screen.clone(), b"the end\n").unwrap();
    assert_eq!(screen.text(), ["a note", "a line", "and another", "the end"]);
}

#[test]
fn where_nothing_is_drawn_nothing_but_the_text_is_written() {
    let written = Arc::new(Mutex::new(Vec::new()));
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let board = Board::new(Box::new(Kept(written.clone())), Box::new(|| (24, 80)));
    board.say("a note");
    board.print(&mut Kept(written.clone()), b"half a line").unwrap();
    board.clear();
    assert_eq!(*written.lock().unwrap(), b"a note\nhalf a line");
}

#[test]
fn a_terminal_that_became_narrower_as_it_was_drawn_on_keeps_nothing_of_a_row() {
    let (screen, _) = Screen::of(30, 10);
    let board = Board::new(Box::new(screen.clone()), Box::new(|| (10, 60)));
    rows(&board, &["a row of more columns than there are by now", "and one"]);
    screen.resize(60, 10);
    board.print(&mut screen.clone(), b"a line\n").unwrap();
    board.clear();
    assert_eq!(screen.text(), ["a line"]);
}

#[test]
fn rows_come_below_a_line_that_has_not_ended() {
    let (screen, board) = Screen::of(40, 10);
    rows(&board, &["one"]);
    board.print(&mut screen.clone(), b"half").unwrap();
    assert_eq!(screen.text(), ["half", "one"]);
    board.say("next");
    assert_eq!(screen.text(), ["half", "next", "one"]);
}

#[test]
fn a_row_is_cut_to_the_terminal_and_its_colour_ends_with_it() {
    let (screen, board) = Screen::of(10, 10);
    rows(&board, &["\u{1b}[31mred all over\u{1b}[0m", "数据库数据库", "short"]);
    assert_eq!(screen.text(), ["red all…", "数据库数…", "short"]);
    board.say("plain");
    assert!(!screen.0.lock().unwrap().dump().contains("\u{1b}[31mplain"));
    assert_eq!(cut("\u{1b}[31mred all over", 5), "\u{1b}[31mred…\u{1b}[0m");
    assert_eq!(cut("waiting (2 min of 5 min; 99 partitions wait)", 40), "waiting (2 min of 5 min; 99 partitions…");
    assert_eq!(cut("waiting (2 min of 5 min; 99 partitions wait)", 26), "waiting (2 min of 5 min…");
}

/// What somebody else writes to the terminal meanwhile ends up among the rows, and is not erased with them.
#[test]
fn what_comes_from_elsewhere_is_not_erased() {
    let (screen, board) = Screen::of(40, 10);
    rows(&board, &["one", "two"]);
    screen.clone().write_all(b"from elsewhere\n").unwrap();
    rows(&board, &["one", "two"]);
    board.clear();
    assert_eq!(screen.text(), ["from elsewhere"]);
}

/// The terminal shows that Enter was pressed: the cursor is on another row then.
#[test]
fn what_is_typed_meanwhile_leaves_no_row_behind() {
    let (screen, _) = Screen::of(40, 10);
    let typed = Arc::new(Mutex::new(0));
    let (sized, read) = (screen.clone(), typed.clone());
    let size = move || {
        let (columns, lines) = sized.0.lock().unwrap().size();
        (u16::try_from(lines).unwrap(), u16::try_from(columns).unwrap())
    };
    let board = Board::of(Box::new(screen.clone()), Box::new(size), Box::new(move || *read.lock().unwrap()));
    let types = |text: &str| {
        screen.clone().write_all(text.as_bytes()).unwrap();
        *typed.lock().unwrap() += u64::try_from(text.len()).unwrap();
    };
    board.say("a note");
    rows(&board, &["one", "two", "three"]);
    types("\n");
    rows(&board, &["1", "2", "3"]);
    assert_eq!(screen.text(), ["a note", "1", "2", "3"]);
    types("ls\n\n");
    board.say("another");
    assert_eq!(screen.text(), ["a note", "another", "1", "2", "3"]);
    types("\n");
    board.clear();
    assert_eq!(screen.text(), ["a note", "another"]);
    rows(&board, &["one", "two"]);
    screen.clone().write_all(b"from elsewhere\n").unwrap();
    board.clear();
    assert_eq!(screen.text(), ["a note", "another", "from elsewhere"], "nobody has typed that");
}

#[test]
fn a_terminal_without_room_shows_what_is_printed() {
    for (columns, lines) in [(1, 1), (2, 1), (1, 2), (3, 2), (40, 2)] {
        let (screen, board) = Screen::of(columns, lines);
        rows(&board, &["one", "two", "three"]);
        board.say("x");
        board.clear();
        board.say("y");
        assert_eq!(screen.text(), ["x", "y"], "{columns} x {lines}");
    }
    let (_, board) = (Screen::of(1, 1), Board::new(Box::new(io::sink()), Box::new(|| (0, 0))));
    rows(&board, &["one"]);
    board.clear();
}

#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<String>),
    Say(String),
    Print(String),
    Resize(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let text = || "[a-z ]{0,100}[a-z]";
    prop_oneof![
        4 => prop::collection::vec("[a-z]{0,150}", 3).prop_map(Step::Rows),
        2 => text().prop_map(Step::Say),
        2 => text().prop_map(Step::Print),
        2 => (2..200_usize, 1..40_usize).prop_map(|(columns, lines)| Step::Resize(columns, lines)),
    ]
}

proptest! {
    /// Whatever is drawn, however often the terminal changes its size.
    #[test]
    fn every_line_survives_at_any_width_and_after_any_resize(
        size in (2..200_usize, 1..40_usize),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let (screen, board) = Screen::of(size.0, size.1);
        let mut printed = Vec::new();
        for step in &steps {
            match step {
                Step::Rows(texts) => rows(&board, &texts.iter().map(String::as_str).collect::<Vec<_>>()),
                Step::Say(text) => board.say(text),
                Step::Print(text) => board.print(&mut screen.clone(), format!("{text}\n").as_bytes()).unwrap(),
                Step::Resize(columns, lines) => screen.resize(*columns, *lines),
            }
            if let Step::Say(text) | Step::Print(text) = step {
                printed.push(text.clone());
            }
        }
        board.clear();
        // Spaces break between words what is longer than the terminal is wide.
        let words = |lines: Vec<String>| {
            let words = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            words.collect::<Vec<_>>()
        };
        prop_assert_eq!(words(screen.text()), words(printed));
    }
}
