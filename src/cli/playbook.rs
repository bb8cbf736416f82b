//! `playbook list|show|check`.

use std::collections::BTreeMap;

use super::out::Out;
use crate::playbook::{Playbook, check, list, load};

use super::args::playbook::PlaybookCommand;
use super::failure::{Exit, Failure};

/// Runs the command.
///
/// # Errors
/// A playbook that cannot be used.
pub fn run(command: &PlaybookCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        PlaybookCommand::List => {
            for listed in list()? {
                let value = BTreeMap::from([
                    ("event", "playbook"),
                    ("name", &listed.name),
                    ("description", &listed.description),
                ]);
                out.text_or(&format!("{}  {}\n", listed.name, listed.description), &value)?;
            }
        }
        PlaybookCommand::Show { playbook, yaml } => {
            let playbook = Playbook::find(playbook)?;
            let (text, explained) = (playbook.to_yaml(), playbook.explained());
            let value = BTreeMap::from([("event", "playbook"), ("name", &playbook.name), ("yaml", &text)]);
            out.text_or(if *yaml { &text } else { &explained }, &value)?;
        }
        PlaybookCommand::Check { playbook } => {
            let (file, text) = load(playbook)?;
            let summary = check(&file, &text)?.to_string();
            let value = BTreeMap::from([("event", "playbook_checked"), ("file", &file), ("summary", &summary)]);
            out.text_or(&format!("{summary}\n"), &value)?;
        }
    }
    Ok(Exit::Healthy)
}
