use super::*;

#[test]
fn a_file_is_named_as_a_path_or_in_quotes() {
    let is = |text: &str, file: &str| names(text, Utf8Path::new(file));
    assert!(is("import ./profiles/list.nix", "profiles/list.nix"));
    assert!(is("src = ./words.txt;", "words.txt"));
    assert!(is("readFile (./. + \"/words.txt\")", "words.txt"));
    assert!(is("modules = map (m: ./modules + m) [ \"a.nix\" ];", "modules/a.nix"));
    assert!(is("import ./lib", "lib/default.nix"));
    assert!(is("import ../shared/lib { }", "shared/lib/default.nix"));
    // Another name, or a word in a sentence.
    assert!(!is("import ./list.nix", "t.nix"));
    assert!(!is("import ./words.txt.nix", "words.txt"));
    assert!(!is("# see notes about it", "notes"));
    assert!(!is("import ./library", "lib/default.nix"));
}

#[test]
fn what_a_needed_file_names_is_needed_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let write = |name: &str, text: &str| fs_err::write(dir.join(name), text).unwrap();
    write("flake.nix", "import ./one.nix");
    write("one.nix", "import ./two.nix");
    write("two.nix", "42");
    write("three.nix", "import ./four.nix");
    let found = needed(dir, ["four.nix", "one.nix", "three.nix", "two.nix"].map(Into::into).to_vec());
    assert_eq!(found, ["one.nix", "two.nix"]);
    // A flake that Git does not know at all.
    assert_eq!(needed(dir, vec!["flake.nix".into()]), ["flake.nix"]);
}
