//! Where the processor is while the costly works run: `perf`, where there is one, on a process of its own.

use std::process::Command;

use super::cost::{SIZES, sizes_of};
use super::table::Book;

/// What is looked into: the work, and which of the sizes.
const WORKS: [(&str, usize); 3] = [("recover", 0), ("fast", 0), ("fast", 1)];
/// So many functions are told.
const FUNCTIONS: usize = 12;

/// Runs it.
pub fn run(book: &mut Book) {
    book.begin("profile", "where the processor was; functions with what they do themselves");
    for (work, size) in WORKS {
        let size = SIZES[size];
        match functions(work, &sizes_of(size)) {
            Some(told) => book.row("profile", &[work.into(), size.name().into(), told.into()]),
            None => eprintln!("no profile of {work} {}: perf does not run here", size.name()),
        }
    }
}

fn functions(work: &str, sizes: &str) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let data = std::env::temp_dir().join(format!("openmldb-ops-profile-{}", std::process::id()));
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-F", "499", "-o"]).arg(&data).arg(program).args(["child", work, sizes]);
    let ran = perf.output().ok()?;
    let report = ["report", "--stdio", "-q", "--no-children", "-F", "overhead,sym", "-i"];
    let told = Command::new("perf").args(report).arg(&data).output().ok();
    let _ = std::fs::remove_file(&data);
    let told = told.filter(|told| ran.status.success() && told.status.success())?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(FUNCTIONS);
    let told: Vec<String> = lines.filter_map(of_line).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// `  12.34%  [.] name` as `name 12.3 %`.
fn of_line(line: &str) -> Option<String> {
    let (share, name) = line.trim().split_once('%')?;
    let name = name.trim().trim_start_matches("[.]").trim_start_matches("[k]").trim();
    let share: f64 = share.trim().parse().ok()?;
    Some(format!("`{name}` {share:.1} %"))
}
