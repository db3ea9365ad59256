//! Asking all of it at once, and finding out which question has no answer if that fails.
//!
//! Most of what can go wrong in a flake is caught where it happens. What cannot be caught in the language (a type
//! error, an attribute that is missing deep inside, a syntax error in a question) ends the whole evaluation; then the
//! questions are asked in halves until those that fail are alone.

use std::collections::BTreeMap;

use serde_json::Value;

use super::query::{Look, Looks, Query, Valued, call, read};

/// An evaluation that came to an end of its own.
pub(super) enum Evaluated {
    /// The answers, one for each question.
    Answers(Vec<Value>),
    /// What Nix said instead.
    Refused(String),
}

/// The answers to questions; of one that ends the evaluation, what Nix said.
pub(super) type Answers = BTreeMap<Query, Result<Value, String>>;

/// Asks `queries` with as few evaluations as may be.
///
/// `evaluate` is asked for everything first, exactly once if nothing fails.
pub(super) fn ask<E>(
    queries: &[Query],
    evaluate: &mut dyn FnMut(&[Query]) -> Result<Evaluated, E>,
) -> Result<Answers, E> {
    let mut answers = Answers::new();
    let mut waiting = vec![queries.to_vec()];
    while let Some(some) = waiting.pop() {
        if some.is_empty() {
            continue;
        }
        match evaluate(&some)? {
            Evaluated::Answers(all) if all.len() == some.len() => {
                answers.extend(some.into_iter().zip(all.into_iter().map(Ok)));
            }
            Evaluated::Answers(all) => {
                let message = format!("Nix gave {} answers to {} questions", all.len(), some.len());
                answers.extend(some.into_iter().map(|query| (query, Err(message.clone()))));
            }
            Evaluated::Refused(message) => match some.as_slice() {
                [one @ (Query::Everything { .. } | Query::Each { .. })] => match parts(one, evaluate)? {
                    Some(parts) => waiting.push(parts),
                    None => drop(answers.insert(one.clone(), Err(message))),
                },
                [one] => drop(answers.insert(one.clone(), Err(message))),
                _ => {
                    let (first, second) = some.split_at(some.len() / 2);
                    waiting.extend([second.to_vec(), first.to_vec()]);
                }
            },
        }
    }
    Ok(answers)
}

/// The questions that together are as good as `whole`, which fails; `None` if it is not even known what it is about.
fn parts<E>(
    whole: &Query,
    evaluate: &mut dyn FnMut(&[Query]) -> Result<Evaluated, E>,
) -> Result<Option<Vec<Query>>, E> {
    let names = match whole {
        Query::Everything { output } => Query::Names { output: output.clone() },
        Query::Each { list, .. } => Query::Value { expr: list.clone() },
        _ => return Ok(None),
    };
    let Evaluated::Answers(answers) = evaluate(&[names])? else { return Ok(None) };
    let Some(answer) = answers.first() else { return Ok(None) };
    Ok(match whole {
        Query::Everything { output } => read(answer).ok().map(|known| things(output, &known)),
        Query::Each { access, .. } => strings(answer)
            .ok()
            .map(|names| names.iter().map(|name| Query::Kind { expr: call(access, name) }).collect()),
        _ => None,
    })
}

fn things(output: &str, known: &BTreeMap<String, Vec<String>>) -> Vec<Query> {
    let one = |system: &str, name: &str| Query::One {
        output: output.to_owned(),
        system: system.to_owned(),
        name: name.to_owned(),
    };
    let of_system = |(system, names): (&String, &Vec<String>)| match names.as_slice() {
        [] => vec![one(system, "")],
        names => names.iter().map(|name| one(system, name)).collect(),
    };
    known.iter().flat_map(of_system).collect()
}

/// The list of texts that is the answer to [`Query::Value`].
pub(super) fn strings(answer: &Value) -> Result<Vec<String>, String> {
    let valued: Valued = read(answer)?;
    match (valued.is.as_str(), &valued.what) {
        ("value", Some(json)) => {
            serde_json::from_str(json).map_err(|_| format!("is no list of texts: `{json}`"))
        }
        (is, what) => Err(Look { is: is.to_owned(), what: what.clone() }.to_string()),
    }
}

/// What `access` makes of each of `names`, however it was asked.
pub(super) fn each(answers: &Answers, list: &str, access: &str, names: &[String]) -> BTreeMap<String, Look> {
    let whole = answers.get(&Query::Each { list: list.to_owned(), access: access.to_owned() });
    if let Some(Ok(answer)) = whole
        && let Ok(looks) = read(answer)
    {
        return looks;
    }
    let look = |name: &String| match answers.get(&Query::Kind { expr: call(access, name) }).or(whole) {
        Some(Ok(answer)) => read(answer).unwrap_or_else(|message| Look::error(&message)),
        Some(Err(message)) => Look::error(message),
        None => Look::error("it was not asked"),
    };
    names.iter().map(|name| (name.clone(), look(name))).collect()
}

