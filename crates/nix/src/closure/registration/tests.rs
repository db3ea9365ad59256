use proptest::prelude::*;

use super::*;
use crate::closure::ClosureInfo;

const DEP: &str = "/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep";
const TOP: &str = "/nix/store/qqhy2wvl81wrfqmjl36695wfw5dxqc5q-top";

/// What `nix-store --dump-db` of 2.8 prints: hexadecimal hashes, and derivers.
fn dumped() -> String {
    format!(
        "{DEP}\nf3e8435edae557a1d4c67a3ca57adee27bdcde6e8c1c7c0fb42ae857f7090f04\n680\n\
         /nix/store/d4hmq7cmzjp0wr6a0miqcvilcfsjxdk1-dep.drv\n0\n\
         {TOP}\ncfa9f69c58cf2bfc94536c67ccabeaadb4b80e080b5291964e3e12f0d8ac8de9\n232\n\n2\n{DEP}\n{TOP}\n"
    )
}

#[test]
fn what_a_store_dumps_is_written_with_hashes_that_every_nix_loads() {
    let registration = Registration::from_text(&dumped()).unwrap();
    registration.verify().unwrap();
    assert_eq!(registration.total_size(), 912);
    insta::assert_snapshot!(registration.to_text(), @r"
    /nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep
    sha256:010g17vmgs1anh7pq74cdvgdqyz2vrxaag3sqvaa2mz5v9g47s7k
    680
    /nix/store/d4hmq7cmzjp0wr6a0miqcvilcfsjxdk1-dep.drv
    0
    /nix/store/qqhy2wvl81wrfqmjl36695wfw5dxqc5q-top
    sha256:1scdmkcg04iy9sb92lhb107bid5dxamwqrvcafagqaygb2fgdafg
    232

    2
    /nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep
    /nix/store/qqhy2wvl81wrfqmjl36695wfw5dxqc5q-top
    ");
    insta::assert_snapshot!(registration.references().to_text(), @r"
    /nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep
    /nix/store/d4hmq7cmzjp0wr6a0miqcvilcfsjxdk1-dep.drv
    0
    /nix/store/qqhy2wvl81wrfqmjl36695wfw5dxqc5q-top

    2
    /nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep
    /nix/store/qqhy2wvl81wrfqmjl36695wfw5dxqc5q-top
    ");
}

#[test]
fn a_registration_with_sri_hashes_is_read_and_never_written() {
    let sri = "sha256-8+hDXtrlV6HUxno8pXre4nvc3m6MHHwPtCroV/cJDwQ=";
    let text = dumped().replace("f3e8435edae557a1d4c67a3ca57adee27bdcde6e8c1c7c0fb42ae857f7090f04", sri);
    let registration = Registration::from_text(&text).unwrap();
    assert_eq!(registration, Registration::from_text(&dumped()).unwrap());
    assert!(!registration.to_text().contains("sha256-"));
}

#[test]
fn the_three_files_about_a_closure_are_told_apart() {
    let whole = Registration::from_text(&dumped()).unwrap();
    assert_eq!(ClosureInfo::from_text(&dumped()), Ok(ClosureInfo::Registration(whole.clone())));
    let graph = whole.references().to_text();
    assert_eq!(ClosureInfo::from_text(&graph), Ok(ClosureInfo::References(whole.references())));
    let attrs = format!(
        r#"{{"builder":"/bin/sh","closure":[
            {{"path":"{DEP}","narHash":"sha256:010g17vmgs1anh7pq74cdvgdqyz2vrxaag3sqvaa2mz5v9g47s7k",
              "narSize":680,"references":[],"closureSize":680}},
            {{"path":"{TOP}","narHash":"cfa9f69c58cf2bfc94536c67ccabeaadb4b80e080b5291964e3e12f0d8ac8de9",
              "narSize":232,"references":["{DEP}","{TOP}"],"closureSize":912}}],"name":"info"}}"#
    );
    assert_eq!(ClosureInfo::from_text(&attrs), Ok(ClosureInfo::Registration(whole.without_derivers())));
}

