use bootway_plan::{Grid, Plan, Profile, Spec, System, Vars, resolve};
use camino::Utf8Path;

use super::{Made, What, difference};

fn plan() -> Plan {
    let text = include_str!("../../../../fixtures/plans/targets.plan.toml");
    resolve(&Spec::from_toml(text, &Vars::default()).unwrap()).unwrap()
}

/// Calls `with` with the fixture's targets, which have these profiles.
fn made<T>(profiles: &[&str], with: impl FnOnce(&Made<'_>) -> T) -> T {
    let plan = plan();
    let profile = |name: &&str| Profile::try_from((*name).to_owned()).unwrap();
    let list: Vec<Profile> = profiles.iter().map(profile).collect();
    let grids: Vec<Grid<'_>> =
        plan.targets().iter().take(1).map(|(name, it)| Grid::new(name, it, list.clone()).unwrap()).collect();
    let dir = Utf8Path::new("/project/fixtures/plans");
    with(&Made { grids: &grids, plan: "targets.plan.toml", dir, system: System::of("x86_64", "linux") })
}

fn text(what: What, place: &str, old: Option<&str>) -> String {
    made(&["default", "low-latency"], |made| {
        let files = what.files(made, place, &|_| old.map(str::to_owned));
        match files {
            Ok(files) => files.iter().map(|(name, text)| format!("## {name}\n{text}")).collect(),
            Err(error) => error.to_string(),
        }
    })
}

#[test]
fn a_compose_file_has_a_service_for_each_container_and_starts_one() {
    insta::assert_snapshot!(text(What::Compose, "docker-compose.yaml", None), @r#"
    ## docker-compose.yaml
    # Made by `bootway generate` from `targets.plan.toml`, `../nix/targets/test-origin/profile-list.nix`: do not edit.
    # Images are loaded, not pulled: `bootway up PROFILE VARIANT` does both.
    services:
      test-origin-default-container:
        image: "test-origin-default-container:latest"
        pull_policy: never
        ports: ["8080:17080", "9100:9100"]
        environment:
          PROFILE: "default"
      test-origin-default-container-enhanced:
        image: "test-origin-enhanced:latest"
        pull_policy: never
        profiles: ["container-enhanced"]
        ports: ["8080:17080", "9100:9100", "9113:9113"]
        cap_add: ["SYS_ADMIN"]
        tmpfs: ["/tmp", "/run", "/run/lock"]
        environment:
          PROFILE: "default"
        healthcheck:
          test: ["CMD", "curl", "-fsS", "http://localhost:17080/health"]
          interval: 30s
          timeout: 5s
          start_period: 30s
          retries: 3
      test-origin-low-latency-container:
        image: "test-origin-low-latency-container:latest"
        pull_policy: never
        profiles: ["low-latency"]
        ports: ["8080:17080", "9100:9100"]
        environment:
          PROFILE: "low-latency"
    "#);
}

#[test]
fn recipes_find_the_plan_wherever_they_are() {
    insta::assert_snapshot!(text(What::Justfile, "../nix/targets/targets.just", None), @r#"
    ## ../nix/targets/targets.just
    # Made by `bootway generate` from `targets.plan.toml`, `../nix/targets/test-origin/profile-list.nix`: do not edit.

    # test-origin/default/runner: Local script (all platforms)
    [group('test-origin'), positional-arguments]
    test-origin-default-runner *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin default runner -- "$@"

    # test-origin/default/container: OCI container (Linux to run)
    [group('test-origin'), positional-arguments]
    test-origin-default-container *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin default container -- "$@"

    # test-origin/default/container-enhanced: OCI container with systemd services
    [group('test-origin'), positional-arguments]
    test-origin-default-container-enhanced *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin default container-enhanced -- "$@"

    # test-origin/default/vm: MicroVM (Linux and KVM only)
    [group('test-origin'), positional-arguments]
    test-origin-default-vm *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin default vm -- "$@"

    # test-origin/default/iso: Bootable ISO
    [group('test-origin'), positional-arguments]
    test-origin-default-iso *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin default iso -- "$@"

    # test-origin/low-latency/runner: Local script (all platforms)
    [group('test-origin'), positional-arguments]
    test-origin-low-latency-runner *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin low-latency runner -- "$@"

    # test-origin/low-latency/container: OCI container (Linux to run)
    [group('test-origin'), positional-arguments]
    test-origin-low-latency-container *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin low-latency container -- "$@"

    # test-origin/low-latency/vm: MicroVM (Linux and KVM only)
    [group('test-origin'), positional-arguments]
    test-origin-low-latency-vm *args:
        @bootway up --plan '{{source_directory()}}/../../plans/targets.plan.toml' --target test-origin low-latency vm -- "$@"
    "#);
}

#[test]
fn the_table_goes_between_its_marks_and_nothing_else_changes() {
    let old = "# Title\n\n<!-- bootway:targets -->\nold\n<!-- /bootway:targets -->\n\nThe end.\n";
    insta::assert_snapshot!(text(What::Docs, "README.md", Some(old)), @"
    ## README.md
    # Title

    <!-- bootway:targets -->
    <!-- Made by `bootway generate` from `targets.plan.toml`, `../nix/targets/test-origin/profile-list.nix`: do not edit. -->

    **test-origin**: An HLS origin to test against

    | `bootway up` | runner | container | container-enhanced | vm | iso |
    |---|---|---|---|---|---|
    | **default** | `test-origin-default-runner` | `test-origin-default-container` | `test-origin-default-container-enhanced` | `test-origin-default-vm` | `test-origin-iso` |
    | low-latency | `test-origin-low-latency-runner` | `test-origin-low-latency-container` | – | `test-origin-low-latency-vm` | – |

    - runner: Local script (all platforms)
    - container: OCI container (Linux to run)
    - container-enhanced: OCI container with systemd services
    - vm: MicroVM (Linux and KVM only)
    - iso: Bootable ISO
    <!-- /bootway:targets -->

    The end.
    ");
}

#[test]
fn a_file_without_marks_is_left_alone() {
    insta::assert_snapshot!(text(What::Docs, "README.md", Some("# Title\n")), @"`README.md` has no place for the table: write a line `<!-- bootway:targets -->` and below it a line `<!-- /bootway:targets -->`, once");
    let twice = "<!-- bootway:targets -->\n<!-- /bootway:targets -->\n".repeat(2);
    assert_eq!(text(What::Docs, "README.md", Some(&twice)), text(What::Docs, "README.md", Some("# Title\n")));
    let reversed = "<!-- /bootway:targets -->\n<!-- bootway:targets -->\n";
    assert_eq!(
        text(What::Docs, "README.md", Some(reversed)),
        text(What::Docs, "README.md", Some("# Title\n"))
    );
}

#[test]
fn what_is_made_twice_is_the_same() {
    for what in What::ALL {
        assert_eq!(text(what, "a", None), text(what, "a", None));
    }
}

#[test]
fn the_first_line_that_differs_is_named() {
    let say =
        |there, made| difference(there, made).map_or_else(|| "the same".to_owned(), |it| it.to_string());
    insta::assert_snapshot!(
        [
            say("a\nb\n", "a\nb\n"),
            say("a\nb\n", "a\nc\n"),
            say("a\n", "a\nb\n"),
            say("a\nb\n", "a\n"),
            say("a", "a\n"),
            say("", "a\n"),
        ]
        .join("\n"),
        @"
    the same
    line 2: `b`, would be `c`
    line 2: `b` is missing
    line 2: `b` would not be there
    line 1: the line has no end
    line 1: `a` is missing
    "
    );
}
