//! The place of an image: what may be replaced, and where one begins.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use bootway_plan::{Class, Failure};
use bootway_squashfs::read::Image;
use clap::Args;

use super::{failure, values};

/// An image that is there
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The image
    pub(super) image: PathBuf,
    /// Where it begins in the file, such as the first byte of a partition
    #[arg(long, value_name = "BYTES", value_parser = values::size, default_value = "0", hide_default_value = true)]
    pub(super) offset: u64,
}

impl Place {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no image.
    pub(super) fn open(&self) -> Result<Image, Failure> {
        let file = || -> std::io::Result<_> {
            let mut file = fs_err::File::open(&self.image)?;
            let end = file.seek(SeekFrom::End(0))?;
            Ok((file.into_file(), end))
        };
        let (file, end) = file().map_err(|error| {
            Failure::new(Class::Environment, error.to_string())
                .because(format!("cannot read the image `{}`", self.image.display()))
        })?;
        Image::at(file, self.offset, end.saturating_sub(self.offset))
            .map_err(|error| failure::of_read(&error, &self.image))
    }
}

/// Looks whether an image may be written to `path`: where nothing is, or an empty file, or an image of before; anything
/// else only with `force`.
///
/// # Errors
///
/// What is there instead, and what to do.
pub(super) fn may_be_written(path: &Path, force: bool) -> Result<(), Failure> {
    let shown = path.display();
    let Ok(there) = fs_err::metadata(path) else { return Ok(()) };
    let refused =
        |what: &str, hint: String| Err(Failure::new(Class::Plan, format!("`{shown}` is {what}")).hint(hint));
    let kind = there.file_type();
    if kind.is_dir() {
        return refused("a directory", format!("name the image: `{shown}/root.squashfs`"));
    }
    if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
        return refused(
            "no regular file",
            format!("write an image first, then `dd if=IMAGE of={shown} bs=4M`"),
        );
    }
    if force || there.len() == 0 || begins_like_an_image(path) {
        return Ok(());
    }
    refused("there, and no squashfs image", "use another name, or `--force` to replace it".to_owned())
}

fn begins_like_an_image(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs_err::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == *b"hsqs")
}
