use super::*;

/// What is read from a table, on one line.
fn told(table: &str) -> String {
    match DmVerity::parse(table) {
        Ok(it) => format!(
            "{}: {} sectors, {:?} and {:?} at {}, {} {:02x?}, salt {:02x?}",
            it.name,
            it.sectors,
            it.payload,
            it.hashtree,
            it.hash_start,
            it.algorithm,
            &it.root_digest[..2],
            it.salt
        ),
        Err(error) => error.to_string(),
    }
}

const SHA1: &str = "63b7ad16cb9db4b70b28593f826aa6b7825fdcf2";
const SHA256: &str = "f231b552f591c15e8810deed8fc4319e507e82e64fa07ca4186e53a8cb733d5f";

#[test]
fn every_way_of_writing_a_table_is_read() {
    let today = format!(
        "1 vroot none ro 1,0 49152 verity payload=PARTUUID=%U/PARTNROFF=1 hashtree=PARTUUID=%U/PARTNROFF=1 hashstart=49152 alg=sha256 root_hexdigest={SHA256} salt=d791"
    );
    let unsalted = format!(
        "vroot none ro,0 1740800 verity payload=%U+1 hashtree=%U+1 hashstart=1740800 alg=sha1 root_hexdigest={SHA1}"
    );
    let by_place = format!("vroot none ro,0 1740800 verity %U+1 %U+1 1740800 0 sha1 {SHA1}");
    let symbolic = format!(
        "1 vroot none ro 1,0 800 verity payload=ROOT_DEV hashtree=HASH_DEV hashstart=800 alg=sha1 root_hexdigest={SHA1} salt=00"
    );
    let bootcache = format!(
        "2 vboot none ro 1,0 2545920 bootcache PARTUUID=%U/PARTNROFF=1 2545920 {SHA1} 512 20000 100000, vroot none ro 1,0 2506752 verity payload=254:0 hashtree=254:0 hashstart=2506752 alg=sha1 root_hexdigest={SHA1} salt=31"
    );
    let upstream = format!(
        "1 vroot none ro 1,0 2056 verity 0 PARTUUID=%U/PARTNROFF=1 PARTUUID=%U/PARTNROFF=1 4096 4096 257 257 sha256 {SHA256} -"
    );
    insta::assert_snapshot!(
        [today, unsalted, by_place, symbolic, bootcache, upstream].map(|table| told(&table)).join("\n"),
        @r#"
    vroot: 49152 sectors, AfterKernel(1) and AfterKernel(1) at 49152, sha256 [f2, 31], salt [d7, 91]
    vroot: 1740800 sectors, AfterKernel(1) and AfterKernel(1) at 1740800, sha1 [63, b7], salt []
    vroot: 1740800 sectors, AfterKernel(1) and AfterKernel(1) at 1740800, sha1 [63, b7], salt []
    vroot: 800 sectors, Other("ROOT_DEV") and Other("HASH_DEV") at 800, sha1 [63, b7], salt [00]
    vroot: 2506752 sectors, AfterKernel(1) and AfterKernel(1) at 2506752, sha1 [63, b7], salt [31]
    vroot: 2056 sectors, AfterKernel(1) and AfterKernel(1) at 2056, sha256 [f2, 31], salt []
    "#
    );
}

#[test]
fn a_table_that_cannot_be_read_says_why() {
    let with =
        |rest: &str| told(&format!("1 vroot none ro 1,0 800 verity payload=%U+1 hashtree=%U+1 {rest}"));
    insta::assert_snapshot!(
        [
            told(""),
            told("1 vroot none ro 1,0 800 linear 7:0 0"),
            told("1 vroot none ro 3,0 800 verity"),
            told("vroot none"),
            told("1 vroot none ro 1,0 many verity"),
            told("1 vroot none ro 1,0 800 verity 1 a b 4096 4096 257 257 sha1 00 00"),
            with("hashstart=800 alg=md5 root_hexdigest=00"),
            with("hashstart=800 alg=sha256 root_hexdigest=00"),
            with(&format!("hashstart=x alg=sha1 root_hexdigest={SHA1}")),
            with(&format!("hashstart=800 root_hexdigest={SHA1}")),
            with(&format!("hashstart=800 alg=sha1 root_hexdigest={SHA1} salt=0g")),
        ]
        .join("\n"),
        @r#"
    the table `dm=""` has no verity target
    the table `dm="1 vroot none ro 1,0 800 linear 7:0 0"` has no verity target
    the table `dm="1 vroot none ro 3,0 800 verity"` is not understood: one of the targets that a device is said to have is missing or malformed
    the table `dm="vroot none"` is not understood: `NAME UUID MODE [TARGETS]` of a device is missing or malformed
    the table `dm="1 vroot none ro 1,0 many verity"` is not understood: the number of sectors of a target is missing or malformed
    the verity target is of format 1: only format 0, the one of ChromeOS, is understood
    `alg` of the verity target is `md5`, and must be `sha1` or `sha256`
    `root_hexdigest` of the verity target is `00`, and must be the digest of `alg` in hexadecimal digits
    `hashstart` of the verity target is `x`, and must be a number
    the verity target has no `alg`
    `salt` of the verity target is `0g`, and must be at most 256 bytes in hexadecimal digits
    "#
    );
}

#[test]
fn the_table_is_the_argument_between_quotes() {
    let line = format!(
        r#"root=/dev/dm-0 dm="1 vroot none ro 1,0 8 verity payload=%U+1 hashtree=%U+1 hashstart=8 alg=sha1 root_hexdigest={SHA1}" noinitrd"#
    );
    assert_eq!(DmVerity::from_cmdline(&line).unwrap().unwrap().sectors, 8);
    assert_eq!(DmVerity::from_cmdline("root=/dev/sda3").unwrap(), None);
}
