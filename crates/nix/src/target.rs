//! Targets of a flake: the list of their profiles, and the program that Nix runs.

use bootway_exec::{Cmd, Exit};
use bootway_plan::{Class, Explain, InvalidProfileList, Profile, Profiles};
use camino::Utf8PathBuf;
use thiserror::Error;

use crate::{EvalError, Flake, eval::nix_string};

/// The list of profiles that `from` says where it is.
///
/// # Errors
///
/// If it is not there, does not evaluate, or is no list of names.
pub fn profiles(flake: &Flake<'_>, from: &Profiles) -> Result<Vec<Profile>, ProfilesError> {
    let at = |file: &str| flake.nix.cx.plan_dir.join(file);
    let invalid = |place: String| move |reason| ProfilesError::Invalid { place, reason };
    match from {
        Profiles::Listed(list) => Ok(list.clone()),
        Profiles::Toml { toml, key } => {
            let text = fs_err::read_to_string(at(toml)).map_err(|source| ProfilesError::Read { source })?;
            Profile::list_from_toml(&text, key).map_err(invalid(format!("`{key}` in `{toml}`")))
        }
        Profiles::Nix { nix, attr } => {
            let file = at(nix);
            fs_err::metadata(&file).map_err(|source| ProfilesError::Read { source })?;
            let cmd = flake.nix.evaluate(&["eval", "--json", "--expr", &list_in(&file, attr)], true);
            let answer = flake.nix.ask(&cmd).map_err(EvalError::from)?;
            if answer.exit != Exit::Code(0) {
                return Err(ProfilesError::Nix { place: nix.clone(), complaint: answer.complaint() });
            }
            Profile::list_from_json(&String::from_utf8_lossy(&answer.stdout))
                .map_err(invalid(format!("`{attr}` in `{nix}`")))
        }
        Profiles::Flake { flake: attribute } => {
            let value = flake.eval_json(attribute, None)?;
            Profile::list_from_json(&value.to_string()).map_err(invalid(format!("the flake's `{attribute}`")))
        }
    }
}

/// The value of `attr` in a Nix file.
///
/// A file that is a function gets each argument that it asks for and gives no default, as something that must not be
/// looked at: a list of names does not need `lib`, although a function beside it may.
fn list_in(file: &Utf8PathBuf, attr: &str) -> String {
    let path = attr.split('.').map(nix_string).collect::<Vec<_>>().join(".");
    format!(
        "let file = import (/. + {file}); \
         given = asked: builtins.mapAttrs (name: _: throw \"a list of profiles cannot look at `${{name}}`\") \
           (removeAttrs asked (builtins.filter (name: asked.${{name}}) (builtins.attrNames asked))); \
         set = if builtins.isFunction file then file (given (builtins.functionArgs file)) else file; \
         in set.{path} or (throw (\"it has no `\" + {attr} + \"`: it has \" \
           + builtins.concatStringsSep \", \" (builtins.attrNames set)))",
        file = nix_string(file.as_str()),
        attr = nix_string(attr),
    )
}

/// `nix run` of an attribute; the program gets `args` as they are.
pub fn run_command(flake: &Flake<'_>, attribute: &str, args: &[String]) -> Cmd {
    let cmd = flake.nix.nix(&["run", &flake.installable(attribute)]);
    let cmd = if flake.is_impure() { cmd.arg("--impure") } else { cmd };
    cmd.args(&flake.nix.config.args).arg("--").args(args)
}

/// There is no list of profiles where it is said to be.
#[derive(Debug, Error)]
pub enum ProfilesError {
    /// The file cannot be read.
    #[error("{source}")]
    Read {
        /// Names the file.
        source: std::io::Error,
    },
    /// The file does not evaluate.
    #[error("`{place}` does not evaluate: {complaint}")]
    Nix {
        /// The file.
        place: String,
        /// What Nix says.
        complaint: String,
    },
    /// The flake does not evaluate.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// It is something else.
    #[error("{place} is no list of profiles: {reason}")]
    Invalid {
        /// What was read.
        place: String,
        /// Why.
        reason: InvalidProfileList,
    },
}

impl Explain for ProfilesError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Invalid { .. } => Class::Plan,
            Self::Nix { .. } => Class::Step,
            Self::Eval(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("fix `profiles` of the target in the plan".to_owned()),
            Self::Eval(error) => error.hint(),
            Self::Nix { .. } | Self::Invalid { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bootway_exec::{Sandbox, SystemRunner};
    use bootway_plan::NixConfig;

    use super::*;
    use crate::testing::TestNix;

    /// What a list in `text` comes to, at `attr`.
    fn list(nix: &TestNix, text: &str, attr: &str) -> String {
        let file = nix.root().join("list.nix");
        nix.write(&file, text);
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let (env, config) = (nix.env(), NixConfig::default());
        let cx = bootway_exec::Cx { env: &env, ..sandbox.cx() };
        let from = Profiles::Nix { nix: file.to_string(), attr: attr.to_owned() };
        let said = match profiles(&Flake::new(&cx, &config, None), &from) {
            Ok(list) => list.iter().map(Profile::as_str).collect::<Vec<_>>().join(" "),
            Err(error) => bootway_plan::Failure::of(&error).to_string(),
        };
        said.replace(nix.root().as_str(), "[dir]")
    }

    /// The second file is how a real project has it: its function of `lib` uses `lib` only to refuse a name.
    #[test]
    fn a_list_is_found_in_a_set_and_in_what_a_function_returns() {
        let nix = TestNix::new();
        assert_eq!(list(&nix, "{ profiles = [ \"default\" \"4k-abr\" ]; }", "profiles"), "default 4k-abr");
        let function = "{ lib, extra ? [ \"debug\" ] }: rec { profiles = [ \"default\" ] ++ extra; \
                        validate = p: if lib.elem p profiles then p else throw \"Unknown\"; }";
        assert_eq!(list(&nix, function, "profiles"), "default debug");
        assert_eq!(list(&nix, "{ a.b = [ \"x\" ]; }", "a.b"), "x");
    }

    #[test]
    fn what_is_no_list_says_so() {
        let nix = TestNix::new();
        // What Nix adds to each (a place, a trace) is another in each version.
        let wrong = [
            ("{ profiles = { a = 1; }; }", "no list of profiles: it is an attribute set"),
            ("{ lib }: { profiles = lib.attrNames { }; }", "a list of profiles cannot look at `lib`"),
            ("{ profiles = [ ]", "syntax error"),
            ("{ profile = [ ]; }", "it has no `profiles`: it has profile"),
        ];
        for (text, why) in wrong {
            let said = list(&nix, text, "profiles");
            assert!(
                said.starts_with("error: ") && said.contains("[dir]/list.nix") && said.contains(why),
                "{said}"
            );
        }
    }
}
