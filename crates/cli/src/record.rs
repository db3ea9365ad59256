//! A run with everything that keeps a record of it.

use std::sync::Mutex;

use bootway_engine::{Loaded, Machine, Options, Outcome, Purpose, Seen, Work, build};
use bootway_exec::{Runner, SystemRunner};
use bootway_plan::{ArtifactKind, Class, Event, EventKind, Failure, Selection};
use bootway_report::{
    Catalogue, History, JsonLines, Pictures, Recorder, Report, Sink, Tally, Terminal, kept_dir, ledger_line,
    summary, sweep_run, watch, write_all,
};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::{commands::queue, failures, program::helper, signals::Signals, style};

/// How a plan is run
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// Run the selected steps even if nothing has changed
    #[arg(long)]
    fresh: bool,
    /// When a step fails, go on with those that do not need it
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    show: ShowArgs,
    #[arg(skip)]
    purpose: Purpose,
}

/// How a run is shown and recorded
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ShowArgs {
    /// How many steps run at once; as many as there are processors unless said
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Write the reports to this directory, too
    #[arg(long, value_name = "DIR")]
    report_dir: Option<Utf8PathBuf>,
    /// Write no reports, only the log
    #[arg(long, conflicts_with = "report_dir")]
    no_report: bool,
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
    /// Show what programs and guests print
    #[arg(long, short)]
    verbose: bool,
}

impl ShowArgs {
    /// Whether a program reads what is printed.
    pub(crate) const fn is_for_programs(&self) -> bool {
        self.json
    }
}

impl RunArgs {
    /// Downloads, all that can be had: what is missing is said at once.
    pub(crate) fn of_fetch(show: &ShowArgs) -> Self {
        Self { fresh: false, keep_going: true, show: show.clone(), purpose: Purpose::Fetch }
    }

    /// The same, but every step that can run does: all checks of a tier are looked at.
    pub(crate) fn all_of_it(&self) -> Self {
        Self { keep_going: true, ..self.clone() }
    }

    /// The same, but the selected steps run even if nothing has changed.
    pub(crate) fn anew(&self) -> Self {
        Self { fresh: true, ..self.clone() }
    }

    /// Whether a program reads what is printed.
    pub(crate) const fn is_for_programs(&self) -> bool {
        self.show.is_for_programs()
    }
}

/// Runs the selected steps of `loaded`, shows what happens, and writes log, reports and ledger.
pub(crate) fn record(
    loaded: &Loaded,
    work: Work,
    selection: Selection,
    args: &RunArgs,
    color: style::When,
) -> Result<u8, Failure> {
    record_outcome(loaded, work, selection, args, Seen::default(), color).map(|(code, _)| code)
}

/// The same, with how each step ended; what was `seen` before is a part of the run.
pub(crate) fn record_outcome(
    loaded: &Loaded,
    work: Work,
    selection: Selection,
    args: &RunArgs,
    seen: Seen,
    color: style::When,
) -> Result<(u8, Outcome), Failure> {
    let runner = SystemRunner { children: Some(work.children()) };
    record_by(&runner, loaded, work, selection, args, seen, color)
}

