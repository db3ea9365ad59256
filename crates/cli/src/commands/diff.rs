//! `bootway diff`: what differs between two images, trees or builds, and why.

use bootway_engine::{BuildDifference, difference, is_work};
use bootway_image::{Comparison, Difference};
use bootway_plan::{Class, Failure, exit_code};
use camino::Utf8PathBuf;
use clap::Args;

use crate::signals::Signals;

/// How many differences are said of one thing; JSON has all.
const SHOWN: usize = 40;

/// Say what differs between two images, trees, files or builds, and by which cause
#[derive(Debug, Args)]
#[command(after_help = "\
Both sides are taken apart as far as they differ: partitions, file systems, compressed files, archives of object files,
the sections of a program. A cause is what the bytes look like: a time, a path, an identifier, another order of lines.
The exit code is 6 if anything differs or could not be compared, and 0 only if every byte is the same.

Two directories of builds (`.bootway/NAME`, or what --work said) are compared output by output. A step whose output
differs though it was made from the same does not make the same twice; the others follow from what they were made from.

Examples:
  bootway diff old/disk.raw new/disk.raw
  bootway diff here/.bootway/demo there/.bootway/demo
  bootway diff container-1.tar container-2.tar --json")]
pub(crate) struct Diff {
    /// An image, a tree, a directory, a file, or the work directory of a build
    a: Utf8PathBuf,
    /// Another one
    b: Utf8PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        for path in [&self.a, &self.b] {
            if !path.exists() {
                let text = format!("there is no `{path}`");
                return Err(
                    Failure::new(Class::Environment, text).hint("name two images, trees, files or builds")
                );
            }
        }
        let cancel = Signals::listen().cancel();
        let (json, text, is_same) = if is_work(&self.a) && is_work(&self.b) {
            let found = difference(&self.a, &self.b, &cancel)?;
            (serde_json::to_string_pretty(&found), builds(&found), found.is_same())
        } else {
            let found =
                bootway_image::compare(&self.a, &self.b, &cancel).map_err(|error| Failure::of(&error))?;
            (serde_json::to_string_pretty(&found), one(&found), found.is_same())
        };
        crate::print(&if self.json { json.expect("plain data") + "\n" } else { text });
        Ok(if is_same { exit_code::DONE } else { exit_code::CHECK })
    }
}

fn one(found: &Comparison) -> String {
    let mut text = lines(&found.differences, "");
    let files = count(found.same, "file");
    text += &if found.is_same() {
        format!("the same: {files}\n")
    } else {
        format!("{}; the same: {files}\n", count(found.differences.len() as u64, "difference"))
    };
    text
}

fn builds(found: &BuildDifference) -> String {
    let mut text = String::new();
    for output in &found.outputs {
        text += &format!("{}/{}", output.step, output.output);
        text += &match &output.made_from[..] {
            [] => ", made from the same:\n".to_owned(),
            parts => format!(", made from other things ({}):\n", parts.join(", ")),
        };
        text += &lines(&output.differences, "  ");
    }
    let outputs = count(found.same, "output");
    text += &if found.is_same() {
        format!("the same: {outputs}\n")
    } else {
        format!("different: {}; the same: {outputs}\n", count(found.outputs.len() as u64, "output"))
    };
    text
}

fn lines(differences: &[Difference], indent: &str) -> String {
    let mut text: String =
        differences.iter().take(SHOWN).map(|difference| format!("{indent}{difference}\n")).collect();
    let more = differences.len().saturating_sub(SHOWN);
    if more > 0 {
        text += &format!("{indent}and {more} more, all of which --json has\n");
    }
    text
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
