//! Gating, parity and names: what is expected of everything in an output, on every system.

use std::collections::{BTreeMap, BTreeSet};

use bootway_plan::{
    nearest,
    step::{Names, Naming, NixCheck},
};
use globset::{GlobBuilder, GlobMatcher};

use super::{
    ask::{Answers, looks},
    query::{Look, Looks, Query, is_per_system, read},
    values::names_of,
    verdict::{Again, Found, Verdicted, cut, quoted},
};

/// Outputs in which an attribute that a system cannot have must be left out.
pub(super) const GATED: [&str; 5] = ["apps", "checks", "devShells", "formatter", "packages"];

/// How many names templates may give; a list this long is a mistake.
const MAX_NAMES: usize = 10_000;

/// A name of the contract: of which output, and the pattern.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("packages", name))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

/// The pattern of a name; one that is none is compared as it is.
fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| format!("`{pattern}` is no pattern: {}", error.kind()))
}

/// The outputs that `contract` has to know everything about.
pub(super) fn looked_at(contract: &NixCheck) -> BTreeSet<String> {
    let gated = contract.gating.iter().flat_map(|_| GATED);
    let named = contract.universal.iter().chain(contract.only_on.keys()).map(|name| split(name).0);
    gated.chain(named).map(str::to_owned).collect()
}

/// Of what is there, everything can be used: a system that cannot have something leaves it out.
pub(super) fn gating(answers: &Answers) -> Vec<Verdicted> {
    GATED.into_iter().filter_map(|output| gating_of(output, answers)).collect()
}

fn gating_of(output: &str, answers: &Answers) -> Option<Verdicted> {
    let name = format!("{output}: what a system cannot have is left out");
    let kind = if output == "apps" { "app" } else { "derivation" };
    let expected = format!("each to be a {kind}").replace("a app", "an app");
    let all = match looks(answers, output) {
        Ok(all) if all.is_empty() => return None,
        Ok(all) => all,
        Err(message) => {
            let again = Again::Expr(format!("builtins.attrNames flake.outputs.{output}"));
            return Some(Verdicted::wrong(name, expected, vec![Found::text(message)], again));
        }
    };
    let mut found = Vec::new();
    let (mut first, mut count) = (None, 0);
    for (system, things) in &all {
        for (thing, look) in things {
            count += 1;
            if !fits(output, look) {
                let subject = format!("{}{thing}", if thing.is_empty() { "" } else { "`" });
                let subject = if thing.is_empty() { subject } else { format!("{subject}`") };
                let query = one(output, system, thing);
                found.push(Found::look(format!("{subject} on {system}").trim(), look, query));
                first.get_or_insert_with(|| again(output, system, thing));
            }
        }
    }
    Some(match first {
        None => Verdicted::good(name, format!("{count} on {} systems", all.len())),
        Some(again) => Verdicted::wrong(name, expected, found, again),
    })
}

/// Whether something is what its output is there for, and getting at it does not fail.
fn fits(output: &str, look: &Look) -> bool {
    match output {
        "apps" => look.is == "app",
        _ if GATED.contains(&output) => look.is == "derivation",
        _ => look.is_good(),
    }
}

fn one(output: &str, system: &str, name: &str) -> Query {
    Query::One { output: output.to_owned(), system: system.to_owned(), name: name.to_owned() }
}

/// What to evaluate to see what something is.
fn again(output: &str, system: &str, name: &str) -> Again {
    let part = if output == "apps" { "program" } else { "drvPath" };
    let path = [output, system, name, part];
    let path: Vec<&str> = path.into_iter().filter(|it| !it.is_empty()).collect();
    Again::of(&path)
}

/// Every system has what is universal.
pub(super) fn universal(contract: &NixCheck, answers: &Answers) -> Vec<Verdicted> {
    let mut verdicts = Vec::new();
    for wanted in &contract.universal {
        let (output, pattern) = split(wanted);
        let all = match looks(answers, output) {
            Ok(all) => all,
            Err(message) => {
                verdicts.push(unknown(&format!("{wanted} is on every system"), output, &message));
                continue;
            }
        };
        match universal_names(contract, output, pattern, &all) {
            Ok(names) => {
                for name in &names {
                    verdicts.extend(contract.systems.iter().map(|system| on(output, system, name, &all)));
                }
            }
            Err(message) => verdicts.push(unknown(&format!("{wanted} is on every system"), output, &message)),
        }
    }
    verdicts
}

