//! `playbook list|show|check`.

use crate::playbook::{Playbook, check, list, load};
use super::out::Out;

use super::args::PlaybookCommand;
use super::failure::{Exit, Failure};

/// Runs the command.
///
/// # Errors
/// A playbook that cannot be used.
pub fn run(command: &PlaybookCommand, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        PlaybookCommand::List => {
            for listed in list()? {
                out.playbook_listed(&listed.name, &listed.description)?;
            }
        }
        PlaybookCommand::Show { playbook, yaml } => {
            let playbook = Playbook::find(playbook)?;
            let (text, explained) = (playbook.to_yaml(), playbook.explained());
            out.playbook(&playbook.name, &text, (!yaml).then_some(explained.as_str()))?;
        }
        PlaybookCommand::Check { playbook } => {
            let (file, text) = load(playbook)?;
            out.playbook_checked(&file, &check(&file, &text)?.to_string())?;
        }
    }
    Ok(Exit::Healthy)
}
