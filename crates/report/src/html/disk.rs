//! Where everything on a disk is, drawn to scale.

use std::fmt::{self, Write as _};

use bootway_plan::{DiskMap, PartitionMap};

use crate::{
    Report,
    text::{Escaped, cut, grouped, one_line},
};

/// Length of the drawing that lies, and of the one that stands, in units of their view boxes.
const LYING: f64 = 960.0;
const STANDING: f64 = 360.0;

/// A partition is drawn at least this long, or nobody would see a megabyte on a terabyte.
const LEAST: f64 = 10.0;

/// With more labels than these, the drawing stands at every width.
const LABELS: usize = 7;

/// Colours that differ; `page.css` has as many.
const COLOURS: usize = 6;

/// A piece of a drawing.
struct Segment<'a> {
    start: f64,
    length: f64,
    partition: Option<&'a PartitionMap>,
}

pub(super) fn write(page: &mut String, report: &Report) -> fmt::Result {
    let disks: Vec<_> =
        report.steps.iter().flat_map(|step| step.layouts.iter().map(move |it| (step, it))).collect();
    if disks.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"disks\">\n<h2 id=\"disks\">On the disk</h2>\n");
    for (step, disk) in disks {
        writeln!(
            page,
            "<h3>{} <small>{}, sectors of {}</small></h3>",
            step.id,
            disk.size.human(),
            disk.sector_size.human()
        )?;
        let many = disk.partitions.len() > LABELS;
        writeln!(page, "<figure class=\"disk{}\">", if many { " many" } else { "" })?;
        if !many {
            lying(page, disk)?;
        }
        standing(page, disk)?;
        page.push_str("<figcaption>Filled: used. Pale: free. Hatched: not partitioned. Very small partitions are drawn larger than they are; the table is exact.</figcaption>\n</figure>\n");
        table(page, disk)?;
    }
    page.push_str("</section>\n");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has fewer digits than that")]
fn segments(disk: &DiskMap, length: f64) -> Vec<Segment<'_>> {
    let mut pieces: Vec<(f64, Option<&PartitionMap>)> = Vec::new();
    let mut end = 0;
    for partition in &disk.partitions {
        let gap = partition.offset.get().saturating_sub(end);
        pieces.push((gap as f64, None));
        pieces.push((partition.size.get() as f64, Some(partition)));
        end = partition.offset.get().saturating_add(partition.size.get());
    }
    pieces.push((disk.size.get().saturating_sub(end) as f64, None));
    let whole: f64 = pieces.iter().map(|(size, _)| size).sum::<f64>().max(1.0);
    // Gaps that would be thinner than a pixel are the alignment and the tables, and are not drawn.
    pieces.retain(|(size, partition)| partition.is_some() || size / whole * length >= 1.5);
    let small = |size: f64, partition: Option<_>| partition.is_some() && size / whole * length < LEAST;
    let (tiny, large): (Vec<_>, Vec<_>) =
        pieces.iter().partition(|(size, partition)| small(*size, *partition));
    let room = (length - tiny.len() as f64 * LEAST).max(0.0);
    let rest: f64 = large.iter().map(|(size, _)| size).sum::<f64>().max(1.0);
    let mut start = 0.0;
    let segment = |(size, partition): (f64, Option<_>)| {
        let drawn = if small(size, partition) { LEAST } else { size / rest * room };
        start += drawn;
        Segment { start: start - drawn, length: drawn, partition }
    };
    pieces.into_iter().map(segment).collect()
}

