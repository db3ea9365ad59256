use bootway_exec::{Sandbox, SystemRunner};
use serde_json::json;

use super::*;
use crate::{
    shapes::Shown,
    testing::{SYSTEM, TestNix, derivation, packages},
};

/// What `look` sees of the flake in `dir`.
fn with<T>(nix: &TestNix, dir: &Utf8Path, look: impl FnOnce(&Flake<'_>) -> T) -> T {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    look(&Flake::new(&sandbox.cx(), &NixConfig::default(), Some(dir.as_str())))
}

#[test]
fn a_flake_answers_questions() {
    let nix = TestNix::new();
    let outputs = format!(
        "{}\nprofiles = [ \"default\" \"tap\" ];\nlib.answer = 42;",
        packages(&[("a", &derivation("a", "echo > $out")), ("b", "throw \"no b\"")])
    );
    let dir = nix.flake("asked", &outputs);
    nix.git(&dir);
    with(&nix, &dir, |flake| {
        assert_eq!(flake.system().unwrap(), SYSTEM);
        assert_eq!(flake.eval_json("profiles", None).unwrap(), json!(["default", "tap"]));
        assert_eq!(flake.eval_json("lib.answer", Some("n: n + 1")).unwrap(), json!(43));
        // Names are found without a look at what they stand for.
        assert_eq!(flake.attr_names(&format!("packages.{SYSTEM}")).unwrap(), ["a", "b"]);
        assert_eq!(flake.eval_expr("flake.lib.answer").unwrap(), json!(42));
        assert!(flake.drv_path("a").unwrap().ends_with("-a.drv"));
        assert_eq!(flake.metadata().unwrap().revision.unwrap().len(), 40);
        assert!(matches!(flake.show(), Err(EvalError::Failed { .. })), "one throwing package hides all");
    });
}

#[test]
fn what_a_flake_shows_is_read() {
    let nix = TestNix::new();
    let dir = nix.flake("shown", &packages(&[("a", &derivation("a", "echo > $out"))]));
    with(&nix, &dir, |flake| {
        let shown = flake.show().unwrap();
        assert!(matches!(shown.at(&["packages", SYSTEM, "a"]), Some(Shown::Leaf { .. })), "{shown:?}");
        assert_eq!(flake.metadata().unwrap().revision, None);
    });
}

#[test]
fn a_directory_is_absolute_and_a_reference_stays() {
    let plan_dir = Utf8Path::new("/plans/demo");
    assert_eq!(reference(plan_dir, "."), "/plans/demo");
    assert_eq!(reference(plan_dir, "/elsewhere"), "/elsewhere");
    assert_eq!(reference(plan_dir, "path:./nix"), "path:/plans/demo/nix");
    assert_eq!(reference(plan_dir, "github:NixOS/nixpkgs"), "github:NixOS/nixpkgs");
    assert_eq!(reference(plan_dir, "nixpkgs"), "nixpkgs");
}

#[test]
fn an_attribute_path_has_names_with_dots_in_quotes() {
    assert_eq!(split("packages.x86_64-linux.\"a.b\".c"), ["packages", "x86_64-linux", "a.b", "c"]);
    assert_eq!(nix_string("a\"${b}\\"), r#""a\"\${b}\\""#);
}

#[test]
fn the_nearest_name_is_looked_for_beside_the_missing_one() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all = names(&["packages.x86_64-linux.bootImage", "bootImage"]);
    assert_eq!(
        near("packages.x86_64-linux.bootimage", &all).as_deref(),
        Some("packages.x86_64-linux.bootImage")
    );
    assert_eq!(near("packages.x86_64-linux.something", &all), None);
    assert_eq!(near("bootimage", &all).as_deref(), Some("bootImage"));
}
