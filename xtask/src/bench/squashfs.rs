//! Squashfs images: what `mksquashfs` makes, and what we make of the same tree.

mod change;
mod goals;

use bootway_plan::{Class, Failure};
use camino::Utf8PathBuf;
use clap::Args;

use self::goals::{GOALS, Goal};
use super::{
    count, first_number, io, released,
    rounds::{Contender, Times, take_turns},
};
use crate::{
    Done,
    sh::{Sh, cargo, sh},
};

/// Squashfs images, beside mksquashfs
#[derive(Debug, Args)]
pub(super) struct Squashfs {
    /// A tree, such as `cargo xtask bench trees` makes; it is copied, and stays as it is
    tree: Utf8PathBuf,
    /// Another mksquashfs, beside the one on PATH
    #[arg(long, value_name = "PROGRAM")]
    peer: Vec<Utf8PathBuf>,
    /// Where to work: a tmpfs, so that the disk's noise is out
    #[arg(long, default_value = "/dev/shm/bootway-bench-squashfs")]
    scratch: Utf8PathBuf,
    /// How often each takes its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these goals: zstd-15, zstd-3, gzip, default
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out the rebuilds
    #[arg(long)]
    no_rebuilds: bool,
}

/// What one made, in its last turn.
#[derive(Clone, Debug, Default)]
struct Made {
    bytes: u64,
    said: String,
}

impl Squashfs {
    pub(super) fn run(&self) -> Done {
        cargo(["build", "--release", "-p", "bootway"]).run()?;
        if !sh("time", ["-f", "%M", "true"]).works() {
            let failure =
                Failure::new(Class::Environment, "GNU time is not installed, which tells peak memory");
            return Err(failure.hint("apt-get install time"));
        }
        let bench = Bench::prepare(self)?;
        let goals: Vec<&Goal> = GOALS
            .iter()
            .filter(|goal| self.only.is_empty() || self.only.iter().any(|only| only == goal.name))
            .collect();
        let contenders = bench.contenders(&goals);
        let mut made = vec![Made::default(); contenders.len()];
        let times = take_turns(
            &contenders,
            self.rounds,
            || bench.clean(),
            |place, times, printed| {
                times.peak_kib = times.peak_kib.max(bench.peak()?);
                made[place] = Made { bytes: bench.size()?, said: printed.concat() };
                Ok(())
            },
        )?;
        let table = Table { contenders: &contenders, times: &times, made: &made };
        table.print();
        let mut good = table.judge(&goals, &bench.peers);
        if !self.no_rebuilds {
            good &= bench.rebuilds(self, &table)?;
        }
        println!("{}", if good { "\nall goals are met" } else { "\nnot all goals are met" });
        Ok(())
    }
}

/// Where everything is.
struct Bench {
    tree: Utf8PathBuf,
    image: Utf8PathBuf,
    peak: Utf8PathBuf,
    cache: Utf8PathBuf,
    /// Name with version, and program.
    peers: Vec<(String, String)>,
}

impl Bench {
    fn prepare(asked: &Squashfs) -> Result<Self, Failure> {
        let [tree, image, peak, cache] =
            ["tree", "image.squashfs", "peak", "cache"].map(|name| asked.scratch.join(name));
        fs_err::create_dir_all(&asked.scratch).map_err(io)?;
        if tree.exists() {
            sh("chmod", ["-R", "u+w", tree.as_str()]).run()?;
            fs_err::remove_dir_all(&tree).map_err(io)?;
        }
        sh("cp", ["-a", asked.tree.as_str(), tree.as_str()]).run()?;
        let programs =
            std::iter::once("mksquashfs".to_owned()).chain(asked.peer.iter().map(ToString::to_string));
        let peers =
            programs.map(|program| Ok((version(&program)?, program))).collect::<Result<_, Failure>>()?;
        let bytes = first_number(&sh("du", ["--apparent-size", "-sb", tree.as_str()]).quiet()?)?;
        println!("{} files, {} MB in {}", count(&tree, &["-type", "f"])?, bytes / 1_000_000, asked.tree);
        Ok(Self { tree, image, peak, cache, peers })
    }

