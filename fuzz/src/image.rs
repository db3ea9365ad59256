//! What an input is looked at for, as an image in a file: files are what the readers take.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use bootway_exec::{Cancel, Cx, Input, Inputs, SystemRunner};
use bootway_image::{inspect, look, verify};
use bootway_plan::{ArtifactKind, Bytes, Digest, Source, step::Inspect};
use camino::{Utf8Path, Utf8PathBuf};

/// Looks at everything in an image: what it is, whether it is a good one of its kind, and every file.
pub fn examine(kind: ArtifactKind, bytes: &[u8]) {
    let path = file();
    std::fs::write(&path, bytes).expect("the file is small");
    if let Ok(report) = look(&path) {
        let mut text = String::new();
        write!(text, "{report}").expect("text has room");
    }
    let _ = verify(kind, &path);
    read(&path, kind);
}

/// Reads every file in search of something that no file has, and looks for file systems inside.
fn read(path: &Utf8Path, kind: ArtifactKind) {
    let source: Source = "./image".parse().expect("it is a path");
    let input =
        Input { path: path.to_owned(), kind, digest: Digest::of(b""), size: Bytes::new(0), made: false };
    let inputs = Inputs::from([(source, input)]);
    let step: Inspect = serde_json::from_value(serde_json::json!({
        "image": "./image",
        "expect": [{ "path": "**", "contains": "\u{1}nobody has it\u{2}" }, { "inside": "**/*.img", "path": "**" }],
    }))
    .expect("it is a step");
    let dir = path.parent().expect("it is a file in a directory");
    let cx = Cx {
        runner: &SystemRunner::default(),
        emit: &|_| (),
        cancel: &Cancel::default(),
        scratch: dir,
        out: dir,
        placed: dir,
        kept: dir,
        plan_dir: dir,
        cache: dir,
        inputs: &inputs,
        epoch: 0,
        env: &BTreeMap::new(),
        secrets: &[],
        limit: None,
        silent_warn: Duration::from_mins(1),
        jobs: 1,
        helper: &[],
        inside: None,
    };
    let _ = inspect(&cx, &step);
}

/// The one file of this process, in a directory that is in memory.
pub fn file() -> Utf8PathBuf {
    let name = format!("bootway-fuzz-image-{}", std::process::id());
    Utf8PathBuf::from_path_buf(std::env::temp_dir().join(name)).expect("a directory in UTF-8")
}
