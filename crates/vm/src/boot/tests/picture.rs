//! Pictures of a screen that stands still, but for its cursor.

use super::*;

/// Takes a picture of the screen of a kernel that says `READY`; `like` is what it is compared with.
fn picture(like: Option<&[u8]>, per_mille: u16) -> Seen {
    let compared = like.map_or(String::new(), |_| format!(r#""like": "./like", "per-mille": {per_mille}"#));
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "cmdline": "hello", "check": [
            {{"name": "stands still", "screen": "READY"}},
            {{"name": "A Picture", "screenshot": {{{compared}}}}}]}}"#
    );
    let machine = format!(r#"{{"accel": "tcg", "memory": "64MiB", "screen": true, {GENEROUS}}}"#);
    let kernel = sector::typewriter();
    let files: [(&str, &[u8]); 2] = [("vmlinuz", &kernel), ("like", like.unwrap_or_default())];
    boot_files(&SystemRunner::default(), &step, &machine, &files, |_| {})
}

/// The checks, without where a picture is.
fn told(seen: &Seen) -> String {
    let place = regex_lite::Regex::new("`/[^`]*/").unwrap();
    place.replace_all(&seen.checks(), "`…/").into_owned()
}

fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0x80; (width * height * 3) as usize]).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn a_picture_is_kept_and_compared() {
    let seen = picture(None, 0);
    assert!(seen.result.is_ok(), "{}\n{}", seen.failure(), seen.checks());
    insta::assert_snapshot!(told(&seen), @"
    Passed stands still: -
    Passed A Picture: kept in `…/a-picture.png`
    ");
    let (_, kept) = seen.kept.iter().find(|(name, _)| name.ends_with("a-picture.png")).expect("it is kept");

    // The cursor is 16 of 288,000 pixels, and is there or not.
    let seen = picture(Some(kept), 1);
    assert!(seen.result.is_ok(), "{}\n{}", seen.failure(), seen.checks());
    assert!(seen.checks().contains("of 288000 pixels are different"), "{}", seen.checks());

    let seen = picture(Some(&png_of(720, 400)), 999);
    assert_eq!(seen.class(), Some(Class::Check));
    insta::assert_snapshot!(told(&seen), @"
    Passed stands still: -
    Failed A Picture: 288000 of 288000 pixels are different, and 999 of a thousand may be; kept in `…/a-picture.png`
    ");
    let seen = picture(Some(&png_of(8, 8)), 1000);
    insta::assert_snapshot!(told(&seen), @"
    Passed stands still: -
    Failed A Picture: the screen has 720x400 pixels, and it must look like 8x8; kept in `…/a-picture.png`
    ");
    let seen = picture(Some(b"no picture"), 1000);
    insta::assert_snapshot!(told(&seen), @"
    Passed stands still: -
    Failed A Picture: `…/like` cannot be read: Invalid PNG signature.; kept in `…/a-picture.png`
    ");
}
