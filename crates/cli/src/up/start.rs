//! What is started in the end, as command lines: a program, `nix run`, or a container engine.

use bootway_exec::Cmd;
use bootway_plan::{Argv, ArtifactKind, Cell, Millis, System};
use camino::Utf8Path;

/// What becomes of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// These, the last of which takes the place of `bootway`.
    Run(Vec<Cmd>),
    /// Nothing runs it; where it is, is all there is to say.
    Nothing,
}

/// Who runs containers, and whether they get a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine<'a> {
    pub(crate) program: &'a str,
    pub(crate) terminal: bool,
}

/// What to do with what was built for `cell`, which is at `path`; `engine` runs containers.
pub(crate) fn start(
    cell: &Cell<'_>,
    system: &System,
    path: &Utf8Path,
    argv: &Argv,
    engine: Engine<'_>,
) -> Start {
    let with_env = |cmd: Cmd| argv.env.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value.as_str()));
    let mut line = cell.variant.run.iter().map(|it| cell.fill(it, system, path.as_str()));
    if let Some(program) = line.next() {
        return Start::Run(vec![with_env(Cmd::user(program).args(line).args(&argv.args))]);
    }
    match cell.variant.kind() {
        ArtifactKind::Program => Start::Run(vec![with_env(Cmd::user(path.as_str()).args(&argv.args))]),
        ArtifactKind::Container => Start::Run(container(cell, system, path, argv, engine).to_vec()),
        _ => Start::Nothing,
    }
}

/// Loads the image, and runs it.
fn container(cell: &Cell<'_>, system: &System, path: &Utf8Path, argv: &Argv, engine: Engine<'_>) -> [Cmd; 2] {
    let Engine { program: engine, terminal } = engine;
    let load = Cmd::user(engine).args(["load", "--input", path.as_str()]);
    let container = cell.variant.container.clone().unwrap_or_default();
    let mut run = Cmd::user(engine).args(["run", "--rm", "--interactive", "--pull=never"]);
    run = if terminal { run.arg("--tty") } else { run };
    for port in container.published() {
        run = run.args(["--publish".to_owned(), port]);
    }
    for capability in &container.cap_add {
        run = run.args(["--cap-add", capability.as_str()]);
    }
    for dir in &container.tmpfs {
        run = run.args(["--tmpfs", dir.as_str()]);
    }
    for (name, value) in container.env.iter() {
        run = run.args(["--env".to_owned(), format!("{name}={}", cell.fill(value, system, ""))]);
    }
    for (name, value) in argv.env.iter().filter(|(name, _)| !container.env.keys().any(|it| it == name)) {
        run = run.args(["--env".to_owned(), format!("{name}={value}")]);
    }
    if let Some(health) = &container.healthcheck {
        // An engine takes one text, and gives it to a shell.
        let test =
            Cmd::user(health.test.first().cloned().unwrap_or_default()).args(health.test.iter().skip(1));
        run = run.args(["--health-cmd".to_owned(), test.to_string()]);
        let millis = |time: Millis| format!("{}ms", time.duration().as_millis());
        let times = [
            ("--health-interval", health.interval),
            ("--health-timeout", health.timeout),
            ("--health-start-period", health.start_period),
        ];
        for (option, time) in times {
            run = time.into_iter().fold(run, |run, time| run.args([option.to_owned(), millis(time)]));
        }
        let retries = health.retries.map(|retries| ["--health-retries".to_owned(), retries.to_string()]);
        run = run.args(retries.into_iter().flatten());
    }
    [load, run.arg(cell.image(system)).args(&argv.args)]
}
