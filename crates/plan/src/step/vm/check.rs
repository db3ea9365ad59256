//! What is looked for in a guest.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Millis, Name, Source};

/// Keys of which one says what a check does.
const KINDS: &str = "`console`, `screen`, `run`, `ssh`, `wait-unit`, `wait-ip`, `wait-file`, `screenshot`, `copy-in`, `copy-out`";

/// One check: a name, what must be seen, and within what time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// What it proves, for the report.
    pub name: String,
    /// Text that must appear on the serial console, after what earlier checks saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// Text that must be on the screen, in VGA's text mode; with `boot = "chromeos"`. It counts when it stands
    /// still for a moment: what scrolls by is better looked for on the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// With `console` or `screen`: what is typed once the text was seen, into the serial port or on the keyboard (a US
    /// one); `\n` is Enter. Then the check has passed.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
    /// A command for the guest's shell, which must exit with `exit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// With `run`: the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// With `run`: exactly what it prints, without surrounding white space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// With `run`: a part of what it prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// With `run`: a regular expression for what it prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// With `run`: what it must not print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// A unit of systemd that must come to be in `state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_unit: Option<String>,
    /// With `wait-unit`: which; `active` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UnitState>,
    /// A network interface that must come to have an IPv4 address that is not link-local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ip: Option<String>,
    /// A file of the guest that must come to be there, with the values that are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_file: Option<WaitFile>,
    /// A command that is run over SSH, from the host; judged as that of `run` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// A picture of the screen, which is kept; compared, if there is something to compare it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screenshot: Option<Screenshot>,
    /// A file that is put into the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_in: Option<CopyIn>,
    /// A file of the guest that is kept with the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_out: Option<CopyOut>,
    /// Reboot the guest, wait for its shell again.
    #[serde(default)]
    pub reboot: bool,
    /// Power the guest off; passes when the machine says that the guest did it, not when QEMU merely ends.
    #[serde(default)]
    pub power_off: bool,
    /// How long it may take; the machine's limits unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Millis>,
}

/// In which state a unit must be. Source: `systemctl(1)`, `is-active`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// It runs, or has done what it is there for. A unit that failed will not, so the check is over.
    #[default]
    Active,
    /// It does not run.
    Inactive,
    /// It failed.
    Failed,
}

/// A file of the guest that must come to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WaitFile {
    /// Where it is in the guest.
    pub path: String,
    /// Lines `KEY=VALUE` that it must have; more may be there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// A picture of the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Screenshot {
    /// What it must look like: a PNG of the same size. Without it the picture is only kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<Source>,
    /// With `like`: how many of a thousand pixels may be different; none unless said.
    #[serde(default)]
    pub per_mille: u16,
}

/// A file that is put into a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CopyIn {
    /// What.
    pub from: Source,
    /// Where to in the guest; its mode is 0755.
    pub to: String,
}

/// A file of a guest that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CopyOut {
    /// Where it is in the guest.
    pub from: String,
    /// What it is called in the run's directory.
    pub to: Name,
}

/// What a [`Check`] does; exactly one of its keys says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Wait for text on the console.
    Console(Look),
    /// Wait for text on the screen.
    Screen(Look),
    /// Run a command.
    Run(RunCheck),
    /// Run a command over SSH.
    Ssh(RunCheck),
    /// Wait for a unit of systemd.
    Unit(UnitCheck),
    /// Wait for an address on this interface.
    Ip(String),
    /// Wait for a file.
    File(WaitFile),
    /// Take a picture of the screen.
    Screenshot(Screenshot),
    /// Put a file into the guest.
    CopyIn(CopyIn),
    /// Keep a file of the guest.
    CopyOut(CopyOut),
    /// Reboot.
    Reboot,
    /// Power off.
    PowerOff,
}

/// Text that must appear, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What must be seen.
    pub text: String,
    /// What is typed then.
    pub typed: Option<String>,
}

/// A unit, and the state that it must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitCheck {
    /// Its name.
    pub unit: String,
    /// Which state.
    pub state: UnitState,
}

