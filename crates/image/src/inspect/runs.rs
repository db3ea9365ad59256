//! Running a container for a moment: the one thing that a container engine is asked for.
//!
//! An engine gets the image under a name that nobody else has, and gives everything back: the container is removed,
//! and the image loses that name, which removes what had no other. No container has a network, and nothing is pulled.

use std::time::Duration;

use bootway_exec::{Cancel, Cmd, Cx, Ended, Exit, RunError, SpawnError, listen};
use bootway_plan::{Digest, EventKind, Millis, Stream, Verdict, step, step::Runs};
use camino::Utf8PathBuf;

use super::InspectError;
use crate::oci::{Container, ContainerReport};

/// In the order in which they are asked.
const ENGINES: [&str; 2] = ["docker", "podman"];
/// How long an engine has to say that it is there.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a container may run, unless said.
const WITHIN: Duration = Duration::from_secs(20);
/// How long an engine has to remove a container.
const REMOVAL: Duration = Duration::from_mins(1);

/// The command lines with which `engine` would run the containers that a step asks for.
///
/// Which engine it will be is found out by asking them: the first of `docker` and `podman` that answers.
#[must_use]
pub fn container_commands(cx: &Cx<'_>, step: &step::Inspect, engine: &str) -> Vec<Cmd> {
    let numbered = step.expect.iter().zip(1..);
    let runs = numbered.filter_map(|(expect, number)| Some((expect.runs.as_ref()?, number)));
    runs.flat_map(|(runs, number)| {
        let it = Trial::new(cx, engine, number);
        let end = [it.wait(runs), it.logs(), it.remove(), it.forget()];
        [it.info(), it.load(), it.start(cx, runs)].into_iter().chain(end)
    })
    .collect()
}

/// What became of a container that was run as the expectation with this number says.
pub(super) fn run(
    cx: &Cx<'_>,
    container: &Container,
    runs: &Runs,
    number: usize,
) -> Result<(Verdict, String), InspectError> {
    let image = match for_this_machine(&container.report) {
        Ok(image) => image,
        Err(reason) => return Ok((Verdict::NotRun, reason)),
    };
    let engine = match engine(cx)? {
        Ok(engine) => engine,
        Err(reason) => return Ok((Verdict::NotRun, reason.to_owned())),
    };
    let trial = Trial::new(cx, engine, number);
    container.write_for_engine(cx, image, &trial.image(), &trial.archive).map_err(|error| {
        if cx.cancel.is_cancelled() {
            InspectError::Cancelled
        } else {
            InspectError::Container(error.to_string())
        }
    })?;
    // What a run that was killed has left has the same names.
    trial.clear(cx);
    let result = trial.run(cx, runs);
    trial.clear(cx);
    fs_err::remove_file(&trial.archive)?;
    result
}

/// The number of the image that this machine can run, or why there is none.
fn for_this_machine(report: &ContainerReport) -> Result<usize, String> {
    // In the words of Go.
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let here = format!("linux/{arch}");
    let fits = |platform: &str| platform == here || platform.starts_with(&format!("{here}/"));
    report.images.iter().position(|image| fits(&image.platform)).ok_or_else(|| {
        let all: Vec<&str> = report.images.iter().map(|image| image.platform.as_str()).collect();
        format!("it is for {}, and this is {here}", all.join(", "))
    })
}

/// The first engine that answers, or why there is none.
fn engine(cx: &Cx<'_>) -> Result<Result<&'static str, &'static str>, InspectError> {
    let mut is_there = false;
    for engine in ENGINES {
        match ask(cx, &Trial::new(cx, engine, 0).info()) {
            Ok(said) if said.is_good() => return Ok(Ok(engine)),
            Err(RunError::Spawn(SpawnError::Missing { .. })) => {}
            Err(RunError::Cancelled) => return Err(InspectError::Cancelled),
            Ok(_) | Err(_) => is_there = true,
        }
    }
    Ok(Err(if is_there { "daemon not running" } else { "docker or podman not found" }))
}

/// What an engine said, and how it ended.
struct Said {
    ended: Ended,
    stderr: Vec<String>,
}

impl Said {
    fn is_good(&self) -> bool {
        self.ended.exit == Exit::Code(0)
    }

    fn stdout(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.ended.stdout).lines().map(str::to_owned).collect()
    }

    /// What an engine that failed says about it.
    fn why(&self) -> String {
        let last = self.stderr.iter().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(|| format!("it {}", self.ended.exit), |line| line.trim().to_owned())
    }
}

/// Runs an engine, whose answer is not for the log.
fn ask(cx: &Cx<'_>, cmd: &Cmd) -> Result<Said, RunError> {
    let mut stderr = Vec::new();
    let ended = listen(cx, cmd, &mut |line| {
        stderr.push(cmd.redact(&line));
        Some(line)
    })?;
    Ok(Said { ended, stderr })
}

/// A container and its image, by names that nobody else has.
struct Trial<'a> {
    engine: &'a str,
    name: String,
    archive: Utf8PathBuf,
}

impl<'a> Trial<'a> {
    fn new(cx: &Cx<'_>, engine: &'a str, number: usize) -> Self {
        // Machines may share an engine, and their directories the name.
        let host = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own = Digest::of(format!("{host}{}", cx.scratch).as_bytes()).to_string();
        let archive = cx.scratch.join(format!("container-{number}.tar"));
        Self { engine, name: format!("bootway-{}-{number}", &own[..12]), archive }
    }

