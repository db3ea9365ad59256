//! Outputs, values, profiles: what is expected of single things.

use std::collections::BTreeSet;

use bootway_plan::{
    nearest,
    step::{Names, NixCheck, Profiles},
};
use serde_json::Value;

use super::{
    ask::{Answers, each, strings},
    query::{Look, Query, Valued, call, list, read},
    verdict::{Again, Found, Verdicted, cut, quoted},
};

/// The outputs are these and no others.
pub(super) fn outputs(wanted: &BTreeSet<String>, answers: &Answers) -> Verdicted {
    let name = format!("the outputs are {}", quoted(wanted.iter().map(String::as_str)));
    let expected = "exactly these";
    let again = Again::Expr("builtins.attrNames flake.outputs".to_owned());
    let known: Result<BTreeSet<String>, String> = match &answers[&Query::Outputs] {
        Ok(answer) => read(answer),
        Err(message) => Err(message.clone()),
    };
    let known = match known {
        Ok(known) => known,
        Err(message) => return Verdicted::wrong(name, expected, vec![Found::text(message)], again),
    };
    let strange = known.difference(wanted).map(|it| Found::text(format!("`{it}`, which is not among them")));
    let lacking = wanted.difference(&known).map(|it| {
        let near = nearest(it, known.iter().map(String::as_str)).filter(|it| !wanted.contains(*it));
        let near = near.map(|near| format!(" (but `{near}`)")).unwrap_or_default();
        Found::text(format!("no `{it}`{near}"))
    });
    let found: Vec<Found> = strange.chain(lacking).collect();
    if found.is_empty() {
        Verdicted::good(name, quoted(known.iter().map(String::as_str)))
    } else {
        Verdicted::wrong(name, expected, found, again)
    }
}

/// What an expression is, however it was answered.
fn look(answers: &Answers, query: &Query) -> Look {
    match &answers[query] {
        Ok(answer) => read(answer).unwrap_or_else(|message| Look::error(&message)),
        Err(message) => Look::error(message),
    }
}

/// An expression evaluates.
pub(super) fn evaluates(expr: &str, answers: &Answers) -> Verdicted {
    let query = Query::Kind { expr: expr.to_owned() };
    let (name, look) = (format!("{expr} evaluates"), look(answers, &query));
    if look.is_good() {
        Verdicted::good(name, look.to_string())
    } else {
        let found = vec![Found::look("that it", &look, query)];
        Verdicted::wrong(name, "a value", found, Again::Expr(expr.to_owned()))
    }
}

/// An expression has a value, or a value with something in it.
pub(super) fn values(contract: &NixCheck, answers: &Answers) -> Vec<Verdicted> {
    let equals = contract.equals.iter().map(|(expr, wanted)| (expr, "is", wanted, None));
    let contains = contract.contains.iter().map(|(expr, wanted)| (expr, "has", wanted, Some(())));
    let value = |(expr, word, wanted, part): (&String, &str, &Value, Option<()>)| {
        let name = cut(&format!("{expr} {word} {wanted}"));
        let query = Query::Value { expr: expr.clone() };
        let again = Again::Expr(expr.clone());
        let expected = match part {
            None => format!("`{wanted}`"),
            Some(()) => format!("something with `{wanted}` in it"),
        };
        let wrong = |found: Found| Verdicted::wrong(&name, &expected, vec![found], again.clone());
        let valued: Valued = match answers[&query].as_ref().map_err(Clone::clone).and_then(read) {
            Ok(valued) => valued,
            Err(message) => return wrong(Found::look("that it", &Look::error(&message), query)),
        };
        let json = valued.what.as_deref().filter(|_| valued.is == "value");
        let Some(found) = json.and_then(|json| serde_json::from_str::<Value>(json).ok()) else {
            let look = Look { is: valued.is, what: valued.what };
            return wrong(Found::look("that it", &look, query));
        };
        let good = if part.is_some() { has(&found, wanted) } else { same(&found, wanted) };
        if good {
            Verdicted::good(&name, format!("`{found}`"))
        } else {
            wrong(Found::text(format!("`{found}`")))
        }
    };
    equals.chain(contains).map(value).collect()
}

/// Whether two values are the same; `1` and `1.0` are, since TOML and Nix do not agree on how to write a number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|it| same(value, it)))
        }
        _ => a == b,
    }
}

