//! `bootway queue`: what is worked on, what waits, what is done, and the runs that prove it.

use bootway_plan::{Class, Failure, Name, exit_code};
use bootway_report::{Queue as Tasks, Report, Task, TaskState, TaskVerdict};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand, ValueEnum};

use crate::style;

/// The file, beside the plan.
const FILE: &str = "queue.toml";

/// List and change the queue of tasks; runs move what they prove
///
/// A file `queue.toml` beside a plan. After each run of the plan, an active task is done if all that it needs was seen to
/// be good, and stays active with what failed if not.
#[derive(Debug, Args)]
pub(crate) struct Queue {
    #[command(subcommand)]
    what: What,
    /// The file of the queue
    #[arg(long, global = true, value_name = "FILE", default_value = FILE)]
    file: Utf8PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the tasks
    List {
        /// As JSON, with all evidence
        #[arg(long)]
        json: bool,
    },
    /// Add a task, behind all others
    Add {
        /// What it is called in commands
        id: Name,
        /// What it is about, in a sentence
        title: String,
        /// What must be good for it to be done: a step, or one check of a step
        #[arg(long = "need", value_name = "STEP[/CHECK]")]
        needs: Vec<String>,
        /// What else a person should know
        #[arg(long)]
        note: Option<String>,
        /// Where it is
        #[arg(long, value_name = "STATE", default_value = "backlog")]
        state: State,
    },
    /// Move a task to another part of the queue; only a run moves what it can decide to `done`
    Move {
        /// Which task
        id: String,
        /// Where to
        state: State,
    },
    /// Print the queue as Markdown: active, backlog, recently completed
    Render {
        /// Write it to this file instead
        #[arg(long, value_name = "FILE")]
        to: Option<Utf8PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// It is worked on
    Active,
    /// It waits
    Backlog,
    /// It is done
    Done,
}

impl From<State> for TaskState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Backlog => Self::Backlog,
            State::Done => Self::Done,
        }
    }
}

impl Queue {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        match &self.what {
            What::List { json } => {
                let queue = read(&self.file)?;
                crate::print(&if *json { as_json(queue.tasks()) } else { list(queue.tasks()) });
            }
            What::Add { id, title, needs, note, state } => {
                let mut queue = if self.file.exists() { read(&self.file)? } else { Tasks::empty() };
                queue.add(Task {
                    id: id.clone(),
                    title: title.clone(),
                    state: (*state).into(),
                    needs: needs.clone(),
                    note: note.clone(),
                    evidence: Vec::new(),
                })?;
                write(&self.file, &queue)?;
            }
            What::Move { id, state } => {
                let mut queue = read(&self.file)?;
                queue.move_to(id, (*state).into())?;
                write(&self.file, &queue)?;
            }
            What::Render { to } => {
                let text = read(&self.file)?.to_markdown();
                match to {
                    Some(to) => put(to, &text)?,
                    None => crate::print(&text),
                }
            }
        }
        Ok(exit_code::DONE)
    }
}

/// Takes a run into account, if there is a queue in `dir`, and says what became of which task.
pub(crate) fn after_run(dir: &Utf8Path, run_dir: &Utf8Path, report: &Report) -> Result<(), Failure> {
    let file = dir.join(FILE);
    if !file.exists() {
        return Ok(());
    }
    let mut queue = read(&file)?;
    let run = run_dir.file_name().unwrap_or_default();
    let changes = queue.judge(report, run, record(dir, run_dir).as_str())?;
    if changes.is_empty() {
        return Ok(());
    }
    write(&file, &queue)?;
    for (id, verdict) in changes {
        style::say(&match verdict {
            TaskVerdict::Passed => format!("queue: `{id}` is done"),
            TaskVerdict::Failed => format!("queue: `{id}` stays active: not all that it needs is good"),
        });
    }
    Ok(())
}

/// Where the run is recorded, as a link of a file in `dir`.
fn record(dir: &Utf8Path, run_dir: &Utf8Path) -> Utf8PathBuf {
    let dir = dir.canonicalize_utf8().unwrap_or_else(|_| dir.to_owned());
    let run_dir = run_dir.canonicalize_utf8().unwrap_or_else(|_| run_dir.to_owned());
    let place = run_dir.strip_prefix(&dir).map_or_else(|_| run_dir.clone(), Utf8Path::to_owned);
    place.join("report.html")
}

fn read(file: &Utf8Path) -> Result<Tasks, Failure> {
    let text = fs_err::read_to_string(file).map_err(|error| {
        let failure = Failure::new(Class::Environment, error.to_string()).because("cannot read the queue");
        failure.hint("`bootway queue add ID TITLE` makes one")
    })?;
    Tasks::parse(&text).map_err(|failure| failure.because(format!("`{file}` is wrong")))
}

/// Writes the queue, and its text for people if it names one.
fn write(file: &Utf8Path, queue: &Tasks) -> Result<(), Failure> {
    put(file, &queue.text())?;
    match queue.markdown_file() {
        Some(markdown) => {
            put(&file.parent().unwrap_or(Utf8Path::new("")).join(markdown), &queue.to_markdown())
        }
        None => Ok(()),
    }
}

/// Whoever reads the file finds the old one or the new one.
fn put(file: &Utf8Path, text: &str) -> Result<(), Failure> {
    let partial = file.with_file_name(format!(".partial-{}", file.file_name().unwrap_or_default()));
    let written = fs_err::write(&partial, text).and_then(|()| fs_err::rename(&partial, file));
    written.map_err(|error| {
        let _ = fs_err::remove_file(&partial);
        Failure::new(Class::Environment, error.to_string()).because(format!("cannot write `{file}`"))
    })
}

/// A line for each task, in the order of the parts.
fn list(tasks: &[Task]) -> String {
    if tasks.is_empty() {
        return "the queue is empty: `bootway queue add ID TITLE`\n".to_owned();
    }
    let width = tasks.iter().map(|task| task.id.as_str().len()).max().unwrap_or_default();
    let line = |task: &Task| {
        let said = task.evidence.last().map(|it| match it.failing.as_slice() {
            [] => format!("  [{} in {}]", it.verdict.as_str(), it.run),
            failing => format!("  [{} in {}: {}]", it.verdict.as_str(), it.run, failing.join(", ")),
        });
        let (state, said) = (task.state.as_str(), said.unwrap_or_default());
        format!("{state:<7}  {:<width$}  {}{said}\n", task.id.as_str(), task.title)
    };
    let parts = [TaskState::Active, TaskState::Backlog, TaskState::Done];
    parts.iter().flat_map(|state| tasks.iter().filter(move |it| it.state == *state)).map(line).collect()
}

fn as_json(tasks: &[Task]) -> String {
    serde_json::to_string_pretty(tasks).expect("plain data") + "\n"
}
