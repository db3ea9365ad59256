//! The queue of tasks: what is worked on, what waits, what is done, and the runs that prove it.
//!
//! A file of TOML that people and programs edit: comments, order and layout stay as they are, and what a run has added
//! is never changed again. Source of the shape: `docs/guides/queue.md`.

use bootway_plan::{Class, Failure, Name, nearest};
use serde::{Deserialize, Serialize};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item as TomlItem, Table, value};

use crate::{Outcome, Report, text::utc};

mod judge;
mod markdown;

/// The version of the file that this crate reads.
const FORMAT: u32 = 1;

/// Tasks, and what has become of them.
#[derive(Clone, Debug)]
pub struct Queue {
    doc: DocumentMut,
    file: File,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    format: u32,
    #[serde(default)]
    markdown: Option<String>,
    #[serde(default, rename = "item")]
    items: Vec<Task>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Task {
    /// What it is called in commands.
    pub id: Name,
    /// What it is about, in a sentence.
    pub title: String,
    /// Where it is in the queue.
    pub state: TaskState,
    /// What must be good for it to be done: `STEP`, or `STEP/CHECK`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What else a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What runs have said, oldest first.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// Where a task is in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It is worked on: runs decide it.
    Active,
    /// It waits.
    Backlog,
    /// A run has proved it.
    Done,
}

/// What a run has said about a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Evidence {
    /// The directory of the run, below `runs`.
    pub run: String,
    /// When the run began: `2026-11-21T21:30:00Z`.
    pub at: String,
    /// `passed` or `failed`.
    pub verdict: Said,
    /// What did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
    /// Where the run is recorded, from the directory of the queue.
    pub record: String,
}

/// What a run says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// All that it needs is good.
    Passed,
    /// Something is not.
    Failed,
}

impl Queue {
    /// One without tasks.
    pub fn empty() -> Self {
        Self::parse("format = 1\n").expect("the format is known")
    }

