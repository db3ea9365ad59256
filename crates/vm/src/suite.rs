//! Tests, each with a machine that is as it was when it was ready, and sees nothing of the others.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bootway_exec::Cx;
use bootway_plan::{
    Class, EventKind, Explain as _, Failure, Unit,
    step::{self, Attach, Boot, Snapshot},
};
use camino::Utf8PathBuf;

use crate::{
    Looked, VmError,
    boot::{Loader, Ready, all_ready, decide, tell_undecided, what},
    checks::Checks,
    command::Memory,
    saved::{Keeping, Saved, key},
    setup::Setup,
};

/// What the tests of a step share.
struct Suite<'a> {
    cx: &'a Cx<'a>,
    step: &'a step::Vm,
    setup: &'a Setup,
    /// What must have passed before a machine is ready.
    before: &'a [Ready],
    saved: Option<Saved>,
    done: AtomicUsize,
}

/// Decides `before` once, and then the tests of `step`, as many at a time as the step may use processors.
pub(crate) fn run(
    cx: &Cx<'_>,
    step: &step::Vm,
    setup: &Setup,
    before: &[Ready],
    loader: &(dyn Fn(&camino::Utf8Path) -> Looked + '_),
    decided: &mut usize,
) -> Result<(), VmError> {
    let tests = step.tests.iter().map(|test| all_ready(&test.checks)).collect::<Result<Vec<_>, _>>()?;
    let saved = match (step.snapshot, prepare(cx, step, setup, before, loader, decided)) {
        (_, Ok(saved)) => saved,
        (Snapshot::Auto, Err(VmError::NotKept { reason })) => {
            cx.note(format!("each test boots: the machine cannot be saved: {reason}"));
            None
        }
        (_, Err(error)) => {
            for test in &step.tests {
                tell_undecided(cx, &test.checks, 0, Some(&test.name), &error);
            }
            return Err(error);
        }
    };
    let suite = Suite { cx, step, setup, before, saved, done: AtomicUsize::new(0) };
    suite.decide(&tests, loader)
}

/// The machine as it is when it is ready: as it was kept, or booted and kept; nothing if each test boots.
fn prepare(
    cx: &Cx<'_>,
    step: &step::Vm,
    setup: &Setup,
    before: &[Ready],
    loader: &Loader<'_>,
    decided: &mut usize,
) -> Result<Option<Saved>, VmError> {
    if step.snapshot == Snapshot::Never {
        return Ok(None);
    }
    if let Some(reason) = impossible(setup) {
        return Err(VmError::NotKept { reason: reason.to_owned() });
    }
    let key = key(cx, step, setup)?;
    if let Some(saved) = Saved::find(cx, &key, setup) {
        *decided = before.len();
        cx.note(format!(
            "the tests go on from a machine that was saved when its {} checks had passed, {:.1} s after power-on",
            before.len(),
            saved.ready_ms() as f64 / 1000.0
        ));
        return Ok(Some(saved));
    }
    let keeping = Keeping::begin(cx, &key)?;
    let scratch = place(cx, "ready")?;
    let cx = &Cx { scratch: &scratch, ..*cx };
    let ram = keeping.ram();
    let (accel, memory) = (setup.host.accel, setup.machine.memory.human());
    cx.note(format!("booting {} with {accel}, {memory} of memory, to be saved", what(step)));
    let began = Instant::now();
    let guest = setup.start(cx, Memory::Kept(&ram), loader)?;
    let mut checks = Checks::new(cx, guest, setup);
    if let Err(error) = decide(cx, &mut checks, before, None, decided).and_then(|()| checks.shell_state()) {
        checks.finish();
        keeping.give_up();
        return Err(error);
    }
    let (ready, began) = (began.elapsed(), Instant::now());
    let saved = keeping.keep(cx, checks, setup, ready).map_err(|error| match error {
        VmError::Cancelled | VmError::NotKept { .. } => error,
        error => VmError::NotKept { reason: error.to_string() },
    })?;
    cx.note(format!("the machine was saved in {} ms", began.elapsed().as_millis()));
    Ok(Some(saved))
}

/// Why such a machine cannot be saved.
fn impossible(setup: &Setup) -> Option<&'static str> {
    let nvme = setup.media.images.iter().map(|image| image.attach);
    let own = setup.machine.disks.iter().filter_map(|disk| disk.attach);
    if nvme.chain(own).any(|attach| attach == Attach::Nvme) {
        return Some("QEMU cannot save an NVMe disk");
    }
    if setup.boot == Boot::Chromeos {
        return Some("its kernel is handed over while it is switched on");
    }
    setup.machine.tpm.then_some("the state of a TPM is not QEMU's")
}

