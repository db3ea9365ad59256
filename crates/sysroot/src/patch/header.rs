//! What git writes before the hunks of a file: new names, modes, and what is not text.

use super::{
    PatchError,
    name::{self, Named},
    parse::{Change, How, Reader, Side, hunks, names},
};

/// What the lines after `diff --git` say.
#[derive(Default)]
struct Extended {
    before: Side,
    after: Side,
    how: Option<How>,
    /// Something was said.
    any: bool,
}

/// A change that begins with `diff --git`; `None` if it changes nothing.
pub(super) fn git<'a>(reader: &mut Reader<'a>) -> Result<Option<Change<'a>>, PatchError> {
    let line = reader.number;
    let both = reader.next().unwrap_or_default().strip_prefix(b"diff --git ").unwrap_or_default();
    let mut said = Extended::default();
    while let Some(text) = reader.peek() {
        if !said.read(reader, text.strip_suffix(b"\r").unwrap_or(text))? {
            break;
        }
        reader.next();
    }
    let mut hunks_of_it = Vec::new();
    if reader.is_at_names() {
        let [before, after] = names(reader)?;
        said.take(before, after);
        hunks_of_it = hunks(reader)?;
    } else if is_binary(reader) {
        let name = name::twice(both, reader.strip).ok().flatten().or(said.after.name).or(said.before.name);
        return Err(PatchError::Binary { line, file: name.unwrap_or_else(|| super::shown(both)) });
    } else if !said.any {
        return Ok(None);
    }
    let Extended { mut before, mut after, how, .. } = said;
    if before.name.is_none() && after.name.is_none() {
        let name = name::twice(both, reader.strip).map_err(|reason| PatchError::Name {
            line,
            name: super::shown(both),
            reason,
        })?;
        before.name.clone_from(&name);
        after.name = name;
    }
    Ok(Some(Change { line, before, after, how: how.unwrap_or(How::Edit), hunks: hunks_of_it }))
}

fn is_binary(reader: &Reader<'_>) -> bool {
    reader.peek().is_some_and(|line| {
        let line = line.trim_ascii_end();
        line == b"GIT binary patch" || line.starts_with(b"Binary files ") && line.ends_with(b" differ")
    })
}

impl Extended {
    /// Takes what one line says; `false` if it is none of git's.
    fn read(&mut self, reader: &Reader<'_>, text: &[u8]) -> Result<bool, PatchError> {
        let renamed = |name: &[u8]| {
            // These have no `a/` and `b/` before them.
            let quoted = name.starts_with(b"\"");
            let strip = reader.strip.saturating_sub(1);
            let named = if quoted {
                Named::read(name, strip).map(|named| named.name)
            } else {
                name::placed(name, strip)
            };
            named.map_err(|reason| reader.bad_name(name, reason))
        };
        if let Some(mode) = text.strip_prefix(b"old mode ") {
            self.before.executable = executable(reader, mode)?;
        } else if let Some(mode) = text.strip_prefix(b"new mode ") {
            self.after.executable = executable(reader, mode)?;
        } else if let Some(mode) = text.strip_prefix(b"deleted file mode ") {
            self.before.executable = executable(reader, mode)?;
            self.after.gone = true;
        } else if let Some(mode) = text.strip_prefix(b"new file mode ") {
            self.after.executable = executable(reader, mode)?;
            self.before.gone = true;
        } else if let Some(name) = either(text, b"rename from ", b"rename old ") {
            (self.before.name, self.how) = (renamed(name)?, Some(How::Rename));
        } else if let Some(name) = either(text, b"rename to ", b"rename new ") {
            (self.after.name, self.how) = (renamed(name)?, Some(How::Rename));
        } else if let Some(name) = text.strip_prefix(b"copy from ") {
            (self.before.name, self.how) = (renamed(name)?, Some(How::Copy));
        } else if let Some(name) = text.strip_prefix(b"copy to ") {
            (self.after.name, self.how) = (renamed(name)?, Some(How::Copy));
        } else {
            let others = [&b"index "[..], b"similarity index ", b"dissimilarity index "];
            return Ok(others.iter().any(|other| text.starts_with(other)));
        }
        self.any = true;
        Ok(true)
    }

    /// Takes the names before the hunks, which say the same again.
    fn take(&mut self, before: Named, after: Named) {
        for (side, named) in [(&mut self.before, before), (&mut self.after, after)] {
            side.gone |= named.null;
            if side.name.is_none() {
                side.name = named.name;
            }
        }
    }
}

fn either<'t>(text: &'t [u8], one: &[u8], other: &[u8]) -> Option<&'t [u8]> {
    text.strip_prefix(one).or_else(|| text.strip_prefix(other))
}

/// Whether a file of this mode can be executed: git keeps no more of a mode than that.
fn executable(reader: &Reader<'_>, mode: &[u8]) -> Result<Option<bool>, PatchError> {
    let text = std::str::from_utf8(mode).unwrap_or_default().trim();
    let mode = u32::from_str_radix(text, 8).map_err(|_| reader.malformed("this is no mode of a file"))?;
    let unsupported = |what: &str, remedy| {
        Err(PatchError::Unsupported { line: reader.number, what: what.to_owned(), remedy })
    };
    match mode & 0o170_000 {
        0o100_000 => Ok(Some(mode & 0o111 != 0)),
        0o120_000 => {
            unsupported("a symbolic link", "take it out of the diff, and make the link with a command")
        }
        0o160_000 => {
            unsupported("a submodule of git", "take it out of the diff, and add its files to the source")
        }
        _ => Err(reader.malformed("this is no mode of a file")),
    }
}
