//! Where a file is not what it would be.

/// The first line in which a file is not what it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// From 1.
    pub(crate) line: usize,
    /// What is there, if the file has that many lines.
    pub(crate) is: Option<String>,
    /// What would be there, if it would have that many lines.
    pub(crate) would_be: Option<String>,
}

/// Where `there` is not `made`, if it is not.
pub(crate) fn difference(there: &str, made: &str) -> Option<Difference> {
    if there == made {
        return None;
    }
    let (mut is, mut would_be) = (there.split_inclusive('\n'), made.split_inclusive('\n'));
    for line in 1.. {
        let (is, would_be) = (is.next(), would_be.next());
        if is != would_be {
            let line_of = |text: Option<&str>| text.map(|text| text.trim_end_matches('\n').to_owned());
            return Some(Difference { line, is: line_of(is), would_be: line_of(would_be) });
        }
        if is.is_none() {
            break;
        }
    }
    None
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.is, &self.would_be) {
            (Some(is), Some(would_be)) if is == would_be => {
                write!(f, "line {}: the line has no end", self.line)
            }
            (Some(is), Some(would_be)) => write!(f, "line {}: `{is}`, would be `{would_be}`", self.line),
            (Some(is), None) => write!(f, "line {}: `{is}` would not be there", self.line),
            (None, Some(would_be)) => write!(f, "line {}: `{would_be}` is missing", self.line),
            (None, None) => write!(f, "line {}", self.line),
        }
    }
}
