//! Ports of the host that lead to a guest.

use bootway_plan::step::Forward;

use super::{CONTROL_LIMIT, Guest};
use crate::{VmError, qmp::Request};

/// How often a port may have been taken before QEMU got it.
const PORT_TRIES: usize = 20;

impl Guest<'_> {
    /// Lets ports of the host lead to the guest: free ones, as far as the plan does not say which.
    pub(crate) fn forward(&mut self, forwards: impl Iterator<Item = Forward>) -> Result<(), VmError> {
        self.forward_from(forwards, &mut free_port)
    }

    /// The same, with ports of the host that `pick` says are free; another one when somebody else was quicker.
    pub(super) fn forward_from(
        &mut self,
        forwards: impl Iterator<Item = Forward>,
        pick: &mut dyn FnMut() -> std::io::Result<u16>,
    ) -> Result<(), VmError> {
        for forward in forwards {
            let guest = forward.guest();
            for tries in 1.. {
                let host = match forward {
                    Forward::Fixed { host, .. } => host,
                    Forward::Any(_) => pick().map_err(VmError::io("127.0.0.1".into()))?,
                };
                let answer = self.control(&Request::Forward { host, guest }, CONTROL_LIMIT)?;
                // QEMU says what is wrong, and nothing if nothing is.
                let why = answer.as_str().map(str::trim).unwrap_or_default();
                if why.is_empty() {
                    self.ports.push((host, guest));
                    break;
                }
                // Somebody else was quicker; again, if it may be another one.
                if matches!(forward, Forward::Fixed { .. }) || tries == PORT_TRIES {
                    return Err(VmError::Port { host, why: why.to_owned() });
                }
            }
        }
        Ok(())
    }

    /// The port of the host that leads to `guest`.
    pub(crate) fn port_of(&self, guest: u16) -> Option<u16> {
        self.ports.iter().find(|(_, it)| *it == guest).map(|(host, _)| *host)
    }
}

/// A port that is free now. Somebody else may take it before QEMU does, and then QEMU says so.
fn free_port() -> std::io::Result<u16> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use bootway_exec::{Cmd, Sandbox, SystemRunner, Tool};
    use bootway_plan::{Explain as _, step::Arch};

    use super::*;
    use crate::{AccelKind, command::basics, guest::Start};

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A QEMU that does not begin, with a network.
    fn command(sandbox: &Sandbox<'_>) -> Cmd {
        let control = ["-S", "-chardev", "socket,id=qmp,path=qmp.sock,server=on,wait=on", "-mon"];
        let network = ["chardev=qmp,mode=control", "-netdev", "user,id=net0", "-device"];
        Cmd::new(Tool::QemuX86)
            .dir(sandbox.cx().scratch)
            .args(basics(Arch::X8664, AccelKind::Tcg))
            .args(control.into_iter().chain(network).chain(["virtio-net-pci,netdev=net0"]))
            .stdin_pipe()
    }

    #[test]
    fn a_port_that_somebody_else_took_first_is_left_for_another_unless_the_plan_wants_that_one() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let cx = sandbox.cx();
        let waits =
            Start { cmdline: None, screen: false, port: false, tpm: false, restored: false, waits: true };
        let mut guest = Guest::start(&cx, &command(&sandbox), waits).unwrap();
        let taken = [listener(), listener(), listener()];
        let mut free = Vec::new();
        let mut ports = taken.each_ref().map(|(_, port)| *port).into_iter();
        let mut pick = || {
            ports.next().map_or_else(
                || {
                    let port = free_port()?;
                    free.push(port);
                    Ok(port)
                },
                Ok,
            )
        };
        guest.forward_from([Forward::Any(22)].into_iter(), &mut pick).unwrap();
        assert_eq!(guest.port_of(22), free.last().copied());

        let host = taken[0].1;
        let error = guest.forward([Forward::Fixed { guest: 80, host }].into_iter()).unwrap_err();
        let said = format!("{error}\nhint: {}", error.hint().unwrap()).replace(&host.to_string(), "[port]");
        insta::assert_snapshot!(said, @"
        port [port] of this machine cannot lead to the guest: Could not set up host forwarding rule 'tcp:127.0.0.1:[port]-:80'
        hint: write only the guest's port, and bootway finds a free one
        ");
        guest.kill();
    }
}
