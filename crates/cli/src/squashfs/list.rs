//! `bootway squashfs list`: what is in an image.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, BufWriter, IsTerminal as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

use bootway_plan::{Bytes, Failure, exit_code};
use bootway_squashfs::read::{Entry, Image, ReadError, What};
use clap::Args;
use serde_json::{Value, json};

use super::{failure, image::Place, say_notes, wanted::Wanted};

/// List what is in a squashfs image
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    bootway squashfs list root.squashfs\n  \
    bootway squashfs list root.squashfs etc 'usr/bin/*sh' --long\n  \
    bootway squashfs list root.squashfs --json | jq -r '.[] | select(.size > 1000000) | .path'")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct List {
    #[command(flatten)]
    image: Place,
    /// Only these and what is in them; all unless said
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Paths are paths and no globs
    #[arg(long)]
    literal: bool,
    /// Modes, owners, sizes and times, too
    #[arg(long, short)]
    long: bool,
    /// What the image says of itself, and no files
    #[arg(long, conflicts_with_all = ["paths", "long"])]
    info: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true)]
    no_progress: bool,
    #[arg(long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    #[arg(long, hide = true, value_name = "DIR")]
    dest: Option<PathBuf>,
    #[arg(long, hide = true)]
    force: bool,
    #[arg(long, hide = true)]
    no_xattrs: bool,
}

impl List {
    pub(super) fn run(&self, notes: &[String]) -> Result<u8, Failure> {
        say_notes(self.quiet, notes);
        let image = self.image.open()?;
        if self.info {
            let json = || serde_json::to_string_pretty(&facts_json(&image)).expect("plain data") + "\n";
            crate::print(&if self.json { json() } else { facts(&image) });
            return Ok(exit_code::DONE);
        }
        let mut wanted = Wanted::new(&self.paths, self.literal)?;
        let stdout = io::stdout();
        // A terminal gets no control characters of an image; a program gets names as they are.
        let raw = !stdout.is_terminal();
        let mut out = BufWriter::new(stdout.lock());
        let broken = |error: ReadError| failure::of_read(&error, &self.image.image);
        let mut first = true;
        for entry in image.entries() {
            let entry = entry.map_err(broken)?;
            if !wanted.has(entry.path()) {
                continue;
            }
            let line = if self.json {
                let comma = if first { "[\n" } else { ",\n" };
                format!("{comma}{}", entry_json(&image, &entry).map_err(broken)?).into_bytes()
            } else {
                self.line(&entry, raw)
            };
            first = false;
            // A reader that has gone away has read enough.
            if out.write_all(&line).is_err() {
                return Ok(exit_code::DONE);
            }
        }
        if self.json {
            let _ = out.write_all(if first { b"[]\n" } else { b"\n]\n" });
        }
        let _ = out.flush();
        wanted.all_met(&self.image.image)?;
        Ok(exit_code::DONE)
    }

    fn line(&self, entry: &Entry, raw: bool) -> Vec<u8> {
        let mut line = if self.long { head(entry).into_bytes() } else { Vec::new() };
        line.extend_from_slice(&shown(name(entry), raw));
        if let What::Symlink { target } = &entry.stat().what
            && self.long
        {
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(&shown(target, raw));
        }
        line.push(b'\n');
        line
    }
}

/// The path of a file; the root's is a dot, as with `find`.
fn name(entry: &Entry) -> &[u8] {
    match entry.path().as_os_str().as_bytes() {
        b"" => b".",
        path => path,
    }
}

fn shown(name: &[u8], raw: bool) -> Cow<'_, [u8]> {
    if raw || !name.iter().any(|byte| byte.is_ascii_control() || !byte.is_ascii()) {
        return Cow::Borrowed(name);
    }
    let text = String::from_utf8_lossy(name);
    let escaped: String = text
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
        .collect();
    Cow::Owned(escaped.into_bytes())
}

