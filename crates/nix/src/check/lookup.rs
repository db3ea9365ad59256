//! Lookup paths such as `<nixpkgs>` in the text of a Nix file: found by reading it as Nix does, not by searching.
//!
//! What is in a comment or in a string is no lookup path; what is in `${…}` inside of a string is one. Everything
//! that could hide a quote or a bracket is read as its own kind of token: identifiers (`foldl'`), URIs, both kinds of
//! strings and both kinds of comments.
//!
//! Source: Nix 2.8, `src/libexpr/lexer.l` (`ID`, `SPATH`, `URI`, and the states `STRING` and `IND_STRING`).

/// A lookup path in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    /// From 1.
    pub(super) line: usize,
    /// As it is written, `<nixpkgs/lib>`.
    pub(super) text: String,
}

/// How deep strings may be in strings; Nix itself runs out of its stack somewhere, too.
const MAX_DEPTH: usize = 512;

/// What the reader is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Code, and how many braces of it are open.
    Code(usize),
    /// `"…"`.
    String,
    /// `''…''`.
    Indented,
}

/// Every lookup path of `text` that is evaluated, but for those of Nix itself (`<nix/fetchurl.nix>`), in order.
///
/// Text that is no Nix gives what can be read of it.
pub(super) fn lookups(text: &str) -> Vec<Lookup> {
    let mut reader = Reader { text, at: 0, inside: vec![Inside::Code(0)], found: Vec::new() };
    while reader.at < text.len() && reader.inside.len() <= MAX_DEPTH {
        match reader.inside.last() {
            Some(Inside::Code(open)) => reader.code(*open),
            Some(Inside::String) => reader.string(),
            Some(Inside::Indented) => reader.indented(),
            None => break,
        }
    }
    reader.found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    inside: Vec<Inside>,
    found: Vec<Lookup>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// One token of code.
    fn code(&mut self, open: usize) {
        let rest = self.rest();
        let first = rest.chars().next().expect("the caller looked");
        if let Some(length) = spath(rest) {
            let text = rest[..length].to_owned();
            if !text.starts_with("<nix/") {
                let line = self.text[..self.at].bytes().filter(|byte| *byte == b'\n').count() + 1;
                self.found.push(Lookup { line, text });
            }
            self.at += length;
        } else if first == '#' {
            self.at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            self.at += comment.find("*/").map_or(rest.len(), |end| end + 4);
        } else if rest.starts_with("''") {
            self.at += 2;
            self.inside.push(Inside::Indented);
        } else if first == '"' {
            self.at += 1;
            self.inside.push(Inside::String);
        } else if first == '{' {
            self.at += 1;
            self.set_open(open + 1);
        } else if first == '}' {
            self.at += 1;
            if open == 0 && self.inside.len() > 1 {
                self.inside.pop();
            } else {
                self.set_open(open.saturating_sub(1));
            }
        } else {
            self.at += word(rest).unwrap_or_else(|| first.len_utf8());
        }
    }

    fn set_open(&mut self, open: usize) {
        if let Some(last) = self.inside.last_mut() {
            *last = Inside::Code(open);
        }
    }

    /// A piece of `"…"`.
    fn string(&mut self) {
        let rest = self.rest();
        let length = rest.find(['"', '\\', '$']).unwrap_or(rest.len());
        self.at += length;
        let rest = &rest[length..];
        if rest.starts_with('"') {
            self.at += 1;
            self.inside.pop();
        } else if rest.starts_with('\\') {
            self.at += 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
        } else {
            self.at += dollar(rest, &mut self.inside);
        }
    }

    /// A piece of `''…''`: `''$`, `'''` and `''\x` stand for themselves.
    fn indented(&mut self) {
        let rest = self.rest();
        let length = rest.find(['\'', '$']).unwrap_or(rest.len());
        self.at += length;
        let rest = &rest[length..];
        if rest.starts_with("''$") || rest.starts_with("'''") {
            self.at += 3;
        } else if rest.starts_with("''\\") {
            self.at += 3 + rest.chars().nth(3).map_or(0, char::len_utf8);
        } else if rest.starts_with("''") {
            self.at += 2;
            self.inside.pop();
        } else if rest.starts_with('\'') {
            self.at += 1;
        } else {
            self.at += dollar(rest, &mut self.inside);
        }
    }
}

/// Reads a `$` of a string: `${` begins code, `$$` stands for itself and does not.
fn dollar(rest: &str, inside: &mut Vec<Inside>) -> usize {
    if rest.starts_with("${") {
        inside.push(Inside::Code(0));
        return 2;
    }
    // Of `$${`, the first two belong together, so that no code begins.
    if rest.starts_with("$$") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) }
}

