#![allow(missing_docs, clippy::all, clippy::pedantic)]
use bootway_chromeos::{firmware, vboot::*};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {
        "choose" => {
            let key = args.get(3).map(|p| Key::parse(&std::fs::read(p).unwrap()).unwrap());
            match firmware::choose_for(&std::fs::File::open(&args[2]).unwrap(), key.as_ref()) {
                Ok(chosen) => { for f in &chosen.findings { println!("{f}"); } }
                Err(firmware::FirmwareError::NoKernel { findings }) => { for f in &findings { println!("{f}"); } println!("NO KERNEL") }
                Err(e) => println!("{e:?}"),
            }
        }
        "pack" => {
            let (kernel, keyblock, key, config, out) = (&args[2], &args[3], &args[4], &args[5], &args[6]);
            let kernel = std::fs::read(kernel).unwrap();
            let keyblock = Keyblock::parse(&std::fs::read(keyblock).unwrap()).unwrap();
            let key = PrivateKey::parse(&std::fs::read(key).unwrap()).unwrap();
            let line = std::fs::read_to_string(config).unwrap();
            let stub = args.get(7).map(|p| std::fs::read(p).unwrap()).unwrap_or_default();
            let mut p = Pack::new(&kernel, &line, &keyblock, &key);
            p.bootloader = &stub;
            if std::env::var("ARM").is_ok() { p.arch = PackArch::Arm; }
            std::fs::write(out, pack(&p).unwrap()).unwrap();
        }
        _ => {}
    }
}