/// Mode, owners, size and time: `drwxr-xr-x   0/0        63 2024-07-03 09:46:40 `.
fn head(entry: &Entry) -> String {
    let stat = entry.stat();
    let size = match &stat.what {
        What::File { size } => size.to_string(),
        What::Symlink { target } => target.len().to_string(),
        What::CharDevice { major, minor } | What::BlockDevice { major, minor } => format!("{major},{minor}"),
        What::Directory | What::Fifo | What::Socket => "0".to_owned(),
    };
    let owner = format!("{}/{}", stat.uid, stat.gid);
    format!(
        "{} {owner:>11} {size:>12} {} ",
        mode(&stat.what, stat.mode),
        time(stat.mtime).replace('T', " ").trim_end_matches('Z')
    )
}

/// `drwxr-sr-t`, as `ls` has it.
fn mode(what: &What, mode: u16) -> String {
    let mut text = String::from(match what {
        What::Directory => 'd',
        What::File { .. } => '-',
        What::Symlink { .. } => 'l',
        What::CharDevice { .. } => 'c',
        What::BlockDevice { .. } => 'b',
        What::Fifo => 'p',
        What::Socket => 's',
    });
    for (shift, special, sign) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => sign,
            (false, true) => sign.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// `2024-07-03T09:46:40Z`.
fn time(seconds: u32) -> String {
    let seconds = u64::from(seconds);
    let (year, month, day) = bootway_report::civil(seconds);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn entry_json(image: &Image, entry: &Entry) -> Result<Value, ReadError> {
    let stat = entry.stat();
    let mut it = json!({
        "path": text(name(entry)),
        "mode": format!("{:04o}", stat.mode),
        "uid": stat.uid,
        "gid": stat.gid,
        "mtime": stat.mtime,
        "inode": stat.inode,
        "links": stat.links,
    });
    it["type"] = match &stat.what {
        What::Directory => "directory",
        What::File { .. } => "file",
        What::Symlink { .. } => "symlink",
        What::CharDevice { .. } => "char-device",
        What::BlockDevice { .. } => "block-device",
        What::Fifo => "fifo",
        What::Socket => "socket",
    }
    .into();
    match &stat.what {
        What::File { size } => it["size"] = (*size).into(),
        What::Symlink { target } => it["target"] = text(target),
        What::CharDevice { major, minor } | What::BlockDevice { major, minor } => {
            it["major"] = (*major).into();
            it["minor"] = (*minor).into();
        }
        What::Directory | What::Fifo | What::Socket => (),
    }
    let xattrs = image.xattrs(entry)?;
    if !xattrs.is_empty() {
        let pairs =
            xattrs.iter().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), text(value)));
        it["xattrs"] = Value::Object(pairs.collect());
    }
    Ok(it)
}

/// Bytes as JSON: a string if they are text, else an object with them in hexadecimal.
fn text(bytes: &[u8]) -> Value {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    json!({ "hex": hex })
}

fn facts(image: &Image) -> String {
    let it = image.facts();
    let lines = [
        ("compressor", it.compressor.to_owned()),
        ("blocks of", it.block_size.to_string()),
        ("made", time(it.made)),
        ("size", format!("{} ({} bytes)", Bytes::new(it.bytes_used).human(), it.bytes_used)),
        ("inodes", it.inodes.to_string()),
        ("fragments", it.fragments.to_string()),
        ("owners", it.ids.to_string()),
        ("flags", it.flags.join(", ")),
    ];
    lines.iter().map(|(name, value)| format!("{name:<10}  {value}\n")).collect()
}

fn facts_json(image: &Image) -> Value {
    let it = image.facts();
    json!({
        "compressor": it.compressor,
        "block_size": it.block_size.get(),
        "made": it.made,
        "bytes": it.bytes_used,
        "inodes": it.inodes,
        "fragments": it.fragments,
        "ids": it.ids,
        "exportable": it.exportable,
        "xattrs": it.xattrs,
        "flags": it.flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        let file = What::File { size: 0 };
        assert_eq!(mode(&file, 0o644), "-rw-r--r--");
        assert_eq!(mode(&file, 0o6755), "-rwsr-sr-x");
        assert_eq!(mode(&file, 0o4644), "-rwSr--r--");
        assert_eq!(mode(&What::Directory, 0o1777), "drwxrwxrwt");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(shown("a\x1b[2Jé\n".as_bytes(), false).as_ref(), "a\\u{1b}[2Jé\\n".as_bytes());
        assert_eq!(shown(b"a\n\xff", true).as_ref(), b"a\n\xff");
    }
}
