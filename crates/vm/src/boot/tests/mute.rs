//! A QEMU that greets and never answers, as one in a thousand does.

use std::{
    io::Write as _,
    os::unix::net::UnixListener,
    sync::atomic::{AtomicUsize, Ordering},
};

use bootway_exec::{Cmd, Process, SpawnError};

use super::{
    exact::{Over, guest, plan},
    *,
};

/// Starts what is asked for, but not the first time.
#[derive(Debug, Default)]
struct FirstIsMute {
    system: SystemRunner,
    started: AtomicUsize,
}

impl Runner for FirstIsMute {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        if self.started.fetch_add(1, Ordering::Relaxed) > 0 {
            return self.system.spawn(cmd);
        }
        let line = cmd.to_string();
        let dir = line.strip_prefix("cd ").and_then(|line| line.split_once(" && ")).unwrap().0;
        for (socket, greeting) in [("qmp.sock", "{\"QMP\": {}}\r\n"), ("port.sock", "")] {
            let listener = UnixListener::bind(Utf8Path::new(dir).join(socket)).unwrap();
            std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(greeting.as_bytes()).unwrap();
                // Until nobody listens any more.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
        self.system.spawn(&Cmd::user("sleep").arg("1000").stdin_pipe())
    }
}

/// What was said to the first is said to the second, over a port, too.
#[test]
fn a_qemu_that_never_answers_is_started_anew() {
    let is_started_anew = |over| {
        let (step, machine) = plan(over, r#"{"name": "adds", "run": "echo $((1+1))", "equals": "2"}"#);
        let initrd = guest(over, "", &[]);
        let runner = FirstIsMute::default();
        let seen = boot_files(&runner, &step, &machine, &[("initrd", &initrd)], |_| {});
        assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
        let said =
            |event: &&EventKind| matches!(event, EventKind::Note { text } if text.contains("started anew"));
        // Each start but the last was given up, and is said: where much else runs, a real one may be as slow.
        let started = runner.started.load(Ordering::Relaxed);
        assert_eq!((seen.events.iter().filter(said).count(), started > 1), (started - 1, true));
    };
    std::thread::scope(|scope| {
        for over in [Over::Serial, Over::Port] {
            scope.spawn(move || is_started_anew(over));
        }
    });
}
