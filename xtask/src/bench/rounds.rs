//! Turns, and what each took.

use std::time::{Duration, Instant};

use bootway_plan::Failure;

use super::io;
use crate::{Done, sh::Sh};

/// Ticks of a second in `/proc/self/stat`, on every Linux.
const TICKS: u64 = 100;

/// Who takes part, and how.
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) commands: Vec<Sh>,
}

/// What one took, round by round.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) wall: Vec<Duration>,
    pub(super) cpu: Vec<Duration>,
    /// The most of all rounds.
    pub(super) peak_kib: u64,
}

impl Times {
    /// Median of the wall time, seconds.
    pub(super) fn wall(&self) -> f64 {
        median(self.wall.iter().map(Duration::as_secs_f64).collect())
    }

    /// Median of the CPU time, seconds.
    pub(super) fn cpu(&self) -> f64 {
        median(self.cpu.iter().map(Duration::as_secs_f64).collect())
    }

    /// The most memory that it had, as people write it; empty if nobody looked.
    pub(super) fn peak(&self) -> String {
        if self.peak_kib == 0 { String::new() } else { format!("{} MB", self.peak_kib * 1024 / 1_000_000) }
    }

    /// Runs `commands` and takes their time; what each printed.
    pub(super) fn take(&mut self, commands: &[Sh]) -> Result<Vec<String>, Failure> {
        let (cpu, started) = (children_cpu()?, Instant::now());
        let printed = commands.iter().map(Sh::quiet).collect::<Result<_, _>>()?;
        self.wall.push(started.elapsed());
        self.cpu.push(children_cpu()?.saturating_sub(cpu));
        Ok(printed)
    }

    /// Says what the last turn took.
    pub(super) fn tell(&self, round: usize, name: &str) {
        let last = |of: &[Duration]| of.last().map_or(0.0, Duration::as_secs_f64);
        println!(
            "round {}: {name:<20} {:.2} s, {:.2} s of CPU",
            round + 1,
            last(&self.wall),
            last(&self.cpu)
        );
    }
}

/// Lets each take its turn in `rounds` rounds. `before` puts things into their first state, `after` looks at what came
/// out; neither is measured.
pub(super) fn take_turns(
    contenders: &[Contender],
    rounds: usize,
    before: impl Fn() -> Done,
    mut after: impl FnMut(usize, &mut Times, &[String]) -> Done,
) -> Result<Vec<Times>, Failure> {
    let mut times = vec![Times::default(); contenders.len()];
    for round in 0..rounds {
        for (place, (contender, times)) in contenders.iter().zip(&mut times).enumerate() {
            before()?;
            let printed = times.take(&contender.commands)?;
            times.tell(round, &contender.name);
            after(place, times, &printed)?;
        }
    }
    before()?;
    Ok(times)
}

/// The middle one; 0 of none.
pub(super) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

/// User and system time of all children that have ended, in steps of 10 ms.
fn children_cpu() -> Result<Duration, Failure> {
    let stat = fs_err::read_to_string("/proc/self/stat").map_err(io)?;
    // Fields are counted behind the name, which is in parentheses and may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    let ticks: u64 =
        fields.get(13..15).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}
