//! Looking through a work directory.

use std::{collections::BTreeSet, io, os::unix::fs::MetadataExt as _};

use bootway_nix::{KeptBuild, built_in, kept_builds};
use bootway_plan::{Action, Class, Failure};
use bootway_source::unpacked_dir;
use bootway_vm::kept_machines;
use camino::{Utf8DirEntry, Utf8PathBuf};

use super::{Item, Keep, What, usage::usage};
use crate::{Loaded, Work, enter::is_entered, sources::unpacked, stamp::Stamp};

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What nobody needs.
    pub(super) items: Vec<Item>,
    /// Paths of the store that what stays keeps there.
    pub(super) kept: BTreeSet<Utf8PathBuf>,
}

/// Looks at everything in `work`.
pub(super) fn find(loaded: &Loaded, work: &Work, keep: Keep) -> io::Result<Found> {
    let mut found = Found::default();
    found.roots(loaded, work)?;
    found.outputs(loaded, work)?;
    found.failed(loaded, work, keep.failures)?;
    found.failures(work, keep.failures)?;
    found.entered(work)?;
    found.runs(work, keep.runs)?;
    found.machines(work, keep.machines)?;
    found.sources(loaded, work)?;
    found.leftovers(work)?;
    Ok(found)
}

/// The failure to look.
pub(super) fn failure(work: &Work, error: &io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
        .because(format!("cannot look through the work directory `{}`", work.root()))
}

impl Found {
    fn add(
        &mut self,
        what: What,
        path: Utf8PathBuf,
        why: String,
        store: Option<Utf8PathBuf>,
    ) -> io::Result<()> {
        let size = usage(&path)?;
        self.items.push(Item { what, path, why, size, store_path: store, store_size: None });
        Ok(())
    }

    /// Roots of earlier builds: more of them than the plan wants, or of no step that builds.
    fn roots(&mut self, loaded: &Loaded, work: &Work) -> io::Result<()> {
        let keep = loaded.plan.nix().kept_builds();
        let dirs = entries(&work.root().join("roots"))?.into_iter().filter(is_dir);
        for entry in dirs {
            let step = loaded.plan.step(entry.file_name());
            let builds = kept_builds(entry.path())?;
            let Some(step) = step.filter(|step| matches!(step.action, Action::NixBuild(_))) else {
                for build in builds {
                    let why = format!("no step of the plan builds `{}`", entry.file_name());
                    self.add(What::Root, build.link, why, Some(build.store_path))?;
                }
                continue;
            };
            let (old, kept) = divide(builds, built_in(&work.out(&step.id)), keep);
            self.kept.extend(kept.into_iter().map(|build| build.store_path));
            for build in old {
                let why = format!("older than {} of `{}`", newest(keep, "build"), step.id);
                self.add(What::Root, build.link, why, Some(build.store_path))?;
            }
        }
        Ok(())
    }

    /// Outputs of steps that are not in the plan.
    fn outputs(&mut self, loaded: &Loaded, work: &Work) -> io::Result<()> {
        for entry in entries(&work.root().join("out"))? {
            let store_path = built_in(entry.path());
            if loaded.plan.step(entry.file_name()).is_some() {
                self.kept.extend(store_path);
            } else if Stamp::read(entry.path()).is_some() {
                self.add(What::Output, entry.path().to_owned(), no_step(&entry), store_path)?;
            }
        }
        Ok(())
    }

    /// What steps worked with that failed and are not in the plan, or not among the last that failed.
    fn failed(&mut self, loaded: &Loaded, work: &Work, keep: usize) -> io::Result<()> {
        let mut of_plan = Vec::new();
        for entry in entries(&work.root().join("failed"))? {
            if loaded.plan.step(entry.file_name()).is_none() {
                self.add(What::Failed, entry.path().to_owned(), no_step(&entry), None)?;
            } else {
                // It is moved here when the step has failed, which changes this time and no other.
                let metadata = fs_err::symlink_metadata(entry.path())?;
                of_plan.push(((metadata.ctime(), metadata.ctime_nsec()), entry));
            }
        }
        of_plan.sort_by_key(|(time, _)| *time);
        let old = of_plan.len().saturating_sub(keep);
        for (_, entry) in of_plan.into_iter().take(old) {
            let why = format!("not among the {keep} steps that failed last");
            self.add(What::Failed, entry.path().to_owned(), why, None)?;
        }
        Ok(())
    }

