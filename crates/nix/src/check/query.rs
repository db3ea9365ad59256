//! What a contract asks a flake, in the Nix language, and how the answers are read.
//!
//! A flake of its own (the question) has the flake as its input and each answer in a list, so that evaluation is pure,
//! the whole flake can be reached (no attribute path means it), and the command line stays short.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Deserialize;
use serde_json::Value;

/// One thing to ask; the answer is JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Query {
    /// The names of the outputs: a list.
    Outputs,
    /// The names in an output: by system, or under `""` for an output that is the same everywhere.
    Names {
        /// The output.
        output: String,
    },
    /// What everything in an output is: by system and name.
    Everything {
        /// The output.
        output: String,
    },
    /// What one thing in an output is.
    One {
        /// The output.
        output: String,
        /// Of which system.
        system: String,
        /// Its name; empty for an output that has one thing for each system.
        name: String,
    },
    /// What an expression is, without its value.
    Kind {
        /// The expression.
        expr: String,
    },
    /// What a function makes of each name in a list: by name.
    Each {
        /// The list, an expression.
        list: String,
        /// The function, an expression.
        access: String,
    },
    /// The value of an expression.
    Value {
        /// The expression.
        expr: String,
    },
}

/// What a value is, as far as a contract wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Look {
    /// `derivation`, `app`, `null`, `throws`, `missing`, `error`, or the name of its type.
    pub(super) is: String,
    /// Of a derivation, what would be built; of an app, its program; otherwise what went wrong.
    #[serde(default)]
    pub(super) what: Option<String>,
}

/// The answer to [`Query::Value`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Valued {
    /// As in [`Look`], or `value`.
    pub(super) is: String,
    /// The value as JSON, or what went wrong.
    #[serde(default)]
    pub(super) what: Option<String>,
}

/// Outputs that have a set for each system.
const PER_SYSTEM: [&str; 6] = ["apps", "bundlers", "checks", "devShells", "legacyPackages", "packages"];

/// Whether `output` has something else for each system.
pub(super) fn is_per_system(output: &str) -> bool {
    PER_SYSTEM.contains(&output) || output == "formatter"
}

