//! vboot's own tool as a witness: what it packs, and what it says of what was packed here.

use bootway_exec::{Cmd, RunError, Sandbox, SystemRunner, run};

use super::*;

fn vbutil_kernel(sandbox: &Sandbox<'_>, args: &[&str]) -> String {
    let output = match run(&sandbox.cx(), &Cmd::user("vbutil_kernel").args(args.iter().copied())) {
        Ok(output) => output.stdout,
        Err(RunError::Spawn(error)) => panic!("{error}: `apt install vboot-kernel-utils`"),
        Err(error) => panic!("vbutil_kernel {}: {error}", args.join(" ")),
    };
    String::from_utf8_lossy(&output).into_owned()
}

/// What `vbutil_kernel --pack` makes of the same parts.
fn packed(pack: &Pack<'_>, names: (&str, &str)) -> Vec<u8> {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let at = |name: &str| sandbox.cx().scratch.join(name).into_string();
    let keys = "/usr/share/vboot/devkeys";
    for (name, bytes) in
        [("kernel", pack.kernel), ("config", pack.cmdline.as_bytes()), ("stub", pack.bootloader)]
    {
        fs_err::write(at(name), bytes).unwrap();
    }
    let arch = if pack.arch == PackArch::X86 { "x86" } else { "arm" };
    vbutil_kernel(
        &sandbox,
        &[
            "--pack",
            &at("packed"),
            "--keyblock",
            &format!("{keys}/{}.keyblock", names.0),
            "--signprivate",
            &format!("{keys}/{}.vbprivk", names.1),
            "--version",
            &pack.version.to_string(),
            "--config",
            &at("config"),
            "--bootloader",
            &at("stub"),
            "--vmlinuz",
            &at("kernel"),
            "--arch",
            arch,
            "--kloadaddr",
            &format!("{:#x}", pack.load_address),
            "--flags",
            &pack.flags.to_string(),
        ],
    );
    fs_err::read(at("packed")).unwrap()
}

#[test]
fn a_partition_is_packed_byte_for_byte_as_vboot_packs_it() {
    let kernel = bzimage(9000);
    let fit = [&[0xd0, 0x0d, 0xfe, 0xed][..], &bzimage(20_000)].concat();
    let stub = vec![0xb; 5000];
    for name in ["kernel", "minios_kernel", "installer_kernel"] {
        let key_name = format!("{name}_data_key");
        let (keyblock, key) = (keyblock(name), private_key(&key_name));
        let usual = Pack { bootloader: &stub, ..Pack::new(&kernel, "quiet kern_guid=%U", &keyblock, &key) };
        let odd = Pack {
            cmdline: "console=\n-- quiet  \n",
            version: 3,
            load_address: 0x20_0000,
            flags: 4,
            ..usual
        };
        for made in [usual, odd, Pack { arch: PackArch::Arm, kernel: &fit, ..usual }] {
            let ours = pack(&made).unwrap();
            assert!(ours == packed(&made, (name, &key_name)), "{name}, {made:?}");
        }
    }
}

#[test]
fn vboot_accepts_every_algorithm_and_every_version_of_the_preamble() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let at = |name: &str| sandbox.cx().scratch.join(name).into_string();
    let kernel = bzimage(100);
    for number in 0..Algorithm::COUNT {
        let key = private(Algorithm::of(number).unwrap());
        let signer = private(Algorithm::of((number + 5) % Algorithm::COUNT).unwrap());
        let keyblock = Keyblock::create(&key.public(2), 26, Some(&signer));
        let made = Pack {
            bootloader: b"stub",
            preamble_minor: number % 3,
            version: 5,
            ..Pack::new(&kernel, "quiet", &keyblock, &key)
        };
        let bytes = pack(&made).unwrap();
        fs_err::write(at("kernel"), &bytes).unwrap();
        fs_err::write(at("key"), signer.public(1).to_file()).unwrap();
        let said = vbutil_kernel(&sandbox, &["--verify", &at("kernel"), "--signpubkey", &at("key")]);
        let ours = KernelPartition::parse(&bytes).unwrap();
        for line in [
            "Signature:           valid".to_owned(),
            format!("Size:                {:#x}", ours.keyblock.size),
            format!("Flags:               26  {}", ours.keyblock.flag_names()),
            format!("Data key algorithm:  {number} {}", ours.keyblock.data_key.kind().unwrap()),
            format!("Data key sha1sum:    {}", ours.keyblock.data_key.sha1()),
            format!("Header version:      2.{}", number % 3),
            format!("Body size:           {:#x}", ours.preamble.body_size),
            "Body verification succeeded.".to_owned(),
        ] {
            assert!(said.contains(&line), "algorithm {number}: no `{line}` in:\n{said}");
        }
        ours.keyblock.verify(&signer.public(1)).unwrap();
        ours.verify(&bytes).unwrap();
    }
}
