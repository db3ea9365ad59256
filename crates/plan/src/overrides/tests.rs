use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::{Plan, Spec, Vars, resolve};

const PLAN: &str = r#"# What is built.
format = 1
name = "p"
epoch = 0

[vars.level]
type = "int"
default = 1   # not much

[namespace.seed]
rootfs = "./seed"

[package.musl]
source = "./sources/musl"
configure-flags = ["--a", "--b"]

[package.zlib]
source = "./sources/zlib"
env = { CC = "gcc" }

[[phase]]
name = "one"
namespace = "seed"
destdir = "/root"
env = { A = "1" }   # of all

  # It says hello.
  [[phase.step]]
  name = "hello"
  command = { argv = ["echo", "l${level}"] }

  [[phase.step]]
  name = "all"
  packages = { prefix = "one-" }

  [[phase.step]]
  name = "write"
  [phase.step.edit]
  edits = [
    { write = { path = "etc/x", text = "x" } },   # the first
  ]

# The last.
[[phase]]
name = "two"

  [[phase.step]]
  name = "tree"
  tree = { from = ["./a"] }
"#;

fn overrides(json: &str) -> Overrides {
    Overrides::from_json(json).unwrap()
}

fn plan(text: &str, vars: &Vars) -> Plan {
    resolve(&Spec::from_toml(text, vars).unwrap_or_else(|error| panic!("{error}\n{text}"))).unwrap()
}

fn applied(json: &str) -> Plan {
    plan(&overrides(json).apply(PLAN).unwrap(), &Vars::default())
}

fn wrong(json: &str) -> String {
    let result = Overrides::from_json(json).and_then(|it| it.apply(PLAN));
    result.unwrap_err().to_string()
}

#[test]
fn overrides_are_edits_and_everything_else_stays_as_it_was_written() {
    let json = r#"{
        "env": {"LC_ALL": "C"},
        "packages": {"zlib": {"env": {"CC": "clang", "AR": "ar"}, "configure_flags": ["--static"]}},
        "phases": {
            "one": {
                "env": {"B": "2"}, "packages": ["zlib", "musl"],
                "steps": {
                    "hello": {"argv_add": ["more"], "limit": "5min"},
                    "musl": {"configure_flags_add": ["--c"]},
                    "write": {"edits_add": [{"write": {"path": "y", "text": "two\nlines\n", "if_missing": true}}]}
                }
            },
            "two": {"extra_steps": [{"name": "disc", "iso": {"from": "tree"}}]}
        }
    }"#;
    assert_snapshot!(overrides(json).apply(PLAN).unwrap(), @r#"
    # What is built.
    format = 1
    name = "p"
    epoch = 0
    env = { LC_ALL = "C" }

    [vars.level]
    type = "int"
    default = 1   # not much

    [namespace.seed]
    rootfs = "./seed"

    [package.musl]
    source = "./sources/musl"
    configure-flags = ["--a", "--b"]

    [package.zlib]
    source = "./sources/zlib"
    env = { CC = "clang", AR = "ar" }
    configure-flags = ["--static"]

    [[phase]]
    name = "one"
    namespace = "seed"
    destdir = "/root"
    env = { A = "1", B = "2" }   # of all

      [phase.package.musl]
      configure-flags-add = ["--c"]

      # It says hello.
      [[phase.step]]
      name = "hello"
      command = { argv = ["echo", "l${level}", "more"] }
      limit = "5min"

      [[phase.step]]
      name = "all"
      packages = { prefix = "one-", only = ["zlib", "musl"] }

      [[phase.step]]
      name = "write"
      [phase.step.edit]
      edits = [
        { write = { path = "etc/x", text = "x" } },   # the first
        { write = { if-missing = true, path = "y", text = "two\nlines\n" } },
      ]

    # The last.
    [[phase]]
    name = "two"

      [[phase.step]]
      name = "tree"
      tree = { from = ["./a"] }

      [[phase.step]]
      name = "disc"
      iso = { from = "tree" }
    "#);
}

