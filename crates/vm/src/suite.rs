//! Tests, each with a machine that is as it was when it was ready, and sees nothing of the others.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Sender, SyncSender},
    },
    time::{Duration, Instant},
};

use bootway_exec::{Cx, Exit};
use bootway_plan::{
    Class, EventKind, Failure, Kept, Timing, Unit,
    step::{self, Attach, Boot, Snapshot},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Looked, VmError,
    boot::{Loader, Ready, all_ready, decide, seconds, tell_undecided, what},
    checks::{Checks, slug},
    command::Memory,
    saved::{self, Found, Key, Saved},
    setup::Setup,
    told,
};

/// What the tests of a step share.
struct Suite<'a> {
    cx: &'a Cx<'a>,
    step: &'a step::Vm,
    setup: &'a Setup,
    /// What must have passed before a machine is ready.
    before: &'a [Ready],
    /// What tests go on from; each boots if there is nothing.
    saved: Mutex<Option<Origin>>,
    /// How many of `before` were told.
    told: AtomicUsize,
    /// Somebody tells them, or they were told.
    is_told: AtomicBool,
    done: AtomicUsize,
    /// How long the last test took, ms.
    last_ms: AtomicU64,
}

/// A machine that tests go on from.
#[derive(Clone, Debug)]
struct Origin {
    saved: Arc<Saved>,
    /// It was made by this suite, and not found.
    is_new: bool,
}

/// Decides `before` once, and then the tests of `step`, as many at a time as the step may use processors.
pub(crate) fn run(
    cx: &Cx<'_>,
    step: &step::Vm,
    setup: &Setup,
    before: &[Ready],
    loader: &(dyn Fn(&Utf8Path) -> Looked + '_),
    decided: &mut usize,
) -> Result<(), VmError> {
    let tests = step.tests.iter().map(|test| all_ready(&test.checks)).collect::<Result<Vec<_>, _>>()?;
    let saved = match (step.snapshot, prepare(cx, step, setup, before, decided)) {
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
    let suite = Suite {
        cx,
        step,
        setup,
        before,
        saved: Mutex::new(saved),
        told: AtomicUsize::new(*decided),
        is_told: AtomicBool::new(*decided == before.len()),
        done: AtomicUsize::new(0),
        last_ms: AtomicU64::new(0),
    };
    let result = suite.decide(&tests, loader);
    *decided = suite.told.into_inner();
    result
}

/// The machine as it is when it is ready: as it was kept, or booted and kept; nothing if each test boots.
fn prepare(
    cx: &Cx<'_>,
    step: &step::Vm,
    setup: &Setup,
    before: &[Ready],
    decided: &mut usize,
) -> Result<Option<Origin>, VmError> {
    if step.snapshot == Snapshot::Never {
        return Ok(None);
    }
    if let Some(reason) = impossible(setup) {
        return Err(VmError::NotKept { reason: reason.to_owned() });
    }
    let keeping = match saved::find(cx, &Key::of(cx, step, setup)?, setup)? {
        Found::Room(keeping) => keeping,
        Found::Saved(saved) => {
            *decided = before.len();
            cx.note(format!(
                "the tests go on from a machine that was saved when its {} checks had passed, {} after power-on",
                before.len(),
                seconds(Duration::from_millis(saved.ready_ms()))
            ));
            return Ok(Some(Origin { saved: Arc::new(saved), is_new: false }));
        }
    };
    let scratch = cx.scratch.join("ready");
    clear(&scratch)?;
    let cx = &Cx { scratch: &scratch, ..*cx };
    let ram = keeping.ram();
    let (accel, memory) = (setup.host.accel, setup.machine.memory.human());
    cx.note(format!("booting {} with {accel}, {memory} of memory, to be saved", what(step)));
    let began = Instant::now();
    let guest = setup.start(cx, Memory::Kept(&ram), &no_loader)?;
    let mut checks = Checks::new(cx, guest, setup);
    if let Err(error) = decide(cx, &mut checks, before, None, decided).and_then(|()| checks.shell_state()) {
        checks.finish();
        return Err(without_room(error));
    }
    let (ready, began) = (began.elapsed(), Instant::now());
    told::timing(cx, "boot-to-ready", ready);
    let saved = keeping.keep(cx, checks, setup, ready).map_err(|error| match error {
        VmError::Cancelled | VmError::NotKept { .. } => error,
        error => VmError::NotKept { reason: Failure::of(&error).chain.join(": ") },
    })?;
    cx.note(format!("the machine was saved in {} ms", began.elapsed().as_millis()));
    told::timing(cx, "save", began.elapsed());
    Ok(Some(Origin { saved: Arc::new(saved), is_new: true }))
}

/// A machine whose memory is a file ends where there is no room for it.
fn without_room(error: VmError) -> VmError {
    match error {
        VmError::QemuEnded { exit: Exit::Signal, .. } => VmError::NotKept {
            reason: "QEMU was killed by a signal, as it is if there is no room for the memory".to_owned(),
        },
        error => error,
    }
}

/// Why such a machine cannot be saved.
pub(crate) fn impossible(setup: &Setup) -> Option<&'static str> {
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

/// Makes a directory for one machine, with nothing of another in it.
fn clear(dir: &Utf8Path) -> Result<(), VmError> {
    if dir.exists() {
        fs_err::remove_dir_all(dir).map_err(VmError::io(dir))?;
    }
    fs_err::create_dir_all(dir).map_err(VmError::io(dir))
}

/// What a test has of its own.
struct Room<'a> {
    emit: Box<dyn Fn(EventKind) + Sync + 'a>,
    scratch: Utf8PathBuf,
    kept: Utf8PathBuf,
}

/// A test, and the machine that it goes on from; it boots one if there is none.
type Given<'a> = (usize, Result<Option<Checks<'a>>, VmError>);

