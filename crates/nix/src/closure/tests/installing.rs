//! Where paths get to, and what Nix says about it.

use std::collections::BTreeMap;

use super::*;

#[test]
fn a_closure_is_installed_as_nix_would_have_it() {
    let world = World::new();
    insta::assert_snapshot!(world.said(&world.step()), @"2 paths, 0 of them there already; 300082B in 4 files copied, into SANDBOX/plan/store");
    for path in [&world.top, &world.dep] {
        assert_eq!(listing(&world.installed(path)), listing(Utf8Path::new(path)), "{path}");
    }
    let at = |name: &str| world.installed(&world.dep).join("share").join(name);
    assert_eq!(
        fs_err::metadata(at("big")).unwrap().ino(),
        fs_err::metadata(at("big-again")).unwrap().ino(),
        "one file with two names stays one file"
    );
    let store = world.dir("store");
    let of_source = world.nix.ok("nix-store", &["--dump-db", &world.top, &world.dep]);
    let sorted = |text: &str| Registration::from_text(text).unwrap();
    assert_eq!(sorted(&world.dump(&store)), sorted(&of_source));
    world.nix.ok("nix-store", &["--store", store.as_str(), "--verify", "--check-contents"]);
    let info = |args: &[&str]| {
        let printed = world.nix.ok("nix", &[&["path-info", "--json", "--all"], args].concat());
        let of = |it: &serde_json::Value| ["narHash", "narSize", "references"].map(|key| it[key].clone());
        // A list before Nix 2.19, a map by path since.
        let infos: BTreeMap<String, _> = match serde_json::from_str(&printed).unwrap() {
            serde_json::Value::Array(list) => {
                list.iter().map(|it| (it["path"].as_str().unwrap().to_owned(), of(it))).collect()
            }
            serde_json::Value::Object(map) => map.iter().map(|(path, it)| (path.clone(), of(it))).collect(),
            other => panic!("{other}"),
        };
        [&world.top, &world.dep].map(|path| infos[path].clone())
    };
    assert_eq!(info(&["--store", store.as_str()]), info(&[]));
    let leftovers = fs_err::read_dir(store.join("nix/store")).unwrap().count();
    assert_eq!(leftovers, 3, "two paths, and the `.links` of Nix");
}

#[test]
fn one_thread_and_eight_make_the_same_tree() {
    let world = World::new();
    let made = |jobs, into: &str| {
        world.run(&Closure { jobs: Some(jobs), into: Some(into.into()), ..world.step() }).unwrap();
        paths(&world.dir(into))
    };
    assert_eq!(made(1, "one"), made(8, "eight"));
}

/// Only so many directories are open at once.
#[test]
fn a_deep_tree_is_copied_to_its_end() {
    let world = World::new();
    let from = world.dir("from");
    let path: StorePath = format!("/nix/store/{}-deep", "a".repeat(32)).parse().unwrap();
    let at = LocalStore::at(&from).file(&path);
    for depth in 1..30 {
        let dir = at.join(vec!["deeper"; depth].join("/"));
        world.nix.write(&dir.join("file"), &depth.to_string());
        world.nix.write(&dir.join("beside/other"), "x");
        fs_err::hard_link(dir.join("file"), dir.join("beside/again")).unwrap();
    }
    let Nar { hash: nar_hash, size: nar_size } = nar(at.as_std_path(), &world.sandbox.cancel).unwrap();
    let info = PathInfo { nar_hash, nar_size, deriver: None, references: BTreeSet::new() };
    let registration = Registration { paths: [(path.clone(), info)].into() };
    for (mode, verify) in [
        (StoreMode::Copy, StoreVerify::Sizes),
        (StoreMode::Hardlink, StoreVerify::Sizes),
        (StoreMode::Hardlink, StoreVerify::None),
    ] {
        let into = world.dir(&format!("{mode:?}-{verify:?}"));
        let from = &LocalStore::at(&from);
        let wanted = Install { from, registration: &registration, into: &into, mode, verify, jobs: 3 };
        install(&world.sandbox.cx(), &wanted).unwrap();
        let damages =
            verify_store(&world.cx(), &LocalStore::at(&into), &registration, StoreVerify::Hashes).unwrap();
        assert_eq!(damages, [], "{mode:?}");
        let directories =
            listing(&LocalStore::at(&into).file(&path)).into_iter().filter(|it| it.ends_with(" /"));
        for directory in directories {
            assert!(directory.ends_with(" 555 1 /"), "{directory}");
        }
    }
}

