//! What a program sees that is shown one store.

use super::*;

/// A step of kind `closure` as an input of a command, and one of kind `nix-build` that made `path`.
fn given(world: &mut World, store: &Utf8Path, path: &str) -> CommandNix {
    let made = world.dir("driver");
    fs_err::write(format!("{made}.provenance.json"), format!(r#"{{"store-path": "{path}"}}"#)).unwrap();
    for (name, path) in [("store", store.to_owned()), ("driver", made)] {
        let input = Input {
            path,
            kind: ArtifactKind::Tree,
            digest: Digest::of(b""),
            size: Bytes::new(0),
            made: true,
        };
        world.sandbox.inputs.insert(name.parse().unwrap(), input);
    }
    CommandNix { isolated: "store".parse().unwrap(), no_build: vec!["driver".parse().unwrap()] }
}

/// What a program of Nix prints that is given the environment of the isolation, on top of the test's own.
fn seen(world: &World, env: &BTreeMap<String, String>, args: &[&str]) -> crate::testing::Ran {
    let assignments = env.iter().map(|(name, value)| format!("{name}={value}"));
    let argv: Vec<String> = assignments.chain(args.iter().map(|&it| it.to_owned())).collect();
    world.nix.run("env", &argv.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_program_sees_the_store_of_the_closure_and_no_other() {
    let mut world = World::new();
    world.run(&world.step()).unwrap();
    let (path, store) = (world.top.clone(), world.dir("store"));
    let nix = given(&mut world, &store, &path);
    let env = isolate(&world.cx(), &nix, Some("./store".into())).unwrap();
    let all = seen(&world, &env, &["nix-store", "--dump-db"]);
    assert_eq!((all.code, all.stdout), (0, world.dump(&store)), "without `--store`, it is this one");
    let before = world.nix.ok("nix-store", &["--dump-db"]);
    let added = seen(&world, &env, &["nix-store", "--add", "/etc/hostname"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(world.nix.ok("nix-store", &["--dump-db"]), before, "what it writes is in its own");
    assert_ne!(world.dump(&store), before);
}

#[test]
fn what_would_have_to_be_built_fails_before_the_program_starts() {
    let mut world = World::new();
    let dep = Closure { paths: vec![world.dep.clone()], ..world.step() };
    world.run(&dep).unwrap();
    let (path, store) = (world.top.clone(), world.dir("store"));
    let nix = given(&mut world, &store, &path);
    let error = isolate(&world.cx(), &nix, Some("./store".into())).unwrap_err();
    insta::assert_snapshot!(world.plain(&Failure::of(&error).to_string()), @r"
    error: would build 1 derivation: `TOP` is not in the store that the program sees
      hint: add them to `roots` of the step that makes the store
    ");
}

#[test]
fn nothing_can_be_built_in_it() {
    let mut world = World::new();
    world.run(&world.step()).unwrap();
    let (path, store) = (world.top.clone(), world.dir("store"));
    let nix = given(&mut world, &store, &path);
    let env = isolate(&world.cx(), &nix, Some("./store".into())).unwrap();
    let file = world.nix.root().join("new.nix");
    world.nix.write(&file, &derivation("new", "echo new > $out"));
    let built = seen(&world, &env, &["nix-build", "--no-out-link", file.as_str()]);
    assert_ne!(built.code, 0);
    assert!(built.stderr.contains("max-jobs"), "{}", built.stderr);
}

#[test]
fn a_tree_of_a_closure_becomes_a_store_of_the_programs_own() {
    let mut world = World::new();
    let tree = world.run(&Closure { into: None, ..world.step() }).unwrap().remove(0).path;
    let (path, before) = (world.top.clone(), listing(&tree));
    let nix = given(&mut world, &tree, &path);
    let (previewed, env) = isolate_commands(&world.cx(), &nix, None).unwrap();
    let lines = world.sandbox.lines().len();
    assert_eq!(isolate(&world.cx(), &nix, None).unwrap(), env);
    let ran: Vec<String> =
        world.sandbox.lines().split_off(lines).into_iter().filter(|it| it.starts_with("$ ")).collect();
    assert_eq!(ran, previewed.iter().map(|cmd| format!("$ {cmd}")).collect::<Vec<_>>());
    let store = Utf8PathBuf::from(&env["BOOTWAY_TEST_STORE"]);
    world.nix.ok("nix-store", &["--store", store.as_str(), "--verify", "--check-contents"]);
    assert_eq!(listing(&tree), before, "the tree is nobody's to write to");
}