    /// Each goal's peers and we, in this order; a peer that does the same for two goals does it once.
    fn contenders(&self, goals: &[&Goal]) -> Vec<Contender> {
        let mut contenders: Vec<Contender> = Vec::new();
        for goal in goals {
            for (peer, program) in &self.peers {
                let name = goal.peer_name(peer);
                if contenders.iter().all(|it| it.name != name) {
                    contenders.push(Contender { name, commands: vec![self.peer(program, goal.peer)] });
                }
            }
            let ours = self.ours(goal.ours, &["--no-cache"]);
            contenders.push(Contender { name: goal.our_name(), commands: vec![ours] });
        }
        contenders
    }

    fn peer(&self, program: &str, how: &[&str]) -> Sh {
        self.timed(program)
            .args([self.tree.as_str(), self.image.as_str(), "-noappend", "-quiet", "-no-progress"])
            .args(how.iter().copied())
    }

    fn ours(&self, how: &[&str], cache: &[&str]) -> Sh {
        self.timed(&released("bootway"))
            .args(["squashfs", "create", self.tree.as_str(), self.image.as_str(), "--no-progress", "--json"])
            .args(how.iter().chain(cache).copied())
    }

    /// The program, watched by GNU time, which tells the most memory that it had.
    fn timed(&self, program: &str) -> Sh {
        sh("time", ["-f", "%M", "-o", self.peak.as_str(), program])
    }

    fn clean(&self) -> Done {
        if self.image.exists() { fs_err::remove_file(&self.image).map_err(io) } else { Ok(()) }
    }

    /// The most memory of the last turn, KiB.
    fn peak(&self) -> Result<u64, Failure> {
        first_number(&fs_err::read_to_string(&self.peak).map_err(io)?)
    }

    fn size(&self) -> Result<u64, Failure> {
        Ok(fs_err::metadata(&self.image).map_err(io)?.len())
    }

    /// Rebuilds after nothing and after a hundredth of the files was changed, beside cold builds of the peers.
    fn rebuilds(&self, asked: &Squashfs, table: &Table<'_>) -> Result<bool, Failure> {
        let cache = ["--cache", self.cache.as_str()];
        let ours = self.ours(goals::REBUILT.ours, &cache);
        let names = ["cold, cache filled", "nothing changed", "1 % changed"];
        let mut times = vec![Times::default(); names.len()];
        let changed = change::choose(&self.tree)?;
        println!("\nrebuilds, {} files change:", changed.len());
        let mut said = [const { String::new() }; 3];
        for round in 0..asked.rounds {
            if self.cache.exists() {
                fs_err::remove_dir_all(&self.cache).map_err(io)?;
            }
            self.clean()?;
            for (turn, name) in names.into_iter().enumerate() {
                if turn == 2 {
                    change::change(&self.tree, &changed)?;
                }
                said[turn] = times[turn].take(std::slice::from_ref(&ours))?.concat();
                times[turn].peak_kib = times[turn].peak_kib.max(self.peak()?);
                times[turn].tell(round, name);
            }
            if round + 1 == asked.rounds {
                self.same_as_cold()?;
            }
            change::restore(&asked.tree, &self.tree, &changed)?;
        }
        println!("\n{}", said.join("\n"));
        Ok(table.judge_rebuilds(&self.peers, &times))
    }

    /// The rebuilt image and one that is made without a cache are the same bytes.
    fn same_as_cold(&self) -> Done {
        let rebuilt = self.image.with_extension("rebuilt");
        fs_err::rename(&self.image, &rebuilt).map_err(io)?;
        self.ours(goals::REBUILT.ours, &["--no-cache"]).quiet()?;
        sh("cmp", [rebuilt.as_str(), self.image.as_str()]).quiet()?;
        println!("the rebuilt image and a cold one are the same bytes");
        fs_err::remove_file(&rebuilt).map_err(io)
    }
}

