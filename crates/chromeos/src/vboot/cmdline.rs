//! The arguments of a kernel command line.

/// The arguments of `cmdline` as the kernel splits them: at white space that is not between quotes.
pub(crate) fn arguments(cmdline: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    cmdline
        .split(move |char: char| {
            quoted ^= char == '"';
            char.is_ascii_whitespace() && !quoted
        })
        .filter(|argument| !argument.is_empty())
}

/// The value of the first argument `NAME=VALUE`, without quotes around it.
pub fn argument<'a>(cmdline: &'a str, name: &str) -> Option<&'a str> {
    let value = arguments(cmdline).find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.strip_prefix('"').map_or(value, |value| value.strip_suffix('"').unwrap_or(value)))
}
