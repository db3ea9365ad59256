//! What the kernel can do for a root that is put on it.

use bootway_plan::Judgement;

use super::Notes;
use crate::{
    anatomy::Anatomy,
    kernel::{
        self,
        fitness::{self, Verdict, Version},
    },
};

/// What a root of one's own is likely to need, and whether one can do without.
const WANTED: [(&str, Judgement); 4] = [
    ("ext4", Judgement::Bad),
    ("squashfs", Judgement::Doubtful),
    ("overlay", Judgement::Doubtful),
    ("dm-crypt", Judgement::Doubtful),
];

pub(super) fn findings(anatomy: &Anatomy, notes: &mut Notes<'_>) {
    let Some(release) = anatomy.boot.version() else {
        notes.say(Judgement::Unknown, "kernel version", "not said", "the setup header has no version string");
        return;
    };
    notes.say(Judgement::Fact, "kernel version", &release, "the setup header of its bzImage");
    let config = kernel::config(&anatomy.vmlinux);
    if let Some(version) = Version::parse(&release) {
        let systemd = fitness::systemd(version);
        let (judgement, answer) = match systemd.newest {
            Some(u32::MAX) => (Judgement::Good, "any".to_owned()),
            Some(newest) => (Judgement::Fact, newest.to_string()),
            None => (Judgement::Bad, "none of today's".to_owned()),
        };
        notes.say(judgement, "newest systemd that runs", answer, systemd.evidence);
        let new: Vec<&str> = fitness::ext4_too_new(version).map(|feature| feature.name).collect();
        let (answer, evidence) = if new.is_empty() {
            ("all".to_owned(), format!("Linux {version} mounts every feature of ext4 that is known here"))
        } else {
            (format!("all but {}", new.join(", ")), format!("these came after Linux {version}"))
        };
        notes.say(Judgement::Fact, "features of ext4 that it mounts", answer, evidence);
        let [xz, zstd] = fitness::compressed_firmware(version, config.as_ref());
        for ability in [xz, zstd] {
            let (answer, name) = (word(ability.verdict), format!("reads {}", ability.name));
            notes.say(Judgement::Fact, name, answer, ability.evidence);
        }
        let ability = fitness::compressed_modules(version, config.as_ref());
        notes.say(Judgement::Fact, ability.name, word(ability.verdict), ability.evidence);
    }
    for ability in fitness::abilities(config.as_ref(), &anatomy.vmlinux) {
        let wanted = WANTED.iter().find(|(name, _)| *name == ability.name);
        let judgement = match (ability.verdict, wanted) {
            (Verdict::Yes | Verdict::Module, Some(_)) => Judgement::Good,
            (Verdict::No, Some((_, judgement))) => *judgement,
            (Verdict::Unknown, _) => Judgement::Unknown,
            _ => Judgement::Fact,
        };
        notes.say(judgement, format!("kernel has {}", ability.name), word(ability.verdict), ability.evidence);
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "yes",
        Verdict::Module => "with a module",
        Verdict::No => "no",
        Verdict::Unknown => "unknown",
    }
}