#[test]
fn damage_is_named_with_its_line() {
    let error = |text: &str| ClosureInfo::from_text(text).unwrap_err().to_string();
    let of = |from: &str, to: &str| error(&dumped().replace(from, to));
    insta::assert_snapshot!(of("680", "many"), @"line 3 of the registration is `many`, and must be the size of the NAR in bytes");
    insta::assert_snapshot!(of("f3e8", "f3x8"), @"line 2 of the registration is `f3x8435edae557a1d4c67a3ca57adee27bdcde6e8c1c7c0fb42ae857f7090f04`, and must be a SHA-256 as Nix writes one");
    insta::assert_snapshot!(of("/nix/store/d4hm", "../store/d4hm"), @"line 4 of the registration is `../store/d4hmq7cmzjp0wr6a0miqcvilcfsjxdk1-dep.drv`, and must be the deriver, or nothing");
    insta::assert_snapshot!(of(&format!("2\n{DEP}"), "3\n"), @"line 11 of the registration is ``, and must be a path that is referred to");
    insta::assert_snapshot!(error(&format!("{}{}", dumped(), dumped())), @"line 13 of the registration is `/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep`, and must be a path that was not there before");
    insta::assert_snapshot!(error(dumped().trim_end().strip_suffix(TOP).unwrap()), @"line 12 of the registration is `the end of the text`, and must be a path that is referred to");
    insta::assert_snapshot!(error(&format!("{DEP}\n\n18446744073709551615\n")), @"line 4 of the registration is `the end of the text`, and must be a path that is referred to");
    insta::assert_snapshot!(error("{\"closure\": [\n{}]}"), @"line 2 of the registration is `missing field `path` at line 2 column 2`, and must be of an `.attrs.json` with a list `closure`, as `exportReferencesGraph.closure` makes it");
}

#[test]
fn a_reference_that_leads_out_of_the_closure_is_named() {
    let mut registration = Registration::from_text(&dumped()).unwrap();
    registration.paths.remove(&DEP.parse().unwrap());
    insta::assert_snapshot!(registration.verify().unwrap_err(), @"`/nix/store/qqhy2wvl81wrfqmjl36695wfw5dxqc5q-top` refers to `/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep`, which is not among the paths");
    let mut registration = Registration::from_text(&dumped()).unwrap();
    let info = registration.paths[&DEP.parse().unwrap()].clone();
    registration.paths.insert("/other/kjh3jyzihl3wv80valr8par0ddakqbyc-dep".parse().unwrap(), info);
    insta::assert_snapshot!(registration.verify().unwrap_err(), @"`/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep` and `/other/kjh3jyzihl3wv80valr8par0ddakqbyc-dep` are paths of different stores");
}

fn store_path() -> impl Strategy<Value = StorePath> {
    "/nix/store/[0-9a-df-np-sv-z]{32}-[a-zA-Z0-9+._?=-]{1,12}".prop_map(|text| text.parse().unwrap())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        paths in proptest::collection::btree_map(
            store_path(),
            (any::<[u8; 4]>(), any::<u64>(), proptest::option::of(store_path()),
             proptest::collection::btree_set(store_path(), 0..4)),
            0..6,
        ),
    ) {
        let info = |(seed, nar_size, deriver, references): ([u8; 4], u64, _, _)| {
            PathInfo { nar_hash: Digest::of(&seed), nar_size, deriver, references }
        };
        let paths = paths.into_iter().map(|(path, it)| (path, info(it))).collect();
        let registration = Registration { paths };
        prop_assert_eq!(&Registration::from_text(&registration.to_text()).unwrap(), &registration);
        let references = registration.references();
        prop_assert_eq!(&References::from_text(&references.to_text()).unwrap(), &references);
    }

    #[test]
    fn no_text_makes_it_panic(cut in 0..600_usize, flip in 0..600_usize, to: char) {
        let mut text: Vec<char> = dumped().chars().collect();
        let (cut, flip) = (cut % text.len(), flip % text.len());
        text[flip] = to;
        text.truncate(cut);
        let _ = ClosureInfo::from_text(&text.into_iter().collect::<String>());
    }
}

#[test]
fn sizes_that_no_disk_has_are_added_up_all_the_same() {
    let path = |letter: &str| format!("/nix/store/{}-big", letter.repeat(32));
    let of = |letter| format!("{}\n{}\n{}\n\n0\n", path(letter), "0".repeat(64), u64::MAX);
    let registration = Registration::from_text(&(of("a") + &of("b"))).unwrap();
    assert_eq!(registration.total_size(), u64::MAX);
}
