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
    insta::assert_snapshot!(text(What::Compose, "docker-compose.yaml", None), @"");
}

#[test]
fn recipes_find_the_plan_wherever_they_are() {
    insta::assert_snapshot!(text(What::Justfile, "../nix/targets/targets.just", None), @"");
}

#[test]
fn the_table_goes_between_its_marks_and_nothing_else_changes() {
    let old = "# Title\n\n<!-- bootway:targets -->\nold\n<!-- /bootway:targets -->\n\nThe end.\n";
    insta::assert_snapshot!(text(What::Docs, "README.md", Some(old)), @"");
}

#[test]
fn a_file_without_marks_is_left_alone() {
    insta::assert_snapshot!(text(What::Docs, "README.md", Some("# Title\n")), @"");
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
        @""
    );
}
