//! A machine with all that it needs of its host, ready to be switched on.

use std::time::Duration;

use bootway_exec::{Cmd, Cx};
use bootway_plan::step::{self, Arch, Attach, Boot, Channel, Forward, Machines};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Host, ImageFile, Machine, Media, VmError,
    boot::{Loader, handover, host},
    command::{Memory, command},
    guest::{Guest, Start},
    qmp::Request,
    stage,
};

/// QEMU needs 30 ms until it answers, and a busy host is not a thousand times slower.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) machine: Machine,
    pub(crate) boot: Boot,
    pub(crate) media: Media,
    pub(crate) host: Host,
    pub(crate) ssh_key: Option<Utf8PathBuf>,
}

impl Setup {
    /// What `step` says.
    pub(crate) fn of(cx: &Cx<'_>, step: &step::Vm, machines: &Machines) -> Result<Self, VmError> {
        let machine = Machine::resolve(step.machine.as_ref(), machines, step.boot)?;
        for check in step.all_checks() {
            let asked = check.kind().and_then(|kind| {
                machine.can_be_asked(&kind).map_err(|why| format!("check `{}` {why}", check.name))
            });
            asked.map_err(VmError::Check)?;
        }
        let media = media(cx, step)?;
        let ssh_key =
            step.ssh_key.as_ref().map(|key| cx.input(key).map(|key| key.path.clone())).transpose()?;
        let host = host(cx, &machine)?;
        Ok(Self { machine, boot: step.boot, media, host, ssh_key })
    }

    /// QEMU's command line in `scratch`.
    pub(crate) fn command(&self, memory: Memory<'_>, scratch: &Utf8Path) -> Cmd {
        command(&self.machine, self.boot, &self.media, &self.host, memory, scratch)
    }

    /// Ports of the guest that are to be reached from the host.
    pub(crate) fn forwards(&self) -> impl Iterator<Item = Forward> {
        self.machine.net.iter().flat_map(|net| net.forward.values().copied())
    }

    /// Switches the machine on, in the scratch directory of `cx`.
    pub(crate) fn start<'a>(
        &self,
        cx: &'a Cx<'a>,
        memory: Memory<'_>,
        loader: &Loader<'_>,
    ) -> Result<Guest<'a>, VmError> {
        stage::fresh(cx.scratch, &self.machine, &self.media, &self.host)?;
        let mut start = self.beginning();
        if let (Boot::Chromeos, Some(image)) = (self.boot, self.media.images.first()) {
            start.cmdline = Some(handover::kernel(cx, &image.path, self.media.cmdline.as_deref(), loader)?);
        }
        let waits = start.waits;
        let mut guest = Guest::start(cx, &self.command(memory, cx.scratch), start)?;
        if waits {
            guest.forward(self.forwards())?;
            guest.control(&Request::Start, PATIENCE)?;
        }
        Ok(guest)
    }

    /// How its guest starts, if nothing is special about it.
    pub(crate) fn beginning(&self) -> Start {
        Start {
            cmdline: None,
            // Pixels of a graphical screen are no text, and only a PC has another.
            screen: self.machine.screen && self.machine.arch == Arch::X8664,
            port: matches!(self.machine.channel, Channel::Port | Channel::Systemd),
            tpm: self.machine.tpm,
            restored: false,
            waits: self.forwards().next().is_some(),
        }
    }
}

/// What the machine of `step` starts from.
pub(crate) fn media(cx: &Cx<'_>, step: &step::Vm) -> Result<Media, VmError> {
    let path = |source: &bootway_plan::Source| cx.input(source).map(|input| input.path.clone());
    let missing = match step.boot {
        Boot::Disk => step.image.is_none().then_some(("disk", "image")),
        Boot::Iso => step.image.is_none().then_some(("iso", "image")),
        Boot::Kernel => step.kernel.is_none().then_some(("kernel", "kernel")),
        Boot::Chromeos => step.image.is_none().then_some(("chromeos", "image")),
    };
    if let Some((boot, key)) = missing {
        return Err(VmError::Nothing { boot, key });
    }
    let first = step.image.iter().map(|image| (image, step.attach()));
    let others = step.disks.iter().map(|disk| (&disk.image, disk.attach.unwrap_or(Attach::Virtio)));
    let images = first.chain(others).map(|(image, attach)| Ok(ImageFile { path: path(image)?, attach }));
    Ok(Media {
        images: images.collect::<Result<_, VmError>>()?,
        kernel: step.kernel.as_ref().map(path).transpose()?,
        initrd: step.initrd.as_ref().map(path).transpose()?,
        cmdline: step.cmdline.clone(),
    })
}