#[test]
fn every_mode_makes_the_same_store() {
    let world = World::new();
    let made = |mode| {
        let into = format!("{mode:?}");
        world.run(&Closure { mode, into: Some(into.as_str().into()), ..world.step() }).unwrap();
        world.nix.ok("nix-store", &["--store", world.dir(&into).as_str(), "--verify", "--check-contents"]);
        paths(&world.dir(&into))
    };
    let copied = made(StoreMode::Copy);
    assert_eq!(made(StoreMode::Auto), copied);
    assert_eq!(made(StoreMode::Hardlink), copied);
    let inode = |path: &Utf8Path| fs_err::metadata(path.join("share/big")).unwrap().ino();
    let linked = world.dir("Hardlink").join("nix/store").join(name(&world.dep));
    assert_eq!(inode(&linked), inode(Utf8Path::new(&world.dep)));
    assert_ne!(inode(&world.dir("Copy").join("nix/store").join(name(&world.dep))), inode(&linked));
}

/// Whether the file system can is found out by doing it; either way the answer is right.
#[test]
fn reflinks_are_made_or_it_is_said_why_not() {
    let world = World::new();
    let step = Closure { mode: StoreMode::Reflink, ..world.step() };
    match world.run(&step) {
        Ok(_) => assert_eq!(listing(&world.installed(&world.dep)), listing(Utf8Path::new(&world.dep))),
        Err(error) => {
            assert!(Failure::of(&error).to_string().contains("use `mode = \"auto\"`"), "{error}");
            assert_eq!(world.dump(&world.dir("store")), "", "nothing is registered");
        }
    }
}

#[test]
fn what_is_there_and_whole_is_not_copied_again() {
    let world = World::new();
    world.run(&world.step()).unwrap();
    let before = paths(&world.dir("store"));
    insta::assert_snapshot!(world.said(&world.step()), @"2 paths, 2 of them there already; 0B in 0 files copied, into SANDBOX/plan/store");
    assert_eq!(paths(&world.dir("store")), before);
    let loads = |world: &World| world.sandbox.lines().iter().filter(|it| it.contains("--load-db")).count();
    assert_eq!(loads(&world), 1, "the second time nothing is registered");
}

#[test]
fn a_closure_that_has_grown_is_copied_as_far_as_it_is_new() {
    let world = World::new();
    let dep = Closure { paths: vec![world.dep.clone()], ..world.step() };
    world.run(&dep).unwrap();
    insta::assert_snapshot!(world.said(&world.step()), @"2 paths, 1 of them there already; 74B in 1 files copied, into SANDBOX/plan/store");
}