/// What every question can use: nothing in it builds, and what a value throws is caught.
const LIBRARY: &str = r#"
      text = it: builtins.unsafeDiscardStringContext (toString it);
      # What a value is. A derivation is asked for what would be built, which is where most things go wrong; any other
      # set for each of its attributes, and no deeper: it may hold all of nixpkgs.
      look = value:
        let
          it = builtins.tryEval value;
          set = builtins.isAttrs it.value;
          type = builtins.tryEval (it.value.type or null);
          drv = builtins.tryEval (text it.value.drvPath);
          program = builtins.tryEval (text it.value.program);
          inside = builtins.tryEval
            (builtins.foldl' (all: name: builtins.seq it.value.${name} all) true (builtins.attrNames it.value));
          of = is: part: if part.success then { inherit is; what = part.value; } else { is = "throws"; };
        in
          if !it.success then { is = "throws"; }
          else if set && !type.success then { is = "throws"; }
          else if set && type.value == "derivation" then of "derivation" drv
          else if set && type.value == "app" then of "app" program
          else if set && !inside.success then { is = "throws"; }
          else { is = builtins.typeOf it.value; };
      # The value at the end of a path, or where the path ends.
      walk = path: from:
        let it = builtins.tryEval from; in
          if path == [ ] then { found = true; value = from; }
          else if !it.success then { found = true; value = throw "on the way to ${builtins.head path}"; }
          else if builtins.isAttrs it.value && builtins.hasAttr (builtins.head path) it.value
          then walk (builtins.tail path) it.value.${builtins.head path}
          else { found = false; at = builtins.head path; };
      kind = it: if it.found then look it.value else { is = "missing"; what = it.at; };
      value = it:
        let json = builtins.tryEval (text (builtins.toJSON it.value)); in
          if !it.found then { is = "missing"; what = it.at; }
          else if json.success then { is = "value"; what = json.value; }
          else { is = "throws"; };
      attrs = set:
        let it = builtins.tryEval set; in
          if it.success && builtins.isAttrs it.value then it.value else { };
      # Whether there are things in it; what they are does not matter.
      isSet = value:
        let it = builtins.tryEval (builtins.isAttrs value && (value.type or null) != "derivation"); in
          it.success && it.value;
      output = name: attrs (outputs.${name} or { });
      names = name: builtins.mapAttrs (_: all: if isSet all then builtins.attrNames all else [ ]) (output name);
      everything = name: builtins.mapAttrs
        (_: all: if isSet all then builtins.mapAttrs (_: look) all else { "" = look all; })
        (output name);
      each = access: list: builtins.listToAttrs
        (map (name: { inherit name; value = look (access name); }) list);
"#;

impl Query {
    /// The expression that answers it, where [`LIBRARY`], `outputs` and `flake` are in scope.
    fn nix(&self) -> String {
        match self {
            Self::Outputs => "builtins.attrNames outputs".to_owned(),
            Self::Names { output } if is_per_system(output) => format!("names {}", string(output)),
            Self::Names { output } => format!("{{ \"\" = builtins.attrNames (output {}); }}", string(output)),
            Self::Everything { output } => format!("everything {}", string(output)),
            Self::One { output, system, name } => {
                let path: Vec<&str> = [output, system, name].into_iter().map(String::as_str).collect();
                let path = if name.is_empty() { &path[..2] } else { &path[..] };
                format!("kind (walk {} outputs)", list(path))
            }
            Self::Kind { expr } => format!("kind ({})", found(expr)),
            Self::Each { list, access } => format!("each {} {}", scoped(access), scoped(list)),
            Self::Value { expr } => format!("value ({})", found(expr)),
        }
    }

    /// An expression that throws what the answer only says was thrown.
    pub(super) fn thrower(&self) -> Option<String> {
        match self {
            Self::One { output, system, name } => {
                let path: Vec<&str> = [output, system, name].into_iter().map(String::as_str).collect();
                let path = if name.is_empty() { &path[..2] } else { &path[..] };
                Some(strict(&format!("flake.outputs.{}", attribute(path))))
            }
            Self::Kind { expr } => Some(strict(&scoped(expr))),
            Self::Value { expr } => Some(format!("builtins.toJSON {}", scoped(expr))),
            Self::Outputs | Self::Names { .. } | Self::Everything { .. } | Self::Each { .. } => None,
        }
    }
}

/// `expr`, looked at as closely as [`LIBRARY`]'s `look` does, without catching anything.
pub(super) fn strict(expr: &str) -> String {
    format!(
        "let it = {expr}; is = type: builtins.isAttrs it && (it.type or null) == type; in \
         if is \"derivation\" then it.drvPath else if is \"app\" then it.program else if builtins.isAttrs it \
         then builtins.foldl' (all: name: builtins.seq it.${{name}} all) \"\" (builtins.attrNames it) \
         else builtins.seq it \"\""
    )
}

/// The call of a function with a text.
pub(super) fn call(function: &str, name: &str) -> String {
    format!("({function}) {}", string(name))
}

/// The text of a `flake.nix` that has the answers to `queries` in a list, `answers`.
pub(super) fn question(url: &str, queries: &[Query]) -> String {
    let mut answers = String::new();
    for query in queries {
        let _ = writeln!(answers, "        ({})", query.nix());
    }
    format!(
        "{{\n  inputs.it.url = {};\n  outputs = {{ self, it }}:\n    let\n      flake = it;\n      outputs = it.outputs;{LIBRARY}    in {{\n      answers = [\n{answers}      ];\n    }};\n}}\n",
        string(url)
    )
}

/// The text of a `flake.nix` whose `answers` is the value of `expr`, whatever becomes of it.
pub(super) fn exclamation(url: &str, expr: &str) -> String {
    format!(
        "{{\n  inputs.it.url = {};\n  outputs = {{ self, it }}: {{\n    answers = let flake = it; in {expr};\n  }};\n}}\n",
        string(url)
    )
}

/// An expression of the plan, with nothing in scope but the flake.
pub(super) fn scoped(expr: &str) -> String {
    // The end of the line ends a comment of the plan's.
    format!("((flake: with flake.outputs; (\n{expr}\n)) flake)")
}

/// The value of an expression of the plan, or where its attribute path ends.
fn found(expr: &str) -> String {
    match path(expr) {
        Some(path) if path[0] != "flake" && path[0] != "builtins" => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            format!("walk {} outputs", list(&path))
        }
        _ => format!("{{ found = true; value = {}; }}", scoped(expr)),
    }
}

/// The names of an attribute path; `None` if it is any other expression.
pub(super) fn path(expr: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = expr.trim();
    loop {
        let end = if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            if quoted[..end].contains(['\\', '$']) {
                return None;
            }
            names.push(quoted[..end].to_owned());
            end + 2
        } else {
            let end = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
            let name = &rest[..end];
            if !is_name(name) || KEYWORDS.contains(&name) {
                return None;
            }
            names.push(name.to_owned());
            end
        };
        rest = &rest[end..];
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix('.')?;
    }
}

