//! What is broken, cut off, or not there.

use bootway_exec::Runner as _;

use super::*;

/// Puts another byte into a file that nobody may write to.
fn flip(path: &Utf8Path) {
    let mut bytes = fs_err::read(path).unwrap();
    bytes[1000] ^= 1;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs_err::write(path, bytes).unwrap();
}

fn verified(world: &World, how: StoreVerify) -> String {
    let store = LocalStore::at(&world.dir("store"));
    let registration = Registration::from_text(&world.dump(&world.dir("store"))).unwrap();
    let damages = verify_store(&world.cx(), &store, &registration, how).unwrap();
    world.plain(&damages.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_flipped_byte_is_found_named_and_repaired() {
    let world = World::new();
    world.run(&world.step()).unwrap();
    assert_eq!(verified(&world, StoreVerify::Hashes), "");
    flip(&world.installed(&world.dep).join("share/big"));
    assert_eq!(verified(&world, StoreVerify::Sizes), "");
    insta::assert_snapshot!(verified(&world, StoreVerify::Hashes), @"`SANDBOX/plan/store/nix/store/DEP` has another hash than it is known by");
    let theirs =
        world.nix.run("nix-store", &["--store", world.dir("store").as_str(), "--verify", "--check-contents"]);
    assert_eq!(theirs.code, 1, "Nix is of the same opinion: {}", theirs.stderr);
    let step = Closure { verify: StoreVerify::Hashes, ..world.step() };
    insta::assert_snapshot!(world.said(&step), @"2 paths, 1 of them there already; 300008B in 3 files copied; 1 damaged and replaced, into SANDBOX/plan/store");
    world.nix.ok("nix-store", &["--store", world.dir("store").as_str(), "--verify", "--check-contents"]);
}

/// `nix-store --verify` would forget it, and be content.
#[test]
fn a_path_that_is_gone_is_damage() {
    let world = World::new();
    world.run(&world.step()).unwrap();
    remove(world.installed(&world.dep).as_std_path()).unwrap();
    insta::assert_snapshot!(verified(&world, StoreVerify::None), @"`SANDBOX/plan/store/nix/store/DEP` is missing");
    fs_err::create_dir(world.installed(&world.dep)).unwrap();
    insta::assert_snapshot!(verified(&world, StoreVerify::Sizes), @"`SANDBOX/plan/store/nix/store/DEP` has 96 bytes as a NAR, and is known to have 601768");
    insta::assert_snapshot!(world.said(&world.step()), @"2 paths, 1 of them there already; 300008B in 3 files copied; 1 damaged and replaced, into SANDBOX/plan/store");
    assert_eq!(verified(&world, StoreVerify::Hashes), "");
}

#[test]
fn a_source_that_is_damaged_is_not_registered() {
    let world = World::new();
    flip(&Utf8Path::new(&world.dep).join("share/big"));
    let step = Closure { verify: StoreVerify::Hashes, ..world.step() };
    insta::assert_snapshot!(world.failure(&step), @r"
    error: `SANDBOX/plan/store/nix/store/DEP` has another hash than it is known by
      hint: the next run copies it again; if it stays so, look at where it comes from: `nix-store --verify --check-contents`
    ");
    assert_eq!(world.dump(&world.dir("store")), "");
}

#[test]
fn an_install_that_is_killed_registers_nothing_and_the_next_one_completes() {
    let world = World::new();
    let store = world.dir("store/nix/store");
    // A path that was whole, one that was being copied, and one that was renamed without its bytes being there.
    fs_err::create_dir_all(&store).unwrap();
    let partial = store.join(format!(".bootway-partial-{}", name(&world.dep)));
    fs_err::create_dir_all(partial.join("bin")).unwrap();
    fs_err::write(partial.join("bin/hi"), "ec").unwrap();
    fs_err::set_permissions(partial.join("bin"), std::fs::Permissions::from_mode(0o555)).unwrap();
    let size = fs_err::metadata(&world.top).unwrap().len() as usize;
    fs_err::write(store.join(name(&world.top)), vec![0; size]).unwrap();
    insta::assert_snapshot!(world.said(&Closure { verify: StoreVerify::None, ..world.step() }), @"2 paths, 0 of them there already; 300082B in 4 files copied, into SANDBOX/plan/store");
    assert_eq!(verified(&world, StoreVerify::Hashes), "");
    assert!(!partial.exists());
    world.nix.ok("nix-store", &["--store", world.dir("store").as_str(), "--verify", "--check-contents"]);
}

/// Sizes are counted while files are copied; nobody looks at what was written a second time.
#[test]
fn a_source_that_is_cut_short_is_not_registered() {
    let world = World::new();
    let file = Utf8Path::new(&world.dep).join("bin/hi");
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::write(&file, "").unwrap();
    for mode in [StoreMode::Copy, StoreMode::Hardlink] {
        let failure = world.failure(&Closure { mode, ..world.step() });
        assert!(failure.contains("DEP` has 601760 bytes as a NAR, and is known to have 601768"), "{failure}");
        assert_eq!(world.dump(&world.dir("store")), "");
        remove(world.dir("store").as_std_path()).unwrap();
    }
}

/// Variables that make the test below do its work: from where, into where.
const INSTALL: [&str; 2] = ["BOOTWAY_TEST_FROM", "BOOTWAY_TEST_INTO"];

/// Does nothing by itself; the next test starts it in a process of its own, to kill that.
#[test]
fn installs_for_the_one_who_kills_it() {
    let [Ok(from), Ok(into)] = INSTALL.map(std::env::var) else { return };
    let text = fs_err::read_to_string(format!("{from}.registration")).unwrap();
    let wanted = Install {
        from: &LocalStore::at(from.as_str().into()),
        registration: &Registration::from_text(&text).unwrap(),
        into: into.as_str().into(),
        mode: StoreMode::Copy,
        verify: StoreVerify::Sizes,
        jobs: 2,
    };
    install(&Sandbox::new(&*RUNNER).cx(), &wanted).unwrap();
}

/// Whenever the signal comes, there is all of it or nothing, and the next install makes it all.
#[test]
fn a_process_that_is_killed_while_it_copies_leaves_no_registration() {
    let world = World::new();
    let (from, into) = (world.dir("from"), world.dir("store"));
    let mut registration = Registration::default();
    for number in 0..8 {
        let path: StorePath = format!("/nix/store/{number}{}-many", "a".repeat(31)).parse().unwrap();
        let at = LocalStore::at(&from).file(&path);
        for file in 0..250 {
            world.nix.write(&at.join(format!("{}/{file}", file % 10)), &"x".repeat(file * 37));
        }
        let Nar { hash: nar_hash, size: nar_size } = nar(at.as_std_path(), &world.sandbox.cancel).unwrap();
        let info = PathInfo { nar_hash, nar_size, deriver: None, references: BTreeSet::new() };
        registration.paths.insert(path, info);
    }
    fs_err::write(format!("{from}.registration"), registration.to_text()).unwrap();
    let test = "closure::tests::faults::installs_for_the_one_who_kills_it";
    let install_it = |kill_at: usize| {
        let exe = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
        let cmd = Cmd::user(exe).args(["--exact", test]);
        let cmd = cmd.env(INSTALL[0], from.as_str()).env(INSTALL[1], into.as_str());
        let mut process = RUNNER.spawn(&cmd).unwrap();
        let there = || fs_err::read_dir(into.join("nix/store")).map_or(0, Iterator::count);
        while !matches!(process.poll(std::time::Duration::ZERO), bootway_exec::Poll::Ended(_)) {
            if there() >= kill_at {
                process.kill();
                return;
            }
        }
    };
    for kill_at in [1, 3, 6] {
        remove(into.as_std_path()).unwrap();
        install_it(kill_at);
        let known = world.nix.run("nix-store", &["--store", into.as_str(), "--dump-db"]).stdout;
        assert!(known.is_empty() || Registration::from_text(&known).unwrap() == registration, "{known}");
        install_it(usize::MAX);
        assert_eq!(
            verify_store(&world.cx(), &LocalStore::at(&into), &registration, StoreVerify::Hashes).unwrap(),
            []
        );
    }
}

#[test]
fn an_install_that_is_cancelled_leaves_nothing_behind() {
    let world = World::new();
    let registration = LocalStore::of(world.cx().plan_dir, &NixConfig::default())
        .unwrap()
        .closure(&world.cx(), &[world.top.as_str().into()])
        .unwrap();
    world.sandbox.cancel.cancel();
    let from = LocalStore::of(world.cx().plan_dir, &NixConfig::default()).unwrap();
    let into = world.dir("store");
    let wanted = Install {
        from: &from,
        registration: &registration,
        into: &into,
        mode: StoreMode::Auto,
        verify: StoreVerify::Sizes,
        jobs: 2,
    };
    let error = install(&world.cx(), &wanted).unwrap_err();
    assert!(matches!(error, ClosureError::Cancelled), "{error}");
    assert_eq!(fs_err::read_dir(into.join("nix/store")).unwrap().count(), 0);
}

#[test]
fn a_second_install_waits_for_the_first() {
    let world = World::new();
    fs_err::create_dir_all(world.dir("store/nix")).unwrap();
    let lock = fs_err::File::create(world.dir("store/nix/.bootway-lock")).unwrap().into_parts().0;
    lock.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting =
            || world.sandbox.lines().iter().any(|line| line.contains("waiting for another install"));
        let second = scope.spawn(|| world.said(&world.step()));
        while !waiting() {
            std::thread::yield_now();
        }
        lock.unlock().unwrap();
        assert!(second.join().unwrap().starts_with("2 paths, 0 of them there already"));
    });
}

#[test]
fn what_is_no_root_is_named() {
    let world = World::new();
    let of = |paths: &[&str]| {
        world.failure(&Closure { paths: paths.iter().map(|&it| it.to_owned()).collect(), ..world.step() })
    };
    insta::assert_snapshot!(of(&["./nothing"]), @r#"
    error: `./nothing` is no store path, and no link to one
      hint: name a step of kind `nix-build`, a link such as `./result`, or `paths = ["/nix/store/…"]`
    "#);
    insta::assert_snapshot!(of(&[]), @r"
    error: the closure is empty
      hint: name roots, paths, or info that has some
    ");
    let unknown = world.top.replace("-top", "-other");
    let failure = of(&[&unknown]);
    assert!(failure.contains("exited with code 1"), "{failure}");
}
