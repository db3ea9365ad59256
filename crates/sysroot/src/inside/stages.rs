//! Into the namespaces, in two processes.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Write as _},
    process::{Command, Stdio},
};

use bootway_plan::nearest;
use camino::Utf8Path;
use rustix::{
    process::{Signal, WaitOptions, getegid, geteuid, set_parent_process_death_signal, wait},
    thread::{CapabilitySet, UnshareFlags, remove_capability_from_bounding_set, set_no_new_privs},
};

use super::{Job, Setup, Trouble, Verdict, jobs, mounts};

/// What the second process is told instead of `--setup`.
const SECOND: &str = "--in-namespace";

/// What went wrong, on the way to a [`Verdict`].
pub(super) type Failed = (Trouble, String, io::Error);

/// Does what the [`Setup`] in the file `setup` says; with `second`, as the first process of its namespaces.
///
/// This process must have one thread, and end with the code that this returns; the verdict is in the file that the setup
/// names.
pub fn enter(setup: &Utf8Path, second: bool) -> u8 {
    let read = fs_err::read(setup).and_then(|text| serde_json::from_slice(&text).map_err(io::Error::other));
    let parsed: Setup = match read {
        Ok(parsed) => parsed,
        Err(error) => {
            say(&error);
            return 125;
        }
    };
    // It dies with who has started it: entering a namespace has the kernel forget that.
    if second && parsed.aloud {
        // It has an environment in it, and with that secrets.
        let _ = fs_err::remove_file(setup);
    }
    let verdict = if second { inner(&parsed) } else { outer(&parsed, setup) };
    match verdict {
        Ok(code) => code,
        Err((trouble, what, why)) => {
            if parsed.aloud {
                say(&format!("{}: {what}: {why}", trouble.what()));
            }
            let verdict = Verdict::Failed { trouble, what, why: why.to_string() };
            let written = File::create(&parsed.verdict).and_then(|file| write(&file, &verdict));
            if let Err(error) = written {
                say(&error);
            }
            125
        }
    }
}

/// What cannot be written where it belongs, or is for a person.
#[expect(clippy::print_stderr, reason = "this is a program of its own, and nobody above it could say it")]
fn say(what: &dyn std::fmt::Display) {
    eprintln!("bootway: {what}");
}

#[expect(
    deprecated,
    reason = "the one that is not is unsafe for shared file descriptors, and these stay shared"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}

/// Leaves the namespaces of the machine, and waits for the process that is the first of the new ones.
fn outer(setup: &Setup, path: &Utf8Path) -> Result<u8, Failed> {
    let of = |trouble, what: &str| {
        let what = what.to_owned();
        move |error: io::Error| (trouble, what, error)
    };
    if !setup.plain {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        unshare(UnshareFlags::NEWUSER).map_err(of(Trouble::User, "unshare(CLONE_NEWUSER)"))?;
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {uid} 1")),
            ("gid_map", format!("0 {gid} 1")),
        ] {
            let file = format!("/proc/self/{file}");
            std::fs::write(&file, text).map_err(of(Trouble::User, &format!("writing {file}")))?;
        }
    }
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if !setup.network {
        flags |= UnshareFlags::NEWNET;
    }
    unshare(flags).map_err(of(Trouble::Namespace, "unshare(CLONE_NEWNS | CLONE_NEWPID | …)"))?;
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| (Trouble::Namespace, "prctl(PR_SET_PDEATHSIG)".to_owned(), error.into()))?;
    let own = std::env::args().next().unwrap_or_default();
    let program = std::env::current_exe().map_err(of(Trouble::Namespace, "finding the program itself"))?;
    #[expect(clippy::disallowed_methods, reason = "one process must start the other: see docs/decisions")]
    let mut command = Command::new(program);
    std::os::unix::process::CommandExt::arg0(&mut command, own);
    let status = command
        .args(std::env::args().skip(1).take_while(|arg| arg != "--setup"))
        .args([SECOND, path.as_str()])
        .status()
        .map_err(of(Trouble::Namespace, "starting the first process"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(125))
}

