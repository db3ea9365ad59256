//! Text of a serial console as lines, as they would be seen on a terminal.

/// Makes lines of text from which control sequences were removed.
///
/// A line that is begun again after `\r`, as progress displays do, is told once, as it was at its end. Lines are cut
/// at [`LINE_LIMIT`], so a guest that never ends a line does not fill the memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Console {
    line: Vec<u8>,
    /// What comes next is written over the line.
    again: bool,
}

/// Longer than any line for people.
const LINE_LIMIT: usize = 4096;

impl Console {
    /// Takes more text; returns the lines that it ends.
    pub(crate) fn push(&mut self, text: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in text {
            match byte {
                b'\n' => lines.push(self.take()),
                b'\r' => self.again = true,
                byte => {
                    if self.again {
                        self.line.clear();
                        self.again = false;
                    }
                    self.line.push(*byte);
                    if self.line.len() >= LINE_LIMIT {
                        lines.push(self.take());
                    }
                }
            }
        }
        lines
    }

    /// The line that has not ended: a prompt, perhaps.
    pub(crate) fn unfinished(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// The line that has not ended; what follows begins a new one.
    pub(crate) fn take(&mut self) -> String {
        self.again = false;
        String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_prompt_without_an_end_is_seen() {
        let mut console = Console::default();
        assert_eq!(console.push(b"booted\nhost login: "), ["booted"]);
        assert_eq!(console.unfinished(), "host login: ");
    }

    #[test]
    fn a_line_that_is_drawn_again_is_told_once() {
        let mut console = Console::default();
        assert_eq!(console.push(b"10%\r20%\r100%\r\nnext\n"), ["100%", "next"]);
    }

    #[test]
    fn a_guest_that_never_ends_a_line_fills_no_memory() {
        let mut console = Console::default();
        let lines = console.push(&vec![b'x'; 10_000]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_LIMIT, LINE_LIMIT]);
        assert_eq!(console.unfinished().len(), 10_000 - 2 * LINE_LIMIT);
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_makes_no_difference(
            pieces in vec(vec(prop::sample::select(b"\r\nab\xC3\xA9".to_vec()), 0..6), 0..12)
        ) {
            let (mut at_once, mut piecewise) = (Console::default(), Console::default());
            let expected = at_once.push(&pieces.concat());
            let got: Vec<String> = pieces.iter().flat_map(|piece| piecewise.push(piece)).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(piecewise.unfinished(), at_once.unfinished());
        }
    }
}
