//! In which section of a program the bytes begin to differ.
//!
//! Source: System V ABI, chapter 4, "Sections".

use object::{Object as _, ObjectSection as _};

use super::{What, bytes, cause::Cause};

/// Sections that say again what others say: they are named only if nothing else differs.
const DERIVED: [&str; 6] =
    [".note.gnu.build-id", ".gnu_debuglink", ".symtab", ".strtab", ".shstrtab", ".comment"];
/// How many sections are named.
const MAX_NAMED: usize = 8;

/// What differs between two ELF files; nothing if they are none, or are damaged.
pub(super) fn difference(a: &[u8], b: &[u8]) -> Option<What> {
    if !a.starts_with(b"\x7fELF") || !b.starts_with(b"\x7fELF") {
        return None;
    }
    let [of_a, of_b] = [a, b].map(object::File::parse);
    let (of_a, of_b) = (of_a.ok()?, of_b.ok()?);
    let mut sections: Vec<Section<'_>> = Vec::new();
    for section in of_a.sections() {
        let Ok(name) = section.name() else { continue };
        let data_a = section.data().unwrap_or_default();
        let data_b = of_b.section_by_name(name).and_then(|it| it.data().ok()).unwrap_or_default();
        if data_a != data_b {
            sections.push(Section { name: name.to_owned(), a: data_a, b: data_b });
        }
    }
    for section in of_b.sections() {
        let Ok(name) = section.name() else { continue };
        if of_a.section_by_name(name).is_none() {
            sections.push(Section { name: name.to_owned(), a: &[], b: section.data().unwrap_or_default() });
        }
    }
    let is_derived = |section: &&Section<'_>| DERIVED.contains(&section.name.as_str());
    let chosen = sections.iter().find(|it| !is_derived(it)).or_else(|| sections.first())?;
    let others = sections.iter().filter(|it| it.name != chosen.name).map(|it| it.name.as_str());
    let others: Vec<&str> = others.take(MAX_NAMED).collect();
    let part = match &others[..] {
        [] => chosen.name.clone(),
        _ => format!("{}; {} differ as well", chosen.name, others.join(", ")),
    };
    let only_build_id = chosen.name == ".note.gnu.build-id";
    let within = bytes::common(chosen.a, chosen.b);
    let What::Content { a: said_a, b: said_b, cause, .. } =
        bytes::difference(chosen.a, chosen.b, within, None)
    else {
        return None;
    };
    let at = offset(a, chosen.a).map_or_else(|| bytes::common(a, b), |offset| offset + within);
    Some(What::Content {
        at: at as u64,
        a_size: a.len() as u64,
        b_size: b.len() as u64,
        differing: (a.len() == b.len()).then(|| a.iter().zip(b).filter(|(a, b)| a != b).count() as u64),
        part: Some(part),
        a: said_a,
        b: said_b,
        cause: if only_build_id { Cause::Follows } else { cause },
    })
}

struct Section<'a> {
    name: String,
    a: &'a [u8],
    b: &'a [u8],
}

/// Where `part` lies in `whole`, of which it is a part.
fn offset(whole: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    let from = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (from + part.len() <= whole.len()).then_some(from)
}
