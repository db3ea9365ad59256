//! What a guest can tell about a check that is not good: collected as far as it goes, and never in the place of the check.

use std::time::{Duration, Instant};

use bootway_plan::{KeptKind, step::CheckKind};

use super::{Asked, Checks, Purpose, picture::slug, wait::quoted};
use crate::{boot::Ready, shell::Ended};

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(15);

/// How long all of them may take: whoever waits for the verdict waits no longer than that.
const ALL: Duration = Duration::from_mins(1);

/// A program that the guest does not have.
const NO_PROGRAM: u8 = 127;

/// A question, and what it is called.
type Question = (&'static str, String);

impl Checks<'_> {
    /// Asks the guest about `check`, which is not good, and keeps what it says with the run.
    ///
    /// A guest that has no shell, or whose shell still runs something, is not asked. What goes wrong here is nobody's
    /// failure.
    pub(crate) fn diagnose(&mut self, check: &Ready) {
        if self.shell.is_none() || self.is_stuck {
            return;
        }
        self.purpose = Purpose::Diagnosis;
        let kept = self.diagnosed(check);
        self.purpose = Purpose::Check;
        if !kept.is_empty() {
            self.cx.note(format!("about `{}`: {}", check.name, kept.join("; ")));
        }
    }

    /// What was kept, and where.
    fn diagnosed(&mut self, check: &Ready) -> Vec<String> {
        let (began, mut kept) = (Instant::now(), Vec::new());
        for (n, (label, command)) in questions(&check.kind).into_iter().enumerate() {
            if began.elapsed() >= ALL {
                break;
            }
            let Ok(Asked::Ended(Ended::Exited { output, code })) = self.command(&command, QUESTION) else {
                break;
            };
            if code == NO_PROGRAM || output.trim_ascii().is_empty() {
                continue;
            }
            let name = format!("{}-{:02}-{}.txt", slug(&check.name), n + 1, slug(label));
            let told = format!("{}: {label}", check.name);
            if let Ok(place) = self.keep_file(KeptKind::Diagnostics, &told, &name, &output) {
                kept.push(format!("{label}: {place}"));
            }
        }
        kept
    }
}

/// What is worth knowing about a check of this kind.
fn questions(kind: &CheckKind) -> Vec<Question> {
    let fixed = |all: &[(&'static str, &str)]| -> Vec<Question> {
        all.iter().map(|(label, command)| (*label, (*command).to_owned())).collect()
    };
    let system = [
        ("failed units", "systemctl list-units --failed --no-legend --no-pager"),
        ("waiting jobs", "systemctl list-jobs --no-legend --no-pager"),
        ("kernel", "dmesg | tail -n 200"),
    ];
    let network = [
        ("addresses", "ip addr"),
        ("routes", "ip route"),
        ("links", "ip -s link"),
        ("networkd", "networkctl status --no-pager; journalctl -b -u systemd-networkd --no-pager -n 200"),
    ];
    match kind {
        CheckKind::Unit(check) => {
            let unit = quoted(&check.unit);
            let own = [
                ("status", format!("systemctl status {unit} --no-pager --full")),
                ("journal", format!("journalctl -b -u {unit} --no-pager -n 500")),
            ];
            own.into_iter().chain(fixed(&system)).collect()
        }
        CheckKind::Ip(interface) => {
            let own = ("link", format!("networkctl status {} --no-pager", quoted(interface)));
            [own].into_iter().chain(fixed(&network)).collect()
        }
        CheckKind::Ssh(_) => {
            let own = [(
                "server",
                "systemctl status ssh sshd --no-pager; journalctl -b -u ssh -u sshd --no-pager -n 200",
            )];
            fixed(&own).into_iter().chain(fixed(&network)).collect()
        }
        CheckKind::File(file) => {
            let dir =
                file.path.rsplit_once('/').map_or("/", |(dir, _)| if dir.is_empty() { "/" } else { dir });
            let own = [
                ("directory", format!("ls -la {}", quoted(dir))),
                ("file", format!("cat {}", quoted(&file.path))),
                ("disks", "lsblk -f".to_owned()),
                ("journal", "journalctl -b --no-pager -n 500".to_owned()),
            ];
            own.into_iter().chain(fixed(&system)).collect()
        }
        CheckKind::Run(_) | CheckKind::CopyIn(_) | CheckKind::CopyOut(_) => fixed(&system),
        CheckKind::Console(_) | CheckKind::Screen(_) | CheckKind::Screenshot(_) => fixed(&system[..2]),
        CheckKind::Reboot | CheckKind::PowerOff => Vec::new(),
    }
}
