//! The plans of this repository, good and bad.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::fmt::Write as _;

use bootway_plan::{Plan, Problems, Spec, Vars, resolve};
use camino::{Utf8Path, Utf8PathBuf};

/// Every plan of a directory, by name, in order of their names.
fn plans(dir: &str) -> Vec<(String, Result<Plan, Problems>)> {
    let dir = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir);
    let files = dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    let mut files: Vec<Utf8PathBuf> = files.filter(|file| file.as_str().ends_with(".plan.toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "there are no plans in {dir}");
    let read = |file: &Utf8Path| {
        let text = fs_err::read_to_string(file).unwrap();
        let plan = Spec::from_toml(&text, &Vars::default()).and_then(|spec| resolve(&spec));
        plan.map_err(|problems| problems.in_file(file.file_name().unwrap()))
    };
    files.iter().map(|file| (file.file_name().unwrap().to_owned(), read(file))).collect()
}

#[test]
fn every_good_plan_resolves() {
    for (name, plan) in plans("fixtures/plans") {
        assert!(plan.is_ok(), "{name}: {}", plan.unwrap_err());
    }
}

#[test]
fn every_bad_plan_says_what_where_and_what_to_do() {
    let mut said = String::new();
    for (name, plan) in plans("fixtures/plans/bad") {
        match plan {
            Ok(plan) => panic!("{name} resolved:\n{plan}"),
            Err(problems) => writeln!(said, "{problems}\n").unwrap(),
        }
    }
    insta::assert_snapshot!(said);
}