/// A command for the guest's shell and what it must do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunCheck {
    /// The command, for the guest's shell.
    pub command: String,
    /// The exit code that is wanted.
    pub exit: u8,
    /// Exactly what it prints, without surrounding white space.
    pub equals: Option<String>,
    /// A part of what it prints.
    pub contains: Option<String>,
    /// A regular expression for what it prints.
    pub matches: Option<String>,
    /// What it must not print.
    pub lacks: Option<String>,
}

impl Check {
    /// What it needs of the host.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        let like = self.screenshot.as_ref().and_then(|it| it.like.as_ref());
        like.into_iter().chain(self.copy_in.as_ref().map(|it| &it.from))
    }

    /// What it does.
    ///
    /// # Errors
    ///
    /// Says what is wrong when not exactly one key says what is done, or when a key goes with another kind.
    pub fn kind(&self) -> Result<CheckKind, String> {
        let texts = [&self.console, &self.screen, &self.run, &self.ssh, &self.wait_unit, &self.wait_ip];
        if texts.into_iter().flatten().any(|text| text.trim().is_empty()) {
            return Err(format!("check `{}` looks for nothing: write what must be seen or run", self.name));
        }
        self.check_typed()?;
        self.check_judged()?;
        let mut kinds = self.kinds();
        match (kinds.pop(), kinds.is_empty()) {
            (Some(kind), true) => Ok(kind),
            _ => Err(format!(
                "check `{}` needs exactly one of {}, `reboot = true` and `power-off = true`",
                self.name, KINDS
            )),
        }
    }

    fn kinds(&self) -> Vec<CheckKind> {
        let look = |text: &String| Look { text: text.clone(), typed: self.typed.clone() };
        let run = |command: &String| RunCheck {
            command: command.clone(),
            exit: self.exit.unwrap_or(0),
            equals: self.equals.clone(),
            contains: self.contains.clone(),
            matches: self.matches.clone(),
            lacks: self.lacks.clone(),
        };
        let unit = |unit: &String| UnitCheck { unit: unit.clone(), state: self.state.unwrap_or_default() };
        [
            self.console.as_ref().map(|text| CheckKind::Console(look(text))),
            self.screen.as_ref().map(|text| CheckKind::Screen(look(text))),
            self.run.as_ref().map(|command| CheckKind::Run(run(command))),
            self.ssh.as_ref().map(|command| CheckKind::Ssh(run(command))),
            self.wait_unit.as_ref().map(|it| CheckKind::Unit(unit(it))),
            self.wait_ip.clone().map(CheckKind::Ip),
            self.wait_file.clone().map(CheckKind::File),
            self.screenshot.clone().map(CheckKind::Screenshot),
            self.copy_in.clone().map(CheckKind::CopyIn),
            self.copy_out.clone().map(CheckKind::CopyOut),
            self.reboot.then_some(CheckKind::Reboot),
            self.power_off.then_some(CheckKind::PowerOff),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether what a command must do goes with a command, and a state with a unit.
    fn check_judged(&self) -> Result<(), String> {
        let judged = self.exit.is_some()
            || [&self.equals, &self.contains, &self.matches, &self.lacks].iter().any(|it| it.is_some());
        if judged && self.run.is_none() && self.ssh.is_none() {
            return Err(format!(
                "check `{}` has `exit`, `equals`, `contains`, `matches` or `lacks` without `run` or `ssh`",
                self.name
            ));
        }
        if self.state.is_some() && self.wait_unit.is_none() {
            return Err(format!("check `{}` has `state` without `wait-unit`: say of which unit", self.name));
        }
        Ok(())
    }

    /// Whether what is to be typed goes with something that is looked for, and has a key.
    fn check_typed(&self) -> Result<(), String> {
        let Some(typed) = &self.typed else { return Ok(()) };
        if self.console.is_none() && self.screen.is_none() {
            return Err(format!(
                "check `{}` has `type` without `console` or `screen`: say when it is typed",
                self.name
            ));
        }
        if typed.is_empty() {
            return Err(format!("check `{}` types nothing: write what, or leave out `type`", self.name));
        }
        if self.screen.is_some()
            && let Some(key) = typed.chars().find(|it| !matches!(it, ' '..='~' | '\n' | '\t' | '\x1B'))
        {
            return Err(format!(
                "check `{}` types {key:?}, which has no key: use printable ASCII, `\\n`, `\\t` and `\\u001B`",
                self.name
            ));
        }
        Ok(())
    }
}