/// The same, by a runner that records what it starts among the children of `work`.
pub(crate) fn record_by(
    runner: &dyn Runner,
    loaded: &Loaded,
    work: Work,
    selection: Selection,
    args: &RunArgs,
    seen: Seen,
    color: style::When,
) -> Result<(u8, Outcome), Failure> {
    let signals = Signals::listen();
    let cancel = signals.cancel();
    let session = work.open()?;
    let work = session.work();
    let started = style::now();
    sweep_runs(work).map_err(|error| cannot_write(&work.runs(), &error))?;
    let run_dir = new_run_dir(work, started)?;
    let sinks = sinks(&run_dir, args, color)?;
    let is_tier = selection.tier.is_some();
    let options = Options {
        purpose: args.purpose,
        selection,
        fresh: args.fresh,
        keep_going: args.keep_going,
        seen,
        jobs: args.show.jobs.map_or_else(|| Options::default().jobs, usize::from),
        started,
        host: style::host(),
        kept: Some(kept_dir(&run_dir)),
    };
    let helper = helper()?;
    let machine = Machine { runner, cancel: &cancel, session: &session, helper: &helper };
    let whole = Whole::new(work, &run_dir, args.purpose);
    let (outcome, report) =
        watch(sinks, |emit| build(loaded, machine, &options, &|event| whole.emit(event, emit)));
    if !args.show.no_report {
        failures::write(work, loaded, &report, &run_dir);
    }
    let kept = keep(work, &run_dir, &report, args);
    // A queue that cannot be read takes nothing away from the run; a download proves nothing that is in it.
    if args.purpose == Purpose::Build
        && let Err(failure) = queue::after_run(&loaded.dir, &run_dir, &report)
    {
        style::say(&failure.to_string());
    }
    match kept {
        // What failed first is what a person must hear of last.
        Err(failure) if outcome.exit_code() != 0 => style::say(&failure.to_string()),
        kept => kept?,
    }
    if !args.show.json {
        let style = style::terminal(color, args.show.verbose);
        let places = places(&run_dir, &outcome, args);
        let places: Vec<_> = places.iter().map(|(name, path)| (*name, path.as_path())).collect();
        style::say(summary(&report, &style, &places).trim_end());
        if is_tier {
            style::say(&Tally::of(&report).text(&style));
        }
    }
    Ok((signals.exit_code(outcome.exit_code()), outcome))
}

/// Who hears of each event: the log, the record of guests, and the person or program that asked.
fn sinks(run_dir: &Utf8Path, args: &RunArgs, color: style::When) -> Result<Vec<Box<dyn Sink>>, Failure> {
    let log = run_dir.join("events.jsonl");
    let file = fs_err::File::create(&log).map_err(|error| cannot_write(&log, &error))?;
    let asked: Box<dyn Sink> = if args.show.json {
        Box::new(JsonLines::new(std::io::stdout()))
    } else {
        let terminal = Terminal::new(std::io::stderr(), style::terminal(color, args.show.verbose));
        Box::new(terminal.of_run(&short(run_dir)))
    };
    Ok(vec![Box::new(JsonLines::new(file)), Box::new(Recorder::new(run_dir)), asked])
}

/// The facts of a run as its engine says them, and those that only its record knows.
struct Whole {
    catalogue: Catalogue,
    history: History,
    /// Without what programs and guests print.
    report: Mutex<Report>,
}

impl Whole {
    fn new(work: &Work, run_dir: &Utf8Path, purpose: Purpose) -> Self {
        let ledger = match purpose {
            Purpose::Build => fs_err::read_to_string(work.ledger()).unwrap_or_default(),
            // How long a build takes says nothing of a download, and the other way round.
            Purpose::Fetch => String::new(),
        };
        let (catalogue, history) = (Catalogue::new(run_dir), History::parse(&ledger));
        Self { catalogue, history, report: Mutex::default() }
    }

    fn emit(&self, event: Event, next: &(dyn Fn(Event) + Sync)) {
        if !matches!(event.kind, EventKind::Line { .. }) {
            self.report.lock().expect("nobody panics with it").add(&event);
        }
        if matches!(event.kind, EventKind::RunFinished { .. }) {
            let report = self.report.lock().expect("nobody panics with it");
            let slower = self.history.slower(&report).into_iter();
            slower.for_each(|it| next(Event::of_run(event.at_ms, EventKind::Slower(it))));
        }
        self.catalogue.emit(event, next);
    }
}

