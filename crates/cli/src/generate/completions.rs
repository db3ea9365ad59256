//! Completions of `bootway up` for bash, zsh and fish: profiles, then the variants of that profile.
//!
//! Names of targets, profiles and variants are words that no shell looks into; only help texts are quoted. Everything
//! else of `bootway` is left to `bootway completions SHELL`, if that is loaded, too.

use bootway_plan::Grid;
use camino::Utf8PathBuf;

use super::Made;

/// Options of `bootway up` that take a value.
const WITH_VALUE: [&str; 6] = ["--plan", "--var", "--work", "--cache", "--system", "--color"];

/// Name and text of each.
pub(super) fn files(made: &Made<'_>) -> [(Utf8PathBuf, String); 3] {
    [("bootway-up.bash", bash(made)), ("_bootway-up", zsh(made)), ("bootway-up.fish", fish(made))]
        .map(|(name, text)| (name.into(), text))
}

/// What `case` looks for: the first target is also meant when none is named.
fn pattern(made: &Made<'_>, grid: &Grid<'_>, rest: &str) -> String {
    let is_first = made.grids.first().is_some_and(|first| first.name() == grid.name());
    let named = format!("{}{rest}", grid.name());
    if !is_first {
        named
    } else if rest.is_empty() {
        format!("'' | {named}")
    } else {
        format!("{rest} | {named}")
    }
}

fn words<T: ToString>(words: impl Iterator<Item = T>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
}

/// Two functions that print words, in the language that bash and zsh share.
fn posix(made: &Made<'_>) -> String {
    let mut profiles = String::new();
    let mut variants = String::new();
    for grid in made.grids {
        profiles += &format!(
            "    {}) printf '%s\\n' {} ;;\n",
            pattern(made, grid, ""),
            words(grid.profiles().iter())
        );
        for profile in grid.profiles() {
            let pattern = pattern(made, grid, &format!("/{profile}"));
            let names = words(grid.of_profile(profile).map(|cell| cell.name.clone()));
            variants += &format!("    {pattern}) printf '%s\\n' {names} ;;\n");
        }
    }
    format!(
        "_bootway_up_profiles() {{ # TARGET\n  case $1 in\n{profiles}  esac\n}}\n\n\
         _bootway_up_variants() {{ # TARGET PROFILE\n  case $1/$2 in\n{variants}  esac\n}}\n"
    )
}

fn bash(made: &Made<'_>) -> String {
    let targets = words(made.grids.iter().map(Grid::name));
    let with_value = WITH_VALUE.join(" | ");
    format!(
        r#"# {header}
# Load it: `source bootway-up.bash`.

{posix}
_bootway_up() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} target= profile= words=() place=0 i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      --) return ;;
      --target)
        [[ ${{COMP_WORDS[i + 1]}} == = ]] && i=$((i + 1))
        i=$((i + 1))
        target=${{COMP_WORDS[i]}} ;;
      {with_value})
        [[ ${{COMP_WORDS[i + 1]}} == = ]] && i=$((i + 1))
        i=$((i + 1)) ;;
      -*) ;;
      *)
        if ((place == 0)) && [[ ${{COMP_WORDS[i]}} != up ]]; then
          place=-1
          break
        fi
        ((place == 1)) && profile=${{COMP_WORDS[i]}}
        place=$((place + 1)) ;;
    esac
  done
  if ((place < 1)); then
    if declare -F _bootway > /dev/null; then
      _bootway "$@"
    elif ((place == 0)); then
      COMPREPLY=($(compgen -W 'up targets generate' -- "$cur"))
    fi
    return
  fi
  if ((i > COMP_CWORD)) || [[ ${{COMP_WORDS[COMP_CWORD - 1]}} == --target ]]; then
    COMPREPLY=($(compgen -W '{targets}' -- "$cur"))
  elif ((place == 1)); then
    COMPREPLY=($(compgen -W "$(_bootway_up_profiles "$target")" -- "$cur"))
  elif ((place == 2)); then
    COMPREPLY=($(compgen -W "$(_bootway_up_variants "$target" "$profile")" -- "$cur"))
  fi
}}

complete -o default -F _bootway_up bootway
"#,
        header = made.header(),
        posix = posix(made),
    )
}

