//! Contracts of flakes, executed: what must hold of a flake, by evaluation alone.
//!
//! Everything that a contract expects is asked in one evaluation where that is possible ([`ask`](mod@ask)), of a small flake
//! whose input is the flake ([`query`]), so that evaluation is pure and every system can be asked. What must throw is
//! evaluated on its own: only then does Nix say what was thrown. Lookup paths are found by reading files as Nix does
//! ([`lookup`]). Each expectation is a check of its own, all of them are looked at, and one that is not met says what
//! was expected, what was found, and what to type to see it.

use std::{io, time::Instant};

use bootway_exec::{Cmd, Cx, Exit, StepOutput, listen};
use bootway_plan::{Class, EventKind, Explain, NixConfig, Stream, Verdict, step};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use thiserror::Error;

use crate::{
    CallError, EvalError, Flake,
    log::{Log, Told},
    untracked,
};

mod ask;
mod files;
mod lookup;
mod query;
mod systems;
#[cfg(test)]
mod tests;
mod values;
mod verdict;

use ask::{Answers, Evaluated, ask};
use query::Query;
use verdict::{Again, Verdicted};

/// How many of the things that throw are asked what they throw: each is an evaluation of its own.
const MAX_EXPLAINED: usize = 10;

/// Holds a flake against every expectation; each is a check of its own.
///
/// # Errors
///
/// If an expectation is not met, after all were looked at; or if the flake itself does not evaluate.
pub fn nix_check(
    cx: &Cx<'_>,
    step: &step::NixCheck,
    config: &NixConfig,
) -> Result<Vec<StepOutput>, CheckError> {
    let began = Instant::now();
    let mut asker = Asker::new(cx, step, config);
    asker.flake.check_untracked()?;
    let mut failed = Vec::new();
    let mut count = 0;
    let mut tell = |asker: &mut Asker<'_>, verdicts: Vec<Verdicted>| -> Result<(), CheckError> {
        for verdicted in verdicts {
            count += 1;
            let (verdict, detail) = match verdicted.result {
                Ok(seen) => (Verdict::Passed, seen),
                Err(mut wrong) => {
                    asker.explain(&mut wrong)?;
                    (Verdict::Failed, wrong.detail(asker.by_hand(&wrong.again)))
                }
            };
            let name = verdicted.name;
            if verdict == Verdict::Failed {
                failed.push(format!("{name}: {detail}"));
            }
            let after_ms = began.elapsed().as_millis() as u64;
            (cx.emit)(EventKind::Check { name, verdict, after_ms, detail: Some(detail) });
        }
        Ok(())
    };
    for pattern in &step.no_lookup_path {
        let dir = asker.flake.dir().ok_or_else(|| CheckError::NoDirectory(asker.flake.reference().into()))?;
        let verdict = files::no_lookup_path(dir, pattern, cx.cancel)?;
        tell(&mut asker, vec![verdict])?;
    }
    let answers = asker.answers(&queries(step))?;
    tell(&mut asker, decided(step, &answers))?;
    for (n, must) in values::must_throw(step, &answers).iter().enumerate() {
        let thrown = asker.evaluate(&thrower(n), &query::exclamation(&asker.url, &value_of(&must.expr)))?;
        tell(&mut asker, vec![values::thrown(must, thrown.err().as_deref())])?;
    }
    if failed.is_empty() { Ok(Vec::new()) } else { Err(CheckError::Failed { of: count, failed }) }
}

/// The command lines that it would run; if something is wrong, others follow that find out what.
pub fn check_commands(cx: &Cx<'_>, step: &step::NixCheck, config: &NixConfig) -> Vec<Cmd> {
    let asker = Asker::new(cx, step, config);
    let git = untracked::command(&asker.flake);
    let all = (!queries(step).is_empty()).then(|| asker.command(ALL));
    let refused = step.profiles.iter().filter(|it| it.refuses.is_some()).count();
    let throws = (0..refused + step.throws.len()).map(|n| asker.command(&thrower(n)));
    git.into_iter().chain(all).chain(throws).collect()
}

/// The directory of the question about everything.
const ALL: &str = "all";

/// The directory of the question about the `n`th thing that must throw.
fn thrower(n: usize) -> String {
    format!("throws-{}", n + 1)
}

fn value_of(expr: &str) -> String {
    query::strict(&query::scoped(expr))
}

