//! The help of every command.

use crate::support::process::Home;

/// The help of a command and of all below it, as `--help` gives them.
fn tree(home: &Home, command: &[&str], out: &mut String) {
    let arguments = [command, &["--help"]].concat();
    let ran = home.run(&arguments).expect(0);
    assert_eq!(ran.stderr, "");
    *out += &format!("$ openmldb-ops {}\n{}\n", arguments.join(" "), ran.stdout);
    let below = ran.stdout.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that is wrapped goes on further in than a name stands.
    let names = below.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        tree(home, &[command, &[name]].concat(), out);
    }
}

#[test]
fn every_command() {
    let mut out = String::new();
    tree(&Home::new(), &[], &mut out);
    insta::assert_snapshot!(out);
}

#[test]
fn version() {
    let ran = Home::new().run(&["--version"]).expect(0);
    assert_eq!(ran.stdout, format!("openmldb-ops {}\n", env!("CARGO_PKG_VERSION")));
}