/// Makes up the root, goes into it, and does the job.
fn inner(setup: &Setup) -> Result<u8, Failed> {
    let failed = |trouble, what: &str, error: io::Error| (trouble, what.to_owned(), error);
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed(Trouble::Namespace, "prctl(PR_SET_PDEATHSIG)", error.into()))?;
    // Opened while it can be seen.
    let verdict = File::create(&setup.verdict)
        .map_err(|error| failed(Trouble::Namespace, setup.verdict.as_str(), error))?;
    let done = mounts::make_up(setup).and_then(|()| {
        give_up_rights().map_err(|error| failed(Trouble::Namespace, "giving up capabilities", error))?;
        match &setup.job {
            Job::Run { argv, cwd, env } => run(argv, cwd, env),
            Job::Edit { edits } => jobs::edit(edits).map(|()| Verdict::ENDED_WELL),
            Job::Nothing => Ok(Verdict::ENDED_WELL),
        }
    });
    let told =
        done.unwrap_or_else(|(trouble, what, why)| Verdict::Failed { trouble, what, why: why.to_string() });
    let code = match &told {
        Verdict::Ended { code, signal, .. } => code.unwrap_or_else(|| 128 + signal.unwrap_or(0)),
        Verdict::Failed { .. } => 125,
    };
    if let (true, Verdict::Failed { trouble, what, why }) = (setup.aloud, &told) {
        say(&format!("{}: {what}: {why}", trouble.what()));
    }
    if let Err(error) = write(&verdict, &told) {
        say(&error);
        return Ok(125);
    }
    Ok(u8::try_from(code).unwrap_or(125))
}

fn write(mut file: &File, verdict: &Verdict) -> io::Result<()> {
    file.write_all(&serde_json::to_vec(verdict)?)
}

impl Verdict {
    const ENDED_WELL: Self = Self::Ended { code: Some(0), signal: None, left: Vec::new() };
}

/// Takes away what root of a namespace could do to what it was given: to mounts, the kernel and the clock.
///
/// What is mounted for reading only stays so, and what root may do to files and processes of its own is left.
fn give_up_rights() -> io::Result<()> {
    const LEFT: [CapabilitySet; 9] = [
        CapabilitySet::CHOWN,
        CapabilitySet::DAC_OVERRIDE,
        CapabilitySet::FOWNER,
        CapabilitySet::FSETID,
        CapabilitySet::KILL,
        CapabilitySet::SETGID,
        CapabilitySet::SETUID,
        CapabilitySet::SETPCAP,
        CapabilitySet::SYS_CHROOT,
    ];
    for capability in CapabilitySet::all().iter().filter(|it| !LEFT.contains(it)) {
        match remove_capability_from_bounding_set(capability) {
            // One that this kernel does not know cannot be had either.
            Ok(()) | Err(rustix::io::Errno::INVAL) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(set_no_new_privs(true)?)
}

/// Runs a program to its end, as the first process, to which everything comes that nobody waits for.
fn run(
    argv: &[String],
    cwd: &str,
    env: &std::collections::BTreeMap<String, String>,
) -> Result<Verdict, Failed> {
    let (program, args) =
        argv.split_first().map_or(("", &[][..]), |(program, args)| (program.as_str(), args));
    let start = |trouble, error| (trouble, format!("`{program}` in `{cwd}`"), error);
    if let Err(error) = std::env::set_current_dir(cwd) {
        return Err((Trouble::Start, format!("the directory `{cwd}`"), error));
    }
    let path = env.get("PATH").map_or("", String::as_str);
    let found = find(program, path).ok_or_else(|| {
        let known: Vec<String> = path.split(':').flat_map(names).collect();
        let near = nearest(program, known.iter().map(String::as_str));
        let near = near.map(|near| format!("; there is `{near}`")).unwrap_or_default();
        let why = format!("it is not in the root, where PATH is `{path}`{near}");
        start(Trouble::Missing, io::Error::new(io::ErrorKind::NotFound, why))
    })?;
    #[expect(clippy::disallowed_methods, reason = "one process must start the other: see docs/decisions")]
    let mut command = Command::new(found);
    std::os::unix::process::CommandExt::arg0(&mut command, program);
    let child = command
        .args(args)
        .env_clear()
        .envs(env)
        .stdin(Stdio::inherit())
        .spawn()
        .map_err(|error| start(Trouble::Start, error))?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == child.id() => {
                let left = left_running();
                let (code, signal) = (status.exit_status(), status.terminating_signal());
                return Ok(Verdict::Ended { code, signal, left });
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(start(Trouble::Start, error.into())),
        }
    }
}

/// Where `program` is in this root.
fn find(program: &str, path: &str) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let runs = |path: &std::path::PathBuf| {
        std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(program.into()).filter(runs);
    }
    path.split(':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| std::path::Path::new(dir).join(program))
        .find(runs)
}

fn names(dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The names of the other processes of this namespace.
fn left_running() -> Vec<String> {
    let mut left = Vec::new();
    for pid in
        names("/proc").into_iter().filter(|name| name != "1" && name.bytes().all(|b| b.is_ascii_digit()))
    {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // One that has ended, and nobody has waited for, has done nothing wrong.
        let is_dead = read("stat").rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']));
        let name = read("comm");
        if !name.is_empty() && !is_dead {
            left.push(name.trim().to_owned());
        }
    }
    left.sort();
    left
}

/// Text for a system call.
pub(super) fn c_text(text: &str) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| io::Error::other(format!("`{text}` has a NUL in it")))
}

/// The same, when there is nothing to say.
pub(super) const NOTHING: &CStr = c"";
