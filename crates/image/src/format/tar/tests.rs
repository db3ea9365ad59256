use std::io::Write as _;

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use proptest::{collection::vec, prelude::*};

use super::*;

fn member(path: &str, size: u64) -> Member<'_> {
    Member {
        path,
        link: "",
        kind: kind::FILE,
        mode: 0o640,
        uid: 0,
        gid: 0,
        size,
        mtime: 1,
        device: (0, 0),
        xattrs: None,
    }
}

fn archive(members: &[(Member<'_>, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (member, data) in members {
        out.extend(encode(member));
        out.extend(*data);
        out.extend(padding(data.len() as u64));
    }
    out.extend(END);
    out
}

fn names(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut seen = Vec::new();
    let scanned = scan(bytes, |found, data| {
        let mut content = Vec::new();
        data.read_to_end(&mut content)?;
        seen.push((String::from_utf8_lossy(&found.path).into_owned(), content));
        Ok(())
    });
    scanned.map(|_| seen).map_err(|error| error.to_string())
}

proptest! {
    #[test]
    fn what_is_written_is_read(path in "[a-zé/]{1,300}", link in "[a-zü/]{0,200}", uid: u32, gid: u32, data in vec(any::<u8>(), 0..2000), value in vec(any::<u8>(), 0..200)) {
        let xattrs = BTreeMap::from([("user.x".to_owned(), value.clone())]);
        let it = Member { link: &link, uid, gid, xattrs: Some(&xattrs), ..member(&path, data.len() as u64) };
        let mut seen = 0;
        scan(&archive(&[(it, &data)])[..], |found, from| {
            let mut content = Vec::new();
            from.read_to_end(&mut content)?;
            assert_eq!((&found.path[..], &found.link[..]), (path.as_bytes(), link.as_bytes()));
            assert_eq!((found.uid, found.gid, found.mode), (uid.into(), gid.into(), 0o640));
            assert_eq!(found.xattrs, [("user.x".to_owned(), value.clone())]);
            assert_eq!(content, data);
            seen += 1;
            Ok(())
        }).unwrap();
        prop_assert_eq!(seen, 1);
    }

    #[test]
    fn no_bytes_panic(mut bytes in vec(any::<u8>(), 0..3000), places in vec((0_usize..3000, any::<u8>()), 0..8)) {
        drop(names(&bytes));
        let long = "x/".repeat(120);
        bytes = archive(&[(member(&long, 5), b"hello"), (member("b", 0), b"")]);
        for (at, byte) in places {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        // With the checksum of the first header made right again, what is behind it is reached.
        let sum = checksum(&bytes);
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        drop(names(&bytes));
    }
}

#[test]
fn python_reads_what_is_written() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let long = format!("{}/file", "directory/".repeat(30));
    let prefixed = format!("{}/file", "directory/".repeat(12));
    let xattrs = BTreeMap::from([("security.capability".to_owned(), vec![1, 0, 0, 2, 0xff])]);
    let bytes = archive(&[
        (Member { uid: 3_000_000, xattrs: Some(&xattrs), ..member(&long, 3) }, b"abc"),
        (member(&prefixed, 0), b""),
        (member("café", 1), b"!"),
        (Member { kind: kind::SYMLINK, link: "../x", ..member("link", 0) }, b""),
        (Member { kind: kind::CHAR_DEVICE, device: (1, 3), ..member("null", 0) }, b""),
    ]);
    let path = sandbox.root().join("it.tar");
    fs_err::File::create(&path).unwrap().write_all(&bytes).unwrap();
    let script = "import sys,tarfile
for m in tarfile.open(sys.argv[1]):
    print(len(m.name), m.name[-6:], m.type.decode(), m.size, m.uid, oct(m.mode), m.linkname, m.devmajor, m.devminor, sorted(m.pax_headers))";
    let cmd = Cmd::user("python3").args(["-c", script]).arg(path.as_str());
    let output =
        run(&sandbox.cx(), &cmd).expect("python3 is there: install it with `apt-get install python3`");
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @"
    305 //file 0 3 3000000 0o640  0 0 ['SCHILY.xattr.security.capability', 'path', 'uid']
    125 //file 0 0 0 0o640  0 0 []
    4 café 0 1 0 0o640  0 0 ['path']
    4 link 2 0 0 0o640 ../x 0 0 []
    4 null 3 0 0 0o640  1 3 []
    ");
}

#[test]
fn a_cut_is_an_error() {
    let bytes = archive(&[(member("a", 600), &[7; 600]), (member("b", 0), b"")]);
    assert_eq!(names(&bytes).unwrap().len(), 2);
    assert_eq!(names(&bytes[..1000]).unwrap_err(), "the archive ends inside the member at byte 512");
    assert_eq!(names(&bytes[..1700]).unwrap_err(), "the archive ends inside the member at byte 1536");
}
