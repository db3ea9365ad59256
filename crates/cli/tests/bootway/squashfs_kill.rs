//! `bootway squashfs create`, killed at any moment with a warm cache: no wrong image, and the next build has the bytes
//! of a build without a cache.

use std::{path::Path, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use walkdir::WalkDir;

use crate::project::{Project, digest, run, start};

const POINTS: u64 = 50;

#[test]
fn a_killed_build_leaves_no_wrong_image_and_the_next_one_is_right() {
    let project = Project::new("");
    write_tree(&project, 0);
    let (image, before) = (project.path().join("out/image"), project.path().join("before.squashfs"));
    let warm = project.path().join("warm");
    build(&project, &["--cache", warm.as_str()], &before);
    let old = digest(&before);
    write_tree(&project, 1);
    let cold = project.path().join("cold.squashfs");
    build(&project, &["--no-cache"], &cold);
    let (wanted, size) = (digest(&cold), fs_err::metadata(&cold).unwrap().len());
    assert_ne!(old, wanted);

    let cache = project.path().join("cache");
    let (mut killed, mut old_images) = (0, 0);
    for point in 0..POINTS {
        for dir in [&cache, &project.path().join("out")] {
            if dir.exists() {
                fs_err::remove_dir_all(dir).unwrap();
            }
        }
        copy(&warm, &cache);
        fs_err::create_dir(project.path().join("out")).unwrap();
        fs_err::copy(&before, &image).unwrap();

        killed += u32::from(kill_at(&project, &cache, &image, size * point / POINTS));
        let found = digest(&image);
        assert!(
            [&old, &wanted].contains(&&found),
            "after kill {point} the image is neither the old nor the new one"
        );
        old_images += u32::from(found == old);

        build(&project, &["--cache", cache.as_str()], &image);
        assert_eq!(digest(&image), wanted, "after kill {point}");
        assert_eq!(left_behind(&project, &image, &cache), Vec::<Utf8PathBuf>::new(), "after kill {point}");
    }
    assert!(
        killed > 40 && old_images > 30,
        "only {killed} of {POINTS} were killed, {old_images} before the end"
    );
}

/// Files of which a tenth differs between states; what they hold takes a while to compress.
fn write_tree(project: &Project, state: u32) {
    for n in 0..400_u32 {
        if state > 0 && n % 10 != 0 {
            continue;
        }
        let mut seed = n + 1000 * state;
        let mut word = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{} ", (seed >> 16) % 3000)
        };
        let text: String = std::iter::repeat_with(&mut word).take(n as usize * 25).collect();
        project.write(&format!("root/{}/{n}", n % 20), text);
    }
}

fn command(project: &Project, cache: &[&str], image: &Utf8Path) -> Command {
    let args = ["squashfs", "create", "root", image.as_str(), "--level", "15", "--all-time", "0", "--quiet"];
    project.command(&[&args, cache].concat())
}

#[track_caller]
fn build(project: &Project, cache: &[&str], image: &Utf8Path) {
    let run = run(&mut command(project, cache, image));
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// Starts a build, and kills it when the unfinished image has so many bytes; whether it was still running.
fn kill_at(project: &Project, cache: &Utf8Path, image: &Utf8Path, size: u64) -> bool {
    let mut child = start(&mut command(project, &["--cache", cache.as_str()], image));
    let written = || {
        let unfinished = WalkDir::new(image.parent().unwrap()).min_depth(1).into_iter().flatten();
        let unfinished = unfinished.filter(|entry| entry.path() != image.as_std_path());
        unfinished.filter_map(|entry| entry.metadata().ok()).map(|it| it.len()).max()
    };
    while written().is_none_or(|written| written < size) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// Whatever is neither the image nor a finished part of the cache.
fn left_behind(project: &Project, image: &Utf8Path, cache: &Utf8Path) -> Vec<Utf8PathBuf> {
    let finished = |path: &Utf8Path| {
        path == image
            || ["lock", "CACHEDIR.TAG"].iter().any(|name| path == cache.join(name))
            || path.parent() == Some(&cache.join("seen"))
            || path.extension().is_some_and(|it| ["pack", "index"].contains(&it))
    };
    let all = [image.parent().unwrap(), cache].into_iter().flat_map(WalkDir::new).flatten();
    let files = all.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let files = files.map(|path| Utf8PathBuf::from_path_buf(path).unwrap());
    let hidden = |path: &Utf8Path| path.file_name().is_some_and(|name| name.starts_with('.'));
    let left = files.filter(|path| hidden(path) || !finished(path));
    left.map(|path| path.strip_prefix(project.path()).unwrap().to_owned()).collect()
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    for entry in WalkDir::new(from).into_iter().map(Result::unwrap) {
        let inside: &Path = entry.path().strip_prefix(from).unwrap();
        let to = to.as_std_path().join(inside);
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(to).unwrap();
        } else {
            fs_err::copy(entry.path(), to).unwrap();
        }
    }
}