    /// Reads the text of a `queue.toml`.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has keys that nobody knows, or two tasks with one id.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(Class::Plan, why)
                .because("the queue cannot be read")
                .hint("see docs/guides/queue.md")
        };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        if file.format != FORMAT {
            return Err(wrong(format!("`format` is {}, and this bootway reads {FORMAT}", file.format)));
        }
        for (n, item) in file.items.iter().enumerate() {
            if file.items[..n].iter().any(|other| other.id == item.id) {
                return Err(wrong(format!("two items are called `{}`", item.id)));
            }
        }
        let doc = text.parse().map_err(|error: toml_edit::TomlError| wrong(error.to_string()))?;
        Ok(Self { doc, file })
    }

    /// The text of the file: what was not changed is as it was, to the byte.
    pub fn text(&self) -> String {
        self.doc.to_string()
    }

    /// In the order of the file.
    pub fn tasks(&self) -> &[Task] {
        &self.file.items
    }

    /// The file that the queue is written to for people after each run, from the directory of the queue.
    pub fn markdown_file(&self) -> Option<&str> {
        self.file.markdown.as_deref()
    }

    /// The text for people: active, waiting, done.
    pub fn to_markdown(&self) -> String {
        markdown::text(&self.file.items)
    }

    /// Adds a task, behind all others.
    ///
    /// # Errors
    ///
    /// If there is one with that id, or it is said to be done, which only a run says.
    pub fn add(&mut self, task: Task) -> Result<(), Failure> {
        if self.file.items.iter().any(|other| other.id == task.id) {
            return Err(Failure::new(Class::Plan, format!("there is a task `{}` already", task.id)));
        }
        refuse_done(&task, task.state)?;
        let mut table = Table::new();
        table["id"] = value(task.id.as_str());
        table["title"] = value(&task.title);
        table["state"] = value(task.state.as_str());
        if !task.needs.is_empty() {
            table["needs"] = value(task.needs.iter().collect::<Array>());
        }
        if let Some(note) = &task.note {
            table["note"] = value(note);
        }
        table.decor_mut().set_prefix("\n");
        let items = self.doc.entry("item").or_insert(TomlItem::ArrayOfTables(ArrayOfTables::new()));
        // It was read as a list of tables; written in one line, it cannot be added to.
        let items = items.as_array_of_tables_mut().ok_or_else(|| {
            Failure::new(Class::Plan, "write each task of the queue as a table of its own: `[[item]]`")
        })?;
        items.push(table);
        self.file.items.push(task);
        Ok(())
    }

    /// Moves a task to another part of the queue.
    ///
    /// # Errors
    ///
    /// If there is none with that id, or it would be done without a run that says so.
    pub fn move_to(&mut self, id: &str, state: TaskState) -> Result<(), Failure> {
        let at = self.find(id)?;
        refuse_done(&self.file.items[at], state)?;
        self.set_state(at, state)
    }

    fn find(&self, id: &str) -> Result<usize, Failure> {
        self.file.items.iter().position(|it| it.id == *id).ok_or_else(|| {
            let failure = Failure::new(Class::Plan, format!("there is no task `{id}` in the queue"));
            match nearest(id, self.file.items.iter().map(|it| it.id.as_str())) {
                Some(near) => failure.hint(format!("did you mean `{near}`")),
                None => failure.hint("`bootway queue list` shows those there are"),
            }
        })
    }

    fn set_state(&mut self, at: usize, state: TaskState) -> Result<(), Failure> {
        let table = self.table(at)?;
        let old = table.get("state").and_then(TomlItem::as_value).map(|it| it.decor().clone());
        table["state"] = value(state.as_str());
        if let (Some(old), Some(new)) = (old, table["state"].as_value_mut()) {
            *new.decor_mut() = old;
        }
        self.file.items[at].state = state;
        Ok(())
    }

    fn table(&mut self, at: usize) -> Result<&mut Table, Failure> {
        let tables = self.doc.get_mut("item").and_then(TomlItem::as_array_of_tables_mut);
        tables.and_then(|tables| tables.get_mut(at)).ok_or_else(|| {
            Failure::new(Class::Plan, "write each task of the queue as a table of its own: `[[item]]`")
        })
    }

    /// Takes the verdicts of a run into account, and says what became of which task.
    ///
    /// Only what is active changes: it is done if all that it needs was seen to be good in this run, and stays with what
    /// is failing if anything is not. What the run did not look at is not decided by it. A run that was stopped says
    /// nothing, and one that was taken into account already says nothing more.
    ///
    /// # Errors
    ///
    /// If the file is laid out so that it cannot be added to.
    pub fn judge(&mut self, report: &Report, run: &str, record: &str) -> Result<Vec<(Name, Said)>, Failure> {
        let mut changes = Vec::new();
        if matches!(report.outcome(), Outcome::Interrupted | Outcome::Cancelled | Outcome::Bug) {
            return Ok(changes);
        }
        let at = utc(report.run.as_ref().map_or(0, |info| info.started));
        for n in 0..self.file.items.len() {
            let task = &self.file.items[n];
            let is_known = task.evidence.iter().any(|it| it.run == run);
            if task.state != TaskState::Active || is_known {
                continue;
            }
            let Some(failing) = judge::failing(report, &task.needs) else { continue };
            let verdict = if failing.is_empty() { Said::Passed } else { Said::Failed };
            changes.push((task.id.clone(), verdict));
            let (run, record) = (run.to_owned(), record.to_owned());
            self.add_evidence(n, Evidence { run, at: at.clone(), verdict, failing, record })?;
            if verdict == Said::Passed {
                self.set_state(n, TaskState::Done)?;
            }
        }
        Ok(changes)
    }

    fn add_evidence(&mut self, at: usize, evidence: Evidence) -> Result<(), Failure> {
        let mut table = Table::new();
        table["run"] = value(&evidence.run);
        table["at"] = value(&evidence.at);
        table["verdict"] = value(evidence.verdict.as_str());
        if !evidence.failing.is_empty() {
            table["failing"] = value(evidence.failing.iter().collect::<Array>());
        }
        table["record"] = value(&evidence.record);
        let task = self.table(at)?;
        let all = task.entry("evidence").or_insert(TomlItem::ArrayOfTables(ArrayOfTables::new()));
        let all = all.as_array_of_tables_mut().ok_or_else(|| {
            Failure::new(Class::Plan, "write the evidence of a task as tables: `[[item.evidence]]`")
        })?;
        all.push(table);
        self.file.items[at].evidence.push(evidence);
        Ok(())
    }
}

/// That something is done is said by a run, if there is anything that a run can say.
fn refuse_done(task: &Task, state: TaskState) -> Result<(), Failure> {
    if state != TaskState::Done || task.needs.is_empty() {
        return Ok(());
    }
    let needs: Vec<String> = task.needs.iter().map(|it| format!("`{it}`")).collect();
    let text = format!("`{}` is done when a run says so: it needs {}", task.id, needs.join(", "));
    Err(Failure::new(Class::Plan, text).hint("make it active, and run the plan: `bootway build`"))
}

impl TaskState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Backlog => "backlog",
            Self::Done => "done",
        }
    }
}

impl Said {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests;
