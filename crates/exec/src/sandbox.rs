//! A context to try a step in: for tests and examples, and for programs that use one crate alone.

use std::{collections::BTreeMap, sync::Mutex};

use bootway_plan::EventKind;
use camino::Utf8Path;
use tempfile::TempDir;

use crate::{Cancel, Cx, Inputs, Runner};

/// A temporary directory with everything a [`Cx`] needs, and the events that were emitted.
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Sandbox<'a> {
    runner: &'a dyn Runner,
    dir: TempDir,
    events: std::sync::Arc<Mutex<Vec<EventKind>>>,
    emit: Box<dyn Fn(EventKind) + Sync + Send>,
    /// Whether to stop.
    pub cancel: Cancel,
    /// What the step reads.
    pub inputs: Inputs,
    /// Environment of the step.
    pub env: BTreeMap<String, String>,
    paths: [camino::Utf8PathBuf; 5],
}

impl<'a> Sandbox<'a> {
    /// An empty one; it removes itself.
    ///
    /// # Panics
    ///
    /// If there is no room for a temporary directory.
    pub fn new(runner: &'a dyn Runner) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let root = Utf8Path::from_path(dir.path()).expect("the temporary directory is UTF-8").to_owned();
        let paths = ["scratch", "out", "plan", "cache", "kept"].map(|name| root.join(name));
        for path in &paths {
            fs_err::create_dir(path).expect("the temporary directory is empty");
        }
        let events = std::sync::Arc::new(Mutex::new(Vec::new()));
        let log = std::sync::Arc::clone(&events);
        let emit = Box::new(move |kind| log.lock().expect("no emitter panics").push(kind));
        Self {
            runner,
            dir,
            events,
            emit,
            cancel: Cancel::default(),
            inputs: Inputs::new(),
            env: BTreeMap::new(),
            paths,
        }
    }

    /// The context.
    pub fn cx(&self) -> Cx<'_> {
        let [scratch, out, plan_dir, cache, kept] = &self.paths;
        Cx {
            runner: self.runner,
            emit: &*self.emit,
            cancel: &self.cancel,
            scratch,
            out,
            placed: out,
            kept,
            plan_dir,
            cache,
            inputs: &self.inputs,
            inside: None,
            helper: &[],
            epoch: 1_735_689_600,
            env: &self.env,
            secrets: &[],
            limit: None,
            silent_warn: std::time::Duration::from_mins(1),
            jobs: 2,
        }
    }

    /// The directory all of it is in.
    ///
    /// # Panics
    ///
    /// Never: the path was UTF-8 when the sandbox was made.
    pub fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).expect("checked in `new`")
    }

    /// What was emitted so far.
    ///
    /// # Panics
    ///
    /// If an emitter panicked.
    pub fn events(&self) -> Vec<EventKind> {
        self.events.lock().expect("no emitter panics").clone()
    }

    /// Commands and lines that were emitted so far, as text.
    pub fn lines(&self) -> Vec<String> {
        let text = |event| match event {
            EventKind::Command { line } => Some(format!("$ {line}")),
            EventKind::Line { text, .. } | EventKind::Note { text } => Some(text),
            _ => None,
        };
        self.events().into_iter().filter_map(text).collect()
    }
}
