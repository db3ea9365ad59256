//! Somebody asks to stop while a machine is saved, or restored.

use super::*;

/// Runs until an event that `when` is true of, and asks to stop.
fn stopped(runs: &Runs<'_>, when: fn(&EventKind) -> bool) -> Seen {
    let cancel = bootway_exec::Cancel::default();
    let emit = runs.sandbox.cx().emit;
    let watch = |event: EventKind| {
        if when(&event) {
            cancel.cancel();
        }
        emit(event);
    };
    let before = runs.sandbox.events().len();
    let cx = Cx { emit: &watch, cancel: &cancel, ..runs.sandbox.cx() };
    let result = vm(&cx, &runs.step, &runs.machines, &no_loader);
    let seen = Seen { result, events: runs.sandbox.events().split_off(before), disk: None, kept: Vec::new() };
    assert_eq!(seen.class(), Some(Class::Cancelled), "{}\n{}", seen.failure(), seen.notes());
    seen
}

/// Processes that work in `dir`.
fn processes_in(dir: &Utf8Path) -> Vec<String> {
    let of = |entry: std::io::Result<camino::Utf8DirEntry>| {
        let place = entry.ok()?.path().join("cwd").read_link_utf8().ok()?;
        place.starts_with(dir).then(|| place.to_string())
    };
    Utf8Path::new("/proc").read_dir_utf8().unwrap().filter_map(of).collect()
}

#[test]
fn who_asks_to_stop_finds_nothing_that_is_half_done() {
    let runs = Runs::new(&tests(&["a", "b"]), "");
    let clean = |kept: usize| {
        let all = runs.kept();
        assert!(all.len() == kept && all.iter().all(|it| it.join("facts.json").exists()), "{all:?}");
        // What was killed is gone when the host has got round to it.
        while !processes_in(runs.sandbox.root()).is_empty() {
            std::thread::yield_now();
        }
    };
    // While it boots.
    stopped(&runs, |event| matches!(event, EventKind::Command { line } if line.contains("share=on")));
    clean(0);
    // When it is ready, and about to be saved.
    stopped(&runs, |event| matches!(event, EventKind::Check { name, .. } if name == "is up"));
    clean(0);
    // While it is restored.
    stopped(&runs, |event| matches!(event, EventKind::Command { line } if line.contains("-incoming")));
    clean(1);
    // What was saved by then is good.
    let seen = runs.run();
    seen.assert_good();
    assert_eq!(seen.began(), (0, 2, 0));
}
