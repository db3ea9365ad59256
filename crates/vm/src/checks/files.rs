//! Files into a guest, and out of it.

use std::time::Duration;

use bootway_plan::{
    Digest, KeptKind, Verdict,
    step::{CopyIn, CopyOut},
};

use super::{Asked, Checks, Decision, wait::quoted};
use crate::{
    VmError,
    boot::brief,
    shell::{Encoding, Ended, to_base64},
    told,
};

/// What ends the text that a file is on its way into the guest.
const END: &str = "_bwend";

/// More goes through a disk or the network.
const LIMIT: usize = 64 << 20;

/// A guest needs no longer for what it already has in its memory.
const PATIENCE: Duration = Duration::from_mins(5);

impl Checks<'_> {
    /// Puts a file into the guest, and has the guest say what it got.
    pub(super) fn copy_in(&mut self, copy: &CopyIn) -> Result<Decision, VmError> {
        let path = &self.cx.input(&copy.from)?.path;
        let bytes = fs_err::read(path).map_err(VmError::io(path))?;
        Ok(match self.put(&bytes, path.as_str(), &copy.to)? {
            Ok(()) => Decision::new(Verdict::Passed, format!("{} bytes are in `{}`", bytes.len(), copy.to)),
            Err(why) => Decision::new(Verdict::Failed, why),
        })
    }

    /// Puts `bytes`, which are told as `name`, into a file of the guest; says why if that cannot be.
    pub(crate) fn put(&mut self, bytes: &[u8], name: &str, to: &str) -> Result<Result<(), String>, VmError> {
        if self.shell()? == Encoding::Plain {
            return Ok(Err("the guest has no `base64`".to_owned()));
        }
        if bytes.len() > LIMIT {
            return Ok(Err(format!(
                "`{name}` has {} bytes, and {LIMIT} at most go in this way: use a `disk`",
                bytes.len()
            )));
        }
        let place = quoted(to);
        let text = format!("base64 -d >{place} <<'{END}'\n{}{END}\n", to_base64(bytes));
        self.type_to_shell(&format!("# {} bytes of `{name}`", bytes.len()), &text);
        let command = format!("chmod 755 {place} && sha256sum <{place}");
        Ok(match self.command(&command, PATIENCE)?.answer(&command, PATIENCE) {
            Ok((output, 0)) if output.split(' ').next() == Some(&Digest::of(bytes).to_string()) => Ok(()),
            Ok((output, code)) => Err(format!("`{to}` is not what it must be ({code}): {}", brief(&output))),
            Err(why) => Err(why),
        })
    }

    /// Keeps a file of the guest with the run.
    pub(super) fn copy_out(&mut self, copy: &CopyOut, within: Option<Duration>) -> Result<Decision, VmError> {
        let bytes = match self.take(&copy.from, within.unwrap_or(PATIENCE))? {
            Ok(bytes) => bytes,
            Err(why) => return Ok(Decision::new(Verdict::Failed, why)),
        };
        let place = self.keep_file(KeptKind::File, &copy.from, copy.to.as_str(), &bytes)?;
        let (len, digest) = (bytes.len(), Digest::of(&bytes));
        Ok(Decision::new(Verdict::Passed, format!("{len} bytes, sha256 {digest}, in `{place}`")))
    }

    /// The bytes of a file of the guest; says why if there are none to have.
    pub(crate) fn take(&mut self, from: &str, limit: Duration) -> Result<Result<Vec<u8>, String>, VmError> {
        let command = format!("cat {}", quoted(from));
        Ok(match self.command(&command, limit)? {
            Asked::Ended(Ended::Exited { output, code: 0 }) => Ok(output),
            asked => Err(asked.answer(&command, limit).map_or_else(|why| why, |(output, _)| brief(&output))),
        })
    }

    /// Writes a file that stays with the run; says where.
    pub(super) fn keep_file(
        &self,
        what: KeptKind,
        label: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<camino::Utf8PathBuf, VmError> {
        let place = self.cx.kept.join(name);
        fs_err::create_dir_all(self.cx.kept).map_err(VmError::io(self.cx.kept))?;
        fs_err::write(&place, bytes).map_err(VmError::io(&place))?;
        told::kept(self.cx, what, label, place.clone());
        Ok(place)
    }
}