impl Suite<'_> {
    /// Decides all tests. While one is decided, the machine of the next is restored, so that a test need not wait for it.
    fn decide(&self, tests: &[Vec<Ready>], loader: &Loader<'_>) -> Result<(), VmError> {
        let rooms: Vec<_> = (0..tests.len()).map(|n| self.room(n)).collect();
        let cxs: Vec<_> = rooms
            .iter()
            .map(|room| Cx { emit: &*room.emit, scratch: &room.scratch, kept: &room.kept, ..*self.cx })
            .collect();
        let (next, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failed = Mutex::new(Vec::new());
        // Nobody is ahead by more than one machine.
        let (give, take) = mpsc::sync_channel::<Given<'_>>(0);
        let (working, over) = mpsc::channel::<()>();
        let (take, over) = (Mutex::new(take), Mutex::new(over));
        let prepare = |give: SyncSender<_>| {
            while let n = next.fetch_add(1, Ordering::Relaxed)
                && let Some(cx) = cxs.get(n)
                && give.send((n, self.restored(cx, &waiting))).is_ok()
            {}
            drop(give);
            // A program that was started by a thread ends with it.
            let _ = over.lock().expect("nobody panics here").recv();
        };
        let work = |loader: Option<&Loader<'_>>, _working: Sender<()>| loop {
            waiting.fetch_add(1, Ordering::Relaxed);
            let given = take.lock().expect("no test panics").recv();
            waiting.fetch_sub(1, Ordering::Relaxed);
            let Ok((n, running)) = given else { break };
            let began = Instant::now();
            if let Err(error) = self.test(n, &cxs[n], &tests[n], running, loader) {
                failed.lock().expect("no test panics").push((n, error));
            }
            self.last_ms.store(began.elapsed().as_millis() as u64, Ordering::Relaxed);
            let done = self.done.fetch_add(1, Ordering::Relaxed) as u64 + 1;
            (self.cx.emit)(EventKind::Progress { done, total: Some(tests.len() as u64), unit: Unit::Items });
        };
        // What a Chromebook's firmware does is done by one thread.
        let alone = self.setup.boot == Boot::Chromeos;
        let workers = if alone { 1 } else { self.cx.jobs.clamp(1, tests.len()) };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                let (give, working) = (give.clone(), working.clone());
                scope.spawn(|| prepare(give));
                scope.spawn(|| work(None, working));
            }
            scope.spawn(|| prepare(give));
            work(Some(loader), working);
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

    /// What test `n` has of its own.
    fn room(&self, n: usize) -> Room<'_> {
        let name = &self.step.tests[n].name;
        Room {
            emit: Box::new(|event| (self.cx.emit)(named(event, name))),
            scratch: self.cx.scratch.join(format!("test-{n}")),
            kept: self.cx.kept.join(format!("{:02}-{}", n + 1, slug(name))),
        }
    }

    /// Decides the checks of test `n`.
    fn test<'a>(
        &'a self,
        n: usize,
        cx: &'a Cx<'a>,
        checks: &[Ready],
        running: Result<Option<Checks<'a>>, VmError>,
        loader: Option<&Loader<'_>>,
    ) -> Result<(), VmError> {
        let test = &self.step.tests[n];
        let mut decided = 0;
        let result = running
            .and_then(|running| running.map_or_else(|| self.booted(cx, loader.unwrap_or(&no_loader)), Ok))
            .and_then(|mut running| {
                let result = decide(cx, &mut running, checks, Some(&test.name), &mut decided);
                running.finish_after(&result);
                result
            });
        if let Err(error) = &result {
            tell_undecided(self.cx, &test.checks, decided, Some(&test.name), error);
        }
        result
    }

    /// A copy of the machine that was saved, if there is one. While nobody is `waiting` for it, it gets ready to answer fast:
    /// behind a test that takes longer than a restore. Behind shorter ones nothing hides, and it would be work for nothing.
    fn restored<'a>(&'a self, cx: &'a Cx<'a>, waiting: &AtomicUsize) -> Result<Option<Checks<'a>>, VmError> {
        clear(cx.scratch)?;
        loop {
            let origin = self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(origin) = origin else { return Ok(None) };
            let began = Instant::now();
            let restored = origin.saved.restore(cx, self.setup).and_then(|mut running| {
                let hides = began.elapsed().as_millis() < self.last_ms.load(Ordering::Relaxed).into();
                if hides && waiting.load(Ordering::Relaxed) == 0 {
                    saved::warm_up(&mut running)?;
                }
                Ok(running)
            });
            match restored {
                Ok(running) => return Ok(Some(running)),
                Err(error @ (VmError::Cancelled | VmError::StepLimit { .. })) => return Err(error),
                // What it says about the guest is not meant: it did not come to life.
                Err(error) => self.lose(cx, &origin, &error)?,
            }
        }
    }

    /// Forgets a machine that did not go on. One that was found is made anew, once; else each test boots.
    fn lose(&self, cx: &Cx<'_>, origin: &Origin, error: &VmError) -> Result<(), VmError> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if !saved.as_ref().is_some_and(|it| Arc::ptr_eq(&it.saved, &origin.saved)) {
            return Ok(()); // Another test was quicker.
        }
        *saved = None;
        origin.saved.forget();
        let reason = Failure::of(error).chain.join(": ");
        let reason = format!("the machine that was saved did not go on: {reason}");
        if !origin.is_new {
            cx.note(format!("{reason}; it is booted and saved anew"));
            let quiet = Cx { emit: &|event| self.tell_little(event), ..*self.cx };
            match prepare(&quiet, self.step, self.setup, self.before, &mut 0) {
                Ok(made) => *saved = made,
                Err(VmError::NotKept { reason }) if self.step.snapshot == Snapshot::Auto => {
                    cx.note(format!("each test boots: the machine cannot be saved: {reason}"));
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        if self.step.snapshot == Snapshot::Required {
            return Err(VmError::NotKept { reason });
        }
        cx.note(format!("each test boots: {reason}"));
        Ok(())
    }

    /// What a machine does that is made anew, but not its checks: those were told.
    fn tell_little(&self, event: EventKind) {
        if !matches!(event, EventKind::Check { .. } | EventKind::Progress { .. }) {
            (self.cx.emit)(event);
        }
    }

    /// A machine of its own, once it is ready. The first one's checks are told, if they were not told yet.
    fn booted<'a>(&'a self, cx: &'a Cx<'a>, loader: &Loader<'_>) -> Result<Checks<'a>, VmError> {
        let tells = !self.is_told.swap(true, Ordering::Relaxed);
        let (test, began) = (cx, Instant::now());
        let guest = self.setup.start(cx, Memory::Own, loader)?;
        let mut running = Checks::new(cx, guest, self.setup);
        let mut decided = 0;
        let cx = if tells { self.cx } else { &Cx { emit: &quiet, ..*cx } };
        let result = decide(cx, &mut running, self.before, None, &mut decided);
        if tells {
            self.told.store(decided, Ordering::Relaxed);
        }
        match result {
            Ok(()) => {
                told::timing(test, "boot-to-ready", began.elapsed());
                Ok(running)
            }
            Err(error) => {
                running.finish();
                Err(error)
            }
        }
    }
}

/// For machines that do without: what a Chromebook's firmware starts is not saved.
pub(crate) fn no_loader(image: &Utf8Path) -> Looked {
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
        EventKind::Kept(kept) => EventKind::Kept(Kept { test: Some(test.to_owned()), ..kept }),
        EventKind::Timing(timing) => EventKind::Timing(Timing { test: Some(test.to_owned()), ..timing }),
        event => event,
    }
}
