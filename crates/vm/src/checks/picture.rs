//! Pictures of the screen, kept and compared.

use std::time::Duration;

use bootway_plan::{KeptKind, Verdict, step::Screenshot};

use super::{Checks, Decision};
use crate::{VmError, qmp::Request};

/// QEMU paints a picture in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Name of a picture in the scratch directory.
const PICTURE: &str = "picture.png";

/// More than any screen of a machine of ours has.
const PIXELS: u64 = 64 << 20;

impl Checks<'_> {
    /// Keeps a picture of the screen; compares it, if there is something to compare it with.
    pub(super) fn picture(&mut self, check: &Screenshot, name: &str) -> Result<Decision, VmError> {
        let bytes = self.look_at_screen()?;
        let place = self.keep_file(KeptKind::Screenshot, name, &format!("{}.png", slug(name)), &bytes)?;
        let Some(like) = &check.like else {
            return Ok(Decision::new(Verdict::Passed, format!("kept in `{place}`")));
        };
        let like = &self.cx.input(like)?.path;
        let wanted = fs_err::read(like).map_err(VmError::io(like))?;
        let decision = match (pixels(&bytes), pixels(&wanted)) {
            (Ok(seen), Ok(wanted)) => compare(&seen, &wanted, check.per_mille),
            (Err(why), _) => Err(format!("the picture of the screen cannot be read: {why}")),
            (_, Err(why)) => Err(format!("`{like}` cannot be read: {why}")),
        };
        let kept = |text: String| format!("{text}; kept in `{place}`");
        Ok(match decision {
            Ok(text) => Decision::new(Verdict::Passed, kept(text)),
            Err(text) => Decision::new(Verdict::Failed, kept(text)),
        })
    }

    /// A picture of the screen, as a PNG.
    pub(crate) fn look_at_screen(&mut self) -> Result<Vec<u8>, VmError> {
        self.guest.control(&Request::Picture(PICTURE.to_owned()), PATIENCE)?;
        let path = self.cx.scratch.join(PICTURE);
        fs_err::read(&path).map_err(VmError::io(&path))
    }
}

/// A picture in red, green and blue.
struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

fn pixels(png: &[u8]) -> Result<Pixels, String> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (width, height) = (reader.info().width, reader.info().height);
    if u64::from(width) * u64::from(height) > PIXELS {
        return Err(format!("{width}x{height} is more than {PIXELS} pixels"));
    }
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("it is too big")?];
    let frame = reader.next_frame(&mut bytes).map_err(|error| error.to_string())?;
    bytes.truncate(frame.buffer_size());
    let rgb = match frame.color_type {
        png::ColorType::Rgb => bytes,
        png::ColorType::Rgba => bytes.chunks_exact(4).flat_map(|it| [it[0], it[1], it[2]]).collect(),
        png::ColorType::Grayscale => bytes.iter().flat_map(|it| [*it; 3]).collect(),
        png::ColorType::GrayscaleAlpha => bytes.chunks_exact(2).flat_map(|it| [it[0]; 3]).collect(),
        png::ColorType::Indexed => return Err("its palette is missing".to_owned()),
    };
    Ok(Pixels { width, height, rgb })
}

/// How alike two pictures are: a pixel is different if any of its colours is.
fn compare(seen: &Pixels, wanted: &Pixels, per_mille: u16) -> Result<String, String> {
    if (seen.width, seen.height) != (wanted.width, wanted.height) {
        return Err(format!(
            "the screen has {}x{} pixels, and it must look like {}x{}",
            seen.width, seen.height, wanted.width, wanted.height
        ));
    }
    let all = u64::from(seen.width) * u64::from(seen.height);
    let pairs = seen.rgb.chunks_exact(3).zip(wanted.rgb.chunks_exact(3));
    let different = pairs.filter(|(one, other)| one != other).count() as u64;
    let text = format!("{different} of {all} pixels are different");
    if different * 1000 <= all * u64::from(per_mille) {
        Ok(text)
    } else {
        Err(format!("{text}, and {per_mille} of a thousand may be"))
    }
}

/// A name as the name of a file.
pub(crate) fn slug(name: &str) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(plain).collect();
    text.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