/// Where labels go: as near to `centres` as they can, each `size` long, none over another, all within `length`.
fn spread(centres: &[f64], size: f64, length: f64) -> Vec<f64> {
    let mut places = Vec::new();
    let mut free = 0.0_f64;
    for centre in centres {
        let place = (centre - size / 2.0).max(free);
        places.push(place);
        free = place + size;
    }
    let mut limit = length;
    for place in places.iter_mut().rev() {
        *place = place.min(limit - size);
        limit = *place;
    }
    places
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has fewer digits than that")]
fn used(partition: &PartitionMap) -> f64 {
    (partition.used.get() as f64 / partition.size.get().max(1) as f64).clamp(0.0, 1.0)
}

fn aria(disk: &DiskMap) -> String {
    let part = |it: &PartitionMap| format!("{} {}", one_line(&it.label), it.size.human());
    let parts: Vec<String> = disk.partitions.iter().map(part).collect();
    format!("{} disk, in order: {}", disk.size.human(), parts.join(", "))
}

fn second_line(partition: &PartitionMap) -> String {
    let fs = partition.fs.as_deref().map_or_else(String::new, |fs| format!(" · {}", one_line(fs)));
    format!("{}{fs}", partition.size.human())
}

fn third_line(partition: &PartitionMap) -> String {
    format!("{:.0} % used", used(partition) * 100.0)
}

/// Letters of a label that fit into `slot`.
#[expect(clippy::cast_sign_loss, reason = "a slot has a length")]
fn letters(slot: f64) -> usize {
    (slot / 9.0) as usize
}

#[expect(clippy::cast_precision_loss, reason = "there are few labels")]
fn lying(page: &mut String, disk: &DiskMap) -> fmt::Result {
    const SLOT: f64 = 150.0;
    let segments = segments(disk, LYING);
    let count = segments.iter().filter(|it| it.partition.is_some()).count().max(1) as f64;
    let slot = (LYING / count).min(SLOT);
    let aria = aria(disk);
    let aria = Escaped(&aria);
    writeln!(
        page,
        "<svg class=\"lying\" role=\"img\" aria-label=\"{aria}\" viewBox=\"-1 -1 {} 148\">",
        LYING + 2.0
    )?;
    hatching(page, "lying");
    let mut labelled = Vec::new();
    for it in &segments {
        let (x, w) = (it.start, it.length);
        let Some(partition) = it.partition else {
            writeln!(
                page,
                "<rect class=\"gap lying-gap\" x=\"{x:.1}\" y=\"0\" width=\"{w:.1}\" height=\"64\"/>"
            )?;
            continue;
        };
        let (colour, full) = (labelled.len() % COLOURS, w * used(partition));
        writeln!(
            page,
            "<g class=\"p{colour}\"><rect class=\"free\" x=\"{x:.1}\" y=\"0\" width=\"{w:.1}\" height=\"64\"/>"
        )?;
        writeln!(page, "<rect class=\"used\" x=\"{x:.1}\" y=\"0\" width=\"{full:.1}\" height=\"64\"/>")?;
        writeln!(page, "<rect class=\"edge\" x=\"{x:.1}\" y=\"0\" width=\"{w:.1}\" height=\"64\"/></g>")?;
        labelled.push((x + w / 2.0, partition));
    }
    let centres: Vec<f64> = labelled.iter().map(|(centre, _)| *centre).collect();
    for ((centre, partition), place) in labelled.iter().zip(spread(&centres, slot, LYING)) {
        let middle = place + slot / 2.0;
        writeln!(page, "<path class=\"leader\" d=\"M{centre:.1} 66V72L{middle:.1} 84V88\"/>")?;
        let label = cut(&one_line(&partition.label), letters(slot));
        writeln!(page, "<text class=\"label\" x=\"{middle:.1}\" y=\"104\">{}</text>", Escaped(&label))?;
        writeln!(page, "<text x=\"{middle:.1}\" y=\"122\">{}</text>", Escaped(&second_line(partition)))?;
        writeln!(page, "<text x=\"{middle:.1}\" y=\"139\">{}</text>", third_line(partition))?;
    }
    page.push_str("</svg>\n");
    Ok(())
}

/// The hatching of unpartitioned space. Each drawing has its own: one that is not shown cannot lend it.
fn hatching(page: &mut String, name: &str) {
    let _ = writeln!(
        page,
        "<defs><pattern id=\"{name}-hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" x2=\"0\" y1=\"0\" y2=\"6\"/></pattern></defs>"
    );
}

#[expect(clippy::cast_precision_loss, reason = "there are few labels")]
fn standing(page: &mut String, disk: &DiskMap) -> fmt::Result {
    const SLOT: f64 = 44.0;
    let count = disk.partitions.len() as f64;
    let length = STANDING.max(count * SLOT);
    let aria = aria(disk);
    let aria = Escaped(&aria);
    writeln!(
        page,
        "<svg class=\"standing\" role=\"img\" aria-label=\"{aria}\" viewBox=\"-1 -1 342 {:.0}\">",
        length + 2.0
    )?;
    hatching(page, "standing");
    let mut labelled = Vec::new();
    for it in &segments(disk, length) {
        let (y, h) = (it.start, it.length);
        let Some(partition) = it.partition else {
            writeln!(
                page,
                "<rect class=\"gap standing-gap\" x=\"0\" y=\"{y:.1}\" width=\"72\" height=\"{h:.1}\"/>"
            )?;
            continue;
        };
        let (colour, full) = (labelled.len() % COLOURS, 72.0 * used(partition));
        writeln!(
            page,
            "<g class=\"p{colour}\"><rect class=\"free\" x=\"0\" y=\"{y:.1}\" width=\"72\" height=\"{h:.1}\"/>"
        )?;
        writeln!(page, "<rect class=\"used\" x=\"0\" y=\"{y:.1}\" width=\"{full:.1}\" height=\"{h:.1}\"/>")?;
        writeln!(page, "<rect class=\"edge\" x=\"0\" y=\"{y:.1}\" width=\"72\" height=\"{h:.1}\"/></g>")?;
        labelled.push((y + h / 2.0, partition));
    }
    let centres: Vec<f64> = labelled.iter().map(|(centre, _)| *centre).collect();
    for ((centre, partition), place) in labelled.iter().zip(spread(&centres, SLOT, length)) {
        let middle = place + SLOT / 2.0;
        writeln!(page, "<path class=\"leader\" d=\"M74 {centre:.1}H80L92 {middle:.1}H98\"/>")?;
        let label = cut(&one_line(&partition.label), 26);
        writeln!(
            page,
            "<text class=\"label\" x=\"104\" y=\"{:.1}\">{}</text>",
            middle - 2.0,
            Escaped(&label)
        )?;
        let (second, third) = (second_line(partition), third_line(partition));
        writeln!(page, "<text x=\"104\" y=\"{:.1}\">{} · {third}</text>", middle + 14.0, Escaped(&second))?;
    }
    page.push_str("</svg>\n");
    Ok(())
}

fn table(page: &mut String, disk: &DiskMap) -> fmt::Result {
    page.push_str("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"partition table\">\n<table class=\"parts\">\n<thead><tr><th scope=\"col\" class=\"n\">No.</th><th scope=\"col\">Label</th>");
    page.push_str("<th scope=\"col\">Type</th><th scope=\"col\">Holds</th><th scope=\"col\" class=\"n\">First byte</th>");
    page.push_str("<th scope=\"col\" class=\"n\">Bytes</th><th scope=\"col\" class=\"n\">Used</th><th scope=\"col\">GUID</th></tr></thead>\n<tbody>\n");
    for it in &disk.partitions {
        writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"id\">{}</td></tr>",
            it.number,
            Escaped(&it.label),
            Escaped(&it.kind),
            Escaped(it.fs.as_deref().unwrap_or("nothing")),
            grouped(it.offset.get()),
            grouped(it.size.get()),
            grouped(it.used.get()),
            Escaped(&it.guid),
        )?;
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    Ok(())
}
