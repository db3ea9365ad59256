use camino::{Utf8Path, Utf8PathBuf};

use super::*;

const VERSIONS: [&str; 6] = ["2.8", "2.18", "2.24", "2.26", "2.34", "lix-2.93"];

fn recorded(version: &str, question: &str) -> Vec<u8> {
    fs_err::read(dir(version).join(format!("{question}.json"))).unwrap()
}

fn dir(version: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/nix/recorded").join(version)
}

fn names<'a>(paths: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    paths
        .into_iter()
        .map(|path| path.strip_prefix("/nix/store/").unwrap().split_once('-').unwrap().1)
        .collect()
}

#[test]
fn every_version_says_who_it_is() {
    for version in VERSIONS {
        let text = fs_err::read_to_string(dir(version).join("version.txt")).unwrap();
        let parsed: Version = text.parse().unwrap();
        let [major, minor, _] = parsed.number;
        assert!(version.ends_with(&format!("{major}.{minor}")), "{version}: {parsed:?}");
    }
}

#[test]
fn every_version_says_what_it_built() {
    for version in VERSIONS {
        let built = builds(&recorded(version, "build")).unwrap();
        assert_eq!(built.len(), 1);
        assert_eq!(names(&built[0].drv), ["top.drv"], "{version}");
        assert_eq!(names(built[0].outputs["out"].as_ref()), ["top"], "{version}");
        let dry = builds(&recorded(version, "build-dry-run")).unwrap();
        assert_eq!(dry[0].outputs.keys().collect::<Vec<_>>(), ["out"], "{version}");
    }
}

#[test]
fn every_version_says_what_is_valid() {
    let more = ["path-info-format-1", "path-info-format-2"].map(|question| ("2.34", question));
    for (version, question) in VERSIONS.map(|version| (version, "path-info")).into_iter().chain(more) {
        let infos = path_infos(&recorded(version, question)).unwrap();
        let mut valid: Vec<(&String, &PathInfo)> =
            infos.iter().filter_map(|(path, info)| Some((path, info.as_ref()?))).collect();
        let (path, info) = valid.pop().unwrap();
        assert!(valid.is_empty());
        assert_eq!((names([path]), infos.len()), (vec!["top"], 2), "{version}");
        assert_eq!(info.nar_hash, "sha256-pcGvVpNyqJ8emeC4pwQ34QrpXe0Pdh/3h7keCuIK4Wo=", "{version}");
        assert_eq!((info.nar_size, info.closure_size), (160, None), "{version}");
        assert_eq!(names(&info.references), ["one"], "{version}");
        assert_eq!(names(&info.deriver), ["top.drv"], "{version}");
    }
    for version in VERSIONS {
        let infos = path_infos(&recorded(version, "path-info-closure")).unwrap();
        assert_eq!(infos.values().flatten().next().unwrap().closure_size, Some(280), "{version}");
    }
}

#[test]
fn every_version_shows_derivations() {
    for version in VERSIONS {
        let drvs = derivations(&recorded(version, "derivation-show"), "/nix/store").unwrap();
        assert_eq!(names(drvs.keys()), ["multi.drv", "fixed.drv"], "{version}");
        let [multi, fixed] = [0, 1].map(|n| drvs.values().nth(n).unwrap());
        assert_eq!(names(multi.outputs.values().flatten()), ["multi-dev", "multi"], "{version}");
        assert_eq!(names(&multi.inputs), ["one.drv"], "{version}");
        assert!(fixed.fixed && !multi.fixed, "{version}");
        // From 2.33 on the path of a fixed output is not among its outputs.
        assert_eq!(names(fixed.outputs["out"].as_ref()), ["fixed"], "{version}");
        assert_eq!((multi.system.as_str(), multi.env["name"].as_str()), ("x86_64-linux", "multi"));
    }
}

#[test]
fn every_version_shows_flakes() {
    for version in VERSIONS {
        let shown = flake_show(&recorded(version, "flake-show")).unwrap();
        let one = shown.at(&["packages", "x86_64-linux", "one"]).unwrap();
        assert!(
            matches!(one, Shown::Leaf { kind, name: Some(name), .. } if kind == "derivation" && name == "one"),
            "{version}: {one:?}"
        );
        assert!(matches!(shown.at(&["apps", "x86_64-linux", "default"]), Some(Shown::Leaf { .. })));
        // Of another system, the name is there, and maybe no more.
        assert!(shown.at(&["packages", "aarch64-linux", "one"]).is_some(), "{version}");
        let metadata = flake_metadata(&recorded(version, "flake-metadata")).unwrap();
        assert_eq!(metadata.description.as_deref(), Some("What answers are recorded of"));
        assert_eq!(metadata.revision.unwrap().len(), 40, "{version}");
        assert!(metadata.url.starts_with("git+file:///tmp/record/flake?"), "{version}");
    }
}

#[test]
fn an_unknown_shape_names_the_version_and_the_field() {
    let version = || "nix (Nix) 3.1.0".parse().ok();
    let show = |error: UnknownShape| error.of(version()).to_string();
    let path_info = |json: &str| show(path_infos(json.as_bytes()).unwrap_err());
    insta::assert_snapshot!(path_info(r#"[{"path":"/nix/store/x","narHash":7}]"#), @"nix (Nix) 3.1.0: `nix path-info --json` answers in an unknown shape: `[0].references` is absent and should be a list");
    insta::assert_snapshot!(path_info(r#"{"/nix/store/x":{"references":[],"narHash":"sha256-x"}}"#), @"nix (Nix) 3.1.0: `nix path-info --json` answers in an unknown shape: `/nix/store/x.narSize` is absent and should be a number");
    insta::assert_snapshot!(path_info(r#"{"info":{},"version":9}"#), @"nix (Nix) 3.1.0: `nix path-info --json` answers in an unknown shape: `storeDir` is absent and should be a string");
    insta::assert_snapshot!(path_info("3"), @"nix (Nix) 3.1.0: `nix path-info --json` answers in an unknown shape: `.` is the number 3 and should be an object");
    insta::assert_snapshot!(path_info(""), @"nix (Nix) 3.1.0: `nix path-info --json` answers in an unknown shape: `.` is EOF while parsing a value at line 1 column 0 and should be JSON");
    insta::assert_snapshot!(show(builds(br#"[{"drv":"/nix/store/x.drv"}]"#).unwrap_err()), @"nix (Nix) 3.1.0: `nix build --json` answers in an unknown shape: `[0].drvPath` is absent and should be a string");
    insta::assert_snapshot!(show(flake_show(br#"{"packages":[]}"#).unwrap_err()), @"nix (Nix) 3.1.0: `nix flake show --json` answers in an unknown shape: `packages` is a list and should be an object");
    insta::assert_snapshot!(show(derivations(br#"{"x.drv":{"outputs":{"out":3}}}"#, "/nix/store").unwrap_err()), @"nix (Nix) 3.1.0: `nix derivation show` answers in an unknown shape: `x.drv.env` is absent and should be an object");
}
