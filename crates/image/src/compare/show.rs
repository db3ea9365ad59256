//! Differences as text: a line for each.

use std::fmt;

use bootway_plan::Bytes;

use super::{Difference, Side, What};

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place.join(", "))?;
        }
        match &self.what {
            What::Only { side, is } => write!(f, "only {side} has it: {is}"),
            What::Value { name, a, b } => write!(f, "{name}: {a} | {b}"),
            What::Unread { why } => write!(f, "could not be compared: {why}"),
            What::Content { at, a_size, b_size, differing, part, a, b, cause } => {
                match differing {
                    Some(differing) => write!(f, "{differing} of {a_size} bytes differ, the first")?,
                    None if a_size == b_size => f.write_str("bytes differ, the first")?,
                    None => {
                        let [a, b] = [a_size, b_size].map(|size| Bytes::new(*size).human());
                        write!(f, "{a} | {b}, the first difference")?;
                    }
                }
                write!(f, " at {at}")?;
                if let Some(part) = part {
                    write!(f, " ({part})")?;
                }
                write!(f, ": {a} | {b}; cause: {cause}")
            }
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "the first",
            Self::B => "the second",
        })
    }
}