/// What everything in `output` is, put together from however it was asked.
pub(super) fn looks(answers: &Answers, output: &str) -> Result<Looks, String> {
    match answers.get(&Query::Everything { output: output.to_owned() }) {
        Some(Ok(answer)) => return read(answer),
        Some(Err(message)) => return Err(message.clone()),
        None => (),
    }
    let mut looks = Looks::new();
    for (query, answer) in answers {
        let Query::One { output: of, system, name } = query else { continue };
        if of == output {
            let look = match answer {
                Ok(answer) => read(answer)?,
                Err(message) => Look::error(message),
            };
            // A system that has nothing was asked about as a whole.
            let nothing = name.is_empty() && look.is == "set";
            let system = looks.entry(system.clone()).or_default();
            if !nothing {
                system.insert(name.clone(), look);
            }
        }
    }
    Ok(looks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(expr: &str) -> Query {
        Query::Value { expr: expr.to_owned() }
    }

    /// A Nix that refuses as soon as one of the questions is bad, and counts.
    fn asked(exprs: &[&str], bad: &[&str]) -> (Answers, usize) {
        let queries: Vec<_> = exprs.iter().map(|it| value(it)).collect();
        let mut count = 0;
        let answers = ask::<()>(&queries, &mut |some| {
            count += 1;
            let worst = some.iter().find(|it| bad.iter().any(|bad| **it == value(bad)));
            Ok(match worst {
                Some(Query::Value { expr }) => Evaluated::Refused(format!("{expr} is bad")),
                _ => Evaluated::Answers(some.iter().map(|_| json!("fine")).collect()),
            })
        });
        (answers.unwrap(), count)
    }

    #[test]
    fn everything_is_asked_at_once_and_halves_only_if_that_fails() {
        assert_eq!(asked(&["a", "b", "c", "d"], &[]).1, 1);
        let (answers, count) = asked(&["a", "b", "c", "d"], &["c"]);
        assert_eq!(count, 5, "abcd, ab, cd, c, d");
        assert_eq!(answers[&value("c")], Err("c is bad".to_owned()));
        assert!(["a", "b", "d"].iter().all(|it| answers[&value(it)].is_ok()));
        assert_eq!(asked(&[], &[]).1, 0);
    }

    #[test]
    fn an_output_that_ends_the_evaluation_is_looked_at_one_by_one() {
        let everything = Query::Everything { output: "packages".into() };
        let mut asked = Vec::new();
        let answers = ask::<()>(&[Query::Outputs, everything], &mut |some| {
            asked.push(some.len());
            let one = |name: &str| Query::One {
                output: "packages".into(),
                system: "x86_64-linux".into(),
                name: name.into(),
            };
            let bad = |it: &Query| matches!(it, Query::Everything { .. }) || *it == one("b");
            Ok(if some.iter().any(bad) {
                Evaluated::Refused("attribute `x` missing".to_owned())
            } else {
                let answer = |it: &Query| match it {
                    Query::Names { .. } => json!({ "x86_64-linux": ["a", "b"], "aarch64-linux": [] }),
                    Query::One { name, .. } if name.is_empty() => json!({ "is": "set" }),
                    Query::One { .. } => json!({ "is": "derivation", "what": "/nix/store/a.drv" }),
                    _ => json!([]),
                };
                Evaluated::Answers(some.iter().map(answer).collect())
            })
        });
        let looks = looks(&answers.unwrap(), "packages").unwrap();
        assert_eq!(looks["x86_64-linux"]["b"], Look::error("attribute `x` missing"));
        assert!(looks["x86_64-linux"]["a"].is_good());
        assert!(looks["aarch64-linux"].is_empty());
    }

    proptest! {
        /// Whatever is bad, every question gets its own answer.
        #[test]
        fn every_question_is_answered(bad in proptest::collection::vec(any::<bool>(), 0..20)) {
            let names: Vec<String> = (0..bad.len()).map(|n| format!("e{n}")).collect();
            let exprs: Vec<&str> = names.iter().map(String::as_str).collect();
            let wrong: Vec<&str> = exprs.iter().zip(&bad).filter(|(_, bad)| **bad).map(|(it, _)| *it).collect();
            let (answers, _) = asked(&exprs, &wrong);
            for (expr, bad) in exprs.iter().zip(&bad) {
                prop_assert_eq!(answers[&value(expr)].is_err(), *bad);
            }
        }
    }
}
