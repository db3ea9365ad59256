//! One step of the original as a step of ours.

use serde_json::{Value, json};

use super::{Instead, Origin, Place, Step, name, patch};

/// What `step` is in a plan of ours.
///
/// # Errors
///
/// Why it has no counterpart.
pub(super) fn convert(step: &Step, place: &Place<'_>) -> Result<Instead, String> {
    match step.strategy.as_str() {
        "autotools" | "cmake-project" | "meson" | "busybox" | "makefile-classic" | "linux-headers"
        | "llvm" | "cmake" => inside(step, place, package(step, place)?),
        "write-file" => {
            let text = step.content.clone().unwrap_or_default();
            edits(step, place, &[json!({ "write": { "path": path(step, place)?, "text": text } })])
        }
        "symlink" => {
            let target =
                step.content.clone().ok_or("it has no `content`, which says where the link leads")?;
            edits(step, place, &[json!({ "symlink": { "path": path(step, place)?, "target": target } })])
        }
        "remove-tree" => {
            let path = path(step, place)?;
            if path.split('/').all(|part| matches!(part, "" | ".")) {
                return Err("`/` is never removed".to_owned());
            }
            edits(step, place, &[json!({ "remove": { "path": path } })])
        }
        "prepare-rootfs" => edits(step, place, &files(step, place)?),
        "copy-tree" => {
            let from = step.workdir.as_ref().ok_or("it has no `workdir`, which says what is copied")?;
            let to = format!("/{}", path(step, place)?);
            let argv = json!(["cp", "-a", format!("{}/.", from.trim_end_matches('/')), to]);
            inside(step, place, vec![("command", json!({ "argv": argv }))])
        }
        "apk-add" | "alpine-setup" => {
            if step.packages.is_empty() {
                return Err("it names no `packages` to install".to_owned());
            }
            let argv: Vec<&str> = ["apk", "add", "--no-cache"]
                .into_iter()
                .chain(step.packages.iter().map(String::as_str))
                .collect();
            inside(step, place, vec![("command", json!({ "argv": argv }))])
        }
        "tarball" => {
            let namespace = place.namespace.filter(|it| *it != "host");
            let namespace =
                namespace.ok_or("on the host there is no root to pack: give the phase a namespace")?;
            Ok(Instead::Step(vec![
                ("description", json!("what the original packs into a tarball, as a tree")),
                ("rootfs", json!({ "namespace": namespace, "drop": NOT_PACKED })),
            ]))
        }
        "extract-sources" => Ok(Instead::Nothing("packages unpack their own sources")),
        "crystal" | "crystal-build" | "crystal-compiler" | "prefetch-shards" => Err(format!(
            "strategy `{}` is about one compiler, and bootway has none of it: make it a `package` with \
             `strategy = \"command\"`",
            step.strategy
        )),
        "" => Err("it has no `strategy`".to_owned()),
        other => Err(format!("strategy `{other}` is not known")),
    }
}

/// What the original leaves out of a tarball.
pub(super) const NOT_PACKED: [&str; 9] = [
    "dev/**",
    "proc/**",
    "run/**",
    "sys/**",
    "tmp/**",
    "var/lib/**",
    "work/**",
    "workspace/**",
    ".bq2-rootfs",
];

/// With its environment, if it is somewhere where it can run.
fn inside(step: &Step, place: &Place<'_>, action: Vec<(&'static str, Value)>) -> Result<Instead, String> {
    let on_host = place.namespace.is_none_or(|it| it == "host");
    if on_host && !matches!(action.last(), Some(("command", _))) {
        return Err("it changes the machine itself, and steps only change the root of a namespace".to_owned());
    }
    let mut env = step.env.clone();
    env.retain(|name, _| name != "CMAKE_SOURCE_DIR" && !is_of_a_file(name));
    let mut entries = Vec::new();
    if !env.is_empty() {
        entries.push(("env", Value::Object(env)));
    }
    entries.extend(action);
    Ok(Instead::Step(entries))
}

fn edits(step: &Step, place: &Place<'_>, edits: &[Value]) -> Result<Instead, String> {
    inside(step, place, vec![("edit", json!({ "edits": edits }))])
}