/// The names that `pattern` stands for: itself, or all that any system has and that are not for some systems only.
fn universal_names(
    contract: &NixCheck,
    output: &str,
    pattern: &str,
    all: &Looks,
) -> Result<BTreeSet<String>, String> {
    if !is_pattern(pattern) {
        return Ok(BTreeSet::from([pattern.to_owned()]));
    }
    let wanted = matcher(pattern)?;
    let gated: Result<Vec<GlobMatcher>, String> = contract
        .only_on
        .keys()
        .map(|name| split(name))
        .filter(|(of, _)| *of == output)
        .map(|(_, pattern)| matcher(pattern))
        .collect();
    let gated = gated?;
    let of_systems = contract.systems.iter().filter_map(|system| all.get(system)).flat_map(BTreeMap::keys);
    let names: BTreeSet<String> = of_systems
        .filter(|name| wanted.is_match(name) && !gated.iter().any(|gated| gated.is_match(name)))
        .cloned()
        .collect();
    if names.is_empty() { Err(format!("nothing in `{output}` that matches `{pattern}`")) } else { Ok(names) }
}

fn unknown(name: &str, output: &str, message: &str) -> Verdicted {
    let again = Again::Expr(format!("builtins.attrNames flake.outputs.{output}"));
    Verdicted::wrong(name, "something that can be looked at", vec![Found::text(message)], again)
}

/// `name` is there on `system`, and evaluates.
fn on(output: &str, system: &str, name: &str, all: &Looks) -> Verdicted {
    let title = format!("{} on {system}", shown(output, name));
    let expected = format!("that {system} has it");
    let again = again(output, system, name);
    match all.get(system).map(|things| (things.get(name).or_else(|| things.get("")), things)) {
        Some((Some(look), _)) if fits(output, look) => Verdicted::good(title, look.to_string()),
        Some((Some(look), _)) => {
            let found = Found::look(&format!("that it on {system}"), look, one(output, system, name));
            Verdicted::wrong(title, expected, vec![found], again)
        }
        Some((None, things)) => {
            let near = nearest(name, things.keys().map(String::as_str));
            let near = near.map(|near| format!(" (but `{near}`)")).unwrap_or_default();
            let found = format!("no `{name}` in `{output}` of {system}{near}");
            Verdicted::wrong(title, expected, vec![Found::text(found)], again)
        }
        None => {
            let found = format!("no {system} in `{output}`");
            Verdicted::wrong(title, expected, vec![Found::text(found)], again)
        }
    }
}

fn shown(output: &str, name: &str) -> String {
    if output == "packages" { name.to_owned() } else { format!("{output}.{name}") }
}

/// What is for some systems only is there, and nowhere else.
pub(super) fn only_on(contract: &NixCheck, answers: &Answers) -> Vec<Verdicted> {
    let verdict = |(name, allowed): (&String, &Vec<String>)| {
        let title = format!("{name} is on {} only", allowed.join(", "));
        let (output, _) = split(name);
        match only_on_problems(contract, name, allowed, answers) {
            Ok((found, _)) if found.is_empty() => {
                let having = contract.systems.iter().filter(|system| is_allowed(allowed, system));
                Verdicted::good(title, having.cloned().collect::<Vec<_>>().join(", "))
            }
            Ok((found, again)) => {
                let expected = format!("it there, and left out of {output} elsewhere");
                Verdicted::wrong(title, expected, found, again.unwrap_or(Again::Nothing))
            }
            Err(message) => unknown(&title, output, &message),
        }
    };
    contract.only_on.iter().map(verdict).collect()
}

fn is_allowed(allowed: &[String], system: &str) -> bool {
    allowed.iter().any(|it| matcher(it).is_ok_and(|it| it.is_match(system)))
}

/// What is wrong with where `name` is.
fn only_on_problems(
    contract: &NixCheck,
    name: &str,
    allowed: &[String],
    answers: &Answers,
) -> Result<(Vec<Found>, Option<Again>), String> {
    let (output, pattern) = split(name);
    let all = looks(answers, output)?;
    let wanted = matcher(pattern)?;
    for system in allowed {
        matcher(system)?;
    }
    let (mut found, mut first) = (Vec::new(), None);
    let nothing = BTreeMap::new();
    for system in &contract.systems {
        let things = all.get(system).unwrap_or(&nothing);
        let mut there = things.iter().filter(|(name, _)| wanted.is_match(name)).peekable();
        let allowed = is_allowed(allowed, system);
        if allowed && there.peek().is_none() {
            found.push(Found::text(format!("nothing like it on {system}")));
            first.get_or_insert_with(|| {
                Again::Expr(format!("builtins.attrNames flake.outputs.{output}.{system}"))
            });
        }
        for (thing, look) in there.filter(|(_, look)| !allowed || !fits(output, look)) {
            let subject = format!("`{thing}` on {system}");
            found.push(if allowed {
                Found::look(&subject, look, one(output, system, thing))
            } else {
                Found::text(format!("{subject}, which must not have it"))
            });
            first.get_or_insert_with(|| again(output, system, thing));
        }
    }
    Ok((found, first))
}

