//! The ceilings, at their edges.

use insta::assert_snapshot;

use super::*;
use crate::kernel::{Compression, Config, config, specimen::compress};

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

#[test]
fn versions_are_the_first_two_numbers() {
    assert_eq!(version("4.4.302-23241-g1"), Version(4, 4));
    assert_eq!(version("6.1.0-56-cloud-amd64"), Version(6, 1));
    assert_eq!(Version::parse("six"), None);
    assert_eq!(Version::parse(""), None);
    assert!(Version(4, 14) > Version(4, 4) && Version(5, 4) > Version(4, 19));
}

#[test]
fn systemd_has_its_ceilings() {
    let newest = |text| systemd(version(text)).newest;
    assert_eq!(["3.14", "3.15", "4.14", "5.3"].map(newest), [None, Some(257), Some(257), Some(257)]);
    assert_eq!(
        ["5.4", "5.9", "5.10", "6.6"].map(newest),
        [Some(259), Some(259), Some(u32::MAX), Some(u32::MAX)]
    );
    assert_snapshot!(systemd(version("4.14.336")).evidence, @"Linux 4.14: systemd 257 needs 3.15, and 258 needs 5.4");
    assert_snapshot!(systemd(version("5.4.1")).evidence, @"Linux 5.4: systemd 259 needs 5.4, and 260 needs 5.10");
}

#[test]
fn features_of_ext4_are_too_new_for_old_kernels() {
    let too_new =
        |text| ext4_too_new(version(text)).map(|feature| feature.name).collect::<Vec<_>>().join(" ");
    assert_snapshot!(too_new("4.4.302"), @"project ea_inode large_dir casefold verity orphan_file");
    assert_snapshot!(too_new("4.14.336"), @"casefold verity orphan_file");
    assert_snapshot!(too_new("5.10.200"), @"orphan_file");
    assert_eq!(too_new("5.15"), "");
}

#[test]
fn a_configuration_is_read_from_between_its_marks() {
    let text = "# comment\nCONFIG_SQUASHFS=y\nCONFIG_DM_CRYPT=m\n# CONFIG_KEXEC is not set\n\
                CONFIG_LOCALVERSION=\"-a \\\"b\\\"\"\nCONFIG_HZ=1000\n";
    let gzip = compress(Compression::Gzip, text.as_bytes());
    let kernel = [b"code IKCFG_ST no IKCFG_ST", &*gzip, b"IKCFG_ED more"].concat();
    let found = config(&kernel).unwrap();
    let get = |name: &str| found.get(name).map(String::as_str);
    assert_eq!(get("SQUASHFS"), Some("y"));
    assert_eq!((get("LOCALVERSION"), get("HZ"), get("KEXEC")), (Some("-a \"b\""), Some("1000"), None));
    let abilities = abilities(Some(&found), &kernel);
    let say = |name: &str| {
        let ability = abilities.iter().find(|ability| ability.name == name).unwrap();
        format!("{:?}: {}", ability.verdict, ability.evidence)
    };
    assert_eq!(say("squashfs"), "Yes: CONFIG_SQUASHFS=y");
    assert_eq!(say("dm-crypt"), "Module: CONFIG_DM_CRYPT=m");
    assert_eq!(say("kexec"), "No: CONFIG_KEXEC is not set");
    let unmarked = [b"IKCFG_ST", &*gzip, b"something else"].concat();
    assert_eq!(config(&unmarked), None);
}

#[test]
fn without_a_configuration_messages_are_evidence_and_their_absence_is_not_always() {
    let kernel = b"..\0overlayfs: missing 'lowerdir'\0device-mapper: crypt: Error\0kexec_load_disabled\0";
    let abilities = abilities(None, kernel);
    let verdict = |name: &str| abilities.iter().find(|ability| ability.name == name).unwrap().verdict;
    assert_eq!(["overlay", "dm-crypt", "kexec"].map(verdict), [Verdict::Yes; 3]);
    assert_eq!(["squashfs", "dm-verity", "user namespaces"].map(verdict), [Verdict::Unknown; 3]);
    assert_eq!(verdict("virtual terminals"), Verdict::No);
}

#[test]
fn compressed_firmware_and_modules_depend_on_version_and_configuration() {
    let set =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "y".to_owned())).collect::<Config>();
    let firmware =
        |text, config: Option<&Config>| compressed_firmware(version(text), config).map(|it| it.verdict);
    let one = set(&["FW_LOADER_COMPRESS"]);
    assert_eq!(firmware("5.2", Some(&one)), [Verdict::No; 2]);
    assert_eq!(firmware("5.4", Some(&one)), [Verdict::Yes, Verdict::No]);
    assert_eq!(
        firmware("6.1", Some(&set(&["FW_LOADER_COMPRESS", "FW_LOADER_COMPRESS_ZSTD"]))),
        [Verdict::No, Verdict::Yes]
    );
    assert_eq!(firmware("6.1", None), [Verdict::Unknown; 2]);
    let modules = |text, config: Option<&Config>| compressed_modules(version(text), config);
    assert_eq!(modules("5.15", None).verdict, Verdict::No);
    let gz = set(&["MODULE_DECOMPRESS", "MODULE_COMPRESS_GZIP"]);
    assert_snapshot!(modules("6.6", Some(&gz)).evidence, @"CONFIG_MODULE_DECOMPRESS=y, CONFIG_MODULE_COMPRESS_GZIP=y");
}
