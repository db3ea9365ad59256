//! What was saved is not what it was.

use super::*;

/// Damages a machine that is kept in this directory.
type Damage = fn(&Utf8Path);

fn resize(file: &Utf8Path, size: u64) {
    fs_err::OpenOptions::new().write(true).open(file).unwrap().file().set_len(size).unwrap();
}

#[test]
fn what_is_damaged_is_made_anew_and_it_is_said_why() {
    let runs = Runs::new(&format!(r#""snapshot": "required", {}"#, tests(&["a"])), "");
    runs.run().assert_good();
    let damages: [(&str, Damage); 5] = [
        ("is damaged, and is made anew: `state` is not what was written", |dir| {
            resize(&dir.join("state"), 1000);
        }),
        ("is damaged, and is made anew: failed to query resolved metadata", |dir| {
            fs_err::remove_file(dir.join("ram")).unwrap();
        }),
        ("is damaged, and is made anew: `ram` has 4096 bytes", |dir| resize(&dir.join("ram"), 4096)),
        ("is damaged, and is made anew: `facts.json`", |dir| resize(&dir.join("facts.json"), 3)),
        // Nothing of this is seen before the guest goes on; what it does then is no verdict on any test.
        ("did not go on", |dir| {
            let ram = dir.join("ram");
            let size = fs_err::metadata(&ram).unwrap().len();
            resize(&ram, 0);
            resize(&ram, size);
        }),
    ];
    for (reason, damage) in damages {
        let kept = runs.kept();
        assert_eq!(kept.len(), 1, "{kept:?}");
        damage(&kept[0]);
        let seen = runs.run();
        seen.assert_good();
        let notes = seen.notes();
        assert!(notes.contains(reason), "{reason}: {notes}");
        assert_eq!(seen.started_with("share=on"), 1, "{reason}: it is saved anew: {notes}");
        assert_eq!(seen.printed("adds"), ["2"], "{reason}");
    }
    let seen = runs.run();
    seen.assert_good();
    assert_eq!(seen.began(), (0, 1, 0), "what was saved anew is good");
}