fn zsh(made: &Made<'_>) -> String {
    let targets = words(made.grids.iter().map(Grid::name));
    let with_value = WITH_VALUE.join(" | ");
    format!(
        r#"#compdef bootway
# {header}
# Load it: put this directory into `fpath`, or `source _bootway-up` after `compinit`.

{posix}
_bootway_up() {{
  local target= profile=
  integer place=0 i
  for ((i = 2; i < CURRENT; i++)); do
    case $words[i] in
      --) _files; return ;;
      --target=*) target=${{words[i]#--target=}} ;;
      --target) i+=1; target=$words[i] ;;
      {with_value}) i+=1 ;;
      -*) ;;
      *)
        if ((place == 0)) && [[ $words[i] != up ]]; then
          place=-1
          break
        fi
        ((place == 1)) && profile=$words[i]
        place+=1 ;;
    esac
  done
  if ((place < 1)); then
    if (( $+functions[_bootway] )); then
      _bootway "$@"
    elif ((place == 0)); then
      compadd up targets generate
    fi
  elif ((i > CURRENT)); then
    compadd {targets}
  elif ((place == 1)); then
    compadd -V profiles -- ${{(f)"$(_bootway_up_profiles "$target")"}}
  elif ((place == 2)); then
    compadd -V variants -- ${{(f)"$(_bootway_up_variants "$target" "$profile")"}}
  else
    _files
  fi
}}

if [[ $funcstack[1] == _bootway-up ]]; then
  _bootway_up "$@"
else
  compdef _bootway_up bootway
fi
"#,
        header = made.header(),
        posix = posix(made),
    )
}

fn fish(made: &Made<'_>) -> String {
    let mut text = fish_functions(&made.header(), &WITH_VALUE.join(" "));
    for (n, grid) in made.grids.iter().enumerate() {
        let at = |rest: &str| {
            let named = format!("\"{} {rest}\"", grid.name());
            if n == 0 { format!("\"- {rest}\" {named}") } else { named }
        };
        let help =
            grid.target().help.as_ref().map(|help| format!(" -d {}", quoted(help))).unwrap_or_default();
        text += &format!(
            "complete -c bootway -n '__fish_seen_subcommand_from up' -l target -x -a {}{help}\n",
            grid.name()
        );
        let profiles = words(grid.profiles().iter());
        text += &format!("complete -c bootway -f -k -n '__bootway_up_at {}' -a '{profiles}'\n", at("1 -"));
        for profile in grid.profiles() {
            // In one call, or fish has the last one first.
            let pair = |cell: bootway_plan::Cell<'_>| {
                format!(" {} {}", cell.name, quoted(cell.variant.help.as_deref().unwrap_or_default()))
            };
            let pairs: String = grid.of_profile(profile).map(pair).collect();
            text += &format!(
                "complete -c bootway -f -k -n '__bootway_up_at {}' -a {}\n",
                at(&format!("2 {profile}")),
                quoted(&format!("(printf '%s\\t%s\\n'{pairs})")),
            );
        }
    }
    text
}

/// What the completions of fish ask about the line.
fn fish_functions(header: &str, with_value: &str) -> String {
    format!(
        r#"# {header}
# Load it: put it into `~/.config/fish/completions`, or `source bootway-up.fish`.

# What is typed so far: TARGET, PLACE and PROFILE, where PLACE is 1 for a profile and 2 for a variant.
function __bootway_up_typed
    set -l words (commandline -opc)
    set -l target -
    set -l profile -
    set -l place 0
    set -l i 2
    while test $i -le (count $words)
        switch $words[$i]
            case --
                return 1
            case '--target=*'
                set target (string replace -- --target= '' $words[$i])
            case --target
                set i (math $i + 1)
                test $i -le (count $words); or return 1
                set target $words[$i]
            case {with_value}
                set i (math $i + 1)
            case '-*'
            case '*'
                if test $place = 0 -a "$words[$i]" != up
                    return 1
                end
                test $place = 1; and set profile $words[$i]
                set place (math $place + 1)
        end
        set i (math $i + 1)
    end
    echo $target $place $profile
end

function __bootway_up_at
    contains -- "$(__bootway_up_typed)" $argv
end

"#
    )
}

/// Text as a word of fish.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', " "))
}
