//! What shells offer behind `bootway up`, as they read the files that `bootway generate` writes.

use crate::{
    project::{program, run},
    swarm::Swarm,
};

/// Lines of which the last word is to be completed.
const LINES: [&[&str]; 10] = [
    &["bootway", ""],
    &["bootway", "up", ""],
    &["bootway", "up", "st"],
    &["bootway", "up", "low-latency", ""],
    &["bootway", "up", "default", ""],
    &["bootway", "up", "--target", ""],
    &["bootway", "up", "--target", "swarm-client", ""],
    &["bootway", "up", "--target=swarm-client", "burst", ""],
    &["bootway", "up", "--plan", "x", "default", "v"],
    &["bootway", "up", "default", "runner", "--", ""],
];

/// What `shell` prints for each line, where `script` makes a script of a line.
fn offers(swarm: &Swarm, shell: &str, options: &[&str], script: impl Fn(&[&str]) -> String) -> String {
    let said = LINES.iter().map(|line| {
        let mut command = program(shell);
        let run = run(command.args(options).arg("-c").arg(script(line)).current_dir(&swarm.dir));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{line:?}: `apt-get install {shell}`?");
        format!("{}: {}", line.join(" "), run.stdout.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    said.collect::<Vec<_>>().join("\n")
}

fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

fn generated() -> Swarm {
    let swarm = Swarm::new();
    assert_eq!(swarm.bootway(&["generate", "completions"]).code, 0);
    swarm
}

#[test]
fn bash_offers_profiles_and_the_variants_of_the_profile() {
    let swarm = generated();
    let script = |line: &[&str]| {
        // Bash takes `--target=x` apart.
        let words: Vec<&str> = line
            .iter()
            .flat_map(|word| word.split_once('=').map_or(vec![*word], |(key, value)| vec![key, "=", value]))
            .collect();
        format!(
            "source scripts/completion/bootway-up.bash; COMP_WORDS=({}); COMP_CWORD={}; _bootway_up; echo ${{COMPREPLY[@]}}",
            quoted(words.iter().copied()),
            words.len() - 1
        )
    };
    insta::assert_snapshot!(offers(&swarm, "bash", &["--norc"], script), @"
    bootway : up targets generate
    bootway up : default low-latency stress-test
    bootway up st: stress-test
    bootway up low-latency : runner container vm
    bootway up default : runner container container-enhanced vm iso
    bootway up --target : test-origin swarm-client go-ffmpeg-hls-swarm
    bootway up --target swarm-client : default burst
    bootway up --target=swarm-client burst : runner
    bootway up --plan x default v: vm
    bootway up default runner -- :
    ");
}

#[test]
fn zsh_offers_profiles_and_the_variants_of_the_profile() {
    let swarm = generated();
    // Outside its line editor zsh has no `compadd`: this one prints the words of which the beginning is typed.
    let script = |line: &[&str]| {
        format!(
            "compdef() {{ }}
            _files() {{ }}
            compadd() {{
              [[ $1 == -V ]] && shift 2
              [[ $1 == -- ]] && shift
              print -- ${{(M)@:#${{words[CURRENT]}}*}}
            }}
            source scripts/completion/_bootway-up
            words=({}) CURRENT={}
            _bootway_up",
            quoted(line.iter().copied()),
            line.len()
        )
    };
    insta::assert_snapshot!(offers(&swarm, "zsh", &["--no-rcs"], script), @"
    bootway : up targets generate
    bootway up : default low-latency stress-test
    bootway up st: stress-test
    bootway up low-latency : runner container vm
    bootway up default : runner container container-enhanced vm iso
    bootway up --target : test-origin swarm-client go-ffmpeg-hls-swarm
    bootway up --target swarm-client : default burst
    bootway up --target=swarm-client burst : runner
    bootway up --plan x default v: vm
    bootway up default runner -- :
    ");
}

#[test]
fn fish_offers_profiles_and_the_variants_of_the_profile() {
    let swarm = generated();
    let script = |line: &[&str]| {
        format!(
            "source scripts/completion/bootway-up.fish; complete -C '{}' | string replace -r '\\t.*' ''; true",
            line.join(" ")
        )
    };
    insta::assert_snapshot!(offers(&swarm, "fish", &["--no-config"], script), @"
    bootway : docker-compose.yaml flake.nix make.nix plan.toml README.md scripts/ swarm-client/ targets.just test-origin/
    bootway up : default low-latency stress-test
    bootway up st: stress-test
    bootway up low-latency : runner container vm
    bootway up default : runner container container-enhanced vm iso
    bootway up --target : go-ffmpeg-hls-swarm swarm-client test-origin
    bootway up --target swarm-client : default burst
    bootway up --target=swarm-client burst : runner
    bootway up --plan x default v: vm
    bootway up default runner -- : docker-compose.yaml flake.nix make.nix plan.toml README.md scripts/ swarm-client/ targets.just test-origin/
    ");
}
