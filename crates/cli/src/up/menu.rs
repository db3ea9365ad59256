//! A numbered menu, for a person at a terminal.

use std::io::{self, BufRead, Write};

/// One thing to choose.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// What is chosen.
    pub(crate) name: String,
    /// What it is, or why it cannot be had here.
    pub(crate) help: String,
}

/// Asks until there is an answer: a number, a name, or nothing for the default. `None` when the input ends.
///
/// # Errors
///
/// If the terminal cannot be read from or written to.
pub(crate) fn choose(
    what: &str,
    items: &[Item],
    default: usize,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<Option<usize>> {
    let width = items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    for (n, item) in items.iter().enumerate() {
        let line = format!("{:>3}) {:width$}  {}", n + 1, item.name, item.help);
        writeln!(output, "{}", line.trim_end())?;
    }
    loop {
        write!(output, "{what} [{}]: ", items[default].name)?;
        output.flush()?;
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            writeln!(output)?;
            return Ok(None);
        }
        let answer = answer.trim();
        if answer.is_empty() {
            return Ok(Some(default));
        }
        let by_number = answer.parse::<usize>().ok().filter(|n| (1..=items.len()).contains(n)).map(|n| n - 1);
        // A profile may be called `2`: a name is a name before it is a number.
        let by_name = items.iter().position(|item| item.name == answer);
        if let Some(n) = by_name.or(by_number) {
            return Ok(Some(n));
        }
        writeln!(
            output,
            "`{answer}` is not one of them: type a number from 1 to {}, or a name",
            items.len()
        )?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen when `typed` is typed, and what is seen meanwhile.
    fn typing(typed: &str) -> String {
        let item = |name: &str, help: &str| Item { name: name.to_owned(), help: help.to_owned() };
        let items = [item("default", ""), item("low-latency", "for the impatient"), item("1", "")];
        let mut seen = Vec::new();
        let chosen = choose("profile", &items, 0, &mut typed.as_bytes(), &mut seen).unwrap();
        format!("{}-> {:?}", String::from_utf8(seen).unwrap(), chosen.map(|n| &items[n].name))
    }

    #[test]
    fn a_number_a_name_and_nothing_are_answers() {
        let last = |typed| typing(typed).lines().last().unwrap().to_owned();
        assert_eq!(last("2\n"), "profile [default]: -> Some(\"low-latency\")");
        assert_eq!(last("low-latency\n"), "profile [default]: -> Some(\"low-latency\")");
        assert_eq!(last("\n"), "profile [default]: -> Some(\"default\")");
        assert_eq!(last("1\n"), "profile [default]: -> Some(\"1\")");
        assert_eq!(last(""), "-> None");
    }

    #[test]
    fn anything_else_is_asked_again() {
        insta::assert_snapshot!(typing("nope\n0\n4\n 3 \n"), @r#"
          1) default
          2) low-latency  for the impatient
          3) 1
        profile [default]: `nope` is not one of them: type a number from 1 to 3, or a name
        profile [default]: `0` is not one of them: type a number from 1 to 3, or a name
        profile [default]: `4` is not one of them: type a number from 1 to 3, or a name
        profile [default]: -> Some("1")
        "#);
    }
}
