//! The help of every command: a snapshot for each command with all below it, so that a change shows where it was made. What many
//! commands have in common is in one of its own, and only named in theirs.

use crate::support::process::Home;

/// Sections that commands share word for word, and where they are shown.
const SHARED: [&str; 4] = ["At the end:", "Scope:", "Cluster:", "Sandbox:"];

/// The help of a command and of all below it, as `--help` gives them.
fn tree(home: &Home, command: &[&str]) -> Vec<(String, String)> {
    let arguments = [command, &["--help"]].concat();
    let ran = home.run(&arguments).expect(0);
    assert_eq!(ran.stderr, "");
    let names = below(&ran.stdout);
    let mut buffer = vec![(arguments.join(" "), ran.stdout)];
    for name in &names {
        buffer.extend(tree(home, &[command, &[name]].concat()));
    }
    buffer
}

/// The commands that a page lists.
fn below(page: &str) -> Vec<String> {
    let listed = page.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that is wrapped goes on further in than a name stands.
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// A section of a page, heading and all, up to the next heading.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let start = page.find(&format!("\n{heading}\n"))? + 1;
    let text = &page[start..];
    let end = text
        .match_indices("\n\n")
        .find(|(at, _)| !text[at + 2..].starts_with(' '))
        .map_or(text.len(), |(at, _)| at + 1);
    Some(&text[..end])
}

/// The options of every command, but for that of the help itself, which says whether there is a summary.
fn everywhere(page: &str) -> &str {
    let start = page.find("      --output <OUTPUT>\n").unwrap();
    let end = page.find("  -h, --help\n").unwrap();
    &page[start..end]
}

/// The options of every single step, as they are laid out in lines.
fn of_a_step(page: &str) -> &str {
    let start = page.find("      --dry-run ").unwrap();
    let end = page.find("      --output ").unwrap();
    &page[start..end]
}

/// A page with every option, argument and command on a line of its own: how they are laid out is the same everywhere, and shown once.
fn in_lines(page: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in page.lines().filter(|line| !line.trim().is_empty()) {
        match lines.last_mut() {
            Some(last) if line.starts_with("          ") => *last += &format!(" {}", line.trim()),
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn every_command() {
    let home = Home::new();
    let top = home.run(&["--help"]).expect(0).stdout;
    let recover = home.run(&["recover", "--help"]).expect(0).stdout;
    let laid_out = home.run(&["explain", "--help"]).expect(0).stdout;
    let shared = SHARED.map(|heading| (heading, section(&recover, heading).unwrap().to_owned()));
    let everywhere = everywhere(&top);
    let load = in_lines(&home.run(&["replica", "load", "--help"]).expect(0).stdout);
    let of_a_step = of_a_step(&load);
    let in_common: String = shared.iter().map(|(_, section)| format!("\n{section}")).collect();
    let in_common = format!("{in_common}\nOf a single step:\n{of_a_step}");
    insta::assert_snapshot!("help_in_common", format!("{everywhere}{in_common}"));
    insta::assert_snapshot!("help", top.replace(everywhere, "  (options of every command)\n\n"));
    insta::assert_snapshot!("help_laid_out", laid_out.replace(everywhere, "  (options of every command)\n\n"));
    for command in below(&top) {
        let mut out = String::new();
        for (words, page) in tree(&home, &[&command]) {
            assert!(
                page.contains(everywhere),
                "{words}: has not the options that every command has, as every command has them"
            );
            let mut page = page.replace(everywhere, "  (options of every command)\n\n");
            for (heading, section) in &shared {
                page = page.replace(section, &format!("{heading} (as of recover)\n"));
            }
            let page = in_lines(&page).replace(of_a_step, "  (options of a single step)\n");
            out += &format!("$ openmldb-ops {words}\n{page}\n");
        }
        insta::assert_snapshot!(format!("help_{command}"), out);
    }
}

#[test]
fn version() {
    let ran = Home::new().run(&["--version"]).expect(0);
    assert_eq!(ran.stdout, format!("openmldb-ops {}\n", env!("CARGO_PKG_VERSION")));
}