fn package(step: &Step, place: &Place<'_>) -> Result<Vec<(&'static str, Value)>, String> {
    let mut package = serde_json::Map::new();
    package.insert("source".to_owned(), json!(source(step, place)?));
    let flags = || step.configure_flags.iter().map(String::as_str);
    let (strategy, key, before): (_, _, &[&str]) = match step.strategy.as_str() {
        "autotools" => ("autotools", "configure-flags", &[]),
        "cmake-project" | "llvm" => ("cmake", "configure-flags", &[]),
        "meson" => ("meson", "configure-flags", &[]),
        "busybox" => ("busybox", "make-flags", &[]),
        "linux-headers" => ("linux-headers", "make-flags", &[]),
        "cmake" => ("command", "", &[]),
        _ => ("make", "make-flags", &["-f", "Makefile.bq2"]),
    };
    package.insert("strategy".to_owned(), json!(strategy));
    if strategy == "command" {
        // CMake builds itself without a CMake.
        let mut bootstrap = vec!["./bootstrap", "--prefix=${prefix}", "--parallel=${jobs}"];
        if flags().next().is_some() {
            bootstrap.push("--");
            bootstrap.extend(flags());
        }
        let make = ["make", "-j${jobs}"];
        let commands = json!([bootstrap, make, ["make", "install", "DESTDIR=${destdir}"]]);
        package.insert("commands".to_owned(), commands);
    } else {
        let flags: Vec<&str> = before.iter().copied().chain(flags()).collect();
        if !flags.is_empty() {
            package.insert(key.to_owned(), json!(flags));
        }
    }
    let subdir = step.env.get("CMAKE_SOURCE_DIR").and_then(Value::as_str);
    if let Some(subdir) = subdir.or((step.strategy == "llvm").then_some("llvm")) {
        package.insert("subdir".to_owned(), json!(subdir));
    }
    if let Some(dir) = step.build_dir.as_deref().and_then(last) {
        let dir = dir.replace("%{name}", &step.name).replace("%{phase}", "phase");
        package.insert("build-dir".to_owned(), json!(dir));
    }
    if !step.patches.is_empty() {
        let patches: Vec<String> = step.patches.iter().map(|it| patch(it)).collect();
        package.insert("patches".to_owned(), json!(patches));
    }
    for (key, value) in [("install-prefix", &step.install_prefix), ("destdir", &step.destdir)] {
        if let Some(value) = value {
            package.insert(key.to_owned(), json!(value));
        }
    }
    Ok(vec![("package", Value::Object(package))])
}

/// What a package is built from: a download that has a checksum, or what a person puts beside the plan.
fn source(step: &Step, place: &Place<'_>) -> Result<String, String> {
    let dir = step.workdir.as_deref().and_then(last);
    let is_it = |it: &&Origin| {
        it.build_directory.as_deref().and_then(last).is_some_and(|it| Some(it) == dir) || it.name == step.name
    };
    let found = place.origins.iter().find(is_it);
    let found = found.or_else(|| {
        // `llvm-project-stage1` is built from `llvm-project`.
        place.origins.iter().filter(|it| step.name.starts_with(&it.name)).max_by_key(|it| it.name.len())
    });
    // An archive to unpack is the file of a download.
    let download = found.and_then(|it| {
        let same = |other: &&Origin| other.filename == it.filename && other.is_checked();
        if it.is_checked() { Some(it) } else { place.origins.iter().find(same) }
    });
    if let Some(download) = download {
        return Ok(fetch_name(&download.name));
    }
    let file = found.and_then(|it| it.filename.as_deref()).or(dir);
    let file = file.ok_or("nothing says what it is built from: it has no `workdir`")?;
    Ok(format!("./sources/{file}"))
}

impl Origin {
    /// Whether it can be downloaded and known to be what it was.
    pub(super) fn is_checked(&self) -> bool {
        self.url.is_some() && self.sha256.as_ref().is_some_and(|it| it.parse::<crate::Digest>().is_ok())
    }
}

/// The step that downloads a source.
pub(super) fn fetch_name(source: &str) -> String {
    let mut short = name(source);
    short.truncate(40 - "-download".len());
    format!("{short}-download")
}

/// The file or link that a step writes.
fn path(step: &Step, place: &Place<'_>) -> Result<String, String> {
    let path = step.install_prefix.as_deref().ok_or("it has no `install_prefix`, which says where")?;
    Ok(below(step, place, path))
}

fn below(step: &Step, place: &Place<'_>, path: &str) -> String {
    let destdir = step.destdir.as_deref().or(place.destdir).unwrap_or_default();
    format!("{destdir}/{}", path.trim_start_matches('/')).trim_start_matches('/').to_owned()
}

/// `FILE_0_PATH` and `FILE_0_CONTENT`, in order.
fn files(step: &Step, place: &Place<'_>) -> Result<Vec<Value>, String> {
    let text = |n: usize, what: &str| step.env.get(&format!("FILE_{n}_{what}")).and_then(Value::as_str);
    let numbers = (0..=step.env.len()).filter(|n| text(*n, "PATH").is_some());
    let file = |n| {
        let path = below(step, place, text(n, "PATH").unwrap_or_default());
        json!({ "write": { "path": path, "text": text(n, "CONTENT").unwrap_or_default() } })
    };
    let files: Vec<Value> = numbers.map(file).collect();
    if files.is_empty() {
        return Err("it has no `FILE_0_PATH` in its `env`, and so writes nothing".to_owned());
    }
    Ok(files)
}

fn is_of_a_file(name: &str) -> bool {
    let number = name.strip_prefix("FILE_").and_then(|it| it.split('_').next());
    number.is_some_and(|it| it.parse::<u16>().is_ok())
}

/// The last component of a path.
fn last(path: &str) -> Option<&str> {
    path.rsplit('/').find(|part| !part.is_empty())
}
