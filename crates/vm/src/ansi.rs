//! Terminal control sequences, removed.

/// Removes control sequences from a stream of bytes, wherever the pieces are cut.
///
/// What is left are bytes of text, tabs, `\n` for what ended a line, and `\r` where a line is begun again.
///
/// Source: ECMA-48, fifth edition, section 5.4 (control sequences) and 5.6 (control strings).
#[derive(Clone, Debug, Default)]
pub(crate) struct Ansi {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// A carriage return, which is part of a line's end if a newline follows.
    Return,
    /// Behind ESC.
    Escape,
    /// Behind ESC and an intermediate byte, such as `ESC ( B`, which chooses a character set.
    Intermediate,
    /// In a control sequence, `ESC [ … letter`.
    Csi,
    /// In a control string, `ESC ] … BEL` or `ESC ] … ESC \`; how much of it there was.
    String(usize),
    /// Behind an ESC in a control string.
    StringEscape(usize),
}

/// A control string sets a title or a colour. What is longer was begun by noise, and must not swallow the console.
const STRING_LIMIT: usize = 1024;

const ESC: u8 = 0x1B;
const BEL: u8 = 0x07;

impl Ansi {
    /// Takes more bytes; returns what is text.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.state = next(self.state, *byte, &mut text);
        }
        text
    }
}

fn next(state: State, byte: u8, text: &mut Vec<u8>) -> State {
    match state {
        State::Text => plain(byte, text),
        State::Return => {
            // `\r\r\n` is what a terminal makes of a line that ends with `\r\n` already: the first stays.
            if byte != b'\n' {
                text.push(b'\r');
            }
            plain(byte, text)
        }
        State::Escape => match byte {
            b'[' => State::Csi,
            b']' | b'P' | b'X' | b'^' | b'_' => State::String(0),
            0x20..=0x2F => State::Intermediate,
            0x30..=0x7E => State::Text,
            _ => plain(byte, text),
        },
        State::Intermediate => match byte {
            0x20..=0x2F => State::Intermediate,
            0x30..=0x7E => State::Text,
            _ => plain(byte, text),
        },
        State::Csi => match byte {
            0x20..=0x3F => State::Csi,
            0x40..=0x7E => State::Text,
            _ => plain(byte, text),
        },
        State::String(n) | State::StringEscape(n) if n >= STRING_LIMIT => plain(byte, text),
        State::String(n) => match byte {
            BEL => State::Text,
            ESC => State::StringEscape(n + 1),
            b'\n' => plain(byte, text), // No string has more than a line.
            _ => State::String(n + 1),
        },
        State::StringEscape(n) => match byte {
            b'\\' => State::Text,
            ESC => State::StringEscape(n + 1),
            _ => State::String(n + 1),
        },
    }
}

fn plain(byte: u8, text: &mut Vec<u8>) -> State {
    match byte {
        ESC => return State::Escape,
        b'\r' => return State::Return,
        b'\n' | b'\t' | 0x20..=0x7E | 0x80.. => text.push(byte),
        _ => {} // Bells, nulls and backspaces.
    }
    State::Text
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn strip(bytes: &[u8]) -> String {
        String::from_utf8_lossy(&Ansi::default().push(bytes)).into_owned()
    }

    #[test]
    fn only_text_is_left() {
        assert_eq!(strip(b"\x1b[0;32m  OK  \x1b[0m] Started"), "  OK  ] Started");
        assert_eq!(strip(b"\x1b]0;root@host: ~\x07# "), "# ");
        assert_eq!(strip(b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"), "link");
        assert_eq!(strip(b"\x1b(B\x1b[?2004h\x1b=login: \x1b7"), "login: ");
        assert_eq!(strip(b"one\r\ntwo\r\r\nthree\rfour\x07\0\n"), "one\ntwo\r\nthree\rfour\n");
    }

    #[test]
    fn noise_does_not_swallow_the_console() {
        assert_eq!(strip(b"\x1b]noise without an end\nlogin: "), "\nlogin: ");
        assert_eq!(strip(b"\x1b[12\nlogin: "), "\nlogin: ");
        let long = [b"\x1b]".to_vec(), vec![b'x'; 5000], b"login: ".to_vec()].concat();
        assert!(strip(&long).ends_with("login: "));
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_makes_no_difference(
            pieces in vec(vec(prop::sample::select(b"\x1b[](P\\\x07\r\nm;1xy ".to_vec()), 0..6), 0..12)
        ) {
            let mut piecewise = Ansi::default();
            let got: Vec<u8> = pieces.iter().flat_map(|piece| piecewise.push(piece)).collect();
            prop_assert_eq!(got, Ansi::default().push(&pieces.concat()));
        }
    }
}