/// Who took part, what it took, what came out.
struct Table<'a> {
    contenders: &'a [Contender],
    times: &'a [Times],
    made: &'a [Made],
}

impl Table<'_> {
    fn of(&self, name: &str) -> Option<(&Times, &Made)> {
        let place = self.contenders.iter().position(|it| it.name == name)?;
        Some((&self.times[place], &self.made[place]))
    }

    fn print(&self) {
        println!("\n{:<30} {:>9} {:>9} {:>9} {:>13}", "", "wall", "CPU", "peak", "bytes");
        for ((contender, times), made) in self.contenders.iter().zip(self.times).zip(self.made) {
            let (wall, cpu, peak) = (times.wall(), times.cpu(), times.peak());
            println!("{:<30} {wall:>7.2} s {cpu:>7.2} s {peak:>9} {:>13}", contender.name, made.bytes);
        }
        for (contender, made) in
            self.contenders.iter().zip(self.made).filter(|(_, made)| !made.said.is_empty())
        {
            println!("\n{}:\n{}", contender.name, made.said.trim_end());
        }
        println!();
    }

    fn judge(&self, goals: &[&Goal], peers: &[(String, String)]) -> bool {
        let mut good = true;
        for goal in goals {
            for (peer, _) in peers {
                let (Some(ours), Some(theirs)) = (self.of(&goal.our_name()), self.of(&goal.peer_name(peer)))
                else {
                    continue;
                };
                let (wall, cpu) = (ours.0.wall() / theirs.0.wall(), ours.0.cpu() / theirs.0.cpu());
                let size = share(ours.1.bytes, theirs.1.bytes);
                let peak = share(ours.0.peak_kib, theirs.0.peak_kib);
                let met = wall <= goal.wall && size <= goal.size && peak <= goals::PEAK;
                good &= met;
                println!(
                    "{:<9} / {peer:<17} {wall:>6.3} of its time (at most {}), {cpu:.3} of its CPU, {size:.4} of its \
                     size (at most {}), {peak:.3} of its memory (at most {}): {}",
                    goal.name,
                    goal.wall,
                    goal.size,
                    goals::PEAK,
                    verdict(met)
                );
            }
        }
        good
    }

    fn judge_rebuilds(&self, peers: &[(String, String)], times: &[Times]) -> bool {
        let mut good = true;
        for (peer, _) in peers {
            let Some((cold, _)) = self.of(&goals::REBUILT.peer_name(peer)) else { continue };
            for (name, times, goal) in [
                ("nothing changed", &times[1], goals::NOTHING_CHANGED),
                ("1 % changed", &times[2], goals::LITTLE_CHANGED),
            ] {
                let (wall, cpu) = (times.wall() / cold.wall(), times.cpu() / cold.cpu());
                good &= wall <= goal;
                println!(
                    "{name:<15} {:.3} s: {wall:.4} of {peer}'s cold time (at most {goal}), {cpu:.4} of its CPU: {}",
                    times.wall(),
                    verdict(wall <= goal)
                );
            }
        }
        good
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
fn share(ours: u64, theirs: u64) -> f64 {
    ours as f64 / theirs as f64
}

fn verdict(good: bool) -> &'static str {
    if good { "good" } else { "MISSED" }
}

/// `mksquashfs 4.7.5`.
fn version(program: &str) -> Result<String, Failure> {
    // 4.5.1 says it with exit code 1.
    let said = sh("sh", ["-c", "\"$0\" -version || :", program]).quiet()?;
    let number = said.split_whitespace().nth(2).unwrap_or("?");
    if !said.starts_with("mksquashfs version") {
        let failure = Failure::new(Class::Environment, format!("`{program}` is no mksquashfs"));
        return Err(failure.hint("apt-get install squashfs-tools"));
    }
    Ok(format!("mksquashfs {number}"))
}