/// Whether `part` is in `whole`: a piece of a text, an element or all elements of a list, a key or keys with their
/// values of a set.
fn has(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::String(whole), Value::String(part)) => whole.contains(part),
        (Value::Array(whole), Value::Array(parts)) => {
            parts.iter().all(|part| whole.iter().any(|it| same(it, part)))
        }
        (Value::Array(whole), part) => whole.iter().any(|it| same(it, part)),
        (Value::Object(whole), Value::Object(parts)) => {
            parts.iter().all(|(key, part)| whole.get(key).is_some_and(|it| same(it, part)))
        }
        (Value::Object(whole), Value::String(key)) => whole.contains_key(key),
        _ => same(whole, part),
    }
}

/// The expression of a list of names.
pub(super) fn list_of(names: &Names) -> String {
    match names {
        Names::These(names) => list(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        Names::Of(expr) => expr.clone(),
    }
}

/// The names themselves, or why they are not known.
pub(super) fn names_of(names: &Names, answers: &Answers) -> Result<Vec<String>, Found> {
    match names {
        Names::These(names) => Ok(names.clone()),
        Names::Of(expr) => {
            let query = Query::Value { expr: expr.clone() };
            let answer = answers[&query].as_ref().map_err(|message| Look::error(message).to_string());
            let thrown = answer.as_ref().ok().filter(|it| it["is"] == "throws").map(|_| query.clone());
            let names = answer.and_then(strings);
            names.map_err(|text| Found { text: format!("that `{expr}` {text}"), thrown })
        }
    }
}

/// Each profile can be had.
pub(super) fn profiles(profiles: &Profiles, answers: &Answers) -> Vec<Verdicted> {
    let list = list_of(&profiles.list);
    let names = match names_of(&profiles.list, answers) {
        Ok(names) if names.is_empty() => Err(Found::text("an empty list")),
        names => names,
    };
    let names = match names {
        Ok(names) => names,
        Err(found) => {
            let name = format!("{list} is a list of profiles");
            return vec![Verdicted::wrong(name, "a list of names", vec![found], Again::Expr(list))];
        }
    };
    let Some(access) = &profiles.access else { return Vec::new() };
    let looks = each(answers, &list, access, &names);
    let verdict = |name: &String| {
        let title = format!("profile {name} can be had from {access}");
        let expr = call(access, name);
        let look = looks.get(name).cloned().unwrap_or_else(|| Look::error("it was not asked"));
        if look.is_good() {
            return Verdicted::good(title, look.to_string());
        }
        let found = Found::look("that it", &look, Query::Kind { expr: expr.clone() });
        Verdicted::wrong(title, "a value", vec![found], Again::Expr(expr))
    };
    names.iter().map(verdict).collect()
}

/// Something that must throw: what to call it, the expression, and what it must throw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MustThrow {
    /// What is expected, in a few words.
    pub(super) name: String,
    /// The expression.
    pub(super) expr: String,
    /// What it must throw, exactly; the reason if that is not known.
    pub(super) message: Result<String, Found>,
}

/// Everything that must throw, in the order of the plan; `{profiles}` is filled in from the answers.
pub(super) fn must_throw(contract: &NixCheck, answers: &Answers) -> Vec<MustThrow> {
    let refused = contract.profiles.iter().filter_map(|profiles| {
        let refuses = profiles.refuses.as_ref()?;
        let message = names_of(&profiles.list, answers).map(|names| {
            refuses.message.replace("{profiles}", &names.join(", ")).replace("{name}", &refuses.name)
        });
        let name = format!("{} refuses {}", refuses.by, refuses.name);
        Some(MustThrow { name, expr: call(&refuses.by, &refuses.name), message })
    });
    let thrown = contract.throws.iter().map(|throws| MustThrow {
        name: cut(&format!("{} throws", throws.expr)),
        expr: throws.expr.clone(),
        message: Ok(throws.message.clone()),
    });
    refused.chain(thrown).collect()
}

/// What was thrown is what must be; `None` is nothing.
pub(super) fn thrown(must: &MustThrow, thrown: Option<&str>) -> Verdicted {
    let again = Again::Expr(must.expr.clone());
    let wrong = |expected: &str, found| Verdicted::wrong(&must.name, expected, vec![found], again.clone());
    let message = match &must.message {
        Ok(message) => message,
        Err(found) => return wrong("a message that names the profiles", found.clone()),
    };
    let expected = format!("that it throws `{message}`");
    match thrown {
        Some(thrown) if thrown == message => Verdicted::good(&must.name, format!("`{message}`")),
        Some(thrown) => wrong(&expected, Found::text(format!("`{thrown}`"))),
        None => wrong(&expected, Found::text("that it has a value")),
    }
}