/// Keeps what a run was: its line in the ledger, and its reports.
fn keep(work: &Work, run_dir: &Utf8Path, report: &Report, args: &RunArgs) -> Result<(), Failure> {
    // A ledger that cannot be written takes nothing away from the run.
    if args.purpose == Purpose::Build
        && let Err(failure) =
            append(&work.ledger(), &ledger_line(report, run_dir.file_name().unwrap_or_default()))
    {
        style::say(&failure.to_string());
    }
    point_latest(work, run_dir)?;
    if args.show.no_report {
        return Ok(());
    }
    let pictures = Pictures::read(report, run_dir);
    write_all(run_dir, report, &pictures)?;
    let Some(dir) = &args.show.report_dir else { return Ok(()) };
    fs_err::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
    write_all(dir, report, &pictures)
}

/// Where a person looks next.
fn places(run_dir: &Utf8Path, outcome: &Outcome, args: &RunArgs) -> Vec<(&'static str, Utf8PathBuf)> {
    let record = if args.show.no_report { ("log", "events.jsonl") } else { ("report", "report.html") };
    let image = image(outcome).map(|image| ("image", image));
    image.into_iter().chain([(record.0, short(&run_dir.join(record.1)))]).collect()
}

/// The last disk that is good, for a person who wants to have it.
fn image(outcome: &Outcome) -> Option<Utf8PathBuf> {
    let mut artifacts = outcome.steps.values().filter_map(|end| end.artifacts()).flatten();
    artifacts
        .rfind(|it| matches!(it.kind, ArtifactKind::Disk | ArtifactKind::Qcow2))
        .map(|it| short(&it.path))
}

/// A path as a person here would type it.
fn short(path: &Utf8Path) -> Utf8PathBuf {
    let here = std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok());
    here.and_then(|here| path.strip_prefix(here).ok().map(Utf8Path::to_owned))
        .unwrap_or_else(|| path.to_owned())
}

/// Removes what runs left half-written that were killed since the last one that came to its end, which `latest` leads to.
fn sweep_runs(work: &Work) -> std::io::Result<()> {
    let latest = fs_err::read_link(work.runs().join("latest")).unwrap_or_default();
    for entry in fs_err::read_dir(work.runs())? {
        let entry = entry?;
        let Ok(run) = Utf8PathBuf::from_path_buf(entry.path()) else { continue }; // No run is called so.
        let is_newer = run.file_name() >= Some(latest.to_string_lossy().as_ref());
        if entry.file_type()?.is_dir() && is_newer {
            sweep_run(&run)?;
        }
    }
    Ok(())
}

/// A directory for this run; the second run of one second gets a number.
fn new_run_dir(work: &Work, started: u64) -> Result<Utf8PathBuf, Failure> {
    let base = style::utc(started);
    for n in 1.. {
        let name = if n == 1 { base.clone() } else { format!("{base}-{n}") };
        let dir = work.runs().join(name);
        match fs_err::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => (),
            Err(error) => return Err(cannot_write(&dir, &error)),
        }
    }
    unreachable!("some number is free")
}

/// Makes `runs/latest` lead to this run.
fn point_latest(work: &Work, run_dir: &Utf8Path) -> Result<(), Failure> {
    let (link, partial) = (work.runs().join("latest"), work.runs().join(".partial-latest"));
    let name = run_dir.file_name().unwrap_or_default();
    let _ = fs_err::remove_file(&partial); // Of a run that was killed here.
    let made = fs_err::os::unix::fs::symlink(name, &partial).and_then(|()| fs_err::rename(&partial, &link));
    made.map_err(|error| cannot_write(&link, &error))
}

fn append(path: &Utf8Path, line: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let file = fs_err::OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{}", line.trim_end()));
    written.map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Utf8Path, error: &std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string()).because(format!("cannot write `{path}`"))
}

/// The name of the last run and how it ended, for `status`.
pub(crate) fn last_run(work: &Work) -> Option<String> {
    let latest = work.runs().join("latest");
    let name = fs_err::read_link(&latest).ok()?;
    let report = bootway_report::read_log(&latest.join("events.jsonl")).ok()?;
    Some(format!("{}: {}", name.display(), report.headline()))
}
