use crate::{Facts, Grid, Plan, Profile, Spec, System, Vars, resolve};

/// A target with three profiles and three variants.
const HEAD: &str = r#"
format = 1
name = "swarm"
epoch = 1735689600
"#;

const TARGET: &str = r#"
[target.test-origin]
profiles = ["default", "low-latency", "stress-test"]
attribute = "test-origin-${profile}-${variant}"

[target.test-origin.variants.runner]
help = "a local script"

[target.test-origin.variants.container]
kind = "container"
container = { ports = ["8080:17080", "9100"], env = { PROFILE = "${profile}" } }

[target.test-origin.variants.vm]
platforms = ["linux"]
needs = { kvm = "required" }
instead = ["runner", "container"]

[target.test-origin.env]
CLIENTS = { flag = "--clients", also = ["-c"] }
METRICS_PORT = { flag = "--metrics-port", default = 9100 }
PROFILE = { default = "${profile}" }
"#;

#[track_caller]
fn plan(target: &str) -> Plan {
    let vars = Vars::default();
    let spec = Spec::from_toml(&format!("{HEAD}{target}"), &vars).unwrap_or_else(|it| panic!("{it}"));
    resolve(&spec).unwrap_or_else(|it| panic!("{it}"))
}

#[track_caller]
fn wrong(target: &str) -> String {
    let text = format!("{HEAD}{target}");
    let plan = Spec::from_toml(&text, &Vars::default()).and_then(|spec| resolve(&spec));
    plan.map(|plan| plan.to_json()).unwrap_err().to_string()
}

fn profiles(names: &[&str]) -> Vec<Profile> {
    names.iter().map(|name| Profile::try_from((*name).to_owned()).unwrap()).collect()
}

fn grid(plan: &Plan) -> Grid<'_> {
    let (name, target) = plan.targets().iter().next().unwrap();
    Grid::new(name, target, profiles(&["default", "low-latency", "stress-test"])).unwrap()
}

fn linux() -> System {
    System::of("x86_64", "linux")
}

#[test]
fn a_plan_may_have_targets_and_no_steps() {
    assert_eq!(plan(TARGET).steps().count(), 0);
}

#[test]
fn variants_keep_the_order_of_the_file() {
    let plan = plan(TARGET);
    let cells: Vec<String> = grid(&plan).cells().take(4).map(|cell| cell.to_string()).collect();
    assert_eq!(
        cells,
        [
            "test-origin/default/runner",
            "test-origin/default/container",
            "test-origin/default/vm",
            "test-origin/low-latency/runner"
        ]
    );
}

#[test]
fn a_plan_with_targets_survives_its_json() {
    let plan = plan(TARGET);
    let again: Plan = serde_json::from_str(&plan.to_json()).unwrap();
    assert_eq!(again, plan);
}

#[test]
fn the_attribute_is_filled_in_by_profile_and_variant() {
    let plan = plan(TARGET);
    let grid = grid(&plan);
    let cell = grid.choose(Some("low-latency"), Some("container")).unwrap();
    assert_eq!(cell.attribute(&linux()), "test-origin-low-latency-container");
    assert_eq!(cell.image(&linux()), "test-origin-low-latency-container:latest");
}

/// `profile` is a place in a target even where the plan has a variable of that name.
#[test]
fn variables_do_not_reach_the_places_of_a_target() {
    let text = format!(
        "[vars.profile]\ndefault = \"nope\"\n[vars.prefix]\ndefault = \"origin\"\n{}",
        TARGET.replace("\"test-origin-${profile}-", "\"${prefix}-$${x}-${profile}-")
    );
    let plan = plan(&text);
    let grid = grid(&plan);
    assert_eq!(grid.choose(None, None).unwrap().attribute(&linux()), "origin-${x}-default-runner");
}

#[test]
fn the_first_profile_and_variant_are_the_defaults_unless_said() {
    let without = plan(TARGET);
    assert_eq!(grid(&without).choose(None, None).unwrap().to_string(), "test-origin/default/runner");
    let said = TARGET
        .replace("attribute =", "default-profile = \"stress-test\"\ndefault-variant = \"vm\"\nattribute =");
    let with = plan(&said);
    assert_eq!(grid(&with).choose(None, None).unwrap().to_string(), "test-origin/stress-test/vm");
}

