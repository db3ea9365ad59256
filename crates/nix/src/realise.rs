//! Building a derivation, and what went wrong.
//!
//! `nix-store --realise` is called and not `nix build`: its exit code is 0x60 with a bit for each way to fail (builder
//! 4, time 1, hash 2, other bytes than before 8), the same in every version, and with `--keep-going` it goes on to
//! the end. Which derivations failed is asked of the store: those whose build began and whose outputs are not valid.
//! What Nix and builders say is quoted, and decides only whether a disk was full.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use bootway_exec::{Cmd, Exit};
use bootway_plan::Millis;
use camino::Utf8Path;

use crate::{
    Nix, Version,
    call::{Answer, CallError},
    log::{BuildLog, name_of},
    shapes::{Derivation, UnknownShape, derivations},
};

/// Lines of a log that a message shows.
const SHOWN_LINES: usize = 12;

/// Derivations that a message names.
const SHOWN: usize = 8;

/// By how much a line may be late that ends a silence.
const HASTE: Duration = Duration::from_millis(500);

/// Derivations that are asked about at once; a command line has room for many more.
const ASKED: usize = 256;

/// Derivations that were not built, those that are needed first before what needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotBuilt {
    /// The derivation that was asked for.
    pub drv: String,
    /// Every derivation whose own build failed; at least one.
    pub failures: Vec<Failed>,
}

/// A derivation whose build failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub drv: String,
    /// In which way.
    pub cause: Cause,
    /// What Nix said about it, in a line, if it did.
    pub said: Option<String>,
    /// The phase that it was in, if it said so.
    pub phase: Option<String>,
    /// What it printed last.
    pub tail: Vec<String>,
}

/// In which way something was not built, not found, or not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The flake does not evaluate.
    Evaluation,
    /// The flake has no such attribute.
    MissingAttribute,
    /// The flake needs files that Git does not know.
    Untracked,
    /// A builder ended badly.
    Builder,
    /// A builder of something that is needed ended badly.
    Dependency,
    /// A build took too long.
    Timeout,
    /// A build said nothing for too long.
    Silence,
    /// Something that was fetched is not what it must be.
    HashMismatch,
    /// A second build made other bytes.
    NotDeterministic,
    /// There was no room.
    NoSpace,
    /// Somebody stopped it.
    Interrupted,
    /// The output holds nothing that matches.
    OutputMissing,
    /// The output holds several that match.
    OutputAmbiguous,
    /// What was found is not good.
    OutputBad,
    /// Nix refused, for a reason of its own.
    Nix,
}

impl Cause {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evaluation => "evaluation",
            Self::MissingAttribute => "missing-attribute",
            Self::Untracked => "untracked",
            Self::Builder => "builder",
            Self::Dependency => "dependency",
            Self::Timeout => "timeout",
            Self::Silence => "silence",
            Self::HashMismatch => "hash-mismatch",
            Self::NotDeterministic => "not-deterministic",
            Self::NoSpace => "no-space",
            Self::Interrupted => "interrupted",
            Self::OutputMissing => "output-missing",
            Self::OutputAmbiguous => "output-ambiguous",
            Self::OutputBad => "output-bad",
            Self::Nix => "nix",
        }
    }

    /// What happened, of the build of a derivation.
    const fn sentence(self) -> &'static str {
        match self {
            Self::Timeout => "took too long",
            Self::Silence => "said nothing for too long",
            Self::HashMismatch => "is not what its hash says",
            Self::NotDeterministic => "came out different when it was built again",
            Self::NoSpace => "ran out of disk space",
            _ => "failed to build",
        }
    }
}

/// The command that builds the output `output` of the derivation that `link` leads to, and keeps it with a root.
pub(crate) fn command(nix: &Nix<'_>, link: &Utf8Path, output: &str, root: &Utf8Path) -> Cmd {
    let cmd = nix.store("--realise").arg(format!("{link}!{output}"));
    let cmd = cmd.args(["--add-root", root.as_str(), "--indirect", "--keep-going"]);
    watched(nix, cmd)
}

