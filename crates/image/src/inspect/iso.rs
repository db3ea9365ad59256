//! Expectations on an ISO image.

use bootway_plan::step::Expect;

use crate::fs::iso::IsoReport;

/// What was seen, or what is wrong.
pub(super) fn check(iso: &IsoReport, expect: &Expect) -> Result<Vec<String>, String> {
    if !iso.flaws.is_empty() {
        return Err(format!("it is damaged: {}", iso.flaws.join("; ")));
    }
    for wanted in &expect.boot {
        if !iso.boot.iter().any(|entry| entry.firmware == *wanted) {
            return Err(format!("{wanted} cannot start it: {}", iso.summary()));
        }
    }
    match (expect.hybrid, iso.partitions.is_empty()) {
        (Some(true), true) => return Err(format!("it has no partition table: {}", iso.summary())),
        (Some(false), false) => return Err(format!("it has a partition table: {}", iso.summary())),
        _ => {}
    }
    Ok(vec![iso.summary()])
}

/// Nothing, unless the expectation is about an ISO image.
pub(super) fn none(expect: &Expect) -> Result<Vec<String>, String> {
    if expect.boot.is_empty() && expect.hybrid.is_none() {
        return Ok(Vec::new());
    }
    Err("`boot` and `hybrid` are about ISO images: this is none".to_owned())
}
