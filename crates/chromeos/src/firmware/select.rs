//! Which kernel partitions are tried, and in which order.

use bootway_image::{GptEntry, GptFound, partition_type_guid};
use bootway_plan::step::PartitionType;

use super::journal::Journal;

/// The kernel partitions that may be started, in the order in which they are tried: the highest priority first, and of
/// equal ones the lowest number.
pub(super) fn order<'a>(table: &'a GptFound, journal: &mut Journal) -> Vec<&'a GptEntry> {
    let kernel = partition_type_guid(&PartitionType::ChromeosKernel);
    let kernels: Vec<&GptEntry> = table.gpt.entries.iter().filter(|entry| entry.kind == kernel).collect();
    for entry in &kernels {
        let why = match entry {
            _ if entry.priority() == 0 => "is never started, for its priority is 0",
            _ if !entry.successful() && entry.tries() == 0 => {
                "is never started, for it has no tries left and has never been successful"
            }
            _ => "may be started",
        };
        journal.good(
            format!("kernel partition {}", entry.number),
            format!(
                "`{}` has priority {}, tries {}, successful {}: it {why}",
                entry.label,
                entry.priority(),
                entry.tries(),
                u8::from(entry.successful())
            ),
        );
    }
    let startable = |entry: &&GptEntry| entry.priority() > 0 && (entry.successful() || entry.tries() > 0);
    let mut candidates: Vec<&GptEntry> = kernels.iter().copied().filter(startable).collect();
    candidates.sort_by_key(|entry| (std::cmp::Reverse(entry.priority()), entry.number));
    if candidates.is_empty() {
        let seen = match kernels.len() {
            0 => "the disk has no partition of the type chromeos-kernel".to_owned(),
            count => format!(
                "none of the kernel partitions ({count}) may be started: give one a priority and `tries` or `successful`"
            ),
        };
        journal.refuse(CANDIDATE, seen);
    }
    candidates
}

const CANDIDATE: &str = "a kernel partition to start";

/// Says what the firmware writes to the disk before it starts `entry`.
pub(super) fn counted(entry: &GptEntry, journal: &mut Journal) {
    let detail = match (entry.successful(), entry.tries()) {
        (true, _) => "it has been successful: nothing is counted".to_owned(),
        (false, tries @ 2..) => format!("the firmware leaves {} of {tries} tries", tries - 1),
        (false, _) => "this was the last try: the firmware sets its priority to 0".to_owned(),
    };
    journal.good(format!("kernel partition {} is started", entry.number), detail);
}
