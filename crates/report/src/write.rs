//! The four files of a report.

use bootway_plan::{Class, Failure};
use camino::Utf8Path;

use crate::{Pictures, Report, to_html, to_json, to_junit, to_markdown};

/// Writes `report.json`, `report.html`, `report.md` and `junit.xml` into `dir`, which is made if it is not there.
///
/// Each is written beside its place and renamed, so a reader finds the old one or the new one, never half of one.
///
/// # Errors
///
/// If a file cannot be written; those before it are there.
pub fn write_all(dir: &Utf8Path, report: &Report, pictures: &Pictures) -> Result<(), Failure> {
    let write = || {
        fs_err::create_dir_all(dir)?;
        put(dir, "report.json", &to_json(report))?;
        put(dir, "report.html", &to_html(report, pictures))?;
        put(dir, "report.md", &to_markdown(report))?;
        put(dir, "junit.xml", &to_junit(report))
    };
    write().map_err(|error: std::io::Error| {
        Failure::new(Class::Environment, error.to_string())
            .because(format!("cannot write the report into `{dir}`"))
    })
}

fn put(dir: &Utf8Path, name: &str, text: &str) -> std::io::Result<()> {
    let partial = dir.join(format!(".partial-{name}"));
    fs_err::write(&partial, text)
        .and_then(|()| fs_err::rename(&partial, dir.join(name)))
        .inspect_err(|_| fs_err::remove_file(&partial).unwrap_or_default())
}
