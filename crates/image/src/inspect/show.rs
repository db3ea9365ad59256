//! Reports as text for people.

use std::fmt;

use super::report::{FsReport, ImageKind, ImageReport, PartitionReport};

impl fmt::Display for FsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.size.human())?;
        if let Some(used) = self.used.filter(|used| *used != self.size) {
            write!(f, ", {} used", used.human())?;
        }
        for text in [&self.label, &self.uuid, &self.detail].into_iter().flatten() {
            write!(f, ", {text}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ImageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, ", self.path, self.size.human())?;
        match &self.image {
            ImageKind::Disk { guid, sector_size, partitions, flaws } => {
                writeln!(f, "GPT disk {guid}, sectors of {sector_size}")?;
                show_disk(f, flaws, partitions)
            }
            ImageKind::Qcow2 { disk_size, used, flaw, partitions } => {
                writeln!(f, "qcow2 of a disk of {}, {} of it stored", disk_size.human(), used.human())?;
                show_disk(f, flaw.as_slice(), partitions)
            }
            ImageKind::FileSystem(fs) => writeln!(f, "{fs}"),
            ImageKind::Pe { machine, efi_application, sections, kernel } => {
                writeln!(f, "{} for {machine}", if *efi_application { "EFI program" } else { "PE file" })?;
                if let Some(kernel) = kernel {
                    writeln!(f, "     {kernel}")?;
                }
                sections.iter().try_for_each(|(name, size)| writeln!(f, "{:>14}  {name}", size.human()))
            }
            ImageKind::Kernel { format, version } => {
                let version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
                writeln!(f, "Linux kernel{version}, {format}")
            }
            ImageKind::Initramfs { compression, files } => {
                writeln!(f, "initramfs of {files} files, compression: {compression}")
            }
            ImageKind::Iso(iso) => write!(f, "{iso}"),
            ImageKind::Container(container) => write!(f, "{container}"),
            ImageKind::Program { machine, interpreter } => {
                let of = interpreter.as_deref().map_or("static".to_owned(), |it| format!("started by {it}"));
                match machine.as_str() {
                    "script" => writeln!(f, "script, {of}"),
                    machine => writeln!(f, "program for {machine}, {of}"),
                }
            }
            ImageKind::Tree { files } => writeln!(f, "tree of {files} files"),
            ImageKind::Unknown { starts_with } if starts_with.is_empty() => writeln!(f, "empty"),
            ImageKind::Unknown { starts_with } if starts_with.starts_with('<') => {
                writeln!(f, "no image: it begins with `{starts_with}`, and is a page of the web")
            }
            ImageKind::Unknown { starts_with } => writeln!(f, "unknown: it begins with `{starts_with}`"),
        }
    }
}

/// What is wrong with a disk, and its partitions.
fn show_disk(f: &mut fmt::Formatter<'_>, flaws: &[String], partitions: &[PartitionReport]) -> fmt::Result {
    for flaw in flaws {
        writeln!(f, "  !  {flaw}")?;
    }
    for it in partitions {
        let (at, size) = (it.offset.human(), it.size.human());
        write!(f, "{:>3}  {at:>9}  {size:>9}  {}  {}  {}", it.number, it.kind, it.label, it.guid)?;
        match &it.fs {
            Some(fs) => writeln!(f, "\n     {fs}")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}
