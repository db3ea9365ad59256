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
        let failed = |why: String| Ok(Decision::new(Verdict::Failed, why));
        let path = &self.cx.input(&copy.from)?.path;
        let bytes = fs_err::read(path).map_err(VmError::io(path))?;
        if self.shell()? == Encoding::Plain {
            return failed("the guest has no `base64`".to_owned());
        }
        if bytes.len() > LIMIT {
            return failed(format!(
                "`{path}` has {} bytes, and {LIMIT} at most go in this way: use a `disk`",
                bytes.len()
            ));
        }
        let to = quoted(&copy.to);
        let text = format!("base64 -d >{to} <<'{END}'\n{}{END}\n", to_base64(&bytes));
        self.type_to_shell(&format!("# {} bytes of `{path}`", bytes.len()), &text);
        let command = format!("chmod 755 {to} && sha256sum <{to}");
        match self.command(&command, PATIENCE)?.answer(&command, PATIENCE) {
            Ok((output, 0)) if output.split(' ').next() == Some(&Digest::of(&bytes).to_string()) => {
                Ok(Decision::new(Verdict::Passed, format!("{} bytes are in `{}`", bytes.len(), copy.to)))
            }
            Ok((output, code)) => {
                failed(format!("`{}` is not what it must be ({code}): {}", copy.to, brief(&output)))
            }
            Err(why) => failed(why),
        }
    }

    /// Keeps a file of the guest with the run.
    pub(super) fn copy_out(&mut self, copy: &CopyOut, within: Option<Duration>) -> Result<Decision, VmError> {
        let limit = within.unwrap_or(PATIENCE);
        let command = format!("cat {}", quoted(&copy.from));
        let failed = |why: String| Ok(Decision::new(Verdict::Failed, why));
        let bytes = match self.command(&command, limit)? {
            Asked::Ended(Ended::Exited { output, code: 0 }) => output,
            asked => {
                return failed(
                    asked.answer(&command, limit).map_or_else(|why| why, |(output, _)| brief(&output)),
                );
            }
        };
        let place = self.keep_file(KeptKind::File, &copy.from, copy.to.as_str(), &bytes)?;
        let (len, digest) = (bytes.len(), Digest::of(&bytes));
        Ok(Decision::new(Verdict::Passed, format!("{len} bytes, sha256 {digest}, in `{place}`")))
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
