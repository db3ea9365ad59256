//! `harvest SHIM RECOVERY OUT-DIR` takes a shim and a recovery image apart into OUT-DIR and prints what was found out
//! about them, and the peak memory in KiB on the last line.

use std::{error::Error, io::Write as _, sync::Mutex, time::Duration};

use bootway_exec::{Cancel, Cx, Input, Inputs, SystemRunner};
use bootway_plan::{ArtifactKind, Bytes, Digest, EventKind, Failure, Source, step};
use camino::{Utf8Path, Utf8PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [shim, recovery, out] = &args[..] else { return Err("usage: harvest SHIM RECOVERY OUT-DIR".into()) };
    let step: step::Harvest =
        serde_json::from_str(r#"{ "image": "./shim.bin", "recovery": "./recovery.bin" }"#)?;
    let input = |path: &String| Input {
        path: Utf8PathBuf::from(path),
        kind: ArtifactKind::File,
        digest: Digest::of(b"the engine would know it"),
        size: Bytes::new(0),
        made: false,
    };
    let inputs: Inputs =
        [("./shim.bin".parse::<Source>()?, input(shim)), ("./recovery.bin".parse()?, input(recovery))].into();
    let (runner, cancel, env) =
        (SystemRunner::default(), Cancel::default(), std::collections::BTreeMap::new());
    let found = Mutex::new(String::new());
    let emit = |event| {
        if let (EventKind::Finding(finding), Ok(mut found)) = (event, found.lock()) {
            *found += &format!("{} {finding}\n", finding.judgement.as_str());
        }
    };
    let out = Utf8Path::new(out);
    let scratch = out.join("scratch");
    fs_err::create_dir_all(&scratch)?;
    let cx = Cx {
        runner: &runner,
        emit: &emit,
        cancel: &cancel,
        scratch: &scratch,
        out,
        placed: out,
        kept: out,
        plan_dir: out,
        cache: out,
        inputs: &inputs,
        inside: None,
        helper: &[],
        epoch: 1_735_689_600,
        env: &env,
        secrets: &[],
        limit: None,
        silent_warn: Duration::from_mins(1),
        jobs: 1,
    };
    bootway_chromeos::harvest(&cx, &step).map_err(|error| Failure::of(&error).to_string())?;
    let status = fs_err::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let found = found.into_inner()?;
    writeln!(std::io::stdout(), "{found}{}", peak.unwrap_or_default())?;
    Ok(())
}