    /// What the image is called in the engine.
    fn image(&self) -> String {
        format!("localhost/{}:latest", self.name)
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        Cmd::user(self.engine).args(args.iter().copied())
    }

    fn info(&self) -> Cmd {
        self.cmd(&["info"]).limit(ANSWER)
    }

    fn load(&self) -> Cmd {
        self.cmd(&["load", "--quiet", "--input", self.archive.as_str()])
    }

    fn start(&self, cx: &Cx<'_>, runs: &Runs) -> Cmd {
        let mut cmd = self.cmd(&["run", "--detach", "--name", &self.name, "--network=none", "--pull=never"]);
        // What is removed is killed, and its lines are kept until then, whatever the engine does with others.
        cmd = cmd.args(["--stop-timeout=0", "--log-driver=json-file"]);
        for (name, value) in &runs.env {
            cmd = cmd.args(["--env".to_owned(), format!("{name}={value}")]);
        }
        cmd = cx.secrets.iter().fold(cmd, Cmd::secret);
        cmd.arg(self.image()).args(runs.args.iter().flatten())
    }

    /// Ends when the container does, and prints its exit code.
    fn wait(&self, runs: &Runs) -> Cmd {
        let limit = runs.stays.or(runs.within).map_or(WITHIN, Millis::duration);
        self.cmd(&["wait", &self.name]).limit(limit)
    }

    fn logs(&self) -> Cmd {
        self.cmd(&["logs", &self.name])
    }

    fn remove(&self) -> Cmd {
        self.cmd(&["rm", "--force", &self.name]).limit(REMOVAL)
    }

    /// An image with another name, or in use by another container, stays.
    fn forget(&self) -> Cmd {
        self.cmd(&["rmi", &self.image()]).limit(REMOVAL)
    }

    /// Removes the container and the image, if they are there, and also when somebody asked to stop.
    fn clear(&self, cx: &Cx<'_>) {
        let (never, quiet) = (Cancel::default(), |_| ());
        let cx = Cx { cancel: &never, emit: &quiet, limit: None, ..*cx };
        for cmd in [self.remove(), self.forget()] {
            // Whether they were there is not known.
            drop(ask(&cx, &cmd));
        }
    }

    fn run(&self, cx: &Cx<'_>, runs: &Runs) -> Result<(Verdict, String), InspectError> {
        let engine = self.engine;
        for (cmd, what) in [(self.load(), "load"), (self.start(cx, runs), "start")] {
            let said = ask(cx, &cmd)?;
            if !said.is_good() {
                return Ok((Verdict::Failed, format!("{engine} cannot {what} it: {}", said.why())));
            }
        }
        let code = match ask(cx, &self.wait(runs)) {
            Ok(said) => match said.stdout().first().and_then(|line| line.trim().parse::<i64>().ok()) {
                Some(code) if said.is_good() => Some(code),
                _ => {
                    let why = said.why();
                    return Ok((Verdict::Failed, format!("{engine} cannot say how it ended: {why}")));
                }
            },
            Err(RunError::TimedOut { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let printed = self.printed(cx)?;
        Ok(judge(runs, code, &printed, engine))
    }

    /// What the container printed, which is told.
    fn printed(&self, cx: &Cx<'_>) -> Result<Vec<String>, RunError> {
        let said = ask(cx, &self.logs())?;
        let mut all = Vec::new();
        for (stream, lines) in [(Stream::Stdout, said.stdout()), (Stream::Stderr, said.stderr)] {
            for line in lines {
                (cx.emit)(EventKind::Line { stream, text: line.clone() });
                all.push(line);
            }
        }
        Ok(all)
    }
}

/// Whether a container that ended with `code`, or runs still, did what it must.
fn judge(runs: &Runs, code: Option<i64>, printed: &[String], engine: &str) -> (Verdict, String) {
    let last = printed.iter().rev().find(|line| !line.trim().is_empty());
    let last =
        last.map_or_else(|| "it printed nothing".to_owned(), |line| format!("it printed `{}`", line.trim()));
    let exit = i64::from(runs.exit.unwrap_or(0));
    let seen = match (runs.stays, code) {
        (Some(stays), None) => format!("still runs after {stays}"),
        (Some(stays), Some(code)) => {
            return (Verdict::Failed, format!("it ended with exit code {code} within {stays}: {last}"));
        }
        (None, None) => {
            let within = runs.within.unwrap_or(Millis::new(WITHIN.as_millis() as u64));
            let remedy = "of a server say how long it `stays`";
            return (Verdict::TimedOut, format!("it still runs after {within}: {remedy}; {last}"));
        }
        (None, Some(code)) if code != exit => {
            return (Verdict::Failed, format!("it ended with exit code {code}, and not {exit}: {last}"));
        }
        (None, Some(code)) => format!("exit code {code}"),
    };
    if let Some(wanted) =
        runs.contains.as_ref().filter(|wanted| !printed.join("\n").contains(wanted.as_str()))
    {
        return (Verdict::Failed, format!("{seen}, and {wanted:?} is not in what it printed: {last}"));
    }
    (Verdict::Passed, format!("{seen}, by {engine}"))
}

/// What is expected, in a few words.
pub(super) fn name(runs: &Runs) -> String {
    let args = runs.args.iter().flatten().map(|arg| format!(" {arg:?}")).collect::<String>();
    let printed = runs.contains.as_ref().map(|text| format!(", prints {text:?}")).unwrap_or_default();
    match runs.stays {
        Some(stays) => format!("runs{args} for {stays}{printed}"),
        None => format!("runs{args}{printed}"),
    }
}

#[cfg(test)]
mod tests;
