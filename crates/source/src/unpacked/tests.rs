use bootway_exec::{Sandbox, ScriptedRunner};
use bootway_plan::{ArtifactKind, Bytes, EventKind};

use super::*;
use crate::archive::tests::Tar;

/// An archive of two files and a link, in the sandbox.
fn archive(sandbox: &Sandbox<'_>) -> Input {
    let tar = Tar::default().dir("a/").file("a/one", "one\n").file("a/two", "two\n").end();
    let path = sandbox.root().join("a.tar");
    fs_err::write(&path, &tar).unwrap();
    let size = Bytes::new(tar.len() as u64);
    Input { path, kind: ArtifactKind::File, digest: Digest::of(&tar), size, made: false }
}

fn read(dir: &Utf8Path, name: &str) -> String {
    fs_err::read_to_string(dir.join(name)).unwrap()
}

fn kept(sandbox: &Sandbox<'_>) -> Vec<Utf8PathBuf> {
    let dir = unpacked_dir(sandbox.cx().cache);
    let all = dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    all.filter(|path| path.is_dir()).collect()
}

#[test]
fn what_was_unpacked_once_is_copied_and_a_copy_is_its_own() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (cx, archive) = (sandbox.cx(), archive(&sandbox));
    let (first, second) = (cx.out.join("first"), cx.out.join("second"));
    unpack_to(&cx, &archive, &[], &first).unwrap();
    fs_err::write(first.join("a/one"), "changed\n").unwrap();
    fs_err::remove_file(first.join("a/two")).unwrap();
    // From now on nobody can unpack it.
    fs_err::remove_file(&archive.path).unwrap();
    unpack_to(&cx, &archive, &[], &second).unwrap();
    assert_eq!((read(&second, "a/one"), read(&second, "a/two")), ("one\n".to_owned(), "two\n".to_owned()));
    assert_eq!(kept(&sandbox).len(), 1);
}

#[test]
fn what_is_kept_of_an_archive_is_part_of_its_name() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (cx, archive) = (sandbox.cx(), archive(&sandbox));
    let (all, some) = (cx.out.join("all"), cx.out.join("some"));
    unpack_to(&cx, &archive, &[], &all).unwrap();
    unpack_to(&cx, &archive, &["a/one".to_owned()], &some).unwrap();
    assert!(all.join("a/two").exists() && some.join("a/one").exists() && !some.join("a/two").exists());
    assert_eq!(kept(&sandbox).len(), 2);
}

#[test]
fn what_somebody_changed_is_noticed_and_unpacked_again() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (cx, archive) = (sandbox.cx(), archive(&sandbox));
    unpack_to(&cx, &archive, &[], &cx.out.join("0")).unwrap();
    let place = kept(&sandbox).pop().unwrap();
    let damages: [&dyn Fn(); 4] = [
        &|| fs_err::write(place.join("tree/a/one"), "eno\n").unwrap(),
        &|| fs_err::remove_file(place.join("tree/a/two")).unwrap(),
        &|| fs_err::write(place.join("tree.manifest"), "").unwrap(),
        &|| fs_err::remove_file(place.join("manifest.sha256")).unwrap(),
    ];
    for (damage, n) in damages.iter().zip(1..) {
        damage();
        let to = cx.out.join(n.to_string());
        unpack_to(&cx, &archive, &[], &to).unwrap();
        assert_eq!((read(&to, "a/one"), read(&to, "a/two")), ("one\n".to_owned(), "two\n".to_owned()));
        let said = |kind: &EventKind| matches!(kind, EventKind::Note { text } if text.contains("is damaged, and unpacked again"));
        assert_eq!(sandbox.events().iter().filter(|kind| said(kind)).count(), n);
    }
}

#[test]
fn an_archive_that_is_no_good_leaves_nothing() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (cx, archive) = (sandbox.cx(), archive(&sandbox));
    let bytes = fs_err::read(&archive.path).unwrap();
    fs_err::write(&archive.path, &bytes[..700]).unwrap();
    let error = unpack_to(&cx, &archive, &[], &cx.out.join("it")).unwrap_err();
    assert!(error.to_string().contains("is truncated"), "{error}");
    assert_eq!(kept(&sandbox), Vec::<Utf8PathBuf>::new());
    assert!(!cx.out.join("it").exists());
}

#[test]
fn two_at_once_unpack_it_once_and_nobody_removes_what_is_in_use() {
    let runner = ScriptedRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (cx, archive) = (sandbox.cx(), archive(&sandbox));
    let cx = Cx { emit: &|_| {}, ..cx };
    thread::scope(|scope| {
        for n in 0..4 {
            let (cx, archive) = (&cx, &archive);
            scope.spawn(move || unpack_to(cx, archive, &[], &cx.out.join(n.to_string())).unwrap());
        }
    });
    let place = kept(&sandbox).pop().unwrap();
    let used = lock_of(place.parent().unwrap(), place.file_name().unwrap());
    let held = lock(&used, FlockOperation::NonBlockingLockShared, cx.cancel).unwrap().unwrap();
    assert!(!remove_unpacked(&place).unwrap());
    drop(held);
    assert!(remove_unpacked(&place).unwrap());
    assert_eq!(unpacked_dir(cx.cache).read_dir_utf8().unwrap().count(), 0);
}
