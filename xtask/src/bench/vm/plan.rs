//! The plans that are measured.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Guest, Image, Size, Tests, io};
use crate::{Done, sh::root};
use bootway_plan::Failure;

/// Writes the plan of `count` tests of a guest, as `bench.plan.toml` in `scratch`.
pub(super) fn write(
    scratch: &Utf8Path,
    guest: &Guest<'_>,
    snapshot: &str,
    count: usize,
    tests: Tests,
) -> Done {
    let Built { mut text, starts, machine, ready } = match guest {
        Guest::Busybox(size) => busybox(size)?,
        Guest::Demo => demo()?,
        Guest::Image(image) => of_image(image),
    };
    let name = if machine.is_some() { "m" } else { "pc" };
    text += &format!(
        "[[phase.step]]\nname = \"tests\"\n[phase.step.vm]\n{starts}machine = \"{name}\"\nsnapshot = \"{snapshot}\"\n\
         check = [{{ name = \"ready\", run = \"{ready}\" }}]\n"
    );
    let more = match tests {
        Tests::Reboot => ", { name = \"reboots\", reboot = true }",
        Tests::Work => ", { name = \"works\", run = \"sleep 0.5\" }",
        Tests::Answer => "",
    };
    for n in 0..count {
        text += &format!(
            "[[phase.step.vm.test]]\nname = \"t{n}\"\ncheck = [{{ name = \"answers\", run = \"true\" }}{more}]\n"
        );
    }
    if let Some(machine) = machine {
        text += &format!("[machine.m]\naccel = \"tcg\"\n{machine}");
    }
    fs_err::write(scratch.join("bench.plan.toml"), text).map_err(io)
}

/// What a plan has before its tests.
struct Built {
    text: String,
    /// How the machine starts.
    starts: String,
    /// The machine, if the plan has none.
    machine: Option<String>,
    /// The command that it is ready behind.
    ready: String,
}

const HEAD: &str = "format = 1\nname = \"bench\"\nepoch = 1735689600\n[[phase]]\nname = \"all\"\n";

fn busybox(size: &Size) -> Result<Built, Failure> {
    let text = format!(
        "{HEAD}[[phase.step]]\nname = \"early\"\n[phase.step.tree]\nfrom = [\"./early\"]\n\
         edits = [{{ chmod = {{ path = \"init\", mode = \"0755\" }} }}, \
         {{ chmod = {{ path = \"bin/busybox\", mode = \"0755\" }} }}]\n\
         [[phase.step]]\nname = \"initrd\"\ninitramfs = {{ from = [\"early\"] }}\n"
    );
    let starts = "boot = \"kernel\"\nkernel = \"./vmlinuz\"\ninitrd = \"initrd\"\n\
                  cmdline = \"console=ttyS0 panic=-1 quiet\"\n";
    let ready = match size.dirty_mib {
        0 => "true".to_owned(),
        mib => fill(mib)?,
    };
    let machine = Some(format!("memory = \"{}MiB\"\n", size.mib));
    Ok(Built { text, starts: starts.to_owned(), machine, ready })
}

/// The demo plan, with other tests in the place of its own.
fn demo() -> Result<Built, Failure> {
    let text = fs_err::read_to_string(root().join("fixtures/plans/demo.plan.toml")).map_err(io)?;
    let tests = text.find("\n[[phase]]\nname = \"test\"").unwrap_or(text.len());
    Ok(Built {
        text: format!("{}\n[[phase]]\nname = \"test\"\n", &text[..tests])
            .replace("[machine.pc]\n", "[machine.pc]\naccel = \"tcg\"\n"),
        starts: "image = \"disk\"\nboot = \"disk\"\n".to_owned(),
        machine: None,
        ready: "true".to_owned(),
    })
}

fn of_image(image: &Image) -> Built {
    let path = |path: &Option<Utf8PathBuf>| path.as_ref().map(ToString::to_string).unwrap_or_default();
    let starts = format!(
        "boot = \"kernel\"\nkernel = \"{}\"\ninitrd = \"{}\"\ndisk = [{{ image = \"{}\" }}]\ncmdline = '{}'\n",
        path(&image.kernel),
        path(&image.initrd),
        path(&image.disk),
        image.cmdline
    );
    let machine = Some("memory = \"512MiB\"\nchannel = \"systemd\"\n".to_owned());
    let ready = "systemctl is-system-running --wait || true".to_owned();
    Built { text: HEAD.to_owned(), starts, machine, ready }
}

/// A command that writes so much into the guest's memory: a program that it has, again and again.
pub(super) fn fill(mib: u32) -> Result<String, Failure> {
    let once = fs_err::metadata("/bin/busybox").map_err(io)?.len();
    let times = (u64::from(mib) << 20).div_ceil(once);
    Ok(format!("for n in $(seq {times}); do cat /bin/busybox; done >/fill/all"))
}
