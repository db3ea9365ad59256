//! What guests showed, and the files that stay with the run.

use std::fmt::{self, Write as _};

use bootway_plan::{GuestInfo, Kept, KeptKind};

use crate::{
    Pictures, Report, StepReport,
    outcome::number,
    text::{Escaped, seconds},
};

/// A picture for each screenshot, step by step: how the step boots is said beside its name.
pub(super) fn write(page: &mut String, report: &Report, pictures: &Pictures) -> fmt::Result {
    let of = |step: &StepReport| step.kept.iter().filter(|it| it.what == KeptKind::Screenshot).count();
    let steps: Vec<_> = report.steps.iter().filter(|step| of(step) > 0).collect();
    if steps.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"screens\">\n<h2 id=\"screens\">Screens</h2>\n");
    for step in steps {
        let how = step.guests.last().map(|guest| format!(" <small>{}</small>", Escaped(&how(guest))));
        writeln!(page, "<h3>{}{}</h3>\n<div class=\"screens\">", step.label(), how.unwrap_or_default())?;
        for kept in step.kept.iter().filter(|it| it.what == KeptKind::Screenshot) {
            figure(page, kept, pictures)?;
        }
        page.push_str("</div>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

fn figure(page: &mut String, kept: &Kept, pictures: &Pictures) -> fmt::Result {
    let name = title(kept);
    let name = Escaped(&name);
    page.push_str("<figure class=\"screen\">\n");
    match pictures.data_uri(&kept.path) {
        // What is in the address are digits of base 64.
        Some(data) if is_ours(kept) => {
            let path = Escaped(kept.path.as_str());
            writeln!(page, "<a href=\"{path}\"><img alt=\"the screen at: {name}\" src=\"{data}\"></a>")?;
        }
        Some(data) => writeln!(page, "<img alt=\"the screen at: {name}\" src=\"{data}\">")?,
        None => {
            page.push_str("<p class=\"missing\">not shown here: it is not there any more, or too big</p>\n");
        }
    }
    let path = Escaped(kept.path.as_str());
    writeln!(page, "<figcaption>{name} <span class=\"id\">{path}</span></figcaption>\n</figure>")
}

/// Whether it is where a run keeps its files, and not somewhere that a log made up.
fn is_ours(kept: &Kept) -> bool {
    ["kept/", "../"].iter().any(|start| kept.path.as_str().starts_with(start))
}

fn title(kept: &Kept) -> String {
    kept.test.as_ref().map_or_else(|| kept.label.clone(), |test| format!("{test}: {}", kept.label))
}

/// How a guest boots, in a line.
fn how(guest: &GuestInfo) -> String {
    let firmware = match guest.firmware.as_str() {
        "uefi" => "UEFI",
        "bios" => "BIOS",
        other => other,
    };
    let from = match guest.boot.as_str() {
        "disk" => "from disk through ",
        "iso" => "from disc through ",
        "kernel" => "by kernel, ",
        _ => "as a Chromebook would, ",
    };
    format!("{from}{firmware}, {}", guest.accel.to_uppercase())
}

/// What a step's guest was, how long it took, and what stays of it.
pub(super) fn of_step(page: &mut String, step: &StepReport) -> fmt::Result {
    if let Some(guest) = step.guests.last() {
        let machine = guest.machine.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        let cpus = number(guest.cpus.into(), "processor");
        page.push_str("<h3>Guest</h3>\n<dl class=\"reasons\">\n");
        row(page, "Boot", &how(guest))?;
        row(page, "Machine", &format!("{machine}{} of memory, {cpus}", guest.memory.human()))?;
        row(page, "Accelerator", &format!("{}: {}", guest.accel.to_uppercase(), guest.accel_reason))?;
        for image in &guest.images {
            let text = format!("{}, {}, sha256 {}", image.path, image.size.human(), image.digest.short());
            row(page, &image.source, &text)?;
        }
        page.push_str("</dl>\n");
    }
    if !step.timings.is_empty() {
        page.push_str("<h3>Timings</h3>\n<dl class=\"reasons\">\n");
        for timing in &step.timings {
            let test = timing.test.as_ref().map(|test| format!("{test}: ")).unwrap_or_default();
            row(page, &format!("{test}{}", timing.name), &format!("{} s", seconds(timing.ms)))?;
        }
        page.push_str("</dl>\n");
    }
    files(page, step, "<h3>Files of the run</h3>")
}

/// The files that stay of a step, below a title.
pub(super) fn files(page: &mut String, step: &StepReport, title: &str) -> fmt::Result {
    if step.kept.is_empty() {
        return Ok(());
    }
    writeln!(page, "{title}\n<ul class=\"kept\">")?;
    for kept in &step.kept {
        let (name, path) = (self::title(kept), Escaped(kept.path.as_str()));
        let title = Escaped(&name);
        if is_ours(kept) {
            writeln!(page, "<li>{title}: <a href=\"{path}\">{path}</a></li>")?;
        } else {
            writeln!(page, "<li>{title}: <span class=\"id\">{path}</span></li>")?;
        }
    }
    page.push_str("</ul>\n");
    Ok(())
}

fn row(page: &mut String, name: &str, value: &str) -> fmt::Result {
    writeln!(page, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(value))
}
