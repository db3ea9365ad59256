//! What keys are pressed to type a text. Pure.

/// The keys that are pressed together for `character` on a US keyboard, by QEMU's names; `None` if it has none.
///
/// Source: QEMU QMP reference, `QKeyCode`.
pub(crate) fn keys(character: char) -> Option<Vec<&'static str>> {
    if let Some(at) = LETTERS.iter().position(|key| key.starts_with(character.to_ascii_lowercase())) {
        return Some(with_shift(character.is_ascii_uppercase(), LETTERS[at]));
    }
    let (_, shifted, key) = OTHERS.iter().find_map(|(plain, shifted, key)| {
        (*plain == character || *shifted == Some(character)).then_some((plain, shifted, key))
    })?;
    Some(with_shift(*shifted == Some(character), key))
}

fn with_shift(shift: bool, key: &'static str) -> Vec<&'static str> {
    if shift { vec!["shift", key] } else { vec![key] }
}

const LETTERS: [&str; 26] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u",
    "v", "w", "x", "y", "z",
];

/// Without shift, with shift, name.
const OTHERS: [(char, Option<char>, &str); 25] = [
    ('1', Some('!'), "1"),
    ('2', Some('@'), "2"),
    ('3', Some('#'), "3"),
    ('4', Some('$'), "4"),
    ('5', Some('%'), "5"),
    ('6', Some('^'), "6"),
    ('7', Some('&'), "7"),
    ('8', Some('*'), "8"),
    ('9', Some('('), "9"),
    ('0', Some(')'), "0"),
    ('-', Some('_'), "minus"),
    ('=', Some('+'), "equal"),
    ('[', Some('{'), "bracket_left"),
    (']', Some('}'), "bracket_right"),
    ('\\', Some('|'), "backslash"),
    (';', Some(':'), "semicolon"),
    ('\'', Some('"'), "apostrophe"),
    ('`', Some('~'), "grave_accent"),
    (',', Some('<'), "comma"),
    ('.', Some('>'), "dot"),
    ('/', Some('?'), "slash"),
    (' ', None, "spc"),
    ('\n', None, "ret"),
    ('\t', None, "tab"),
    ('\x1B', None, "esc"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_plan_may_type_has_its_own_keys() {
        let all: Vec<char> = (' '..='~').chain(['\n', '\t', '\x1B']).collect();
        let keys: std::collections::BTreeSet<_> = all.iter().map(|it| keys(*it).expect("has keys")).collect();
        assert_eq!(keys.len(), all.len());
        assert_eq!(super::keys('é'), None);
        assert_eq!(super::keys('R'), Some(vec!["shift", "r"]));
        assert_eq!(super::keys(':'), Some(vec!["shift", "semicolon"]));
    }
}
