//! What a console's text says about the guest. Pure: no time, no input or output.

/// A sign that a guest will not get further by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its kernel panicked.
    Panic,
    /// Its firmware found nothing to start.
    NothingToStart,
    /// Who loads its root file system gave up, and what that means.
    GaveUp(&'static str),
}

/// What boot loaders that are Linux systems say when they give up: the `bootstrap.sh` of `ChromeOS` shims, and our own.
const GAVE_UP: [(&str, &str); 5] = [
    (
        "Failed waiting for device with correct kern_guid",
        "the shim finds no partition with the `kern_guid` of its command line",
    ),
    (
        "Failed to configure device mapper root",
        "the shim takes only a root file system that is signed, and this one is not",
    ),
    (
        "switch_root: can't execute",
        "the shim finds nothing to start on its root partition: there is no boot loader, or what it needs is missing",
    ),
    ("ERROR: Factory installation aborted", "the shim did not get to its root file system"),
    ("bootway-bootloader: error: ", "the boot loader did not get to a root file system"),
];

/// What Linux prints when it gives up. Sources: `kernel/panic.c`, `arch/x86/mm/fault.c`, `init/do_mounts.c`.
const PANICS: [&str; 4] = [
    "Kernel panic - not syncing",
    "BUG: unable to handle",
    "Attempted to kill init",
    "VFS: Unable to mount root fs",
];

/// What systems print that wait for a person, and what it means.
const DIAGNOSES: [(&str, &str); 4] = [
    (
        "You are in emergency mode",
        "the guest's systemd is in emergency mode: a unit that it needs to boot has failed",
    ),
    ("You are in rescue mode", "the guest's systemd is in rescue mode"),
    ("dracut:/#", "the guest is in dracut's emergency shell: it has not found its root file system"),
    ("(initramfs)", "the guest is in the initramfs's emergency shell: it has not found its root file system"),
];

/// What firmware prints that finds nothing to start: EDK II's boot manager and shell, and SeaBIOS.
const NOTHING: [&str; 3] =
    ["BdsDxe: No bootable option or device was found", "UEFI Interactive Shell v", "No bootable device."];

impl End {
    /// Whether `line` says that the kernel gave up, or that there is none.
    ///
    /// The kernel begins lines, or follows its own time stamp, `[    1.234567] `; somebody who searches for a panic
    /// mentions it elsewhere.
    pub(crate) fn in_line(line: &str) -> Option<Self> {
        let begins = |sign: &str| {
            let mut places = line.match_indices(sign);
            places.any(|(at, _)| at == 0 || line[..at].ends_with("] ") || line[..at].ends_with("[ end "))
        };
        if PANICS.iter().any(|sign| begins(sign)) {
            return Some(Self::Panic);
        }
        if NOTHING.iter().any(|sign| line.starts_with(sign)) {
            return Some(Self::NothingToStart);
        }
        GAVE_UP.iter().find(|(sign, _)| line.contains(sign)).map(|(_, meaning)| Self::GaveUp(meaning))
    }
}

/// What `line` says about a guest that waits for a person.
pub(crate) fn diagnosis(line: &str) -> Option<&'static str> {
    DIAGNOSES.iter().find(|(sign, _)| line.contains(sign)).map(|(_, meaning)| *meaning)
}

/// Waits for a text in a stream, wherever the pieces are cut.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    wanted: Vec<u8>,
    /// As much of the end of what was seen as may begin what is wanted.
    tail: Vec<u8>,
}

impl Expect {
    pub(crate) fn new(wanted: &str) -> Self {
        Self { wanted: wanted.as_bytes().to_vec(), tail: Vec::new() }
    }

    /// Takes more text; returns how many of its bytes come after what was wanted, once that was seen.
    pub(crate) fn push(&mut self, text: &[u8]) -> Option<usize> {
        self.tail.extend_from_slice(text);
        if let Some(at) = find(&self.tail, &self.wanted) {
            return Some(self.tail.len() - at - self.wanted.len());
        }
        let keep = self.wanted.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        None
    }
}

/// Where `needle` first is in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_panic_is_seen_with_and_without_time_stamps() {
        for line in [
            "[    1.204981] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
            "hel[    0.93] BUG: unable to handle page fault for address: ffffffff",
            "[    1.2][    T1] Kernel panic - not syncing: hung_task: blocked tasks",
            "---[ end Kernel panic - not syncing: No working init found.",
        ] {
            assert_eq!(End::in_line(line), Some(End::Panic), "{line}");
        }
    }

    #[test]
    fn who_searches_for_a_panic_is_not_one() {
        for line in
            ["# dmesg | grep 'Kernel panic - not syncing'", "panic=30 shown as Kernel panic - not syncing"]
        {
            assert_eq!(End::in_line(line), None);
        }
    }

    #[test]
    fn a_boot_loader_that_gives_up_is_seen() {
        let meaning = |line| match End::in_line(line) {
            Some(End::GaveUp(meaning)) => meaning,
            other => panic!("{other:?}"),
        };
        insta::assert_snapshot!(meaning("ERROR: Factory installation aborted."), @"the shim did not get to its root file system");
        insta::assert_snapshot!(meaning("bootway-bootloader: error: no root file system"), @"the boot loader did not get to a root file system");
        assert_eq!(End::in_line("bootway-bootloader: menu"), None);
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_makes_no_difference(
            pieces in vec(vec(prop::sample::select(b"ab".to_vec()), 0..5), 0..10),
            wanted in "[ab]{1,5}",
        ) {
            let all = pieces.concat();
            let expected = find(&all, wanted.as_bytes()).map(|at| at + wanted.len());
            let mut expect = Expect::new(&wanted);
            let mut seen = 0;
            let mut got = None;
            for piece in &pieces {
                seen += piece.len();
                if let Some(rest) = expect.push(piece) {
                    got = Some(seen - rest);
                    break;
                }
            }
            prop_assert_eq!(got, expected);
        }
    }
}