/// Everything that has to be known, each once.
fn queries(step: &step::NixCheck) -> Vec<Query> {
    let mut queries = std::collections::BTreeSet::new();
    queries.extend(step.outputs.as_ref().map(|_| Query::Outputs));
    queries.extend(systems::looked_at(step).into_iter().map(|output| Query::Everything { output }));
    for naming in &step.naming {
        queries.insert(Query::Names { output: naming.output.clone() });
        queries.extend(systems::lists(naming));
    }
    for profiles in &step.profiles {
        let list = values::list_of(&profiles.list);
        if matches!(profiles.list, step::Names::Of(_)) {
            queries.insert(Query::Value { expr: list.clone() });
        }
        queries.extend(profiles.access.clone().map(|access| Query::Each { list, access }));
    }
    queries.extend(step.evaluates.iter().map(|expr| Query::Kind { expr: expr.clone() }));
    let values = step.equals.keys().chain(step.contains.keys());
    queries.extend(values.map(|expr| Query::Value { expr: expr.clone() }));
    queries.into_iter().collect()
}

/// What follows from the answers, in the order of the contract's keys.
fn decided(step: &step::NixCheck, answers: &Answers) -> Vec<Verdicted> {
    let mut verdicts = Vec::new();
    verdicts.extend(step.outputs.as_ref().map(|wanted| values::outputs(wanted, answers)));
    if step.gating == Some(step::Gating::Omit) {
        verdicts.extend(systems::gating(answers));
    }
    verdicts.extend(systems::universal(step, answers));
    verdicts.extend(systems::only_on(step, answers));
    verdicts.extend(step.naming.iter().map(|naming| systems::naming(naming, step, answers)));
    verdicts.extend(step.profiles.iter().flat_map(|profiles| values::profiles(profiles, answers)));
    verdicts.extend(step.evaluates.iter().map(|expr| values::evaluates(expr, answers)));
    verdicts.extend(values::values(step, answers));
    verdicts
}

/// Asks the flake.
struct Asker<'a> {
    cx: Cx<'a>,
    flake: Flake<'a>,
    /// The flake as the input of another.
    url: String,
    asked: usize,
    explained: usize,
}

impl<'a> Asker<'a> {
    fn new(cx: &Cx<'a>, step: &step::NixCheck, config: &'a NixConfig) -> Self {
        let flake = Flake::new(cx, config, step.flake.as_deref());
        let url = flake.dir().map_or_else(|| flake.reference().to_owned(), input_url);
        Self { cx: *cx, flake, url, asked: 0, explained: 0 }
    }

    /// Evaluates the question in the directory `name` of the scratch directory.
    ///
    /// Nothing is built to find out what something is: what would have to be built first is refused.
    fn command(&self, name: &str) -> Cmd {
        let installable = format!("path:{}#answers", encoded(self.cx.scratch.join(name).as_str()));
        self.flake
            .nix
            .evaluate(&["eval", "--json", "--no-write-lock-file", &installable], self.flake.is_impure())
            .args(["--option", "eval-cache", "false"])
            .args(["--option", "allow-import-from-derivation", "false"])
    }

    /// Answers to all `queries`; of those that end the evaluation, what Nix said.
    fn answers(&mut self, queries: &[Query]) -> Result<Answers, CheckError> {
        if queries.is_empty() {
            return Ok(Answers::new());
        }
        ask(queries, &mut |some| {
            let name = if self.asked == 0 { ALL.to_owned() } else { format!("again-{}", self.asked) };
            let result = self.evaluate(&name, &query::question(&self.url, some))?;
            let first = self.asked == 0;
            self.asked += 1;
            match result {
                Ok(Value::Array(answers)) => Ok(Evaluated::Answers(answers)),
                Ok(other) => Ok(Evaluated::Refused(format!("the answer is no list: `{other}`"))),
                Err(message) => {
                    if first {
                        self.must_evaluate()?;
                    }
                    Ok(Evaluated::Refused(message))
                }
            }
        })
    }

    /// Whether there is a flake at all: without one, no expectation means anything.
    fn must_evaluate(&mut self) -> Result<(), CheckError> {
        match self.evaluate("flake", &query::question(&self.url, &[Query::Outputs]))? {
            Ok(_) => Ok(()),
            Err(message) => Err(CheckError::Flake { flake: self.flake.reference().to_owned(), message }),
        }
    }

