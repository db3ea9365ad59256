//! Lines that the kernel says in the middle of others.

/// Takes the kernel's lines out of a stream of text, wherever the pieces are cut.
///
/// The kernel writes a line at once, wherever a program's line happens to be; the program's line goes on behind it.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    speech: Speech,
    held: Vec<u8>,
}

/// How the kernel's lines are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// By a time stamp, `[    1.234567]`.
    Stamped,
    /// By a bracket, as base64 has none: systemd's `[  OK  ]` goes, too.
    Bracketed,
    /// It does not talk here.
    None,
}

/// A line of the kernel has at most 1 KiB (`LOG_LINE_MAX`); what is longer is something else.
const LIMIT: usize = 2048;

impl Kernel {
    pub(crate) const fn new(speech: Speech) -> Self {
        Self { speech, held: Vec::new() }
    }

    /// Takes more text; returns it without the kernel's lines, and these.
    pub(crate) fn cut(&mut self, text: &[u8]) -> (Vec<u8>, Vec<String>) {
        let (mut kept, mut lines) = (Vec::with_capacity(text.len()), Vec::new());
        for byte in text {
            if self.held.is_empty() && (*byte != b'[' || self.speech == Speech::None) {
                kept.push(*byte);
                continue;
            }
            self.held.push(*byte);
            let may_be = match self.speech {
                Speech::Stamped => is_stamp(&self.held),
                Speech::Bracketed => true,
                Speech::None => false,
            };
            if !may_be || self.held.len() > LIMIT {
                self.let_go(&mut kept);
            } else if *byte == b'\n' {
                lines.push(String::from_utf8_lossy(&self.held).trim_end().to_owned());
                self.held.clear();
            }
        }
        (kept, lines)
    }

    /// What may be the beginning of a line of the kernel.
    pub(crate) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// What was held is not the kernel's; but its last byte may begin something that is.
    fn let_go(&mut self, kept: &mut Vec<u8>) {
        let last = self.held.pop();
        kept.append(&mut self.held);
        match last {
            Some(b'[') => self.held.push(b'['),
            Some(byte) => kept.push(byte),
            None => {}
        }
    }
}

/// Whether `text` may be the beginning of, or has, a time stamp at its beginning: `[`, spaces, digits, a point, six
/// digits, and `]` or the thread in brackets (`CONFIG_PRINTK_CALLER`).
fn is_stamp(text: &[u8]) -> bool {
    let skip = |text: &mut &[u8], is: fn(u8) -> bool, most: usize| {
        let n = text.iter().take(most).take_while(|byte| is(**byte)).count();
        *text = &text[n..];
        n
    };
    let mut rest = text;
    skip(&mut rest, |byte| byte == b'[', 1);
    skip(&mut rest, |byte| byte == b' ', 12);
    if rest.is_empty() {
        return true;
    }
    if skip(&mut rest, |byte| byte.is_ascii_digit(), 12) == 0 {
        return false;
    }
    for is in [|byte| byte == b'.', |byte: u8| byte.is_ascii_digit(), |byte| byte == b']'] {
        if rest.is_empty() {
            return true;
        }
        let most = if is(b'0') { 6 } else { 1 };
        let n = skip(&mut rest, is, most);
        if n != most && !(rest.is_empty() && n > 0) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn cut(speech: Speech, text: &str) -> (String, Vec<String>) {
        let (kept, lines) = Kernel::new(speech).cut(text.as_bytes());
        (String::from_utf8(kept).unwrap(), lines)
    }

    #[test]
    fn a_line_in_the_middle_of_another_is_taken_out() {
        let (kept, lines) =
            cut(Speech::Stamped, "hel[   12.345678] virtio_blk: up\nlo\n[0.000001][    T1] x\n");
        assert_eq!(kept, "hello\n");
        assert_eq!(lines, ["[   12.345678] virtio_blk: up", "[0.000001][    T1] x"]);
    }

    #[test]
    fn brackets_of_others_stay() {
        let text = "[root@host ~]# [ -e x ] && [[ 1 ]] [1.5] [12.123456x\n[[ 1.12345] \n";
        assert_eq!(cut(Speech::Stamped, text), (text.to_owned(), Vec::new()));
    }

    #[test]
    fn no_bracket_is_base64() {
        let (kept, lines) = cut(Speech::Bracketed, "aGVs[  OK  ] Started it.\nbG8K\n");
        assert_eq!((kept.as_str(), lines), ("aGVsbG8K\n", vec!["[  OK  ] Started it.".to_owned()]));
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_makes_no_difference(
            pieces in vec(prop::sample::select(vec!["[", " ", "1", "234567", ".", "]", "\n", "x", "[  1.234567] y\n"]), 0..24)
        ) {
            let mut piecewise = Kernel::new(Speech::Stamped);
            let (mut kept, mut lines) = (Vec::new(), Vec::new());
            for piece in &pieces {
                let (more, more_lines) = piecewise.cut(piece.as_bytes());
                kept.extend(more);
                lines.extend(more_lines);
            }
            let (all, all_lines) = Kernel::new(Speech::Stamped).cut(pieces.concat().as_bytes());
            prop_assert_eq!(kept, all);
            prop_assert_eq!(lines, all_lines);
        }
    }
}
