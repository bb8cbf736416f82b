//! A terminal's screen as a picture: an SVG that needs nothing but a monospaced font.

use std::fmt::Write as _;

use avt::{Cell, Color, Pen};

/// A character's width and a line's height, in pixels, and the space around them.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 19.0;
const MARGIN: f64 = 16.0;
/// The title's bar.
const BAR: f64 = 30.0;

const GROUND: &str = "#16181d";
const TEXT: &str = "#d7dae0";
/// The sixteen colours of terminals.
const PALETTE: [&str; 16] = [
    "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0", "#7f848e", "#ff7b86",
    "#b5e890", "#ffd98f", "#7cc3ff", "#e08cf5", "#6fd6e3", "#ffffff",
];

/// Lines of cells below a title.
pub fn svg(title: &str, lines: &[Vec<Cell>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let (width, height) = (columns as f64 * WIDTH + 2.0 * MARGIN, lines.len() as f64 * HEIGHT + BAR + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\" role=\"img\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{GROUND}\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" fill=\"{}\">{title}</text>\n",
        PALETTE[8],
        title = escaped(title),
    );
    for (nth, line) in lines.iter().enumerate() {
        let y = BAR + MARGIN + nth as f64 * HEIGHT + HEIGHT * 0.75;
        let mut at = 0;
        for run in line.chunk_by(|one, two| one.pen() == two.pen()) {
            let text: String = run.iter().filter(|cell| cell.width() > 0).map(Cell::char).collect();
            let x = MARGIN + at as f64 * WIDTH;
            at += run.len();
            let used = run.iter().rposition(|cell| cell.char() != ' ').map_or(0, |last| last + 1);
            if used == 0 {
                continue;
            }
            let (text, length) = (text.trim_end(), used as f64 * WIDTH);
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" xml:space=\"preserve\"{}>{}</text>",
                look(run[0].pen()),
                escaped(text)
            );
        }
    }
    out + "</svg>\n"
}

fn look(pen: &Pen) -> String {
    let colour = match pen.foreground() {
        Some(Color::Indexed(number)) => PALETTE.get(usize::from(number)).copied().unwrap_or(TEXT).to_owned(),
        Some(Color::RGB(rgb)) => format!("#{:02x}{:02x}{:02x}", rgb.r, rgb.g, rgb.b),
        None if pen.is_faint() => PALETTE[8].to_owned(),
        None => TEXT.to_owned(),
    };
    let weight = if pen.is_bold() { " font-weight=\"bold\"" } else { "" };
    let opacity = if pen.is_faint() && pen.foreground().is_some() { " opacity=\"0.7\"" } else { "" };
    format!(" fill=\"{colour}\"{weight}{opacity}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn what_is_on_the_screen_is_in_the_picture_in_its_colour() {
    let mut terminal = avt::Terminal::new(20, 2).unwrap();
    terminal.feed("\u{1b}[1;31m3 < 4\u{1b}[0m so\r\n");
    let lines: Vec<Vec<Cell>> = terminal.screen().visible_lines().map(|line| line.cells().to_vec()).collect();
    let picture = svg("a & b", &lines);
    assert!(picture.contains(">3 &lt; 4</text>") && picture.contains("<title>a &amp; b</title>"), "{picture}");
    assert!(picture.contains(&format!("fill=\"{}\" font-weight=\"bold\">3", PALETTE[1])), "{picture}");
    assert!(picture.contains(" so"), "{picture}");
}
