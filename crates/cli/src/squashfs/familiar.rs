//! The options of `mksquashfs` and `unsquashfs`, as people have them in their fingers and their scripts.
//!
//! Theirs begin with one dash, ours with two, so both can stand in one line. [`rewrite()`] turns theirs into ours
//! before the command line is parsed; [`table`] says what becomes of each, and the guide shows the same table.

use std::{ffi::OsString, fmt::Write as _};

use crate::squashfs::familiar::table::{MKSQUASHFS, UNSQUASHFS};

mod table;
#[cfg(test)]
mod tests;

/// An option of theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Familiar {
    /// What it is called; several have the same fate.
    names: &'static [&'static str],
    /// What its value is called, if it has one.
    value: Option<&'static str>,
    becomes: Becomes,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Becomes {
    /// These arguments, with the value in place of `{}`.
    Args(&'static [&'static str]),
    /// The same for each argument that follows.
    Rest(&'static [&'static str]),
    /// Another of our commands, with these arguments.
    Command(&'static str, &'static [&'static str]),
    /// Nothing, since it says what is so anyway.
    Nothing(&'static str),
    /// Nothing; whoever wrote it may want to know why.
    Note(&'static str),
    /// An error that names our way.
    Refused(&'static str),
}

/// A command line of ours.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) args: Vec<OsString>,
    /// What a person may want to know about options that mean nothing here.
    pub(crate) notes: Vec<String>,
}

/// Turns their options into ours if `args` is a `bootway squashfs create`, `extract` or `list`.
///
/// # Errors
///
/// An option of theirs that would change the image and cannot, or of nobody: what to say about it.
pub(crate) fn rewrite(args: Vec<OsString>) -> Result<Rewritten, String> {
    let word = |at: usize| args.get(at).and_then(|it| it.to_str());
    // Only `--color WHEN` can stand before it.
    let at = 1 + match word(1) {
        Some("--color") => 2,
        Some(first) if first.starts_with("--color=") => 1,
        _ => 0,
    };
    if word(at) != Some("squashfs") {
        return Ok(Rewritten { args, ..Rewritten::default() });
    }
    let table = match word(at + 1) {
        Some("create") => MKSQUASHFS,
        Some("extract" | "list") => UNSQUASHFS,
        _ => return Ok(Rewritten { args, ..Rewritten::default() }),
    };
    // Who lists already and says `-l` wants it long, as with `ls`.
    let is_list = word(at + 1) == Some("list");
    let mut rewriting = Rewriting { out: Rewritten::default(), command: None, paths: None };
    let mut rest = args.into_iter();
    rewriting.out.args.extend(rest.by_ref().take(at + 2));
    while let Some(arg) = rest.next() {
        if arg == "--" {
            rewriting.out.args.push(arg);
            rewriting.out.args.extend(rest.by_ref());
        } else if is_single_dash(&arg) && !(is_list && arg == "-l") {
            rewriting.option(table, &arg, &mut rest)?;
        } else {
            rewriting.out.args.push(arg);
        }
    }
    if let Some(command) = rewriting.command {
        rewriting.out.args[at + 1] = command.into();
    }
    if rewriting.paths == Some(true) {
        rewriting.out.args.insert(at + 2, "--exclude-as=path".into());
    }
    Ok(rewriting.out)
}

/// `-comp`, but neither `-` nor `--compressor`.
fn is_single_dash(arg: &OsString) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes.len() > 1 && bytes[0] == b'-' && bytes[1] != b'-'
}

struct Rewriting {
    out: Rewritten,
    /// What is called in place of the command that was written.
    command: Option<&'static str>,
    /// Whether something is left out by its path: so it is unless `-wildcards` was said.
    paths: Option<bool>,
}

impl Rewriting {
    fn option(
        &mut self,
        table: &[Familiar],
        arg: &OsString,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        let name = arg.to_string_lossy();
        let known = table.iter().find(|it| it.names.contains(&&*name));
        let Some(known) = known else { return Err(unknown(&name, table)) };
        let value = match known.value {
            Some(value) => {
                Some(rest.next().ok_or_else(|| format!("`{name}` needs a value: `{name} {value}`"))?)
            }
            None => None,
        };
        if matches!(&*name, "-e" | "-ef") {
            self.paths = self.paths.or(Some(true));
        } else if name == "-wildcards" {
            self.paths = Some(false);
        }
        match known.becomes {
            Becomes::Args(ours) => self.push(ours, value.as_ref()),
            Becomes::Rest(ours) => rest.for_each(|value| self.push(ours, Some(&value))),
            Becomes::Command(command, ours) => {
                self.command = Some(command);
                self.push(ours, value.as_ref());
            }
            Becomes::Nothing(_) => (),
            Becomes::Note(why) => self.out.notes.push(format!("`{name}` changes nothing: {why}")),
            Becomes::Refused(why) => return Err(format!("`{name}` is not taken: {why}")),
        }
        Ok(())
    }

    fn push(&mut self, ours: &[&str], value: Option<&OsString>) {
        for part in ours {
            match value {
                Some(value) if *part == "{}" => {
                    // Together, so that a value may begin with a dash.
                    let mut option = self.out.args.pop().expect("an option stands before its value");
                    option.push("=");
                    option.push(value);
                    self.out.args.push(option);
                }
                _ => self.out.args.push(part.into()),
            }
        }
    }
}

fn unknown(name: &str, table: &[Familiar]) -> String {
    let tool = if std::ptr::eq(table, MKSQUASHFS) { "mksquashfs" } else { "unsquashfs" };
    let near = table.iter().flat_map(|it| it.names).find(|it| it.eq_ignore_ascii_case(name));
    let near = near.map_or_else(String::new, |near| format!(" did you mean `{near}`?"));
    format!(
        "`{name}` is an option of neither bootway nor {tool}:{near} `bootway squashfs options` shows those of {tool}"
    )
}

/// The tables for people: Markdown, as in the guide.
pub(crate) fn tables() -> String {
    let mut text = String::new();
    for (tool, command, table) in
        [("mksquashfs", "create", MKSQUASHFS), ("unsquashfs", "extract` and `list", UNSQUASHFS)]
    {
        let _ = writeln!(text, "### Options of `{tool}`, to `bootway squashfs {command}`\n");
        let _ = writeln!(text, "| `{tool}` | here |\n|---|---|");
        for option in table {
            let _ = writeln!(text, "| {} | {} |", option.theirs(), option.ours());
        }
        text.push('\n');
    }
    text
}

impl Familiar {
    fn theirs(&self) -> String {
        let value = match (self.value, self.becomes) {
            (Some(value), _) => format!(" {value}"),
            (None, Becomes::Rest(_)) => " NAME...".to_owned(),
            (None, _) => String::new(),
        };
        let names = self.names.iter().map(|name| format!("`{name}{value}`"));
        names.collect::<Vec<_>>().join(", ")
    }

    fn ours(&self) -> String {
        let fill = |args: &[&str]| args.join(" ").replace("{}", self.value.unwrap_or("NAME"));
        match self.becomes {
            Becomes::Args(ours) => format!("`{}`", fill(ours)),
            Becomes::Rest(ours) => format!("`{}` for each", fill(ours)),
            Becomes::Command(command, ours) => {
                format!("`bootway squashfs {}`", [&[command, "IMAGE"], ours].concat().join(" "))
            }
            Becomes::Nothing(why) => format!("not needed: {why}"),
            Becomes::Note(why) => format!("changes nothing: {why}"),
            Becomes::Refused(why) => format!("refused: {why}"),
        }
    }
}
