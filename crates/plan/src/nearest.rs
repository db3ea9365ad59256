//! What a misspelt word was meant to be.

/// «unknown KIND `TEXT`: did you mean …, or all there are».
pub(crate) fn unknown<S: AsRef<str>>(kind: &str, text: &str, known: &[S]) -> String {
    let near = nearest(text, known.iter().map(AsRef::as_ref));
    match near {
        Some(near) => format!("unknown {kind} `{text}`: did you mean `{near}`"),
        None if known.is_empty() => format!("unknown {kind} `{text}`: there are none"),
        None => {
            let all: Vec<String> = known.iter().map(|it| format!("`{}`", it.as_ref())).collect();
            format!("unknown {kind} `{text}`: use one of {}", all.join(", "))
        }
    }
}

/// The known word that is closest to `text`, if one is close enough to be meant.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|it| (strsim::damerau_levenshtein(text, it), it));
    let (distance, best) = scored.min()?;
    (distance <= (text.chars().count() / 3).max(1)).then_some(best)
}
