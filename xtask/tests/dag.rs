//! The architecture, as a snapshot.
//!
//! Which crate may use which is decided once, in `docs/architecture.md`. A new edge makes this test fail, so it is
//! never added by accident.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::collections::BTreeMap;

use serde_json::Value;

#[test]
fn crates_use_only_what_the_architecture_allows() {
    insta::assert_snapshot!(edges(), @"
    chromeos -> exec image plan
    cli -> chromeos engine exec image nix plan report squashfs vm
    engine -> chromeos exec image nix plan source sysroot vm
    exec -> pdeath plan
    image -> exec plan squashfs
    nix -> exec plan
    pdeath ->
    plan ->
    report -> plan
    source -> exec plan
    squashfs ->
    sysroot -> exec plan
    vm -> exec plan
    xtask -> plan
    ");
}

#[test]
fn the_architecture_that_is_written_down_is_the_one_that_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/architecture.md");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let written: Vec<String> = fs_err::read_to_string(path).unwrap().lines().map(words).collect();
    let missing: Vec<String> =
        edges().lines().filter(|line| !written.contains(&words(line))).map(str::to_owned).collect();
    assert!(missing.is_empty(), "docs/architecture.md lacks {missing:?}");
}

/// One line for each crate: what it uses, in the workspace, tests not counted.
fn edges() -> String {
    #[expect(clippy::disallowed_methods, reason = "a test of the workspace asks cargo about it")]
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let output = cargo.args(["metadata", "--format-version=1", "--no-deps"]).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let edges: BTreeMap<String, Vec<String>> = packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"].as_array().unwrap();
            let uses = uses.iter().filter(|dep| dep["kind"].is_null() && dep["path"].is_string());
            let mut uses: Vec<String> = uses.map(|dep| short(&dep["name"])).collect();
            uses.sort();
            (short(&package["name"]), uses)
        })
        .collect();
    let line = |(name, uses): (&String, &Vec<String>)| {
        format!("{name} ->{}\n", uses.iter().map(|it| format!(" {it}")).collect::<String>())
    };
    edges.iter().map(line).collect()
}

/// The name of a crate's directory, which is what people say.
fn short(package: &Value) -> String {
    match package.as_str().unwrap() {
        "bootway" => "cli".to_owned(),
        name => name.trim_start_matches("bootway-").to_owned(),
    }
}
