//! What must come to be so in a guest: a unit, an address, a file.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bootway_plan::{
    Verdict,
    step::{UnitCheck, UnitState, WaitFile},
};

use super::{Checks, Decision};
use crate::{
    VmError,
    boot::{brief, seconds},
};

/// How long a guest is left alone before it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// A question of ours takes a guest no longer than that, unless it is stuck.
const QUESTION: Duration = Duration::from_mins(1);

/// What an answer means.
enum Seen {
    /// It is so.
    Yes(String),
    /// Not yet: what there is instead.
    NotYet(String),
    /// It will not come to be so.
    Never(String),
}

impl Checks<'_> {
    /// Waits until a unit is in a state. Source: `systemctl(1)`, `is-active`.
    pub(super) fn unit(&mut self, check: &UnitCheck, within: Option<Duration>) -> Result<Decision, VmError> {
        let command = format!("systemctl is-active {}", quoted(&check.unit));
        let wanted = match check.state {
            UnitState::Active => "active",
            UnitState::Inactive => "inactive",
            UnitState::Failed => "failed",
        };
        self.wait(&command, within, |output, code| match output {
            _ if code == 127 => Seen::Never("the guest has no `systemctl`".to_owned()),
            state if state == wanted => Seen::Yes(format!("`{}` is {state}", check.unit)),
            "failed" => Seen::Never(format!("`{}` has failed", check.unit)),
            state => Seen::NotYet(format!("`{}` is {}", check.unit, brief(state))),
        })
    }

    /// Waits until an interface has an IPv4 address. Source: `ip-address(8)`.
    pub(super) fn ip(&mut self, interface: &str, within: Option<Duration>) -> Result<Decision, VmError> {
        let command = format!("ip -o -4 addr show dev {}", quoted(interface));
        self.wait(&command, within, |output, code| match addresses(output).find(|it| !it.is_link_local()) {
            _ if code == 127 => Seen::Never("the guest has no `ip`".to_owned()),
            Some(address) if code == 0 => Seen::Yes(format!("`{interface}` has {address}")),
            _ if output.is_empty() => Seen::NotYet(format!("`{interface}` has no IPv4 address")),
            _ => Seen::NotYet(brief(output)),
        })
    }

    /// Waits until a file is there, and has what it must have.
    pub(super) fn file(&mut self, check: &WaitFile, within: Option<Duration>) -> Result<Decision, VmError> {
        let path = &check.path;
        let command = format!("cat {}", quoted(path));
        self.wait(&command, within, |output, code| {
            if code != 0 {
                return Seen::NotYet(brief(output));
            }
            let has = values(output);
            let lacks =
                check.values.iter().find(|(key, value)| has.get(key.as_str()) != Some(&value.as_str()));
            match lacks {
                None if check.values.is_empty() => Seen::Yes(format!("`{path}` is there")),
                None => {
                    let all: Vec<_> =
                        check.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    Seen::Yes(format!("`{path}` has {}", all.join(", ")))
                }
                Some((key, value)) => {
                    let instead =
                        has.get(key.as_str()).map_or("is not there".to_owned(), |it| format!("is `{it}`"));
                    Seen::NotYet(format!("`{key}` in `{path}` must be `{value}`, and {instead}"))
                }
            }
        })
    }

    /// Asks `command` again and again until `judge` is content, or knows that it never will be.
    fn wait(
        &mut self,
        command: &str,
        within: Option<Duration>,
        judge: impl Fn(&str, u8) -> Seen,
    ) -> Result<Decision, VmError> {
        self.shell()?;
        let began = Instant::now();
        let limit = within.unwrap_or_else(|| self.machine.limits.check.duration());
        loop {
            let (output, code) = match self.command(command, QUESTION)?.answer(command, QUESTION) {
                Ok(answer) => answer,
                Err(why) => return Ok(Decision::new(Verdict::Failed, why)),
            };
            let instead = match judge(&output, code) {
                Seen::Yes(detail) => return Ok(Decision::new(Verdict::Passed, detail)),
                Seen::Never(why) => return Ok(Decision::new(Verdict::Failed, why)),
                Seen::NotYet(instead) => instead,
            };
            if began.elapsed() >= limit {
                let detail = format!("not within {}: {instead}", seconds(limit));
                return Ok(Decision::new(Verdict::TimedOut, detail));
            }
            let pause = Instant::now();
            while pause.elapsed() < PAUSE {
                self.watch()?;
            }
        }
    }
}

/// Text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The addresses in what `ip -o -4 addr` prints.
fn addresses(text: &str) -> impl Iterator<Item = std::net::Ipv4Addr> {
    let words = text.split_whitespace();
    let after = text.split_whitespace().skip(1);
    words.zip(after).filter(|(word, _)| *word == "inet").filter_map(|(_, address)| {
        address.split_once('/').map_or(address, |(address, _)| address).parse().ok()
    })
}

/// Lines `KEY=VALUE`; a value may be in quotes.
fn values(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim().trim_matches('"'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let text = "2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic eth0\\       valid_lft 86397sec";
        assert_eq!(addresses(text).map(|it| it.to_string()).collect::<Vec<_>>(), ["10.0.2.15"]);
        assert_eq!(addresses("inet").count(), 0);
    }

    #[test]
    fn values_are_read() {
        let text = "STATE=applied\n DETAIL=\"auto-applied\"\nnothing\nA=b=c\n";
        assert_eq!(
            values(text),
            BTreeMap::from([("STATE", "applied"), ("DETAIL", "auto-applied"), ("A", "b=c")])
        );
    }
}
