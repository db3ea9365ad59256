//! Closures that a builder was told of, and roots that steps have made.

use super::*;

/// A file or directory of the plan, as an input.
fn given(world: &mut World, path: &Utf8Path, made: bool) -> Source {
    let source: Source = if made {
        "made".parse().unwrap()
    } else {
        format!("./{}", path.file_name().unwrap()).parse().unwrap()
    };
    let input = Input {
        path: path.to_owned(),
        kind: ArtifactKind::File,
        digest: Digest::of(b""),
        size: Bytes::new(0),
        made,
    };
    world.sandbox.inputs.insert(source.clone(), input);
    source
}

/// What `attribute` of the expression is built to.
fn built(world: &World, more: &str, attribute: &str) -> Utf8PathBuf {
    let file = world.nix.root().join("told.nix");
    world.nix.write(&file, &expression(more));
    world.nix.ok("nix-build", &[file.as_str(), "-A", attribute, "--no-out-link"]).trim().into()
}

#[test]
fn a_builder_and_the_store_tell_of_the_same_closure() {
    let mut world = World::new();
    world.run(&Closure { into: Some("./asked".into()), ..world.step() }).unwrap();
    let graph = derivation_with("graph", "cp graph $out", "exportReferencesGraph = [ \"graph\" top ];");
    let graph = built(&world, &format!("graph = {graph};"), "graph");
    // With structured attributes there is no `$out`: the shell that runs the builder has to find it.
    let attrs = derivation_with(
        "attrs",
        r#"out=$(/usr/bin/sed 's/.*\"out\":\"\([^\"]*\)\".*/\1/' .attrs.json); /usr/bin/cp .attrs.json $out"#,
        "__structuredAttrs = true; exportReferencesGraph.closure = [ top ];",
    );
    let attrs = built(&world, &format!("attrs = {attrs};"), "attrs");
    let asked = Registration::from_text(&world.dump(&world.dir("asked"))).unwrap().without_derivers();
    for (file, into) in [(graph, "./graph"), (attrs, "./attrs")] {
        let info = Some(given(&mut world, &file, false));
        let step = Closure { info, into: Some(into.into()), ..world.step() };
        world.run(&step).unwrap();
        let told = Registration::from_text(&world.dump(&world.dir(into))).unwrap();
        assert_eq!(told, asked, "{into}");
        world.nix.ok("nix-store", &["--store", world.dir(into).as_str(), "--verify", "--check-contents"]);
    }
}

#[test]
fn what_closure_info_makes_is_read_and_must_agree_with_itself() {
    let mut world = World::new();
    let info = world.dir("info");
    let registration = Registration::from_text(&world.nix.ok("nix-store", &["--dump-db"])).unwrap();
    let two = [&world.top, &world.dep].map(|it| it.parse::<StorePath>().unwrap());
    let paths = registration.paths.into_iter().filter(|(path, _)| two.contains(path)).collect();
    let text = Registration { paths }.without_derivers().to_text();
    world.nix.write(&info.join("registration"), &text);
    world.nix.write(&info.join("store-paths"), &format!("{}\n{}\n", world.dep, world.top));
    let source = given(&mut world, &info, false);
    let step = Closure { info: Some(source), ..world.step() };
    world.run(&step).unwrap();
    assert_eq!(world.dump(&world.dir("store")), {
        world.run(&Closure { info: None, into: Some("./asked".into()), ..step.clone() }).unwrap();
        let asked = Registration::from_text(&world.dump(&world.dir("asked"))).unwrap();
        let dumped = Registration::from_text(&world.dump(&world.dir("store"))).unwrap();
        assert_eq!(dumped, asked.without_derivers());
        world.dump(&world.dir("store"))
    });
    world.nix.write(&info.join("store-paths"), &format!("{}\n", world.top));
    insta::assert_snapshot!(world.failure(&step), @"error: `DEP` is in one of `store-paths` and `registration` of `SANDBOX/plan/info`, and not in the other");
    world.nix.write(&info.join("store-paths"), &format!("{}\n{}\n", world.dep, world.top));
    let mut open = Registration::from_text(&text).unwrap();
    open.paths.remove(&two[1]);
    world.nix.write(&info.join("registration"), &open.to_text());
    world.nix.write(&info.join("store-paths"), &format!("{}\n", world.top));
    insta::assert_snapshot!(world.failure(&step), @r"
    error: `TOP` refers to `DEP`, which is not among the paths
      hint: a closure has everything that its paths refer to
    ");
    world.nix.write(&info.join("registration"), &text.replacen("sha256:", "sha1:", 1));
    let failure = world.failure(&step);
    assert!(failure.contains("line 2 of the registration is `sha1:"), "{failure}");
}

#[test]
fn links_lead_to_roots() {
    let mut world = World::new();
    let result = world.dir("result");
    fs_err::os::unix::fs::symlink("indirect", &result).unwrap();
    fs_err::os::unix::fs::symlink(&world.top, world.dir("indirect")).unwrap();
    let source = given(&mut world, &result, false);
    let step = Closure { roots: vec![source], paths: vec!["./indirect".to_owned()], ..world.step() };
    assert!(world.said(&step).starts_with("2 paths, 0 of them there already"));
}

#[test]
fn what_a_step_made_says_which_store_path_it_is() {
    let mut world = World::new();
    let made = world.dir("made");
    fs_err::write(&made, "whatever was taken out of it").unwrap();
    let provenance = format!(r#"{{"store-path": "{}"}}"#, world.top);
    fs_err::write(format!("{made}.provenance.json"), provenance).unwrap();
    let roots = vec![given(&mut world, &made, true)];
    let step = Closure { roots, paths: Vec::new(), ..world.step() };
    assert!(world.said(&step).starts_with("2 paths, 0 of them there already"));
}