/// The command that builds it again and compares.
pub(crate) fn again(nix: &Nix<'_>, link: &Utf8Path, output: &str) -> Cmd {
    watched(nix, nix.store("--realise").arg(format!("{link}!{output}")).arg("--check"))
}

fn watched(nix: &Nix<'_>, cmd: Cmd) -> Cmd {
    let cmd = cmd.args(["--log-format", "internal-json"]);
    let cmd = match nix.config.silent_kill.map(Millis::duration) {
        // Nix counts seconds; less than one would mean never.
        Some(limit) => cmd.args(["--max-silent-time".to_owned(), limit.as_secs().max(1).to_string()]),
        None => cmd,
    };
    cmd.args(&nix.config.args)
}

/// Runs one of those commands; `drv` is what the link in it leads to.
pub(crate) fn realise(nix: &Nix<'_>, drv: &str, cmd: &Cmd) -> Result<(), RealiseError> {
    let answer = nix.ask(cmd)?;
    if answer.exit == Exit::Code(0) {
        return Ok(());
    }
    let failures = failures(nix, &answer)?;
    if failures.is_empty() {
        return Err(answer.into_error().into());
    }
    Err(NotBuilt { drv: drv.to_owned(), failures }.into())
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum RealiseError {
    NotBuilt(NotBuilt),
    Call(CallError),
    Shape(UnknownShape),
}

impl From<NotBuilt> for RealiseError {
    fn from(error: NotBuilt) -> Self {
        Self::NotBuilt(error)
    }
}

impl From<CallError> for RealiseError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// The derivations whose own build failed.
fn failures(nix: &Nix<'_>, answer: &Answer) -> Result<Vec<Failed>, RealiseError> {
    let began: Vec<&String> = answer.log.builds().keys().take(ASKED).collect();
    let Exit::Code(code) = answer.exit else { return Ok(Vec::new()) };
    if began.is_empty() {
        return Ok(Vec::new());
    }
    let known = show(nix, &began)?;
    let paths: BTreeSet<&String> = known.values().flat_map(|drv| drv.outputs.values().flatten()).collect();
    let bits = if code & !0xf == 0x60 { code & 0xf } else { 0 };
    // What is built again has a valid output from before, whatever came out now.
    let invalid = if bits & 8 == 0 { invalid(nix, &paths)? } else { paths.into_iter().cloned().collect() };
    let failed = |drv: &String| {
        let outputs = known.get(drv).map(|it| &it.outputs);
        // Where an output will be is not known of every derivation; then the failure is all there is to go by.
        outputs.is_none_or(|outputs| {
            outputs.values().any(|path| path.as_ref().is_none_or(|path| invalid.contains(path)))
        })
    };
    let names: Vec<&String> = began.into_iter().filter(|drv| failed(drv)).collect();
    let describe = |drv: &String| {
        let log = &answer.log.builds()[drv];
        describe(nix, drv, bits, known.get(drv), log, answer, names.len() == 1)
    };
    Ok(names.iter().map(|drv| describe(drv)).collect())
}

fn show(nix: &Nix<'_>, drvs: &[&String]) -> Result<BTreeMap<String, Derivation>, RealiseError> {
    let version = Version::ask(nix)?;
    let cmd = nix.nix(version.show_derivation()).args(drvs.iter().map(|drv| drv.as_str()));
    let json = nix.must(&cmd.args(["--log-format", "internal-json"]))?;
    let store_dir = Utf8Path::new(drvs[0]).parent().unwrap_or(Utf8Path::new("/nix/store"));
    derivations(&json, store_dir.as_str()).map_err(|error| RealiseError::Shape(error.of(Some(version))))
}

fn invalid(nix: &Nix<'_>, paths: &BTreeSet<&String>) -> Result<BTreeSet<String>, CallError> {
    let cmd = nix.store("--check-validity").arg("--print-invalid");
    let answer = nix.ask(&cmd.args(paths.iter().map(|path| path.as_str())))?;
    Ok(String::from_utf8_lossy(&answer.stdout).lines().map(str::to_owned).collect())
}

fn describe(
    nix: &Nix<'_>,
    drv: &str,
    bits: i32,
    known: Option<&Derivation>,
    log: &BuildLog,
    answer: &Answer,
    alone: bool,
) -> Failed {
    let about = |text: &&str| text.contains(drv);
    let message = answer.log.errors().find(about);
    let says = |word: &str| message.is_some_and(|text| text.contains(word));
    let full = |text: &str| text.contains("No space left on device");
    let cause = if bits & 2 != 0 && known.is_some_and(|it| it.fixed) && (alone || says("hash mismatch")) {
        Cause::HashMismatch
    } else if bits & 8 != 0 {
        Cause::NotDeterministic
    } else if bits & 1 != 0 && (alone || says("timed out")) {
        if was_silent(nix, log) { Cause::Silence } else { Cause::Timeout }
    } else if message.is_some_and(full) || log.tail.iter().any(|line| full(line)) {
        Cause::NoSpace
    } else {
        Cause::Builder
    };
    Failed {
        drv: drv.to_owned(),
        cause,
        said: match nix.config.silent_kill {
            // Not every version says which limit it was.
            Some(limit) if cause == Cause::Silence => Some(format!("`silent-kill` is {limit}")),
            _ => message.map(|text| gist(text, drv)),
        },
        phase: log.phase.clone(),
        tail: log.tail.iter().cloned().collect(),
    }
}

/// Whether a build had said nothing for as long as it may; the messages of some versions do not tell.
fn was_silent(nix: &Nix<'_>, log: &BuildLog) -> bool {
    let limit = nix.config.silent_kill.map(Millis::duration);
    limit.is_some_and(|limit| log.silent.is_some_and(|silent| silent + HASTE >= limit))
}

/// What a message of Nix comes to in a line, without the name of the derivation: its reason if it names one, as newer
/// ones do; and both hashes.
fn gist(message: &str, drv: &str) -> String {
    let lines = || message.lines().map(str::trim);
    let first = lines().find_map(|line| line.strip_prefix("Reason: ")).or_else(|| lines().next());
    let hashes = lines().filter(|line| line.starts_with("specified:") || line.starts_with("got:"));
    let line = |line: &str| {
        let mut line = line.replace('"', "'");
        for mention in [
            format!(" for '{drv}'"),
            format!("derivation '{drv}' "),
            format!("building of '{drv}!out' from .drv file "),
            format!("building of '{drv}^out' from .drv file "),
            format!(" in fixed-output derivation '{drv}'"),
        ] {
            line = line.replace(&mention, "");
        }
        let words: Vec<&str> = line.trim_end_matches([';', ':', '.']).split_whitespace().collect();
        words.join(" ")
    };
    first.into_iter().chain(hashes).map(line).collect::<Vec<_>>().join(", ")
}

impl NotBuilt {
    /// The failure that decides: of the derivation itself, else the first that it needs.
    pub fn first(&self) -> &Failed {
        let own = self.failures.iter().find(|failed| failed.drv == self.drv);
        own.unwrap_or(&self.failures[0])
    }

    /// In which way the derivation was not built.
    pub fn cause(&self) -> Cause {
        let first = self.first();
        match first.cause {
            Cause::Builder if first.drv != self.drv => Cause::Dependency,
            cause => cause,
        }
    }
}

impl fmt::Display for NotBuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first();
        if first.drv != self.drv {
            write!(f, "`{}` was not built, because ", name_of(&self.drv))?;
        }
        write!(f, "{first}")?;
        let others: Vec<&Failed> = self.failures.iter().filter(|it| *it != first).collect();
        for other in others.iter().take(SHOWN) {
            write!(f, "\n{other}")?;
        }
        match others.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more failed"),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", name_of(&self.drv), self.cause.sentence())?;
        if let Some(phase) = &self.phase {
            write!(f, " in {phase}")?;
        }
        if let Some(said) = &self.said {
            write!(f, ": {said}")?;
        }
        if self.tail.is_empty() {
            return f.write_str("; it printed nothing");
        }
        f.write_str("; it printed last:")?;
        let skip = self.tail.len().saturating_sub(SHOWN_LINES);
        self.tail.iter().skip(skip).try_for_each(|line| write!(f, "\n  {line}"))
    }
}