#[test]
fn what_is_not_there_is_said_with_all_there_is() {
    let plan = plan(&TARGET.replace("platforms = [\"linux\"]", "profiles = [\"default\"]"));
    let grid = grid(&plan);
    let mut said = String::new();
    for (profile, variant) in [
        ("nope", None),
        ("runner", None),
        ("low-latenzy", None),
        ("default", Some("vn")),
        ("stress-test", Some("vm")),
    ] {
        let error = grid.choose(Some(profile), variant).unwrap_err();
        said += &format!("{error}\n  hint: {}\n", error.hint().unwrap_or_default());
    }
    insta::assert_snapshot!(said, @"
    Unknown test-origin profile 'nope'. Available: default, low-latency, stress-test
      hint: 
    Unknown test-origin profile 'runner'. Available: default, low-latency, stress-test
      hint: `runner` is a variant: the profile comes first, `default runner`
    Unknown test-origin profile 'low-latenzy'. Available: default, low-latency, stress-test
      hint: did you mean `low-latency`
    Unknown test-origin variant 'vn'. Available: runner, container, vm
      hint: did you mean `vm`
    test-origin has no variant 'vm' of profile 'stress-test'. Available: runner, container
      hint:
    ");
}

#[test]
fn every_problem_of_a_target_is_said_at_once_and_where_it_is() {
    insta::assert_snapshot!(wrong(r#"
[target.test-origin]
profiles = ["default", "low-latency", "default"]
default-profile = "defautl"
default-variant = "runer"
attribute = "test-origin-${variant}-${path}"

[target.test-origin.variants.runner]
instead = ["runner", "containr"]
profiles = ["low-latenci"]

[target.test-origin.variants.container]
container = { ports = ["http"], tmpfs = ["tmp"], healthcheck = { test = ["wget", "||", "exit", "1"] } }

[target.test-origin.env]
"A-B" = { flag = "clients=" }
C = { also = ["-c"] }
"#), @r#"
    `plan.toml` is not a plan that can be run: 16 problems
    plan.toml:7:12: profile `default` is in the list twice
      |
    7 | profiles = ["default", "low-latency", "default"]
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:8:19: unknown profile `defautl`: did you mean `default`
      |
    8 | default-profile = "defautl"
      |                   ^^^^^^^^^
    plan.toml:9:19: unknown variant `runer`: did you mean `runner`
      |
    9 | default-variant = "runer"
      |                   ^^^^^^^
    plan.toml:10:13: `${path}` is not known here
       |
    10 | attribute = "test-origin-${variant}-${path}"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:10:13: all 3 profiles of variant `container` would be `test-origin-${variant}-${path}`: put `${profile}` into it, or say which of the `profiles` it is for
       |
    10 | attribute = "test-origin-${variant}-${path}"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:13:11: `runner` cannot be named instead of itself
       |
    13 | instead = ["runner", "containr"]
       |           ^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:13:11: unknown variant `containr`: did you mean `container`
       |
    13 | instead = ["runner", "containr"]
       |           ^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:14:12: unknown profile `low-latenci`: did you mean `low-latency`
       |
    14 | profiles = ["low-latenci"]
       |            ^^^^^^^^^^^^^^^
    plan.toml:17:1: `container` is about a variant with `kind = "container"`: add that
       |
    17 | container = { ports = ["http"], tmpfs = ["tmp"], healthcheck = { test = ["wget", "||", "exit", "1"] } }
       | ^^^^^^^^^
    plan.toml:17:23: `http` is not a port: write `HOST:CONTAINER` or `PORT`, `8080:80`
       |
    17 | container = { ports = ["http"], tmpfs = ["tmp"], healthcheck = { test = ["wget", "||", "exit", "1"] } }
       |                       ^^^^^^^^
    plan.toml:17:41: `tmp` is not a directory of the container: begin it with `/`
       |
    17 | container = { ports = ["http"], tmpfs = ["tmp"], healthcheck = { test = ["wget", "||", "exit", "1"] } }
       |                                         ^^^^^^^
    plan.toml:17:50: `||` is for a shell, and there is none: `test = ["sh", "-c", "…"]`
       |
    17 | container = { ports = ["http"], tmpfs = ["tmp"], healthcheck = { test = ["wget", "||", "exit", "1"] } }
       |                                                  ^^^^^^^^^^^
    plan.toml:20:1: `A-B` cannot be an environment variable: use letters, digits and `_`, a letter first
       |
    20 | "A-B" = { flag = "clients=" }
       | ^^^^^
    plan.toml:20:1: `clients=` is not a flag: write `--clients`
       |
    20 | "A-B" = { flag = "clients=" }
       | ^^^^^
    plan.toml:21:1: `also` is about other spellings of `flag`: add the `flag`
       |
    21 | C = { also = ["-c"] }
       | ^
    plan.toml:21:1: `C` is passed on anyway: give it a `flag` or a `default`, or remove it
       |
    21 | C = { also = ["-c"] }
       | ^
    "#);
}

#[test]
fn words_of_a_target_that_nobody_knows_are_said_at_once() {
    insta::assert_snapshot!(wrong(r#"
[target.a]
profiles = { nix = "profiles.nix", key = "profiles" }
attribut = "x-${profile}"
variants.runner = { platforms = ["linuks"], kind = "programm", attribute = "x-${profil}", needs = { kwm = "required" } }

[target.b]
profiles = ["has space"]
attribute = "b-${prefix}"
variants = { runner = {}, Upper = {} }
"#), @r#"
    `plan.toml` is not a plan that can be run: 9 problems
    plan.toml:7:12: profiles are in one place: use one of `{ nix = "FILE", attr = "…" }`, `{ flake = "ATTRIBUTE" }` and `{ toml = "FILE", key = "…" }`
      |
    7 | profiles = { nix = "profiles.nix", key = "profiles" }
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    plan.toml:8:1: unknown key `attribut`: did you mean `attribute`
      |
    8 | attribut = "x-${profile}"
      | ^^^^^^^^
    plan.toml:9:34: unknown platform `linuks`: did you mean `linux`
      |
    9 | variants.runner = { platforms = ["linuks"], kind = "programm", attribute = "x-${profil}", needs = { kwm = "required" } }
      |                                  ^^^^^^^^
    plan.toml:9:52: unknown word `programm`: did you mean `program`
      |
    9 | variants.runner = { platforms = ["linuks"], kind = "programm", attribute = "x-${profil}", needs = { kwm = "required" } }
      |                                                    ^^^^^^^^^^
    plan.toml:9:76: unknown variable `profil`: did you mean `profile`
      |
    9 | variants.runner = { platforms = ["linuks"], kind = "programm", attribute = "x-${profil}", needs = { kwm = "required" } }
      |                                                                            ^^^^^^^^^^^^^
    plan.toml:9:101: unknown key `kwm`: did you mean `kvm`
      |
    9 | variants.runner = { platforms = ["linuks"], kind = "programm", attribute = "x-${profil}", needs = { kwm = "required" } }
      |                                                                                                     ^^^
    plan.toml:12:13: `has space` cannot be a profile: use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`, starting with a letter, a digit or `_`
       |
    12 | profiles = ["has space"]
       |             ^^^^^^^^^^^
    plan.toml:13:13: unknown variable `prefix`: use one of `epoch`, `epoch-date`, `target`, `profile`, `variant`, `system`, `attribute`, `path`
       |
    13 | attribute = "b-${prefix}"
       |             ^^^^^^^^^^^^^
    plan.toml:14:27: `Upper` cannot be a name: use 1 to 40 of a-z, 0-9, `_` and `-`, starting with a letter or a digit
       |
    14 | variants = { runner = {}, Upper = {} }
       |                           ^^^^^
    "#);
}

#[test]
fn a_target_whose_list_is_elsewhere_is_checked_against_it() {
    let plan = plan(&TARGET.replace(
        "[\"default\", \"low-latency\", \"stress-test\"]",
        "{ nix = \"profiles.nix\" }\ndefault-profile = \"default\"",
    ));
    let (name, target) = plan.targets().iter().next().unwrap();
    let error = |names: &[&str]| Grid::new(name, target, profiles(names)).unwrap_err().to_string();
    insta::assert_snapshot!(format!("{}\n{}\n{}", error(&[]), error(&["a", "a"]), error(&["defaults"])), @"
    target `test-origin` does not go with its list of profiles: `profiles`: the list of profiles is empty: write at least one
    target `test-origin` does not go with its list of profiles: `profiles`: profile `a` is in the list twice; `default-profile`: unknown profile `default`: use one of `a`, `a`
    target `test-origin` does not go with its list of profiles: `default-profile`: unknown profile `default`: did you mean `defaults`
    ");
}

#[test]
fn a_list_of_profiles_is_names_and_nothing_else() {
    let json = |text| {
        Profile::list_from_json(text).map_or_else(|it| it.to_string(), |it| format!("{} profiles", it.len()))
    };
    let toml = |text, key| {
        Profile::list_from_toml(text, key)
            .map_or_else(|it| it.to_string(), |it| format!("{} profiles", it.len()))
    };
    insta::assert_snapshot!([
        json(r#"["default","4k-abr"]"#),
        json(r#"{"a":1}"#),
        json(r#"["a",1]"#),
        json(r#"["a.b"]"#),
        json("nothing"),
        toml("profiles = ['a']", "profiles"),
        toml("[origin]\nprofiles = ['a', 'b']", "origin.profiles"),
        toml("[origin]\nprofiles = ['a', 'b']", "origin.profile"),
        toml("[origin]\nprofiles = 'a'", "origin.profiles"),
        toml("profiles = [1]", "profiles"),
        toml("profiles", "profiles"),
    ].join("\n"), @r#"
    2 profiles
    it is an attribute set, and a list of names is wanted
    it holds a number, and names are wanted
    `a.b` cannot be a profile: use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`, starting with a letter, a digit or `_`
    this is not JSON: expected ident at line 1 column 2
    1 profiles
    2 profiles
    unknown key `profile`: did you mean `profiles`
    `origin.profiles` is not a list: write `origin.profiles = ["…"]`
    `profiles` holds something else than text, and names are wanted
    this is not TOML: key with no value, expected `=`
    "#);
}

#[test]
fn what_cannot_run_says_why_and_what_can() {
    let plan = plan(TARGET);
    let grid = grid(&plan);
    let why = |system: &System, tools: bool, kvm: Option<&str>| {
        let facts = Facts {
            system,
            has_tool: &|_| tools,
            engine_answers: &|_| system.as_str() != "aarch64-linux",
            without_kvm: &|| kvm.map(str::to_owned),
        };
        let mut said = String::new();
        for cell in grid.of_profile(grid.default_profile()) {
            let instead: Vec<String> = grid.instead(&cell, &facts).iter().map(ToString::to_string).collect();
            let reason = cell.unavailable(&facts).map_or_else(|| "available".to_owned(), |it| it.to_string());
            said += &format!("{cell}: {reason} {instead:?}\n");
        }
        said
    };
    let darwin = System::of("aarch64", "macos");
    let all = [
        why(&linux(), true, None),
        why(&linux(), false, Some("this host has no /dev/kvm")),
        why(&darwin, true, None),
        why(&System::of("aarch64", "linux"), true, None),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    test-origin/default/runner: available []
    test-origin/default/container: available []
    test-origin/default/vm: available ["test-origin/default/runner", "test-origin/default/container"]

    test-origin/default/runner: available []
    test-origin/default/container: docker or podman not found []
    test-origin/default/vm: KVM not available: this host has no /dev/kvm ["test-origin/default/runner"]

    test-origin/default/runner: available []
    test-origin/default/container: available []
    test-origin/default/vm: Linux only, this is aarch64-darwin ["test-origin/default/runner", "test-origin/default/container"]

    test-origin/default/runner: available []
    test-origin/default/container: docker, podman: daemon not running []
    test-origin/default/vm: available ["test-origin/default/runner"]
    "#);
}

/// And that beats the default; all of it on parsed arguments.
#[test]
fn arguments_beat_the_environment() {
    let plan = plan(TARGET);
    let grid = grid(&plan);
    let cell = grid.choose(Some("low-latency"), None).unwrap();
    let argv = |args: &[&str], clients: Option<&str>| {
        let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
        let argv =
            cell.argv(&args, &linux(), &|name| clients.filter(|_| name == "CLIENTS").map(str::to_owned));
        assert_eq!(argv.env, [("PROFILE".to_owned(), "low-latency".to_owned())]);
        argv.args.join(" ")
    };
    insta::assert_snapshot!([
        argv(&[], None),
        argv(&[], Some("")),
        argv(&[], Some("5")),
        argv(&["--clients", "7"], Some("5")),
        argv(&["--clients=7"], Some("5")),
        argv(&["x", "--clients", "7"], Some("5")),
        argv(&["-c", "7", "--clients", "8"], Some("5")),
        argv(&["--metrics-port", "--clients"], Some("5")),
        argv(&["--", "--clients", "7"], Some("5")),
        argv(&["--clients-per-second", "7"], Some("5")),
    ].join("\n"), @"
    --metrics-port 9100
    --metrics-port 9100
    --clients 5 --metrics-port 9100
    --metrics-port 9100 --clients 7
    --metrics-port 9100 --clients=7
    --metrics-port 9100 x --clients 7
    --metrics-port 9100 -c 7 --clients 8
    --clients 5 --metrics-port --clients
    --clients 5 --metrics-port 9100 -- --clients 7
    --clients 5 --metrics-port 9100 --clients-per-second 7
    ");
}
