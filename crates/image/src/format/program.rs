//! Programs as a kernel starts them: ELF files, and scripts with an interpreter.
//!
//! Source: System V ABI, chapter 4, "ELF Header" and "Program Header"; `execve(2)`.

/// The longest first line of a script that Linux reads.
const MAX_LINE: usize = 256;
/// Types of segments.
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;

/// What would be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Machine code.
    Elf {
        machine: &'static str,
        /// The dynamic loader; a program without one is static.
        loader: Option<String>,
        /// Whether it goes where no process can be: a kernel.
        is_kernel: bool,
    },
    /// Text for another program.
    Script { interpreter: String },
}

/// Looks at the first 64 KiB of a file of `size` bytes.
///
/// # Errors
///
/// What it is instead, or what is wrong with it.
pub(crate) fn parse(start: &[u8], size: u64) -> Result<Program, String> {
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = std::str::from_utf8(&line[..line.len().min(MAX_LINE)])
            .map_err(|_| "a script whose first line is no text")?;
        return match line.split_whitespace().next() {
            Some(interpreter) if interpreter.starts_with('/') => {
                Ok(Program::Script { interpreter: interpreter.to_owned() })
            }
            Some(other) => Err(format!("a script whose interpreter `{other}` is no absolute path")),
            None => Err("a script without an interpreter".to_owned()),
        };
    }
    if !start.starts_with(b"\x7fELF") {
        return Err(format!("a file that begins with `{}`", start[..start.len().min(16)].escape_ascii()));
    }
    elf(start, size).ok_or("an ELF file whose header is cut short, or of no known class")?
}

fn elf(start: &[u8], size: u64) -> Option<Result<Program, String>> {
    let wide = match start.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let is_big = match start.get(5)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let number = |at: u64, len: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = start.get(at..at.checked_add(len)?)?;
        let fold = |value, byte: &u8| value << 8 | u64::from(*byte);
        Some(if is_big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    };
    let word = if wide { 8 } else { 4 };
    let either = |narrow: u64, long: u64| if wide { long } else { narrow };
    let (kind, machine) = (number(16, 2)?, number(18, 2)?);
    let Some(machine) = machine_name(machine, is_big) else {
        return Some(Err(format!("an ELF file for machine {machine}, which is not known here")));
    };
    if !matches!(kind, 2 | 3) {
        return Some(Err(format!("an ELF file of type {kind}, which is no program: it is 2 or 3")));
    }
    let (table, len, count) =
        (number(either(28, 32), word)?, number(either(42, 54), 2)?, number(either(44, 56), 2)?);
    let (mut loader, mut loads, mut is_kernel) = (None, 0, false);
    for n in 0..count {
        let at = table.checked_add(n * len)?;
        let field = |narrow: u64, long: u64| number(at + either(narrow, long), word);
        let (offset, address, bytes) = (field(4, 8)?, field(8, 16)?, field(16, 32)?);
        if offset.checked_add(bytes).is_none_or(|end| end > size) {
            return Some(Err(format!("an ELF file of {size} bytes, and a segment that ends after them")));
        }
        match number(at, 4)? as u32 {
            LOAD => {
                loads += 1;
                is_kernel |= wide && address >> 63 == 1;
            }
            INTERPRETER => {
                let text = start.get(offset as usize..(offset + bytes) as usize);
                let text = text.map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
                loader = Some(text.unwrap_or_default());
            }
            _ => {}
        }
    }
    if loads == 0 {
        return Some(Err("an ELF file with nothing to load".to_owned()));
    }
    Some(Ok(Program::Elf { machine, loader, is_kernel }))
}

/// Source: System V ABI, `e_machine`.
fn machine_name(number: u64, is_big: bool) -> Option<&'static str> {
    Some(match number {
        3 => "i386",
        8 => "mips",
        20 => "ppc",
        21 if is_big => "ppc64",
        21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "x86-64",
        183 => "arm64",
        243 => "riscv",
        258 => "loongarch",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in vec(any::<u8>(), 0..400), class in 0_u8..4, size: u64) {
            drop(parse(&bytes, size));
            let head = [0x7f, b'E', b'L', b'F', class, 1];
            let len = bytes.len().min(6);
            bytes[..len].copy_from_slice(&head[..len]);
            if bytes.len() > 20 {
                bytes[16..20].copy_from_slice(&[2, 0, 62, 0]);
            }
            drop(parse(&bytes, size));
        }
    }

    #[test]
    fn a_program_of_this_machine_is_one() {
        let path = std::env::current_exe().unwrap();
        let bytes = fs_err::read(path).unwrap();
        let found = parse(&bytes[..64 << 10], bytes.len() as u64).unwrap();
        assert!(
            matches!(&found, Program::Elf { loader: Some(loader), is_kernel: false, .. } if loader.contains("ld")),
            "{found:?}"
        );
        let cut = parse(&bytes[..64 << 10], 1 << 16).unwrap_err();
        assert_eq!(cut, "an ELF file of 65536 bytes, and a segment that ends after them");
    }

    #[test]
    fn a_script_has_an_interpreter() {
        let said =
            ["#!/bin/sh -e\n", "#!env sh\n", "#!\n", "#!/bin/\u{7f}", "hello"].map(|text| {
                match parse(text.as_bytes(), 9) {
                    Ok(Program::Script { interpreter }) => interpreter,
                    Ok(other) => format!("{other:?}"),
                    Err(error) => error,
                }
            });
        insta::assert_snapshot!(said.join("\n"), @"/bin/sh\na script whose interpreter `env` is no absolute path\na script without an interpreter\n/bin/\u{7f}\na file that begins with `hello`");
    }
}