    /// The value of `answers` of the flake in `text`, or what Nix said instead.
    fn evaluate(&self, name: &str, text: &str) -> Result<Result<Value, String>, CheckError> {
        let dir = self.cx.scratch.join(name);
        fs_err::create_dir_all(&dir)?;
        fs_err::write(dir.join("flake.nix"), text)?;
        let cmd = self.command(name);
        let _alone = self.flake.nix.alone();
        let mut log = Log::default();
        let mut said: Option<String> = None;
        let ended = listen(&self.flake.nix.cx, &cmd, &mut |line| {
            said = said.take().or_else(|| raw_error(&line));
            let told = log.hear(&line)?;
            let text = told.text()?;
            if !matches!(told, Told::Message(_)) {
                (self.cx.emit)(EventKind::Line { stream: Stream::Stderr, text: cmd.redact(&text) });
            }
            Some(text)
        });
        let ended = ended.map_err(CallError::from)?;
        if ended.exit == Exit::Code(0) {
            return Ok(serde_json::from_slice(&ended.stdout)
                .map_err(|error| format!("`nix eval --json` printed no JSON: {error}")));
        }
        let complaint = log.errors().collect::<Vec<_>>().join("\n");
        let ended = || format!("`nix eval` {}", ended.exit);
        Ok(Err(said.unwrap_or_else(|| if complaint.is_empty() { ended() } else { complaint })))
    }

    /// Finds out what was thrown, where that is all that is known.
    fn explain(&mut self, wrong: &mut verdict::Wrong) -> Result<(), CheckError> {
        for found in &mut wrong.found {
            if self.explained == MAX_EXPLAINED {
                return Ok(());
            }
            let Some(expr) = found.thrown.take().and_then(|query| query.thrower()) else { continue };
            self.explained += 1;
            let name = format!("thrown-{}", self.explained);
            if let Err(message) = self.evaluate(&name, &query::exclamation(&self.url, &expr))? {
                found.text += &format!(" `{message}`");
            }
        }
        Ok(())
    }

    /// What to type to see it.
    fn by_hand(&self, again: &Again) -> Option<String> {
        let cmd = self.flake.nix.nix(&["eval", "--json"]);
        let cmd = match again {
            Again::Attribute(path) => cmd.arg(format!("{}#{path}", self.flake.reference())),
            Again::Expr(_) => {
                cmd.args(["--impure".to_owned(), "--expr".to_owned(), again.expression(&self.url)?])
            }
            Again::Nothing => return None,
        };
        Some(cmd.to_string())
    }
}

/// What an evaluation says that went wrong, without where.
fn raw_error(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Message {
        action: String,
        level: u64,
        raw_msg: String,
    }
    let message: Message = serde_json::from_str(line.strip_prefix("@nix ")?).ok()?;
    let is_error = message.action == "msg" && message.level == 0;
    is_error.then(|| without_colours(&message.raw_msg))
}

/// `text` without what only a terminal understands: `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).map_or(piece.len(), |end| end + 1);
        text + &piece[end..]
    })
}

/// A directory as the input of a flake: of the repository that it is in, or as it is.
fn input_url(dir: &Utf8Path) -> String {
    let Some(root) = dir.ancestors().find(|dir| dir.join(".git").exists()) else {
        return format!("path:{}", encoded(dir.as_str()));
    };
    let inside = dir.strip_prefix(root).map(Utf8Path::as_str).unwrap_or_default();
    let query = if inside.is_empty() { String::new() } else { format!("?dir={}", encoded(inside)) };
    format!("git+file://{}{query}", encoded(root.as_str()))
}

/// A path in a URL (RFC 3986, section 2.3 and `/`).
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A contract is broken, or cannot be held against the flake.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Expectations are not met.
    #[error("{} of {of} expectations failed:\n{}", failed.len(), failed.join("\n"))]
    Failed {
        /// How many there are.
        of: usize,
        /// What was expected and what was found, one for each that failed.
        failed: Vec<String>,
    },
    /// The flake does not evaluate at all.
    #[error("the flake `{flake}` does not evaluate: {message}")]
    Flake {
        /// Which.
        flake: String,
        /// What Nix says.
        message: String,
    },
    /// There are no files to read.
    #[error("`no-lookup-path` is about files, and `{0}` is no directory: name the directory of the flake")]
    NoDirectory(Utf8PathBuf),
    /// A pattern is none.
    #[error("`{pattern}` is no pattern of files: {reason}")]
    Pattern {
        /// It.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// Files that the flake needs are not there for Nix.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Nix could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A file cannot be read, or the question cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for CheckError {
    fn class(&self) -> Class {
        match self {
            Self::Failed { .. } => Class::Check,
            Self::Flake { .. } => Class::Step,
            Self::NoDirectory(_) | Self::Pattern { .. } => Class::Plan,
            Self::Eval(error) => error.class(),
            Self::Call(error) => error.class(),
            Self::Io(_) => Class::Environment,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Eval(error) => error.hint(),
            Self::Call(error) => error.hint(),
            Self::Flake { flake, .. } => Some(format!("where it comes from: nix flake metadata {flake}")),
            _ => None,
        }
    }
}