/// A directory for one machine.
fn place(cx: &Cx<'_>, name: &str) -> Result<Utf8PathBuf, VmError> {
    let dir = cx.scratch.join(name);
    fs_err::create_dir_all(&dir).map_err(VmError::io(&dir))?;
    Ok(dir)
}

impl Suite<'_> {
    fn decide(&self, tests: &[Vec<Ready>], loader: &Loader<'_>) -> Result<(), VmError> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(Vec::new());
        let work = |loader: Option<&Loader<'_>>| loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(checks) = tests.get(n) else { break };
            if let Err(error) = self.test(n, checks, loader) {
                failed.lock().expect("no test panics").push((n, error));
            }
            let done = self.done.fetch_add(1, Ordering::Relaxed) as u64 + 1;
            (self.cx.emit)(EventKind::Progress { done, total: Some(tests.len() as u64), unit: Unit::Items });
        };
        // What a Chromebook's firmware does is done by one thread; copies of a machine that was saved need it no more.
        let workers = if self.saved.is_some() { self.cx.jobs.clamp(1, tests.len()) } else { 1 };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(|| work(None));
            }
            work(Some(loader));
        });
        let mut failed = failed.into_inner().expect("no test panics");
        failed.sort_by_key(|(n, _)| *n);
        if self.cx.cancel.is_cancelled() {
            return Err(VmError::Cancelled);
        }
        let more = failed.len().saturating_sub(1);
        match failed.into_iter().next() {
            None => Ok(()),
            Some((n, error)) => {
                Err(VmError::Test { name: self.step.tests[n].name.clone(), error: Box::new(error), more })
            }
        }
    }

    /// Decides the checks of test `n`.
    fn test(&self, n: usize, checks: &[Ready], loader: Option<&Loader<'_>>) -> Result<(), VmError> {
        let test = &self.step.tests[n];
        let emit = |event| (self.cx.emit)(named(event, &test.name));
        let scratch = place(self.cx, &format!("test-{n}"))?;
        let kept = self.cx.kept.join(format!("test-{n}"));
        let cx = Cx { emit: &emit, scratch: &scratch, kept: &kept, ..*self.cx };
        let mut decided = 0;
        let result = self.decide_test(&cx, &test.name, checks, loader, &mut decided);
        if let Err(error) = &result {
            tell_undecided(self.cx, &test.checks, decided, Some(&test.name), error);
        }
        result
    }

    fn decide_test(
        &self,
        cx: &Cx<'_>,
        test: &str,
        checks: &[Ready],
        loader: Option<&Loader<'_>>,
        decided: &mut usize,
    ) -> Result<(), VmError> {
        let mut running = match self.restored(cx)? {
            Some(running) => running,
            None => self.booted(cx, loader.unwrap_or(&no_loader))?,
        };
        let result = decide(cx, &mut running, checks, Some(test), decided);
        running.finish();
        result
    }

    /// A copy of the machine that was saved, if one was. One that does not come to life is not tried again.
    fn restored<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Option<Checks<'a>>, VmError> {
        let Some(saved) = &self.saved else { return Ok(None) };
        match saved.restore(cx, self.setup) {
            Ok(running) => Ok(Some(running)),
            Err(error) if self.step.snapshot == Snapshot::Required || error.class() != Class::Environment => {
                Err(error)
            }
            Err(error) => {
                saved.forget();
                cx.note(format!("it boots, as the machine that was saved did not go on: {error}"));
                Ok(None)
            }
        }
    }

    /// A machine of its own, once it is ready.
    fn booted<'a>(&'a self, cx: &'a Cx<'a>, loader: &Loader<'_>) -> Result<Checks<'a>, VmError> {
        let guest = self.setup.start(cx, Memory::Own, loader)?;
        let mut running = Checks::new(cx, guest, self.setup);
        match decide(&Cx { emit: &quiet, ..*cx }, &mut running, self.before, None, &mut 0) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.finish();
                Err(error)
            }
        }
    }
}

/// For machines that do without: what a Chromebook's firmware starts is not saved.
fn no_loader(image: &camino::Utf8Path) -> Looked {
    let text = format!("nobody was to look at `{image}`");
    Looked { checks: Vec::new(), chosen: Err(Failure::new(Class::Bug, text)) }
}

/// For checks that were told already.
fn quiet(_: EventKind) {}

/// An event of a test: what its guest says is told apart from what others say.
fn named(event: EventKind, test: &str) -> EventKind {
    match event {
        EventKind::Line { stream, text } => EventKind::Line { stream, text: format!("[{test}] {text}") },
        EventKind::Note { text } => EventKind::Note { text: format!("{test}: {text}") },
        event => event,
    }
}