#[test]
fn everything_that_is_no_override_is_said_at_once() {
    assert_snapshot!(wrong("[1"), @"
    the overrides in `overrides.json` cannot be used
    this is not JSON: EOF while parsing a list at line 1 column 2
    ");
    assert_snapshot!(
        wrong(r#"{"var": {}, "env": {"A": 1}, "phases": {"one": {"step": {}, "env_unset": "A", "destdir_clear": 1}, "two": 3}}"#),
        @"
    the overrides in `overrides.json` cannot be used: 6 problems
    env.A: a text is wanted here, or `null` to take it away: not `1`
    phases.one.destdir_clear: `true` or `false` is wanted here: not `1`
    phases.one.env_unset: a list of texts is wanted here
    phases.one: unknown key `step`: did you mean `steps`
    phases.two: a table is wanted here: not `3`
    unknown key `var`: did you mean `vars`
    "
    );
}

#[test]
fn everything_that_the_plan_does_not_have_is_said_at_once() {
    assert_snapshot!(wrong(r#"{
        "vars": {"levle": 1}, "packages": {"muls": {}, "musl": {"configure_flag": []}},
        "phases": {
            "on": {},
            "one": {
                "packages": ["zlob"], "extra_steps": [{"name": "tree", "tree": {"from": []}}, {"tree": {}}],
                "steps": {
                    "mus": {}, "tree": {}, "hello": {"argvs_add": [], "argv_add": 3, "tree": {}},
                    "musl": {"configur_flags": [], "workdir": "/x", "clean_build": false, "sources": []}
                }
            },
            "two": {"packages": ["musl"]}
        }
    }"#), @"
    the overrides in `overrides.json` cannot be used: 17 problems
    vars: unknown variable `levle`: did you mean `level`
    packages: unknown package `muls`: did you mean `musl`
    packages.musl: unknown key `configure_flag`: did you mean `configure_flags`
    phases: unknown phase `on`: did you mean `one`
    phases.one.steps.hello.argv_add: a list is wanted here: not `3`
    phases.one.steps.hello: unknown key `argvs_add`: did you mean `argv_add`
    phases.one.steps.hello.tree: this step is a `command`, and stays one
    phases.one.packages: unknown package `zlob`: did you mean `zlib`
    phases.two.packages: phase `two` builds no packages: leave this out
    phases.one.steps: unknown step `mus`: use one of `hello`, `all`, `write`
    phases.one.steps.musl.clean_build: every build begins with the source as it is: leave this out
    phases.one.steps.musl: unknown key `configur_flags`: did you mean `configure_flags`
    phases.one.steps.musl.sources: a source belongs to the package that is built from it: change its `source`
    phases.one.steps.musl.workdir: a source is unpacked where it is built: change `source`, `subdir` or `build_dir`, or `cwd` of a `command`
    phases.one.steps: unknown step `tree`: it is in phase `two`
    phases.one.extra_steps[0]: `tree` is the name of another step: names are unique in a plan
    phases.one.extra_steps[1]: `name` is missing here: add it
    ");
}

#[test]
fn a_list_is_replaced_added_to_and_taken_from() {
    let flags = |json: &str| {
        let plan = applied(&format!(r#"{{"phases": {{"one": {{"steps": {{"musl": {json}}}}}}}}}"#));
        let crate::Action::Package(it) = &plan.step("one-musl").unwrap().action else { panic!() };
        it.configure_flags.join(" ")
    };
    assert_eq!(flags(r#"{"configure_flags": ["--x"]}"#), "--x");
    assert_eq!(flags(r#"{"configure_flags": ["--x"], "configure_flags_add": ["--y"]}"#), "--x --y");
    assert_eq!(flags(r#"{"configure-flags-add": ["--y"]}"#), "--a --b --y");
    assert_eq!(flags(r#"{"configure_flags_drop": ["--a"]}"#), "--b");
}

#[test]
fn an_environment_is_merged_and_what_is_unset_is_seen_by_no_program() {
    let plan = applied(
        r#"{"env": {"Z": "1"}, "phases": {"one": {"env": {"A": null, "B": "2"}, "env_unset": ["Z"],
            "steps": {"zlib": {"env": {"D": "4"}, "env_unset": ["CC"]}}}}}"#,
    );
    let env = |step: &str| format!("{:?}", plan.step(step).unwrap().env);
    assert_eq!(env("hello"), r#"{"B": "2"}"#);
    assert_eq!(env("one-zlib"), r#"{"B": "2", "D": "4"}"#);
    assert_eq!(env("tree"), r#"{"Z": "1"}"#);
}

#[test]
fn packages_are_chosen_in_the_order_of_the_plan_and_other_steps_stay() {
    let ids = |json: &str| applied(json).steps().map(|it| it.id.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(
        ids(r#"{"phases": {"one": {"packages": ["zlib", "musl"]}}}"#),
        "hello one-musl one-zlib write tree"
    );
    assert_eq!(ids(r#"{"phases": {"one": {"packages": []}}}"#), "hello write tree");
}

#[test]
fn a_destdir_is_cleared() {
    let plan = applied(r#"{"phases": {"one": {"destdir_clear": true}}}"#);
    let crate::Action::Package(it) = &plan.step("one-musl").unwrap().action else { panic!() };
    assert_eq!(it.destdir, None);
    let plan = applied(r#"{"phases": {"one": {"steps": {"musl": {"destdir_clear": true}}}}}"#);
    let of = |step: &str| match &plan.step(step).unwrap().action {
        crate::Action::Package(it) => it.destdir.clone(),
        _ => panic!(),
    };
    assert_eq!((of("one-musl"), of("one-zlib").as_deref()), (None, Some("/root")));
}

#[test]
fn variables_are_over_the_environment_and_below_the_command_line() {
    let overrides = overrides(r#"{"vars": {"level": 3}}"#);
    let mut vars = Vars { overrides: overrides.vars.clone(), ..Vars::default() };
    let of = |vars: &Vars| {
        let plan = serde_json::to_value(plan(PLAN, vars)).unwrap();
        format!("{} from {}", plan["vars"]["level"]["value"], plan["vars"]["level"]["from"])
    };
    assert_eq!(of(&vars), r#""3" from "overrides""#);
    vars.given.insert("level".to_owned(), "4".to_owned());
    assert_eq!(of(&vars), r#""4" from "--var""#);
    assert!(overrides.backport(PLAN).unwrap().contains("default = 3   # not much\n"));
    assert_eq!(overrides.apply(PLAN).unwrap(), PLAN);
}

#[test]
fn overrides_are_what_they_were_after_json() {
    let json = r#"{"env":{"A":"1"},"vars":{"level":"3"},"packages":{"musl":{"configure_flags_add":["x"]}},
        "phases":{"one":{"destdir_clear":true,"packages":[],"steps":{"hello":{"env":{"B_C":null}}}}}}"#;
    let it = overrides(json);
    assert_eq!(overrides(&it.to_json()), it);
    assert_eq!(it.count(), 6);
    assert_eq!(Overrides::default().to_json(), "{}\n");
}

fn difference(change: impl Fn(String) -> String) -> Result<Overrides, String> {
    Overrides::diff(PLAN, &change(PLAN.to_owned())).map_err(|error| error.to_string())
}

#[test]
fn a_difference_says_what_is_new_in_the_words_of_overrides() {
    let found = difference(|text| {
        text.replace("\"--b\"]", "\"--b\", \"--c\"]")
            .replace("env = { A = \"1\" }", "env = { B = \"2\" }")
            .replace("destdir = \"/root\"\n", "")
            .replace("default = 1", "default = 2")
            + "\n  [[phase.step]]\n  name = \"last\"\n  tree = { from = [\"tree\"] }\n"
    });
    assert_snapshot!(found.unwrap().to_json(), @r#"
    {
      "packages": {
        "musl": {
          "configure_flags_add": [
            "--c"
          ]
        }
      },
      "phases": {
        "one": {
          "destdir_clear": true,
          "env": {
            "A": null,
            "B": "2"
          }
        },
        "two": {
          "extra_steps": [
            {
              "name": "last",
              "tree": {
                "from": [
                  "tree"
                ]
              }
            }
          ]
        }
      },
      "vars": {
        "level": "2"
      }
    }
    "#);
}

#[test]
fn what_overrides_cannot_say_is_said_at_once() {
    let moved = |text: String| {
        let (head, tail) = text.split_once("  # It says hello.").unwrap();
        let (hello, rest) = tail.split_once("  [[phase.step]]\n  name = \"all\"").unwrap();
        let (all, rest) = rest.split_once("  [[phase.step]]\n  name = \"write\"").unwrap();
        format!(
            "{head}  [[phase.step]]\n  name = \"all\"{all}  #{hello}  [[phase.step]]\n  name = \"write\"{rest}"
        )
    };
    assert_snapshot!(difference(moved).unwrap_err(), @"
    the overrides in `overrides.json` cannot be used
    step `hello`: it has moved behind `all`, and overrides keep the order
    ");
    assert_snapshot!(difference(|text| {
        text.replace("epoch = 0", "epoch = 1").replace("[package.zlib]", "[package.zlob]")
            .replace("name = \"two\"", "name = \"three\"").replace("tree = {", "initramfs = {")
    }).unwrap_err(), @"
    the overrides in `overrides.json` cannot be used: 5 problems
    epoch: overrides do not change this
    package `zlib`: it is gone, and overrides take none away
    package.zlob: it is new: overrides change the packages there are
    phase `two`: it is gone, and overrides take none away
    phase `three`: it is new: overrides change the phases there are
    ");
}

/// Edits of the plan that overrides can say.
const EDITS: [(&str, &str); 12] = [
    ("\"--a\", \"--b\"", "\"--b\""),
    ("\"--a\", \"--b\"", "\"--a\", \"--b\", \"--c\""),
    ("env = { CC = \"gcc\" }", "env = { CC = \"clang\", X = \"1\" }"),
    ("env = { CC = \"gcc\" }\n", ""),
    ("destdir = \"/root\"\n", ""),
    ("env = { A = \"1\" }", "env = { C = \"3\" }"),
    ("[\"echo\", \"l${level}\"]", "[\"true\"]"),
    ("prefix = \"one-\"", "prefix = \"one-\", only = [\"zlib\"]"),
    ("text = \"x\"", "text = \"z\\n\""),
    (
        "  # It says",
        "  [phase.package.musl]\n  configure-flags-add = [\"--d\"]\n  env = { Q = \"1\" }\n  # It says",
    ),
    ("from = [\"./a\"]", "from = [\"./a\", \"./b\"]"),
    ("name = \"tree\"\n", "name = \"tree\"\n  limit = \"1min\"\n  env = { T = \"1\" }\n"),
];

proptest! {
    #[test]
    fn the_difference_of_two_plans_makes_one_of_the_other(a in 0_u32..4096, b in 0_u32..4096) {
        let edited = |bits: u32| {
            let chosen = EDITS.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
            chosen.fold(PLAN.to_owned(), |text, (_, (from, to))| text.replacen(from, to, 1))
        };
        let (old, new) = (edited(a), edited(b));
        let overrides = Overrides::diff(&old, &new).unwrap();
        let overrides = Overrides::from_json(&overrides.to_json()).unwrap();
        let made = overrides.apply(&old).unwrap();
        let vars = Vars::default();
        prop_assert_eq!(plan(&made, &vars), plan(&new, &vars), "{}\n{}", overrides.to_json(), made);
    }
}

#[test]
fn phases_in_one_list_are_an_error_and_not_left_as_they_are() {
    let head = "format = 1\nname = \"p\"\nepoch = 0\n";
    let phases = "phase = [{ name = \"a\", step = [{ name = \"s\", command = { argv = [\"true\"] } }] }]\n";
    let steps = "[[phase]]\nname = \"a\"\nstep = [{ name = \"s\", command = { argv = [\"true\"] } }]\n";
    let overrides =
        Overrides::from_json(r#"{"phases": {"a": {"steps": {"s": {"env": {"X": "1"}}}}}}"#).unwrap();
    let wrong = |plan: &str| overrides.apply(&format!("{head}{plan}")).unwrap_err().to_string();
    insta::assert_snapshot!(format!("{}\n{}", wrong(phases), wrong(steps)));
    // What has nothing to do with phases is good all the same.
    let env = Overrides::from_json(r#"{"env": {"X": "1"}}"#).unwrap();
    assert!(env.apply(&format!("{head}{phases}")).unwrap().contains("X = \"1\""));
}