const fn is_path_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+')
}

/// The length of a lookup path at the beginning of `text`: `<`, names with `/` between, `>`.
fn spath(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_path_char);
    inner[..end].split('/').all(is_name).then_some(end + 2)
}

/// The length of a path, an identifier or a URI at the beginning of `text`; the latter two may hold quotes.
fn word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if let Some(length) = path(bytes) {
        return Some(length);
    }
    if !(bytes[0].is_ascii_alphabetic() || bytes[0] == b'_') {
        return None;
    }
    let run = |from: usize, is: fn(u8) -> bool| bytes[from..].iter().take_while(|byte| is(**byte)).count();
    let scheme = run(0, |b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let is_uri = |b: u8| b.is_ascii_alphanumeric() || b"%/?:@&=+$,-_.!~*'".contains(&b);
    if bytes.get(scheme) == Some(&b':') && run(scheme + 1, is_uri) > 0 {
        return Some(scheme + 1 + run(scheme + 1, is_uri));
    }
    Some(run(0, |b| b.is_ascii_alphanumeric() || b"_'-".contains(&b)))
}

/// The length of a path such as `./a/b` or `a/b` at the beginning of `bytes`.
fn path(bytes: &[u8]) -> Option<usize> {
    let name = |from: usize| bytes[from..].iter().take_while(|byte| is_path_char(**byte)).count();
    let mut end = name(0);
    let begins =
        |end: usize| bytes.get(end) == Some(&b'/') && bytes.get(end + 1).is_some_and(|it| is_path_char(*it));
    if !begins(end) {
        return None;
    }
    while begins(end) {
        end += 1 + name(end + 1);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn found(text: &str) -> String {
        lookups(text)
            .iter()
            .map(|it| format!("{}:{} ", it.line, it.text))
            .collect::<String>()
            .trim()
            .to_owned()
    }

    #[test]
    fn code_is_searched_and_nothing_else() {
        assert_eq!(
            found("{ pkgs ? import <nixpkgs> { } }:\nimport <nixpkgs/nixos>"),
            "1:<nixpkgs> 2:<nixpkgs/nixos>"
        );
        assert_eq!(found("# import <nixpkgs>\n/* <a>\n* <b> */ <c>"), "3:<c>");
        assert_eq!(found(r#""nix-shell -p '<nixpkgs>' \" <a>" + "\${<b>}" + "$${<c>}""#), "");
        assert_eq!(found("''\n  <a> ''${<b>} ''' <c> ''\\n $${<d>} '' + x"), "");
        assert_eq!(found("import <nix/fetchurl.nix>"), "", "Nix brings that itself");
    }

    #[test]
    fn code_in_strings_is_code() {
        assert_eq!(found(r#""${import <a> { x = "}"; y = "${<b>}"; }} <c>" <d>"#), "1:<a> 1:<b> 1:<d>");
        assert_eq!(found("''\n ${toString <a>} <b> ${''<c>${<d>}''}''"), "2:<a> 2:<d>");
        assert_eq!(found("\"$$${<a>}\""), "1:<a>", "the third dollar begins code");
    }

    #[test]
    fn what_only_looks_like_a_lookup_path_is_none() {
        assert_eq!(found("a < b && b > c || a<b"), "");
        assert_eq!(found("if x <y then z else w> 1"), "");
        assert_eq!(found("foldl' (a: b: a'' ) <x>"), "1:<x>", "quotes belong to identifiers");
        assert_eq!(found("http://example.org/it''s/<a> <b>"), "1:<a> 1:<b>", "a URI ends at the bracket");
        assert_eq!(found("./a/b''<c>'' + a/b''<c>'' // <d>"), "1:<d>", "a path has no quotes");
        assert_eq!(found("< nixpkgs > <> </a> <a//b>"), "");
    }

    #[test]
    fn text_that_is_no_nix_ends() {
        for text in ["\"", "''", "/*", "\"${", "\"\\", "''\\", "}}}}<a>", "<", "\"${\"${\"${"] {
            lookups(text);
        }
        lookups(&"\"${".repeat(100_000));
    }

    proptest! {
        /// Whatever is quoted as a string has no lookup path in it, and what follows is still found.
        #[test]
        fn a_string_hides_all_of_its_text(text in "[<>a-z\"'$ {}\\\\#/*\n]{0,40}") {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
            prop_assert_eq!(lookups(&format!("\"{quoted}\" <b>")).len(), 1);
        }

        /// Nothing that can be read makes the reader panic or stand still.
        #[test]
        fn it_reads_anything(text in "\\PC{0,200}") {
            lookups(&text);
        }
    }
}
