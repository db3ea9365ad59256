//! A bootable disk's shape from two directories: `make_disk ROOT ESP OUT-DIR` writes `OUT-DIR/disk.raw` with an ESP
//! of 128 MiB and an ext4 root that is just big enough, owners kept, and prints its peak memory in KiB.

use std::{error::Error, io::Write, time::Duration};

use bootway_exec::{Cancel, Cx, Input, Inputs, SystemRunner};
use bootway_image::disk;
use bootway_plan::{ArtifactKind, Bytes, Digest, Failure, Source, step};
use camino::{Utf8Path, Utf8PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [root, esp, out] = &args[..] else { return Err("usage: make_disk ROOT ESP OUT-DIR".into()) };
    let step: step::Disk = serde_json::from_str(
        r#"{ "partition": [
            { "label": "ESP", "type": "esp", "size": "128MiB", "fs": "fat32", "content": "./esp" },
            { "label": "ROOT", "type": "root-x86-64", "size": "fit", "fs": "ext4", "content": "./root", "owners": "keep" }
        ] }"#,
    )?;
    let input = |path: &String| Input {
        path: Utf8PathBuf::from(path),
        kind: ArtifactKind::Tree,
        digest: Digest::of(b"the engine would know it"),
        size: Bytes::new(0),
        made: false,
    };
    let inputs: Inputs = [("./esp".parse::<Source>()?, input(esp)), ("./root".parse()?, input(root))].into();
    let (runner, cancel, env) =
        (SystemRunner::default(), Cancel::default(), std::collections::BTreeMap::new());
    let out = Utf8Path::new(out);
    let cx = Cx {
        runner: &runner,
        emit: &|_| {},
        cancel: &cancel,
        scratch: out,
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
    disk(&cx, &step).map_err(|error| Failure::of(&error).to_string())?;
    let status = fs_err::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    writeln!(std::io::stdout(), "{}", peak.unwrap_or_default())?;
    Ok(())
}
