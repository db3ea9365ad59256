//! The demo plan that comes with the program.

use std::io;

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};

/// The plan and what it needs, by path below `fixtures/plans`.
const FILES: &[(&str, &str)] = &[
    ("demo.plan.toml", include_str!("../../../fixtures/plans/demo.plan.toml")),
    ("demo.lock", include_str!("../../../fixtures/plans/demo.lock")),
    ("demo/initramfs/init", include_str!("../../../fixtures/plans/demo/initramfs/init")),
    ("demo/root/etc/fstab", include_str!("../../../fixtures/plans/demo/root/etc/fstab")),
    ("demo/root/etc/group", include_str!("../../../fixtures/plans/demo/root/etc/group")),
    ("demo/root/etc/inittab", include_str!("../../../fixtures/plans/demo/root/etc/inittab")),
    ("demo/root/etc/os-release", include_str!("../../../fixtures/plans/demo/root/etc/os-release")),
    ("demo/root/etc/passwd", include_str!("../../../fixtures/plans/demo/root/etc/passwd")),
];

/// Writes the demo below `dir`, leaving what is there already as it is, and returns the path of its plan.
pub(crate) fn unpack(dir: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let root = dir.join("demo-plan");
    let write = || -> io::Result<()> {
        for (name, text) in FILES {
            let path = root.join(name);
            if fs_err::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                continue; // Its times stay, and with them everything that was made from it.
            }
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            fs_err::write(&path, text)?;
        }
        Ok(())
    };
    write().map_err(|error| {
        Failure::new(Class::Environment, error.to_string()).because("cannot unpack the demo plan")
    })?;
    Ok(root.join("demo.plan.toml"))
}
