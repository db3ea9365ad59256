//! Files about closures, to values and back.
#![no_main]

mod seeds;

use bootway_nix::closure::{ClosureInfo, References, Registration};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(files), |bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match ClosureInfo::from_text(text) {
        Ok(ClosureInfo::Registration(registration)) => {
            let _ = (registration.total_size(), registration.verify());
            let written = registration.to_text();
            assert_eq!(Registration::from_text(&written).as_ref(), Ok(&registration), "{written}");
            same(&registration.references());
        }
        Ok(ClosureInfo::References(references)) => same(&references),
        Err(error) => drop(error.to_string()),
    }
});

/// What is written is read back.
fn same(references: &References) {
    let _ = references.verify();
    let written = references.to_text();
    assert_eq!(References::from_text(&written).as_ref(), Ok(references), "{written}");
}

fn files() -> Vec<(String, Vec<u8>)> {
    let path = |letter: &str, name: &str| format!("/nix/store/{}-{name}", letter.repeat(32));
    let (dep, top, drv) = (path("a", "dep"), path("b", "top"), path("c", "top.drv"));
    let hex = "f3e8435edae557a1d4c67a3ca57adee27bdcde6e8c1c7c0fb42ae857f7090f04";
    let base32 = "sha256:010g17vmgs1anh7pq74cdvgdqyz2vrxaag3sqvaa2mz5v9g47s7k";
    let sri = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let registration = format!("{dep}\n{hex}\n680\n\n0\n{top}\n{base32}\n96\n{drv}\n2\n{dep}\n{top}\n");
    let references = format!("{dep}\n\n0\n{top}\n\n2\n{dep}\n{top}\n");
    let attrs = format!(
        r#"{{"closure":[{{"path":"{dep}","narHash":"{sri}","narSize":680,"references":["{dep}"]}}]}}"#
    );
    let seeds = [("registration", registration), ("references", references), ("attrs", attrs)];
    seeds.map(|(name, text)| (name.to_owned(), text.into_bytes())).into()
}
