//! What a source package is made of, and where each part of it goes.
//!
//! Source: `dpkg-source(1)`, "SOURCE PACKAGE FORMATS"; the rules of unpacking are those of `dpkg-source` itself.

use super::super::lock::{SourceFile, SourceResolution};

/// A tar archive, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) place: Place<'a>,
}

/// Where a tar archive goes in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// To the top, without the directory that everything in it is in.
    Source,
    /// To this directory in place of what is there, without the directory that everything in it is in.
    Component(&'a str),
    /// To the top as it is, in place of `debian`.
    Debian,
}

/// The parts of a package, in the order in which they are unpacked.
///
/// # Errors
///
/// If its format is not known, or a part is missing or there twice.
pub(super) fn parts(resolution: &SourceResolution) -> Result<Vec<Part<'_>>, String> {
    let mut parts: Vec<Part<'_>> =
        resolution.files.iter().filter_map(|file| Some(Part { file, place: place(&file.name)? })).collect();
    parts.sort_by_key(|part| match part.place {
        Place::Source => (0, ""),
        Place::Component(name) => (1, name),
        Place::Debian => (2, ""),
    });
    let count = |place: Place<'_>| parts.iter().filter(|part| part.place == place).count();
    let debian = match resolution.format.as_str() {
        "3.0 (quilt)" => 1,
        "3.0 (native)" => 0,
        "1.0" => {
            if let Some(diff) = resolution.files.iter().find(|file| file.name.ends_with(".diff.gz")) {
                return Err(format!("format `1.0` with a diff (`{}`) is not supported", diff.name));
            }
            0
        }
        format => {
            return Err(format!("format `{format}` is not supported, only `3.0 (quilt)` and `3.0 (native)`"));
        }
    };
    let wrong = |what: &str, count| Err(format!("it has {count} {what} instead of one"));
    match (count(Place::Source), count(Place::Debian)) {
        (1, n) if n == debian => Ok(parts),
        (1, n) if debian == 1 => wrong("files `*.debian.tar.*`", n),
        (1, _) => Err(format!("format `{}` has no `*.debian.tar.*`, and this has", resolution.format)),
        (n, _) => wrong("archives of its source", n),
    }
}

/// Where a file goes by its name; `None` for what is not unpacked: signatures, `.dsc`.
fn place(name: &str) -> Option<Place<'_>> {
    let (stem, compression) = name.rsplit_once(".tar.")?;
    if compression.contains('.') {
        return None;
    }
    if let Some((_, component)) = stem.rsplit_once(".orig-") {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        return (!component.is_empty() && component.chars().all(is_name))
            .then_some(Place::Component(component));
    }
    Some(if stem.ends_with(".debian") { Place::Debian } else { Place::Source })
}