/// Everything in an output is called as it should be.
pub(super) fn naming(naming: &Naming, contract: &NixCheck, answers: &Answers) -> Verdicted {
    let output = &naming.output;
    let title = format!("{output} are called {}", naming.templates.join(" or "));
    let expected = format!("names like {}", quoted(naming.templates.iter().map(String::as_str)));
    let again = Again::Expr(format!("builtins.mapAttrs (_: builtins.attrNames) flake.outputs.{output}"));
    let again = if is_per_system(output) {
        again
    } else {
        Again::Expr(format!("builtins.attrNames flake.outputs.{output}"))
    };
    let checked = good_names(naming, answers).and_then(|good| {
        let known: BTreeMap<String, Vec<String>> = match &answers[&Query::Names { output: output.clone() }] {
            Ok(answer) => read(answer).map_err(Found::text)?,
            Err(message) => return Err(Found::text(message)),
        };
        let count: usize = known.values().map(Vec::len).sum();
        Ok((misnamed(naming, contract, &good, &known), count, known.len()))
    });
    match checked {
        Ok((found, count, systems)) if found.is_empty() => {
            Verdicted::good(title, format!("{count} names on {systems} systems").replace(" on 1 systems", ""))
        }
        Ok((found, ..)) => Verdicted::wrong(title, expected, found, again),
        Err(found) => Verdicted::wrong(title, expected, vec![found], again),
    }
}

/// What is called otherwise, and what is missing if the list is to be complete.
fn misnamed(
    naming: &Naming,
    contract: &NixCheck,
    good: &BTreeSet<String>,
    known: &BTreeMap<String, Vec<String>>,
) -> Vec<Found> {
    let mut found = Vec::new();
    let on = |system: &str| if system.is_empty() { String::new() } else { format!(" on {system}") };
    for (system, names) in known {
        for name in names.iter().filter(|name| !good.contains(*name) && !naming.except.contains(name)) {
            let near = nearest(name, good.iter().map(String::as_str));
            let near = near.map(|near| format!(" (like `{near}`, but not)")).unwrap_or_default();
            found.push(Found::text(format!("`{name}`{}{near}", on(system))));
        }
        let gated = |name: &str| {
            contract.only_on.iter().any(|(pattern, allowed)| {
                let (output, pattern) = split(pattern);
                let this = output == naming.output && matcher(pattern).is_ok_and(|it| it.is_match(name));
                this && !is_allowed(allowed, system)
            })
        };
        if naming.complete {
            let lacking = good.iter().filter(|name| !names.contains(name) && !gated(name));
            found.extend(lacking.map(|name| Found::text(format!("no `{name}`{}", on(system)))));
        }
    }
    found
}

/// Every name that the templates give.
fn good_names(naming: &Naming, answers: &Answers) -> Result<BTreeSet<String>, Found> {
    let mut places = BTreeMap::new();
    for (place, names) in &naming.places {
        places.insert(place.as_str(), names_of(names, answers)?);
    }
    let mut good = BTreeSet::new();
    for template in &naming.templates {
        let mut names = vec![template.clone()];
        for place in Naming::places_of(template).unwrap_or_default() {
            let fill = |name: &String| -> Vec<String> {
                let hole = format!("{{{place}}}");
                places.get(place).into_iter().flatten().map(|value| name.replace(&hole, value)).collect()
            };
            names = names.iter().flat_map(fill).collect();
            if names.len() > MAX_NAMES {
                let message = format!("that `{}` gives more than {MAX_NAMES} names", cut(template));
                return Err(Found::text(message));
            }
        }
        good.extend(names);
    }
    Ok(good)
}

/// The lists of names that `naming` has to know.
pub(super) fn lists(naming: &Naming) -> impl Iterator<Item = Query> + '_ {
    naming.places.values().filter_map(|names| match names {
        Names::Of(expr) => Some(Query::Value { expr: expr.clone() }),
        Names::These(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_output_or_is_a_package() {
        assert_eq!(split("app"), ("packages", "app"));
        assert_eq!(split("apps.up"), ("apps", "up"));
        assert!(is_allowed(&["*-linux".to_owned()], "aarch64-linux"));
        assert!(!is_allowed(&["*-linux".to_owned()], "aarch64-darwin"));
    }
}
