//! `bootway squashfs`: images without a plan.

use bootway_plan::{Class, Failure, exit_code};
use clap::{Args, Subcommand};

use crate::style;

mod create;
mod exclude;
mod extract;
mod failure;
mod familiar;
mod image;
mod list;
mod source;
mod stdin;
mod summary;
mod values;
mod verify;
mod wanted;

pub(crate) use familiar::rewrite;

/// Make, list, extract and verify squashfs images
#[derive(Debug, Args)]
#[command(after_help = "The options of mksquashfs and unsquashfs work as they are: \
    `bootway squashfs options` says what becomes of each.")]
pub(crate) struct Squashfs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Box<create::Create>),
    List(list::List),
    Extract(extract::Extract),
    Verify(verify::Verify),
    /// Say what becomes of each option of mksquashfs and unsquashfs
    Options,
}

impl Squashfs {
    /// Does it; `notes` are about options that were rewritten.
    pub(crate) fn run(&self, color: style::When, notes: &[String]) -> Result<u8, Failure> {
        let done: Result<u8, Failure> = match &self.command {
            Command::Create(it) => it.run(color, notes),
            Command::List(it) => it.run(notes),
            Command::Extract(it) => it.run(color, notes),
            Command::Verify(it) => it.run(color),
            Command::Options => {
                crate::print(&familiar::tables());
                Ok(exit_code::DONE)
            }
        };
        match done {
            // There is no plan but the command line.
            Err(failure) if failure.class == Class::Plan => {
                crate::say_failure(&failure);
                Ok(exit_code::USAGE)
            }
            done => done,
        }
    }
}

/// Says notes to a person who wants to hear them.
fn say_notes<'a>(quiet: bool, notes: impl IntoIterator<Item = &'a String>) {
    for note in notes.into_iter().filter(|_| !quiet) {
        style::say(&format!("note: {note}"));
    }
}