#[test]
fn a_tree_for_images_has_the_store_and_what_it_loads_when_it_starts() {
    let world = World::new();
    let step = Closure { into: None, verify: StoreVerify::Hashes, ..world.step() };
    let outputs = world.run(&step).unwrap();
    assert_eq!(outputs[0].kind, ArtifactKind::Tree);
    let path = outputs[0].path.clone();
    let text = fs_err::read_to_string(format!("{path}.manifest")).unwrap();
    let manifest = Manifest::from_text(&text).unwrap();
    let mut shown: Vec<String> = manifest
        .entries
        .iter()
        .map(|(path, entry)| {
            let kind = match &entry.kind {
                bootway_plan::EntryKind::Symlink { target } => format!("-> {target}"),
                bootway_plan::EntryKind::File { size, digest } => {
                    let file = outputs[0].path.join(path.as_str());
                    assert_eq!(Digest::of(&fs_err::read(file).unwrap()), *digest);
                    if path.as_str().ends_with("registration") { "text".to_owned() } else { size.to_string() }
                }
                _ => "/".to_owned(),
            };
            world.plain(&format!("{path} {:o} {kind}", entry.mode))
        })
        .collect();
    shown.sort();
    insta::assert_snapshot!(shown.join("\n"), @r"
    / 755 /
    /nix 755 /
    /nix-path-registration 444 text
    /nix/store 1775 /
    /nix/store/DEP 555 /
    /nix/store/DEP/bin 555 /
    /nix/store/DEP/bin/hi 555 8
    /nix/store/DEP/bin/link 777 -> hi
    /nix/store/DEP/share 555 /
    /nix/store/DEP/share/big 444 300000
    /nix/store/DEP/share/big-again 444 300000
    /nix/store/DEP/share/dangling 777 -> /nowhere
    /nix/store/DEP/share/empty 555 /
    /nix/store/DEP/share/nothing 444 0
    /nix/store/TOP 444 74
    ");
    let registration = path.join("nix-path-registration");
    let cmd = Cmd::user("nix-store").args(["--store", path.as_str(), "--load-db"]).stdin_file(&registration);
    bootway_exec::run(&world.cx(), &world.nix.cmd(cmd)).unwrap();
    world.nix.ok("nix-store", &["--store", path.as_str(), "--verify", "--check-contents"]);
    world.run(&step).unwrap();
    assert_eq!(fs_err::read_to_string(format!("{path}.manifest")).unwrap(), text, "and again, byte for byte");
}

#[test]
fn the_machines_own_store_is_not_touched() {
    let world = World::new();
    let refused = world.failure(&Closure { into: Some("/".into()), ..world.step() });
    insta::assert_snapshot!(refused, @r"
    error: `/` is a store that is used already: a closure goes into a directory of its own
      hint: give `into` a directory of its own, such as `./test-store`
    ");
    let own = Closure { into: Some("./own".into()), ..world.step() };
    fs_err::create_dir_all(world.dir("own/nix")).unwrap();
    fs_err::os::unix::fs::symlink(world.nix.store(), world.dir("own/nix/store")).unwrap();
    insta::assert_snapshot!(world.failure(&own), @r"
    error: `SANDBOX/plan/own` is a store that is used already: a closure goes into a directory of its own
      hint: give `into` a directory of its own, such as `./test-store`
    ");
    let before = world.nix.ok("nix-store", &["--dump-db"]);
    world.run(&world.step()).unwrap();
    assert_eq!(world.nix.ok("nix-store", &["--dump-db"]), before);
    let changing = |line: &&String| line.contains("--load-db");
    for line in world.sandbox.lines().iter().filter(changing) {
        assert!(
            line.contains(&format!("--store {}/nix/.bootway-partial-database", world.dir("store"))),
            "{line}"
        );
    }
}

#[test]
fn the_command_lines_are_known_beforehand() {
    let world = World::new();
    let step = world.step();
    let previewed: Vec<String> = closure_commands(&world.cx(), &step, &NixConfig::default())
        .iter()
        .map(|cmd| format!("$ {cmd}"))
        .collect();
    world.run(&step).unwrap();
    let mut ran: Vec<String> =
        world.sandbox.lines().into_iter().filter(|line| line.starts_with("$ ")).collect();
    ran.retain(|line| !line.contains("--dump-db"));
    assert_eq!(ran, previewed);
}

#[test]
fn a_store_in_a_directory_is_where_paths_can_come_from_too() {
    let world = World::new();
    world.run(&world.step()).unwrap();
    let nix = NixConfig { store: Some("./store".to_owned()), ..NixConfig::default() };
    let step = Closure { into: Some("./second".into()), verify: StoreVerify::Hashes, ..world.step() };
    remove(world.cx().scratch.as_std_path()).unwrap();
    fs_err::create_dir(world.cx().scratch).unwrap();
    closure(&world.cx(), &step, &nix).unwrap();
    let second = world.dir("second");
    world.nix.ok("nix-store", &["--store", second.as_str(), "--verify", "--check-contents"]);
    assert_eq!(world.dump(&second), world.dump(&world.dir("store")));
    let far = NixConfig { store: Some("ssh-ng://builder".to_owned()), ..NixConfig::default() };
    let error = closure(&world.cx(), &step, &far).unwrap_err();
    insta::assert_snapshot!(Failure::of(&error), @r"
    error: the files of store `ssh-ng://builder` are not on this machine, so they cannot be copied
      hint: fetch them first: `nix copy --from ssh-ng://builder PATH`, and leave `store` out
    ");
}