const KEYWORDS: [&str; 9] = ["assert", "else", "if", "in", "inherit", "let", "rec", "then", "with"];

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '\'' | '-')
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_name_char)
}

/// `packages.x86_64-linux."a.b"`.
pub(super) fn attribute(path: &[&str]) -> String {
    let quoted = path.iter().map(|name| {
        if is_name(name) && !KEYWORDS.contains(name) { (*name).to_owned() } else { string(name) }
    });
    quoted.collect::<Vec<_>>().join(".")
}

/// Text as a string of the Nix language.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${"))
}

/// Texts as a list of the Nix language.
pub(super) fn list(names: &[&str]) -> String {
    let names: String = names.iter().map(|name| format!("{} ", string(name))).collect();
    format!("[ {names}]")
}

/// What everything in an output is, by system and name.
pub(super) type Looks = BTreeMap<String, BTreeMap<String, Look>>;

impl Look {
    /// Something that could not be looked at at all.
    pub(super) fn error(message: &str) -> Self {
        Self { is: "error".to_owned(), what: Some(message.to_owned()) }
    }

    /// Whether it can be used: it is there, and getting at it does not fail.
    pub(super) fn is_good(&self) -> bool {
        !matches!(self.is.as_str(), "throws" | "missing" | "error" | "null")
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.is.as_str(), &self.what) {
            ("throws", Some(message)) => write!(f, "throws `{message}`"),
            ("throws", None) => f.write_str("throws"),
            ("missing", Some(at)) => write!(f, "is missing: there is no `{at}`"),
            ("missing", None) => f.write_str("is missing"),
            ("error", Some(message)) => write!(f, "does not evaluate: {message}"),
            ("null", _) => f.write_str("is null"),
            ("derivation" | "app", Some(path)) => f.write_str(path),
            ("int", _) => f.write_str("is an int"),
            ("lambda", _) => f.write_str("is a function"),
            (kind, _) => write!(f, "is a {kind}"),
        }
    }
}

/// The answer as the type that is expected; an unknown shape is said, never guessed.
pub(super) fn read<T: serde::de::DeserializeOwned>(answer: &Value) -> Result<T, String> {
    T::deserialize(answer)
        .map_err(|error| format!("this answer of Nix is not understood: {error}: `{answer}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_paths_are_told_from_other_expressions() {
        let paths = ["lib", "packages.x86_64-linux.a-b", "packages.\"x86_64-linux\".\"a.b\"", " lib.x' "];
        let read: Vec<_> = paths.iter().map(|it| path(it).map(|it| it.join(" | "))).collect();
        insta::assert_snapshot!(format!("{read:?}"), @r#"[Some("lib"), Some("packages | x86_64-linux | a-b"), Some("packages | x86_64-linux | a.b"), Some("lib | x'")]"#);
        for other in [
            "",
            "lib.",
            ".lib",
            "f x",
            "a.b.1",
            "a.${b}",
            "a.\"${b}\"",
            "if",
            "a or b",
            "(a)",
            "\"a",
            "a\"b\"",
        ] {
            assert_eq!(path(other), None, "{other}");
        }
    }

    #[test]
    fn a_question_is_a_flake_that_asks_another() {
        let queries = [
            Query::Outputs,
            Query::Everything { output: "packages".into() },
            Query::One { output: "formatter".into(), system: "x86_64-linux".into(), name: String::new() },
            Query::Kind { expr: "packages.x86_64-linux.a".into() },
            Query::Value { expr: "map (x: x) lib.profiles # all".into() },
        ];
        let text = question("path:/a \"b\" ${c}", &queries);
        let (_, answers) = text.split_once("answers = ").unwrap();
        insta::assert_snapshot!(answers, @r#"
        [
                (builtins.attrNames outputs)
                (everything "packages")
                (kind (walk [ "formatter" "x86_64-linux" ] outputs))
                (kind (walk [ "packages" "x86_64-linux" "a" ] outputs))
                (value ({ found = true; value = ((flake: with flake.outputs; (
        map (x: x) lib.profiles # all
        )) flake); }))
              ];
            };
        }
        "#);
        assert!(text.starts_with("{\n  inputs.it.url = \"path:/a \\\"b\\\" \\${c}\";\n"), "{text}");
    }
}
