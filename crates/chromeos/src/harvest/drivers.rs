//! What a harvest takes for a kernel: its modules, its firmware, and what modprobe is told about them.

use std::collections::BTreeMap;

use bootway_exec::Cx;
use bootway_image::Tree;
use bootway_plan::{Finding, Judgement, step};
use serde::Serialize;

use super::{
    HarvestError, firmware,
    layer::{Layer, Origin},
    modprobe, modules,
    unpacked::Unpacker,
};
use crate::anatomy::Anatomy;

/// Modules, firmware and module options, and what was remarkable about them.
pub(super) struct Drivers {
    pub(super) layer: Layer,
    modules: Vec<modules::Module>,
    remarks: firmware::Remarks,
    masked: Vec<String>,
    wants_firmware: bool,
}

impl Drivers {
    pub(super) fn take(
        cx: &Cx<'_>,
        step: &step::Harvest,
        anatomy: &Anatomy,
        shim: &Tree,
        recovery: Option<&Tree>,
    ) -> Result<Self, HarvestError> {
        let mut layer = Layer::new();
        let unpacker = Unpacker::new(cx)?;
        let mut remarks = firmware::Remarks::default();
        let mut taken = Vec::new();
        if step.modules {
            let release = anatomy.boot.version();
            let release =
                release.ok_or_else(|| HarvestError::NoVersion { label: anatomy.entry.label.clone() })?;
            taken = modules::take(cx, shim, &release, &unpacker, &mut layer)?;
        }
        if step.firmware {
            firmware::take(shim, Origin::Shim, &unpacker, &mut layer, &mut remarks)?;
            if let Some(root) = recovery {
                firmware::take(root, Origin::Recovery, &unpacker, &mut layer, &mut remarks)?;
            }
        }
        let mut masked = Vec::new();
        if step.modprobe
            && let Some(root) = recovery
        {
            masked = modprobe::take(root, &mut layer);
        }
        Ok(Self { layer, modules: taken, remarks, masked, wants_firmware: step.firmware })
    }

    fn count(&self, directory: &str, origin: Origin) -> usize {
        let inside = |path: &str| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        self.layer.origin.iter().filter(|(path, from)| **from == origin && inside(path.as_str())).count()
    }

    pub(super) fn facts(&self) -> DriverFacts {
        DriverFacts {
            modules: self.modules.len(),
            firmware_of_shim: self.count("lib/firmware", Origin::Shim),
            firmware_of_recovery: self.count("lib/firmware", Origin::Recovery),
            firmware: serde_json::to_value(&self.remarks).expect("plain data"),
            masked_options: self.masked.clone(),
            missing_firmware: self.missing(),
            origin: self.layer.origin.iter().map(|(path, from)| (path.as_str().to_owned(), *from)).collect(),
        }
    }

    fn missing(&self) -> Vec<String> {
        let wanted = self.modules.iter().flat_map(|module| &module.info.firmware).map(String::as_str);
        firmware::missing(wanted, &self.layer).into_iter().collect()
    }

    /// What to say about the drivers.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |name: &str, judgement, answer: String, evidence: String| {
            let (about, name) = ("the drivers".to_owned(), name.to_owned());
            findings.push(Finding { about, name, judgement, answer, evidence });
        };
        if !self.modules.is_empty() {
            let answer = format!("{} modules", self.modules.len());
            let evidence =
                "each was built for the shim's kernel, and depmod's index has it with all that it needs"
                    .to_owned();
            say("modules", Judgement::Good, answer, evidence);
        }
        if self.wants_firmware {
            let (shim, recovery) =
                (self.count("lib/firmware", Origin::Shim), self.count("lib/firmware", Origin::Recovery));
            let answer = format!("{} files", shim + recovery);
            let evidence = format!(
                "{shim} of the shim, {recovery} of the recovery image, which took the place of {}; {} links out of lib/firmware became files, {} files were unpacked",
                self.remarks.replaced.len(),
                self.remarks.resolved.len(),
                self.remarks.unpacked.len(),
            );
            say("firmware", Judgement::Fact, answer, evidence);
            if !self.remarks.dangling.is_empty() {
                let answer = format!("{} lead nowhere", self.remarks.dangling.len());
                say("links of firmware", Judgement::Doubtful, answer, named(&self.remarks.dangling));
            }
            let missing = self.missing();
            if !self.modules.is_empty() {
                let (judgement, answer) = match missing.len() {
                    0 => (Judgement::Good, "all there".to_owned()),
                    n => (Judgement::Doubtful, format!("{n} not there")),
                };
                let evidence = if missing.is_empty() {
                    "of every file that a module names".to_owned()
                } else {
                    format!("modules may ask for {}", named(&missing))
                };
                say("firmware that modules name", judgement, answer, evidence);
            }
        }
        if !self.masked.is_empty() {
            let answer = format!("{} masked", self.masked.len());
            say("module options", Judgement::Fact, answer, named(&self.masked));
        }
        findings
    }
}

/// The first few of many.
fn named(all: &[String]) -> String {
    let shown = all.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > 5 { format!("{shown} and {} more", all.len() - 5) } else { shown }
}

/// What `report.json` says about the drivers.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DriverFacts {
    modules: usize,
    firmware_of_shim: usize,
    firmware_of_recovery: usize,
    firmware: serde_json::Value,
    masked_options: Vec<String>,
    missing_firmware: Vec<String>,
    /// Which image each file came from.
    origin: BTreeMap<String, Origin>,
}