    /// What is written down of all failures but the newest.
    fn failures(&mut self, work: &Work, keep: usize) -> io::Result<()> {
        let is_ours = |entry: &Utf8DirEntry| entry.path().extension() == Some("json");
        // They begin with the time, so by name is by time.
        let files: Vec<_> = entries(&work.failures())?.into_iter().filter(is_ours).collect();
        for entry in &files[..files.len().saturating_sub(keep)] {
            let why = format!("older than {}", newest(keep, "failure"));
            self.add(What::Failure, entry.path().to_owned(), why, None)?;
        }
        Ok(())
    }

    /// What was changed in roots that nobody is in any more.
    fn entered(&mut self, work: &Work) -> io::Result<()> {
        for entry in entries(&work.root().join("enter"))? {
            if !is_entered(entry.path()) {
                let why = "whoever was in this root has left it".to_owned();
                self.add(What::Entered, entry.path().to_owned(), why, None)?;
            }
        }
        Ok(())
    }

    /// Logs and reports of all runs but the newest.
    fn runs(&mut self, work: &Work, keep: usize) -> io::Result<()> {
        let is_run = |entry: &Utf8DirEntry| is_dir(entry) && entry.path().join("events.jsonl").exists();
        let mut runs: Vec<_> = entries(&work.runs())?.into_iter().filter(is_run).collect();
        runs.sort_by_cached_key(|entry| moment(entry.file_name()));
        let latest = work.runs().join("latest").read_link_utf8().ok();
        for entry in &runs[..runs.len().saturating_sub(keep)] {
            if latest.as_ref().and_then(|it| it.file_name()) != Some(entry.file_name()) {
                let why = format!("older than {}", newest(keep, "run"));
                self.add(What::Run, entry.path().to_owned(), why, None)?;
            }
        }
        Ok(())
    }

    /// Machines that tests went on from: all but those that were used last, and what is not whole of any.
    fn machines(&mut self, work: &Work, keep: usize) -> io::Result<()> {
        let (whole, parts): (Vec<_>, Vec<_>) =
            kept_machines(work.cache())?.into_iter().partition(|machine| machine.whole);
        let old = whole.len().saturating_sub(keep);
        for machine in whole.into_iter().take(old) {
            let why = format!("not among the {keep} that were used last");
            self.add(What::Machine, machine.path, why, None)?;
        }
        for part in parts {
            self.add(What::Leftover, part.path, "left by a run that was killed".to_owned(), None)?;
        }
        Ok(())
    }

    /// Sources that are unpacked, and that no package is built from. Those of a cache that plans share may be another's.
    fn sources(&mut self, loaded: &Loaded, work: &Work) -> io::Result<()> {
        if !work.cache().starts_with(work.root()) {
            return Ok(());
        }
        let used = unpacked(loaded, work);
        for entry in entries(&unpacked_dir(work.cache()))?.into_iter().filter(is_dir) {
            let name = entry.file_name();
            if name.starts_with(".partial-") {
                let why = "left by a run that was killed".to_owned();
                self.add(What::Leftover, entry.path().to_owned(), why, None)?;
            } else if !used.contains(name) {
                let why = "no package of the plan is built from it".to_owned();
                self.add(What::Source, entry.path().to_owned(), why, None)?;
            }
        }
        Ok(())
    }

    /// What a killed run left. Nothing of it is in use: no run has the work directory now.
    fn leftovers(&mut self, work: &Work) -> io::Result<()> {
        let in_parts = |dir: Utf8PathBuf| -> io::Result<Vec<Utf8DirEntry>> {
            let all = entries(&dir)?;
            Ok(all.into_iter().filter(|it| it.file_name().starts_with(".partial-")).collect())
        };
        let mut all = in_parts(work.root().join("out"))?;
        all.extend(in_parts(work.runs())?);
        if work.cache().starts_with(work.root()) {
            all.extend(in_parts(work.cache().to_owned())?); // Another's cache may be in use.
            for part in in_parts(work.cache().join("sha256"))? {
                let why = "the beginning of a download that did not end".to_owned();
                self.add(What::Leftover, part.path().to_owned(), why, None)?;
            }
        }
        all.extend(entries(&work.root().join("scratch"))?);
        all.extend(entries(&work.children())?);
        for entry in all {
            let why = "left by a run that was killed".to_owned();
            self.add(What::Leftover, entry.path().to_owned(), why, built_in(entry.path()))?;
        }
        Ok(())
    }
}

