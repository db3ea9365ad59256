//! QEMU alone: its whole memory to a file, and from there into a new process.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bootway_plan::{Class, Failure};
use camino::Utf8Path;

use super::{PATIENCE, plan::fill, since};
use crate::bench::{io, rounds::median};

/// Medians, milliseconds.
pub(super) struct Peer {
    /// From its start until the guest's shell has answered.
    pub(super) boot: f64,
    /// To write the state to a file.
    pub(super) save: f64,
    /// From its start with that file until the guest's shell has answered.
    pub(super) restored: f64,
}

/// A QEMU, which ends with this.
struct Qemu {
    child: Child,
    said: Vec<u8>,
    began: Instant,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Boots, saves, and restores `rounds` times.
pub(super) fn measure(
    scratch: &Utf8Path,
    kernel: &Utf8Path,
    mib: u32,
    dirty_mib: u32,
    rounds: usize,
) -> Result<Peer, Failure> {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds.max(1) {
        let mut qemu = start(scratch, kernel, mib, None)?;
        qemu.wait_for("# ")?;
        qemu.answer(0)?;
        times[0].push(since(qemu.began));
        if dirty_mib > 0 {
            qemu.say(&format!("{}\n", fill(dirty_mib)?))?;
            qemu.wait_for("# ")?;
            qemu.answer(1)?;
        }
        let began = Instant::now();
        let socket = scratch.join("peer.sock");
        let mut monitor = UnixStream::connect(&socket).map_err(io)?;
        monitor.set_read_timeout(Some(PATIENCE)).map_err(io)?;
        // The second is answered when the first is done.
        monitor
            .write_all(b"migrate_set_parameter max-bandwidth 100G\nmigrate \"exec:cat >peer.state\"\nquit\n")
            .map_err(io)?;
        qemu.child.wait().map_err(io)?;
        times[1].push(since(began));
        drop(qemu);
        let mut qemu = start(scratch, kernel, mib, Some("exec:cat peer.state"))?;
        runs(&socket)?;
        qemu.answer(2)?;
        times[2].push(since(qemu.began));
    }
    let [boot, save, restored] = times.map(median);
    Ok(Peer { boot, save, restored })
}

#[expect(clippy::disallowed_methods, reason = "QEMU is measured without us")]
fn start(scratch: &Utf8Path, kernel: &Utf8Path, mib: u32, incoming: Option<&str>) -> Result<Qemu, Failure> {
    let initrd = scratch.join("work/out/initrd/initramfs.img");
    let _ = fs_err::remove_file(scratch.join("peer.sock"));
    let began = Instant::now();
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "q35,graphics=off",
            "-accel",
            "tcg,thread=multi",
        ])
        .args([
            "-cpu",
            "max",
            "-display",
            "none",
            "-nic",
            "none",
            "-serial",
            "stdio",
            "-m",
            &format!("{mib}M"),
        ])
        .args(["-device", "virtio-rng-pci", "-monitor", "unix:peer.sock,server=on,wait=off"])
        .args(["-kernel", kernel.as_str(), "-initrd", initrd.as_str()])
        .args(["-append", "console=ttyS0 panic=-1 quiet"]);
    if let Some(incoming) = incoming {
        command.args(["-incoming", incoming]);
    }
    let child =
        command.current_dir(scratch).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(io)?;
    Ok(Qemu { child, said: Vec::new(), began })
}

/// Waits until the machine goes on: what its serial port is told before that is lost.
fn runs(socket: &Utf8Path) -> Result<(), Failure> {
    let began = Instant::now();
    let mut said = Vec::new();
    let mut monitor = loop {
        match UnixStream::connect(socket) {
            Ok(monitor) => break monitor,
            Err(error) if began.elapsed() > PATIENCE => return Err(io(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    monitor.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    while !said.windows(RUNNING.len()).any(|it| it == RUNNING) {
        monitor.write_all(b"info status\n").map_err(io)?;
        let mut buffer = [0; 4096];
        let n = monitor.read(&mut buffer).map_err(io)?;
        said.extend_from_slice(&buffer[..n]);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// What QEMU's monitor says of a machine that runs.
const RUNNING: &[u8] = b"VM status: running";

impl Qemu {
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        let stdin = self.child.stdin.as_mut().expect("it is a pipe");
        stdin.write_all(text.as_bytes()).map_err(io)
    }

    /// Has the shell compute something that is not typed.
    fn answer(&mut self, n: u32) -> Result<(), Failure> {
        self.say(&format!("sh -c 'echo answer-$(({n}+40))'\n"))?;
        self.wait_for(&format!("answer-{}\r", n + 40))
    }

    fn wait_for(&mut self, text: &str) -> Result<(), Failure> {
        let stdout = self.child.stdout.as_mut().expect("it is a pipe");
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.said.windows(text.len()).position(|it| it == text.as_bytes()) {
                self.said.drain(..at + text.len());
                return Ok(());
            }
            let n = stdout.read(&mut buffer).map_err(io)?;
            if n == 0 {
                let said = String::from_utf8_lossy(&self.said).into_owned();
                return Err(Failure::new(
                    Class::Step,
                    format!("QEMU ended, and the guest said last: {said}"),
                ));
            }
            self.said.extend_from_slice(&buffer[..n]);
        }
    }
}
