//! Ctrl-C and SIGTERM: the first asks, the second does not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bootway_exec::Cancel;
use bootway_plan::exit_code;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What was signalled so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    any: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Self {
        let signals = Self::default();
        for (signal, code) in [
            (SIGINT, exit_code::INTERRUPTED),
            (SIGTERM, exit_code::TERMINATED),
            (SIGHUP, exit_code::TERMINATED),
        ] {
            // Registering fails only for signals that cannot be caught; these can.
            let _ = signal_hook::flag::register_conditional_shutdown(
                signal,
                code.into(),
                Arc::clone(&signals.any),
            );
            let _ = signal_hook::flag::register(signal, Arc::clone(&signals.any));
            if signal != SIGINT {
                let _ = signal_hook::flag::register(signal, Arc::clone(&signals.terminated));
            }
        }
        signals
    }

    /// For everything that has to stop.
    pub(crate) fn cancel(&self) -> Cancel {
        Cancel::on(Arc::clone(&self.any))
    }

    /// For those who look at a flag: set when something has to stop.
    pub(crate) fn flag(&self) -> &Arc<AtomicBool> {
        &self.any
    }

    /// The exit code of a run that ended with `code`.
    pub(crate) fn exit_code(&self, code: u8) -> u8 {
        let terminated = code == exit_code::INTERRUPTED && self.terminated.load(Ordering::Relaxed);
        if terminated { exit_code::TERMINATED } else { code }
    }
}