/// The builds to let go of, and those to keep: what is in place now, then the newest up to `keep` in all, each path once.
fn divide(
    builds: Vec<KeptBuild>,
    current: Option<Utf8PathBuf>,
    keep: usize,
) -> (Vec<KeptBuild>, Vec<KeptBuild>) {
    let mut seen = BTreeSet::new();
    let mut wanted: BTreeSet<Utf8PathBuf> = current.into_iter().collect();
    for build in builds.iter().rev() {
        if wanted.len() < keep {
            wanted.insert(build.store_path.clone());
        }
    }
    let mut is_old =
        |build: &KeptBuild| !(wanted.contains(&build.store_path) && seen.insert(build.store_path.clone()));
    let (mut old, mut kept): (Vec<_>, Vec<_>) = builds.into_iter().rev().partition(|build| is_old(build));
    old.reverse();
    kept.reverse();
    (old, kept)
}

/// When a run began, by its name: `20260131T235959Z`, and `20260131T235959Z-2` for the second of one second.
fn moment(name: &str) -> (String, u32) {
    let (time, number) = name.split_once('-').unwrap_or((name, "1"));
    (time.to_owned(), number.parse().unwrap_or(0))
}

fn newest(n: usize, what: &str) -> String {
    if n == 1 { format!("the newest {what}") } else { format!("the newest {n} {what}s") }
}

fn no_step(entry: &Utf8DirEntry) -> String {
    format!("no step of the plan is called `{}`", entry.file_name())
}

fn is_dir(entry: &Utf8DirEntry) -> bool {
    entry.file_type().is_ok_and(|it| it.is_dir())
}

/// What is in a directory, by name; nothing if it is not there.
fn entries(dir: &camino::Utf8Path) -> io::Result<Vec<Utf8DirEntry>> {
    let entries = match dir.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut entries: Vec<Utf8DirEntry> = entries.collect::<io::Result<_>>()?;
    entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the builds that go, of builds `1…` of these paths.
    fn old(paths: &[&str], current: Option<&str>, keep: usize) -> Vec<u32> {
        let build = |(number, path): (u32, &&str)| KeptBuild {
            number,
            link: number.to_string().into(),
            store_path: (*path).into(),
        };
        let builds = (1..).zip(paths).map(build).collect();
        let (old, kept) = divide(builds, current.map(Utf8PathBuf::from), keep);
        assert_eq!(old.len() + kept.len(), paths.len());
        old.into_iter().map(|build| build.number).collect()
    }

    #[test]
    fn what_is_in_place_counts_and_stays_whatever_its_number() {
        assert_eq!(old(&["a", "b", "c", "d"], Some("d"), 2), [1, 2]);
        assert_eq!(old(&["a", "b", "c", "d"], Some("a"), 2), [2, 3]);
        assert_eq!(old(&["a", "b", "c"], Some("d"), 2), [1, 2]);
        assert_eq!(old(&["a", "b", "c"], Some("c"), 1), [1, 2]);
        assert_eq!(old(&["a", "b", "c"], Some("d"), 1), [1, 2, 3]);
        assert_eq!(old(&["a", "b"], Some("b"), 2), [0; 0]);
        assert_eq!(old(&[], Some("b"), 2), [0; 0]);
    }

    #[test]
    fn runs_of_one_second_are_in_their_order() {
        let mut names = ["20260131T235959Z-10", "20260131T235959Z-2", "20260201T000000Z", "20260131T235959Z"];
        names.sort_by_key(|name| moment(name));
        assert_eq!(
            names,
            ["20260131T235959Z", "20260131T235959Z-2", "20260131T235959Z-10", "20260201T000000Z"]
        );
    }

    #[test]
    fn without_anything_in_place_the_newest_stay_and_each_path_counts_once() {
        assert_eq!(old(&["a", "b", "c"], None, 2), [1]);
        assert_eq!(old(&["a", "b", "a"], None, 2), [1]);
        assert_eq!(old(&["a", "a", "a"], Some("a"), 3), [1, 2]);
    }
}
