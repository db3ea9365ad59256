use super::*;
use crate::{PlanDiff, Selection, Vars, json_schema};

/// A plan whose head is fine.
fn toml(rest: &str) -> String {
    format!("format = 1\nname = \"demo\"\nepoch = 1735689600\n{rest}")
}

fn try_plan(text: &str, vars: &Vars) -> Result<Plan, Problems> {
    Spec::from_toml(text, vars).and_then(|spec| resolve(&spec))
}

#[track_caller]
fn good(rest: &str) -> Plan {
    try_plan(&toml(rest), &Vars::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn bad(rest: &str) -> String {
    try_plan(&toml(rest), &Vars::default()).map(|plan| panic!("resolved:\n{plan}")).unwrap_err().to_string()
}

const DISK: &str = r#"
[[phase]]
name = "build"

  [[phase.step]]
  name = "root"
  tree = { from = ["./root"], edits = [{ write = { path = "etc/hostname", text = "demo" } }] }

  [[phase.step]]
  name = "squash"
  squashfs = { from = "root" }

[[phase]]
name = "assemble"

  [[phase.step]]
  name = "disk"
  [phase.step.disk]
  partition = [
    { label = "ROOT", type = "root-x86-64", content = "squash" },
    { label = "DATA", type = "linux-data", size = "64MiB", fs = "ext4" },
  ]

  [[phase.step]]
  name = "boots"
  vm = { image = "disk", check = [{ name = "shell", run = "uname -r", equals = "6.1" }] }
"#;

#[test]
fn a_plan_reads_like_a_list_of_what_will_happen() {
    insta::assert_snapshot!(good(DISK), @"
    plan demo, epoch 1735689600
    build
      1. root    tree       ./root, 1 edits
      2. squash  squashfs   root
                 after root
    assemble
      3. disk    disk       GPT: ROOT, DATA
                 p1 ROOT  root-x86-64            fit          from squash
                 p2 DATA  linux-data           64MiB  ext4
                 after squash
      4. boots   vm         boot disk from disk, 1 checks
                 check shell
                 after disk
    ");
}

#[test]
fn a_graph_names_the_outputs() {
    insta::assert_snapshot!(good(DISK).to_dot(), @r#"
    digraph "demo" {
      rankdir = LR
      node [shape = box]
      subgraph cluster_0 {
        label = "build"
        "root" [label = "root\ntree"]
        "squash" [label = "squash\nsquashfs"]
      }
      subgraph cluster_1 {
        label = "assemble"
        "disk" [label = "disk\ndisk"]
        "boots" [label = "boots\nvm"]
      }
      "root" -> "squash"
      "squash" -> "disk"
      "disk" -> "boots"
    }
    "#);
}

#[test]
fn json_and_back_is_the_same_plan() {
    let plan = good(DISK);
    assert_eq!(serde_json::from_str::<Plan>(&plan.to_json()).unwrap(), plan);
}

#[test]
fn two_states_of_a_plan_can_be_compared() {
    let after = DISK
        .replace("text = \"demo\"", "text = \"other\"")
        .replace(
            "{ label = \"DATA\"",
            "{ label = \"MORE\", type = \"swap\", size = \"1MiB\" },\n    { label = \"DATA\"",
        )
        .replace("name = \"squash\"", "name = \"packed\"")
        .replace("content = \"squash\"", "content = \"packed\"");
    insta::assert_snapshot!(PlanDiff::between(&good(DISK), &good(&after)), @r#"
    - step squash
    ~ step root: tree.edits[0].write.text: "demo" → "other"
    + step packed (squashfs: root)
    ~ step disk: disk.partition[0].content: "squash" → "packed"
    - step disk: disk.partition[1].fs: "ext4"
    ~ step disk: disk.partition[1].label: "DATA" → "MORE"
    ~ step disk: disk.partition[1].size: "64MiB" → "1MiB"
    ~ step disk: disk.partition[1].type: "linux-data" → "swap"
    + step disk: disk.partition[2]: {"fs":"ext4","grow":false,"label":"DATA","owners":"root","size":"64MiB","type":"linux-data"}
    "#);
    assert!(PlanDiff::between(&good(DISK), &good(DISK)).is_empty());
}

#[test]
fn an_unknown_key_has_its_place_and_the_nearest_match() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  squashfs = { from = "./root", compresor = "zstd" }
"#), @r#"
    `plan.toml` is not a plan that can be run
    plan.toml:9:33: unknown key `compresor`: did you mean `compressor`
      |
    9 |   squashfs = { from = "./root", compresor = "zstd" }
      |                                 ^^^^^^^^^
    "#);
}

#[test]
fn what_no_squashfs_can_be_packed_with_has_its_place() {
    let packed = |how: &str| {
        bad(&format!(
            "\n[[phase]]\nname = \"build\"\n  [[phase.step]]\n  name = \"it\"\n  squashfs = {{ from = \"./root\", {how} }}\n"
        ))
    };
    let all = [
        r#"compressor = "zstd", level = 23"#,
        r#"compressor = "lz4", level = 1"#,
        r#"block-size = "2MiB""#,
        r#"block-size = "5000B""#,
    ];
    insta::assert_snapshot!(all.map(packed).join("\n"), @r#"
    `plan.toml` is not a plan that can be run
    plan.toml:9:3: zstd has no level 23: write one from 1 to 22
      |
    9 |   squashfs = { from = "./root", compressor = "zstd", level = 23 }
      |   ^^^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:9:3: lz4 has no levels: leave `level` out; the slow and small way of `lz4` is `lz4hc`
      |
    9 |   squashfs = { from = "./root", compressor = "lz4", level = 1 }
      |   ^^^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:9:3: `block-size` is 2MiB: write a power of two from 4KiB to 1MiB
      |
    9 |   squashfs = { from = "./root", block-size = "2MiB" }
      |   ^^^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:9:3: `block-size` is 5000B: write a power of two from 4KiB to 1MiB
      |
    9 |   squashfs = { from = "./root", block-size = "5000B" }
      |   ^^^^^^^^
    "#);
}

#[test]
fn an_unknown_kind_has_its_place() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  squahsfs = { from = "./root" }
"#), @r#"
    `plan.toml` is not a plan that can be run
    plan.toml:9:3: unknown kind of step or key `squahsfs`: did you mean `squashfs`
      |
    9 |   squahsfs = { from = "./root" }
      |   ^^^^^^^^
    "#);
}

#[test]
fn unknown_references_have_their_places() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  tree = { from = ["rot", "root", "fs/image"] }
  [[phase.step]]
  name = "fs"
  squashfs = { from = "root/treee" }
"#), @r#"
    `plan.toml` is not a plan that can be run: 3 problems
    plan.toml:9:20: unknown step `rot`: did you mean `root`; a path begins with `./`
      |
    9 |   tree = { from = ["rot", "root", "fs/image"] }
      |                    ^^^^^
    plan.toml:9:27: step `root` takes something from itself
      |
    9 |   tree = { from = ["rot", "root", "fs/image"] }
      |                           ^^^^^^
    plan.toml:12:23: step `root`: unknown output `treee`: did you mean `tree`
       |
    12 |   squashfs = { from = "root/treee" }
       |                       ^^^^^^^^^^^^
    "#);
}

#[test]
fn what_is_not_of_its_kind_is_said_once_in_words_of_plans() {
    let edits = |edit: &str| {
        bad(&format!(
            "[[phase]]\nname = \"p\"\n[[phase.step]]\nname = \"s\"\ntree = {{ from = [], edits = [{edit}] }}"
        ))
    };
    insta::assert_snapshot!([r#"{ delete = "a" }"#, r#"{ remove = "a" }"#, "{}", "7"].map(edits).join("\n"), @r#"
    `plan.toml` is not a plan that can be run
    plan.toml:8:32: unknown word `delete`: use one of `write`, `symlink`, `remove`, `mkdir`, `chmod`, `chown`, `copy`, `truncate`
      |
    8 | tree = { from = [], edits = [{ delete = "a" }] }
      |                                ^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:8:41: a table is wanted here, not the text "a"
      |
    8 | tree = { from = [], edits = [{ remove = "a" }] }
      |                                         ^^^
    `plan.toml` is not a plan that can be run
    plan.toml:8:30: one key is wanted here: there is none
      |
    8 | tree = { from = [], edits = [{}] }
      |                              ^^
    `plan.toml` is not a plan that can be run
    plan.toml:8:30: a word or a table with one key is wanted here
      |
    8 | tree = { from = [], edits = [7] }
      |                              ^
    "#);
}

#[test]
fn two_problems_are_said_at_once() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "disk"
  disk = { partition = [
    { label = "A", type = "epsilon", size = "10MB" },
    { label = "B", tipe = "esp", size = "fit" },
  ] }
  [[phase.step]]
  name = "Disk"
  fetch = { url = "http://example.org/a", sha256 = "abc" }
"#), @r#"
    `plan.toml` is not a plan that can be run: 5 problems
    plan.toml:10:27: unknown word `epsilon`: use one of `esp`, `xbootldr`, `root-x86-64`, `root-arm64`, `linux-data`, `swap`, `bios-boot`, `chromeos-kernel`, `chromeos-rootfs`, `chromeos-reserved`, `a type GUID`
       |
    10 |     { label = "A", type = "epsilon", size = "10MB" },
       |                           ^^^^^^^^^
    plan.toml:10:45: `10MB` is not a size: write a whole number and B, KiB, MiB or GiB, such as `32MiB`
       |
    10 |     { label = "A", type = "epsilon", size = "10MB" },
       |                                             ^^^^^^
    plan.toml:11:20: unknown key `tipe`: did you mean `type`
       |
    11 |     { label = "B", tipe = "esp", size = "fit" },
       |                    ^^^^
    plan.toml:14:10: `Disk` cannot be a name: use 1 to 40 of a-z, 0-9, `_` and `-`, starting with a letter or a digit
       |
    14 |   name = "Disk"
       |          ^^^^^^
    plan.toml:15:52: `abc` is not a SHA-256: write its 64 hexadecimal digits, as `sha256sum FILE` prints them
       |
    15 |   fetch = { url = "http://example.org/a", sha256 = "abc" }
       |                                                    ^^^^^
    "#);
}

#[test]
fn an_unknown_variable_has_its_place() {
    insta::assert_snapshot!(bad(r#"
[vars.board]
default = "dedede"
choices = ["octopus", "zork"]
[vars.shim]
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  tree = { from = ["./${bord}"] }
"#), @r#"
    `plan.toml` is not a plan that can be run: 3 problems
    plan.toml:5:7: `board` cannot be `dedede` (from default): use one of octopus, zork
      |
    5 | [vars.board]
      |       ^^^^^
    plan.toml:8:7: `shim` has no value: pass `--var shim=…`
      |
    8 | [vars.shim]
      |       ^^^^
    plan.toml:13:20: unknown variable `bord`: did you mean `board`
       |
    13 |   tree = { from = ["./${bord}"] }
       |                    ^^^^^^^^^^^
    "#);
}

#[test]
fn variables_come_from_the_command_line_then_the_environment_then_the_default() {
    let text = toml(
        r#"
[vars.board]
default = "dedede"
env = "BOARD"
[vars.cpus]
type = "int"
default = 2
max = 8
[vars.token]
secret = true
default = "hunter2"
[machine.m]
cpus = "${cpus}"
[[phase]]
name = "build"
  [[phase.step]]
  name = "say"
  when = { not = { var = "board", in = ["zork"] } }
  command = { argv = ["echo", "${board}", "$${HOME}", "${out}"] }
"#,
    );
    let plan = |vars: &Vars| try_plan(&text, vars).unwrap_or_else(|problems| panic!("{problems}"));
    let mut vars = Vars::default();
    insta::assert_snapshot!(plan(&vars), @"
    plan demo, epoch 1735689600
      board = dedede (default)
      cpus = 2 (default)
      token = [secret] (default)
    build
      1. say  command    echo dedede $${HOME} ${out}
    ");
    assert_eq!(plan(&vars).machines()["m"].cpus, Some(2));
    vars.env.insert("BOARD".into(), "octopus".into());
    assert_eq!(plan(&vars).vars["board"].from, "env BOARD");
    vars.given.insert("board".into(), "zork".into());
    insta::assert_snapshot!(plan(&vars).step("say").unwrap().skipped.clone().unwrap(), @"when: `board` is `zork`");
    vars.given.insert("cpus".into(), "9".into());
    vars.given.insert("bord".into(), "9".into());
    insta::assert_snapshot!(try_plan(&text, &vars).unwrap_err(), @"
    `plan.toml` is not a plan that can be run: 2 problems
    plan.toml:5:2: unknown variable `bord`: did you mean `board`, in `--var bord=…`
      |
    5 | [vars.board]
      |  ^^^^
    plan.toml:8:7: `cpus` cannot be `9` (from --var): use at most 8
      |
    8 | [vars.cpus]
      |       ^^^^
    ");
}

#[test]
fn steps_that_wait_for_each_other_are_named() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "a"
  squashfs = { from = "b" }
  [[phase.step]]
  name = "b"
  unpack = { from = "a" }
"#), @r#"
    `plan.toml` is not a plan that can be run
    plan.toml:8:10: these steps wait for each other: a, b
      |
    8 |   name = "a"
      |          ^^^
    "#);
}

#[test]
fn rules_between_parameters_are_checked() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "one"
  [[phase.step]]
  name = "disk"
  disk = { partition = [
    { label = "a label that is longer than a partition table can hold", type = "esp" },
    { label = "rest", type = "linux-data", grow = true },
  ] }
  [[phase.step]]
  name = "boots"
  vm = { machine = "laptop", image = "late", check = [{ name = "nothing" }] }
[[phase]]
name = "two"
  [[phase.step]]
  name = "late"
  disk = { sector-size = "1KiB", partition = [] }
  [[phase.step]]
  name = "late"
  command = { argv = [], outputs = { it = {} } }
"#), @r#"
    `plan.toml` is not a plan that can be run: 10 problems
    plan.toml:10:15: label `a label that is longer than a partition table can hold` has 54 UTF-16 units, and GPT has room for 36: shorten it
       |
    10 |     { label = "a label that is longer than a partition table can hold", type = "esp" },
       |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:11:15: partition `rest` takes a part of the disk, which has no `size`: give the disk one
       |
    11 |     { label = "rest", type = "linux-data", grow = true },
       |               ^^^^^^
    plan.toml:15:20: unknown machine `laptop`: there are none
       |
    15 |   vm = { machine = "laptop", image = "late", check = [{ name = "nothing" }] }
       |                    ^^^^^^^^
    plan.toml:15:38: step `late` is in a later phase: phases go forward only
       |
    15 |   vm = { machine = "laptop", image = "late", check = [{ name = "nothing" }] }
       |                                      ^^^^^^
    plan.toml:15:64: check `nothing` needs exactly one of `console`, `screen`, `run`, `ssh`, `wait-unit`, `wait-ip`, `wait-file`, `screenshot`, `copy-in`, `copy-out`, `reboot = true` and `power-off = true`
       |
    15 |   vm = { machine = "laptop", image = "late", check = [{ name = "nothing" }] }
       |                                                                ^^^^^^^^^
    plan.toml:20:3: this disk has no partitions: add a `partition`
       |
    20 |   disk = { sector-size = "1KiB", partition = [] }
       |   ^^^^
    plan.toml:20:3: sectors of 1KiB do not exist: use `512B` or `4KiB`
       |
    20 |   disk = { sector-size = "1KiB", partition = [] }
       |   ^^^^
    plan.toml:22:10: `late` is the name of an earlier step: names are unique in a plan
       |
    22 |   name = "late"
       |          ^^^^^^
    plan.toml:23:3: `argv` is empty: begin it with the program
       |
    23 |   command = { argv = [], outputs = { it = {} } }
       |   ^^^^^^^
    plan.toml:23:3: output `it` needs exactly one of `path` and `glob`
       |
    23 |   command = { argv = [], outputs = { it = {} } }
       |   ^^^^^^^
    "#);
}

#[test]
fn a_step_after_what_it_needs_and_effects_where_they_are() {
    let plan = good(
        r#"
[[phase]]
name = "one"
  [[phase.step]]
  name = "b"
  squashfs = { from = "a" }
  [[phase.step]]
  name = "a"
  tree = { from = ["./a"] }
  [[phase.step]]
  name = "c"
  tree = { from = ["./c"] }
[[phase]]
name = "two"
  [[phase.step]]
  name = "effect"
  command = { argv = ["true"] }
  [[phase.step]]
  name = "d"
  tree = { from = ["./d"] }
"#,
    );
    let order: Vec<&str> = plan.steps().map(|step| step.id.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "effect", "d"]);
    let select = |phases: &[&str], steps: &[&str]| {
        let texts = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect();
        let selection = Selection { phases: texts(phases), steps: texts(steps), ..Selection::default() };
        let ids =
            |steps: Vec<&Step>| steps.iter().map(|step| step.id.to_string()).collect::<Vec<_>>().join(" ");
        selection.steps(&plan, None).map_or_else(|error| error.to_string(), ids)
    };
    assert_eq!(select(&[], &[]), "a b c effect d");
    assert_eq!(select(&[], &["b"]), "a b");
    assert_eq!(select(&["two"], &[]), "effect d");
    assert_eq!(select(&["two"], &["d"]), "d");
    assert_eq!(select(&["one"], &["d"]), "no step is selected, so nothing would be proved");
    assert_eq!(select(&["on"], &[]), "unknown phase `on`: did you mean `one`");
}

#[test]
fn a_step_that_would_prove_nothing_is_a_problem() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "one"
  [[phase.step]]
  name = "disk"
  disk = { partition = [] }
  [[phase.step]]
  name = "looks-right"
  inspect = { image = "disk", expect = [] }
  [[phase.step]]
  name = "looks-right-too"
  inspect = { image = "disk", expect = [{}, { partition = "ROOT", contains = "x" }] }
  [[phase.step]]
  name = "boots"
  vm = { image = "disk", check = [] }
  [[phase.step]]
  name = "boots-too"
  vm = { image = "disk", check = [{ name = "shell", console = "" }] }
"#), @r#"
    `plan.toml` is not a plan that can be run: 6 problems
    plan.toml:9:3: this disk has no partitions: add a `partition`
      |
    9 |   disk = { partition = [] }
      |   ^^^^
    plan.toml:12:3: without an `expect` nothing is proved: write down what must be true
       |
    12 |   inspect = { image = "disk", expect = [] }
       |   ^^^^^^^
    plan.toml:15:3: an expectation that says nothing proves nothing: fill it in
       |
    15 |   inspect = { image = "disk", expect = [{}, { partition = "ROOT", contains = "x" }] }
       |   ^^^^^^^
    plan.toml:15:78: `contains` is about the file at `path`: add the `path`
       |
    15 |   inspect = { image = "disk", expect = [{}, { partition = "ROOT", contains = "x" }] }
       |                                                                              ^^^
    plan.toml:18:3: without a `check` nothing is proved: write down what must be seen
       |
    18 |   vm = { image = "disk", check = [] }
       |   ^^
    plan.toml:21:44: check `shell` looks for nothing: write what must be seen or run
       |
    21 |   vm = { image = "disk", check = [{ name = "shell", console = "" }] }
       |                                            ^^^^^^^
    "#);
}

#[test]
fn what_is_not_toml_has_its_place() {
    insta::assert_snapshot!(bad("[[phase]\n"), @"
    `plan.toml` is not a plan that can be run
    plan.toml:4:9: this is not TOML: unclosed array table, expected `]`
      |
    4 | [[phase]
      |         ^
    ");
    insta::assert_snapshot!(try_plan("", &Vars::default()).unwrap_err(), @"
    `plan.toml` is not a plan that can be run
    plan.toml:1:1: `format` is missing here: add it
      |
    1 | 
      | ^
    ");
}

#[test]
fn the_schema_knows_every_kind() {
    let schema = json_schema();
    let step = &schema["definitions"]["Step"];
    for kind in Action::KINDS {
        assert!(step["properties"][kind].is_object(), "{kind}");
    }
    assert_eq!(step["oneOf"].as_array().map(Vec::len), Some(Action::KINDS.len()));
}

const CONDITIONS: &str = r#"
[vars.drivers]
default = "vendor"
choices = ["vendor", "inject", "both", "none"]

[vars.recovery]
type = "path"
default = ""

[vars.vendor]
when = { var = "drivers", in = ["vendor", "both"] }

[vars.modules]
when = { not = { var = "drivers", is = "none" } }

[[phase]]
name = "build"

  [[phase.step]]
  name = "shim"
  harvest = { image = "./shim.bin", recovery = "${recovery}", modules = "${modules}" }

  [[phase.step]]
  name = "root"
  [phase.step.tree]
  from = [
    { source = "./root", drop = ["lib/modules"], when = { not = { var = "vendor", is = "true" } } },
    { source = "./root", when = { var = "vendor", is = "true" } },
    { source = "shim/drivers", when = { var = "drivers", in = ["inject", "both"] } },
  ]
  edits = [
    { truncate = { path = "etc/machine-id" } },
    { mkdir = { path = "vendor" }, when = { var = "vendor", is = "true" } },
    { when = { var = "recovery", set = true }, write = { path = "etc/date", text = "${epoch} ${epoch-date}" } },
  ]

  [[phase.step]]
  name = "disk"
  [phase.step.disk]
  [[phase.step.disk.partition]]
  label = "KERNEL"
  type = "chromeos-kernel"
  content = "shim/kernel"
  [[phase.step.disk.partition]]
  label = "vendor"
  type = "linux-data"
  size = { of = "files", percent = 115, plus = "20MiB" }
  fs = "ext4"
  content = "shim/drivers"
  when = { var = "vendor", is = "true" }
  [[phase.step.disk.partition]]
  label = "root"
  type = "linux-data"
  fs = "ext4"
  content = "root"
"#;

/// Elements of arrays whose `when` does not hold are as if they had not been written.
#[test]
fn elements_come_and_go_with_their_conditions() {
    let shown = |given: &[(&str, &str)]| {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let vars = Vars { given, ..Vars::default() };
        let plan = try_plan(&toml(CONDITIONS), &vars).unwrap_or_else(|problems| panic!("{problems}"));
        let tree = serde_json::to_string(&plan.step("root").unwrap().action).unwrap();
        format!("{plan}\n{tree}")
    };
    insta::assert_snapshot!(shown(&[]), @r#"
    plan demo, epoch 1735689600
      drivers = vendor (default)
      modules = true (`drivers` is `vendor`)
      recovery =  (default)
      vendor = true (`drivers` is `vendor`)
    build
      1. shim  harvest    ./shim.bin
      2. root  tree       ./root, 2 edits
      3. disk  disk       GPT: KERNEL, vendor, root
               p1 KERNEL  chromeos-kernel        fit          from shim/kernel
               p2 vendor  linux-data        115% of files + 20MiB  ext4    from shim/drivers
               p3 root    linux-data             fit  ext4    from root
               after shim, root

    {"tree":{"from":[{"source":"./root","at":""}],"edits":[{"truncate":{"path":"etc/machine-id"}},{"mkdir":{"path":"vendor","mode":"0755"}}],"owners":"root"}}
    "#);
    insta::assert_snapshot!(shown(&[("drivers", "both"), ("recovery", "reco.bin")]), @r#"
    plan demo, epoch 1735689600
      drivers = both (--var)
      modules = true (`drivers` is `both`)
      recovery = ./reco.bin (--var)
      vendor = true (`drivers` is `both`)
    build
      1. shim  harvest    ./shim.bin, firmware of ./reco.bin
      2. root  tree       ./root + shim/drivers, 3 edits
               after shim
      3. disk  disk       GPT: KERNEL, vendor, root
               p1 KERNEL  chromeos-kernel        fit          from shim/kernel
               p2 vendor  linux-data        115% of files + 20MiB  ext4    from shim/drivers
               p3 root    linux-data             fit  ext4    from root
               after shim, root

    {"tree":{"from":[{"source":"./root","at":""},{"source":"shim/drivers","at":""}],"edits":[{"truncate":{"path":"etc/machine-id"}},{"mkdir":{"path":"vendor","mode":"0755"}},{"write":{"path":"etc/date","text":"1735689600 2025-01-01T00:00:00Z","mode":"0644"}}],"owners":"root"}}
    "#);
    insta::assert_snapshot!(shown(&[("drivers", "none")]), @r#"
    plan demo, epoch 1735689600
      drivers = none (--var)
      modules = false (`drivers` is `none`)
      recovery =  (default)
      vendor = false (`drivers` is `none`)
    build
      1. shim  harvest    ./shim.bin
      2. root  tree       ./root, 1 edits
      3. disk  disk       GPT: KERNEL, root
               p1 KERNEL  chromeos-kernel        fit          from shim/kernel
               p2 root    linux-data             fit  ext4    from root
               after shim, root

    {"tree":{"from":[{"source":"./root","at":"","drop":["lib/modules"]}],"edits":[{"truncate":{"path":"etc/machine-id"}}],"owners":"root"}}
    "#);
}

#[test]
fn a_condition_that_cannot_be_decided_has_its_place() {
    let written = |element: &str| {
        bad(&format!(
            "[vars.drivers]\ndefault = \"x\"\n[[phase]]\nname = \"build\"\n[[phase.step]]\nname = \"root\"\n[phase.step.tree]\nfrom = [\n{element}\n]\n"
        ))
    };
    let all = [
        r#"{ source = "./a", when = { var = "driver", is = "x" } }"#,
        r#"{ source = "./a", when = { var = "drivers" } }"#,
        r#"{ source = "./a", when = { vars = "drivers", is = "x" } }"#,
        r#"{ source = "./a", when = "drivers" }"#,
        r#"{ source = "./a", when = { all = [] } }"#,
    ];
    insta::assert_snapshot!(all.map(written).join("\n"), @r#"
    `plan.toml` is not a plan that can be run
    plan.toml:12:26: this `when`: unknown variable `driver`: did you mean `drivers`
       |
    12 | { source = "./a", when = { var = "driver", is = "x" } }
       |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:12:26: this `when`: a condition on a variable has exactly one of `is`, `in` and `set`
       |
    12 | { source = "./a", when = { var = "drivers" } }
       |                          ^^^^^^^^^^^^^^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:12:28: unknown key `vars`: did you mean `var`
       |
    12 | { source = "./a", when = { vars = "drivers", is = "x" } }
       |                            ^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:12:26: a table is wanted here, not the text "drivers"
       |
    12 | { source = "./a", when = "drivers" }
       |                          ^^^^^^^^^
    `plan.toml` is not a plan that can be run
    plan.toml:12:26: this `when`: a condition has exactly one of `var`, `all`, `any` and `not`
       |
    12 | { source = "./a", when = { all = [] } }
       |                          ^^^^^^^^^^^^
    "#);
}

#[test]
fn a_variable_that_follows_from_others_is_nobody_elses_to_say() {
    let text = toml(
        r#"
[vars.both]
when = { var = "later", is = "x" }
[vars.later]
default = "x"
[vars.it]
default = true
when = { var = "later", is = "x" }
[vars.said]
when = { var = "later", is = "x" }
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  tree = { from = ["./a"] }
"#,
    );
    let given = [("said".to_owned(), "true".to_owned())].into();
    insta::assert_snapshot!(try_plan(&text, &Vars { given, ..Vars::default() }).unwrap_err(), @"
    `plan.toml` is not a plan that can be run: 3 problems
    plan.toml:5:7: the `when` of `both`: unknown variable `later`: there are none; what it is about is written before it
      |
    5 | [vars.both]
      |       ^^^^
    plan.toml:9:7: a variable with a `when` is true or false by it: it has nothing else but `help`
      |
    9 | [vars.it]
      |       ^^
    plan.toml:12:7: `said` follows from other variables: give those with `--var`
       |
    12 | [vars.said]
       |       ^^^^
    ");
}

#[test]
fn what_is_said_about_a_file_system_must_be_possible() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "disk"
  [phase.step.disk]
  partition = [
    { label = "a", type = "esp", fs = "fat32", fs-label = "twelve bytes", size = "64MiB" },
    { label = "b", type = "swap", fs = "ext2", fs-label = "seventeen bytes 7", journal = true, size = "64MiB" },
    { label = "c", type = "swap", fs-label = "none", min-content = "1MiB", size = "64MiB" },
    { label = "shimboot_rootfs:a-name-of-twenty-one1", type = "swap", size = "64MiB" },
  ]
  [[phase.step]]
  name = "two"
  [phase.step.disk]
  table = "none"
  partition = [{ label = "a", type = "swap", size = "1MiB" }, { label = "b", type = "swap", size = "1MiB" }]
"#), @r#"
    `plan.toml` is not a plan that can be run: 7 problems
    plan.toml:11:59: `fs-label` `twelve bytes` has 12 bytes, fat32 has room for 11: shorten it
       |
    11 |     { label = "a", type = "esp", fs = "fat32", fs-label = "twelve bytes", size = "64MiB" },
       |                                                           ^^^^^^^^^^^^^^
    plan.toml:12:15: partition `b` asks for a journal, which only ext4 has: write `fs = "ext4"`
       |
    12 |     { label = "b", type = "swap", fs = "ext2", fs-label = "seventeen bytes 7", journal = true, size = "64MiB" },
       |               ^^^
    plan.toml:12:59: `fs-label` `seventeen bytes 7` has 17 bytes, ext2 has room for 16: shorten it
       |
    12 |     { label = "b", type = "swap", fs = "ext2", fs-label = "seventeen bytes 7", journal = true, size = "64MiB" },
       |                                                           ^^^^^^^^^^^^^^^^^^^
    plan.toml:13:15: partition `c` has a `min-content` and no `content`: add one
       |
    13 |     { label = "c", type = "swap", fs-label = "none", min-content = "1MiB", size = "64MiB" },
       |               ^^^
    plan.toml:13:46: partition `c` has an `fs-label` and no `fs`: add one
       |
    13 |     { label = "c", type = "swap", fs-label = "none", min-content = "1MiB", size = "64MiB" },
       |                                              ^^^^^^
    plan.toml:14:15: label `shimboot_rootfs:a-name-of-twenty-one1` has 37 UTF-16 units, and GPT has room for 36: shorten it; behind `shimboot_rootfs:` there is room for 20
       |
    14 |     { label = "shimboot_rootfs:a-name-of-twenty-one1", type = "swap", size = "64MiB" },
       |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:18:15: without a table there is one partition, not 2: leave `table` out
       |
    18 |   [phase.step.disk]
       |               ^^^^
    "#);
}

#[test]
fn a_machine_that_starts_as_a_chromebook_is_said_in_one_line() {
    let plan = good(
        r#"
[[phase]]
name = "prove"

  [[phase.step]]
  name = "boots"
  vm = { image = "./shim.bin", boot = "chromeos", check = [
    { name = "menu", screen = "Choose", type = "1\n", within = "2min" },
    { name = "serial menu", console = "menu", type = "é\n" },
  ] }
"#,
    );
    insta::assert_snapshot!(plan, @"
    plan demo, epoch 1735689600
    prove
      1. boots  vm         boot ./shim.bin as a Chromebook would, 2 checks
                check menu within 2min
                check serial menu
    ");
    let step = plan.steps().next().unwrap();
    let Action::Vm(vm) = &step.action else { panic!("a vm") };
    assert_eq!(vm.attach(), crate::step::Attach::Usb);
}

#[test]
fn what_a_chromebook_cannot_do_is_said_where_it_is_written() {
    insta::assert_snapshot!(bad(r#"
[[phase]]
name = "prove"

  [[phase.step]]
  name = "nothing"
  vm = { boot = "chromeos", attach = "sd", check = [{ name = "up", console = "x" }] }

  [[phase.step]]
  name = "kernel"
  vm = { boot = "chromeos", image = "./a", kernel = "./vmlinuz", check = [{ name = "up", console = "x" }] }

  [[phase.step]]
  name = "screen"
  vm = { image = "./a", check = [{ name = "sees", screen = "x" }] }

  [[phase.step]]
  name = "types"
  vm = { image = "./a", boot = "chromeos", check = [
    { name = "when", run = "x", type = "x" },
    { name = "no key", screen = "x", type = "é" },
    { name = "no text", console = "x", type = "" },
    { name = "two", console = "x", screen = "x" },
    { name = "empty", screen = " " },
  ] }
"#), @r#"
    `plan.toml` is not a plan that can be run: 9 problems
    plan.toml:10:3: a machine with `boot = "chromeos"` needs an `image`
       |
    10 |   vm = { boot = "chromeos", attach = "sd", check = [{ name = "up", console = "x" }] }
       |   ^^
    plan.toml:10:3: `attach` is about the disk: add its `image`
       |
    10 |   vm = { boot = "chromeos", attach = "sd", check = [{ name = "up", console = "x" }] }
       |   ^^
    plan.toml:14:53: with `boot = "chromeos"` the kernel is the one on the disk: leave out `kernel` and `initrd`
       |
    14 |   vm = { boot = "chromeos", image = "./a", kernel = "./vmlinuz", check = [{ name = "up", console = "x" }] }
       |                                                     ^^^^^^^^^^^
    plan.toml:18:43: check `sees` looks at the screen, and this machine has none: add `screen = true` to it, or use `console`
       |
    18 |   vm = { image = "./a", check = [{ name = "sees", screen = "x" }] }
       |                                           ^^^^^^
    plan.toml:23:14: check `when` has `type` without `console` or `screen`: say when it is typed
       |
    23 |     { name = "when", run = "x", type = "x" },
       |              ^^^^^^
    plan.toml:24:14: check `no key` types 'é', which has no key: use printable ASCII, `\n`, `\t` and `\u001B`
       |
    24 |     { name = "no key", screen = "x", type = "é" },
       |              ^^^^^^^^
    plan.toml:25:14: check `no text` types nothing: write what, or leave out `type`
       |
    25 |     { name = "no text", console = "x", type = "" },
       |              ^^^^^^^^^
    plan.toml:26:14: check `two` needs exactly one of `console`, `screen`, `run`, `ssh`, `wait-unit`, `wait-ip`, `wait-file`, `screenshot`, `copy-in`, `copy-out`, `reboot = true` and `power-off = true`
       |
    26 |     { name = "two", console = "x", screen = "x" },
       |              ^^^^^
    plan.toml:27:14: check `empty` looks for nothing: write what must be seen or run
       |
    27 |     { name = "empty", screen = " " },
       |              ^^^^^^^
    "#);
}
