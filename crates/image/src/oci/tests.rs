use std::collections::BTreeMap;

use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{Bytes, Explain, Source, step::Healthcheck};

use super::*;
use crate::{
    look,
    tree::{Node, Tree},
    verify,
};

fn sample() -> Tree {
    let mut composer = Composer::new();
    let text = |text: &str| NodeKind::File(bytes(text.as_bytes().to_vec()));
    let mut add = |path: &str, mode, uid, kind| {
        composer.place(&path.parse().unwrap(), Node { uid, gid: uid, ..Node::new(mode, kind) }).unwrap();
    };
    add("bin", 0o777, 0, NodeKind::Symlink { target: "usr/bin".to_owned() });
    add("usr/bin/demo", 0o755, 0, text("#!/usr/bin/sh\necho demo\n"));
    add("usr/bin/sh", 0o755, 0, text(&"\x7fELF not really".repeat(9000)));
    add("etc/secret", 0o640, 42, text("secret\n"));
    add("nix/store/aaa-lib/lib.so", 0o444, 0, text(&"lib".repeat(50_000)));
    add("nix/store/bbb-app/bin/app", 0o555, 0, text("app"));
    add("dev/null", 0o666, 0, NodeKind::CharDevice { major: 1, minor: 3 });
    add("run/p", 0o600, 3_000_000, NodeKind::Fifo);
    add(&format!("srv/{}/{}", "d".repeat(120), "f".repeat(120)), 0o644, 0, text("deep"));
    add("srv/café", 0o644, 0, text("name"));
    add("tmp", 0o1777, 0, NodeKind::Directory);
    let mut tree = composer.finish();
    let link = NodeKind::HardLink { to: "usr/bin/demo".parse().unwrap() };
    tree.nodes.insert("usr/bin/demo2".parse().unwrap(), Node::new(0o755, link));
    let xattrs = BTreeMap::from([("user.note".to_owned(), vec![0, 1, 255])]);
    tree.nodes.get_mut(&"usr/bin/sh".parse().unwrap()).unwrap().xattrs = xattrs;
    tree
}

fn parameters(format: OciFormat) -> step::Oci {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    step::Oci {
        from: "root".parse().unwrap(),
        format,
        tag: Some("example.org/demo:1.0".to_owned()),
        arch: step::OciArch::X8664,
        entrypoint: words(&["/bin/demo", "--serve"]),
        cmd: words(&["now"]),
        env: [("PATH".to_owned(), "/bin".to_owned()), ("CLIENTS".to_owned(), "5".to_owned())].into(),
        labels: [("org.opencontainers.image.title".to_owned(), "demo".to_owned())].into(),
        ports: words(&["8080", "53/udp"]),
        volumes: words(&["/srv"]),
        user: Some("1000:1000".to_owned()),
        workdir: Some("/srv".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        healthcheck: Some(Healthcheck {
            run: words(&["/bin/sh", "-c", "demo --well"]),
            shell: None,
            interval: Some(bootway_plan::Millis::new(30_000)),
            timeout: Some(bootway_plan::Millis::new(5000)),
            start_period: None,
            retries: Some(3),
        }),
        layers: vec![vec!["nix/store/aaa-lib".parse().unwrap()], vec!["nix".parse().unwrap()]],
        compression: None,
    }
}

fn with_tree<'a>(runner: &'a SystemRunner, tree: &Tree) -> Sandbox<'a> {
    let mut sandbox = Sandbox::new(runner);
    let path = sandbox.root().join("root");
    tree::write(&sandbox.cx(), tree, &path).unwrap();
    let source: Source = "root".parse().unwrap();
    let digest = Digest::of(b"root");
    sandbox
        .inputs
        .insert(source, Input { path, kind: ArtifactKind::Tree, digest, size: Bytes::new(0), made: true });
    sandbox
}

/// Makes an image and moves it to `name`.
fn made(sandbox: &Sandbox<'_>, step: &step::Oci, name: &str) -> Utf8PathBuf {
    let output = oci(&sandbox.cx(), step).unwrap().remove(0);
    let path = sandbox.root().join(name);
    fs_err::rename(&output.path, &path).unwrap();
    if output.kind == ArtifactKind::Tree {
        fs_err::rename(format!("{}.manifest", output.path), format!("{path}.manifest")).unwrap();
    }
    for entry in fs_err::read_dir(sandbox.cx().scratch).unwrap() {
        fs_err::remove_file(entry.unwrap().path()).unwrap();
    }
    path
}

fn said(program: &str, sandbox: &Sandbox<'_>, args: &[&str]) -> String {
    let output = run(&sandbox.cx(), &Cmd::user(program).args(args.iter().copied())).unwrap_or_else(|error| {
        panic!(
            "{program}: {error}: {}\ninstall it with `apt-get install {program}`",
            sandbox.lines().join("\n")
        )
    });
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_image_says_what_the_plan_says_in_every_format() {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    let formats = [OciFormat::Layout, OciFormat::Archive, OciFormat::Docker];
    let [layout, archive, docker] = formats.map(|format| {
        let name = format!("{format:?}").to_lowercase();
        let path = made(&sandbox, &parameters(format), &name);
        verify(ArtifactKind::Container, &path).unwrap();
        look(&path).unwrap().to_string().replace(sandbox.root().as_str(), "WORK")
    });
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"sha256:[0-9a-f]{12}", "DIGEST");
    settings.add_filter(r"[0-9.]+ K?i?B  gzip, ", "SIZE  gzip, ");
    settings.add_filter(r": [0-9.]+ K?i?B, OCI", ": SIZE, OCI");
    let _guard = settings.bind_to_scope();
    insta::assert_snapshot!(layout, @r#"
    WORK/layout: SIZE, OCI layout of 1 image
      example.org/demo:1.0, linux/amd64, DIGEST, 2025-01-01T00:00:00Z
         entrypoint   ["/bin/demo", "--serve"]
         cmd          ["now"]
         user         1000:1000
         workdir      /srv
         stop-signal  SIGINT
         ports        53/udp, 8080/tcp
         volumes      /srv
         env          CLIENTS=5
         env          PATH=/bin
         healthcheck  ["CMD", "/bin/sh", "-c", "demo --well"], every 30s, within 5s, 3 retries
         label        org.opencontainers.image.title=demo
        1      SIZE  gzip, 150 KiB unpacked, 4 files, DIGEST  bootway /nix/store/aaa-lib
        2      SIZE  gzip, 4 KiB unpacked, 5 files, DIGEST  bootway /nix
        3      SIZE  gzip, 148 KiB unpacked, 17 files, DIGEST  bootway
    "#);
    assert_eq!(archive.lines().skip(1).collect::<Vec<_>>(), layout.lines().skip(1).collect::<Vec<_>>());
    let head = docker.lines().next().unwrap();
    insta::assert_snapshot!(head, @"WORK/docker: 307 KiB, Docker archive of 1 image");
    assert!(docker.contains("1000:1000") && docker.contains("example.org/demo:1.0"), "{docker}");
}

#[test]
fn the_same_tree_is_the_same_bytes() {
    let runner = SystemRunner::default();
    let [one, other] = [1, 2].map(|_| {
        let sandbox = with_tree(&runner, &sample());
        [OciFormat::Archive, OciFormat::Docker]
            .map(|format| fs_err::read(made(&sandbox, &parameters(format), "it")).unwrap())
    });
    assert!(one == other);
}

#[test]
fn skopeo_reads_all_formats() {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    let layout = made(&sandbox, &parameters(OciFormat::Layout), "layout");
    let archive = made(&sandbox, &parameters(OciFormat::Archive), "archive.tar");
    let docker = made(&sandbox, &parameters(OciFormat::Docker), "docker.tar");
    let ours = Container::read(&layout).unwrap().unwrap().report.images.remove(0);
    for place in
        [format!("oci:{layout}"), format!("oci-archive:{archive}"), format!("docker-archive:{docker}")]
    {
        let json: serde_json::Value =
            serde_json::from_str(&said("skopeo", &sandbox, &["inspect", &place])).unwrap();
        assert_eq!(json["Architecture"], "amd64", "{place}");
        assert_eq!(json["Created"], "2025-01-01T00:00:00Z");
        assert_eq!(json["Labels"]["org.opencontainers.image.title"], "demo");
        let config = said("skopeo", &sandbox, &["inspect", "--config", &place]);
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/demo", "--serve"]), "{place}");
        assert_eq!(config["config"]["StopSignal"], "SIGINT");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
        if place.starts_with("oci:") {
            assert_eq!(json["Digest"], format!("sha256:{}", ours.digest));
            let layers: Vec<String> = ours.layers.iter().map(|it| format!("sha256:{}", it.digest)).collect();
            assert_eq!(json["Layers"], serde_json::json!(layers));
        }
    }
    let copy = sandbox.root().join("copy.tar");
    said(
        "skopeo",
        &sandbox,
        &["copy", "--insecure-policy", &format!("oci:{layout}"), &format!("docker-archive:{copy}:demo:2")],
    );
    verify(ArtifactKind::Container, &copy).unwrap();
    let theirs = Container::read(&copy).unwrap().unwrap().report.images.remove(0);
    assert_eq!(theirs.names, ["docker.io/library/demo:2"]);
    assert_eq!(
        theirs.layers.iter().map(|it| it.diff_id).collect::<Vec<_>>(),
        ours.layers.iter().map(|it| it.diff_id).collect::<Vec<_>>()
    );
}

#[test]
fn umoci_unpacks_what_was_packed() {
    let runner = SystemRunner::default();
    let tree = sample();
    let sandbox = with_tree(&runner, &tree);
    let layout = made(&sandbox, &step::Oci { tag: None, ..parameters(OciFormat::Layout) }, "layout");
    let bundle = sandbox.root().join("bundle");
    said(
        "umoci",
        &sandbox,
        &["unpack", "--rootless", "--image", &format!("{layout}:latest"), bundle.as_str()],
    );
    let root = bundle.join("rootfs");
    let unpacked = tree::load_directory(&root, Owners::Keep, &bootway_exec::Cancel::default()).unwrap();
    for (path, node) in &tree.nodes {
        let found = unpacked.nodes.get(path).unwrap_or_else(|| panic!("`{path}` is not there"));
        match (&node.kind, &found.kind) {
            // Nobody but root makes devices.
            (NodeKind::CharDevice { .. }, _) => {}
            (NodeKind::File(content), NodeKind::File(its)) => {
                assert_eq!(
                    io::read_to_string(content.open().unwrap()).unwrap(),
                    io::read_to_string(its.open().unwrap()).unwrap(),
                    "{path}"
                );
                assert_eq!(found.mode, node.mode, "{path}");
            }
            (kind, its) => {
                assert_eq!(kind, its, "{path}");
                assert!(matches!(kind, NodeKind::Symlink { .. }) || found.mode == node.mode, "{path}");
            }
        }
    }
    assert_eq!(unpacked.nodes.len(), tree.nodes.len());
}

#[test]
fn python_reads_owners_and_attributes_of_a_layer() {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    let step = step::Oci { layers: Vec::new(), ..parameters(OciFormat::Archive) };
    let archive = made(&sandbox, &step, "archive.tar");
    let script = "import sys,tarfile,json
outer=tarfile.open(sys.argv[1])
read=lambda d: outer.extractfile('blobs/'+d.replace(':','/'))
index=json.load(outer.extractfile('index.json'))
manifest=json.load(read(index['manifests'][0]['digest']))
for m in tarfile.open(fileobj=read(manifest['layers'][0]['digest'])):
    name=m.name if len(m.name)<30 else m.name[:8]+'...'+m.name[-4:]
    print(m.type.decode(), oct(m.mode), m.uid, m.size, int(m.mtime), name, m.linkname, {k:v.encode('utf-8','surrogateescape').hex() for k,v in m.pax_headers.items() if 'xattr' in k})";
    insta::assert_snapshot!(said("python3", &sandbox, &["-c", script, archive.as_str()]), @"
    2 0o777 0 0 1735689600 bin usr/bin {}
    5 0o755 0 0 1735689600 dev  {}
    3 0o666 0 0 1735689600 dev/null  {}
    5 0o755 0 0 1735689600 etc  {}
    0 0o640 42 7 1735689600 etc/secret  {}
    5 0o755 0 0 1735689600 nix  {}
    5 0o755 0 0 1735689600 nix/store  {}
    5 0o755 0 0 1735689600 nix/store/aaa-lib  {}
    0 0o444 0 150000 1735689600 nix/store/aaa-lib/lib.so  {}
    5 0o755 0 0 1735689600 nix/store/bbb-app  {}
    5 0o755 0 0 1735689600 nix/store/bbb-app/bin  {}
    0 0o555 0 3 1735689600 nix/store/bbb-app/bin/app  {}
    5 0o755 0 0 1735689600 run  {}
    6 0o600 3000000 0 1735689600 run/p  {}
    5 0o755 0 0 1735689600 srv  {}
    0 0o644 0 4 1735689600 srv/café  {}
    5 0o755 0 0 1735689600 srv/dddd...dddd  {}
    0 0o644 0 4 1735689600 srv/dddd...ffff  {}
    5 0o1777 0 0 1735689600 tmp  {}
    5 0o755 0 0 1735689600 usr  {}
    5 0o755 0 0 1735689600 usr/bin  {}
    0 0o755 0 24 1735689600 usr/bin/demo  {}
    1 0o755 0 0 1735689600 usr/bin/demo2 usr/bin/demo {}
    0 0o755 0 135000 1735689600 usr/bin/sh  {'SCHILY.xattr.user.note': '0001ff'}
    ");
}

#[test]
fn layers_are_compressed_as_the_plan_says() {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    for (compression, name) in
        [(Compression::None, "none"), (Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")]
    {
        let step = step::Oci { compression: Some(compression), ..parameters(OciFormat::Archive) };
        let path = made(&sandbox, &step, name);
        verify(ArtifactKind::Container, &path).unwrap();
        let report = Container::read(&path).unwrap().unwrap().report;
        assert!(report.images[0].layers.iter().all(|layer| layer.compression == name));
    }
    let whole = sandbox.root().join("none");
    said("gzip", &sandbox, &["-f", whole.as_str()]);
    let packed = Utf8PathBuf::from(format!("{whole}.gz"));
    verify(ArtifactKind::Container, &packed).unwrap();
    assert_eq!(Container::read(&packed).unwrap().unwrap().report.compression, "gzip");
}

#[test]
fn what_no_engine_could_run_is_not_made() {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    let of = |change: fn(&mut step::Oci)| {
        let mut step = parameters(OciFormat::Archive);
        change(&mut step);
        let error = oci(&sandbox.cx(), &step).unwrap_err();
        format!("{:?}: {error}", error.class())
    };
    let said = [
        of(|it| it.entrypoint = vec!["/bin/nothing".to_owned()]),
        of(|it| it.entrypoint = vec!["etc/secret".to_owned()]),
        of(|it| it.entrypoint = vec!["nothing".to_owned()]),
        of(|it| it.entrypoint = vec!["/etc/secret".to_owned()]),
        of(|it| it.ports = vec!["http".to_owned()]),
        of(|it| it.healthcheck.as_mut().unwrap().run.push("||".to_owned())),
        of(|it| it.layers = vec![vec!["usr/lib".parse().unwrap()]]),
        of(|it| it.compression = Some(Compression::Xz)),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    Plan: the image would be no good: its entrypoint `/bin/nothing` is in none of its layers
    Plan: the image would be no good: its entrypoint `etc/secret` is in none of its layers
    Plan: the image would be no good: its entrypoint `nothing` is in none of the directories of its PATH
    Plan: the image would be no good: its entrypoint `/etc/secret` may not be executed
    Plan: the image would be no good: `http/tcp` is no port: it must be a number, or two with `-` between, and tcp, udp or sctp
    Plan: the image would be no good: its health check ["CMD", "/bin/sh", "-c", "demo --well", "||"] has no shell that would understand `||`: write it as CMD-SHELL and one line
    Plan: `layers` names `/usr/lib`, and it is not in the tree: fix the path, or take it out
    Plan: no engine reads layers in xz: write `gzip`, `zstd` or `none`
    "#);
}

#[test]
fn what_no_layer_can_hold_is_an_error() {
    let runner = SystemRunner::default();
    let said = [("run/s", NodeKind::Socket), ("etc/.wh.x", NodeKind::Directory)].map(|(path, kind)| {
        let mut composer = Composer::new();
        composer.place(&path.parse().unwrap(), Node::new(0o755, kind)).unwrap();
        let sandbox = with_tree(&runner, &composer.finish());
        let step = step::Oci {
            layers: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            ..parameters(OciFormat::Layout)
        };
        oci(&sandbox.cx(), &step).unwrap_err().to_string()
    });
    insta::assert_snapshot!(said.join("\n"), @"
    `/run/s` is a socket, which no layer can hold: remove it from the tree
    `/etc/.wh.x` has a name that hides files of other layers: rename it, or remove it from the tree
    ");
}

#[test]
fn every_byte_that_means_something_is_looked_at() {
    let runner = SystemRunner::default();
    let mut composer = Composer::new();
    composer
        .place(&"a".parse().unwrap(), Node::new(0o755, NodeKind::File(bytes(b"hello".to_vec()))))
        .unwrap();
    let sandbox = with_tree(&runner, &composer.finish());
    let step = step::Oci {
        layers: Vec::new(),
        entrypoint: vec!["/a".to_owned()],
        healthcheck: None,
        ..parameters(OciFormat::Archive)
    };
    let path = made(&sandbox, &step, "it.tar");
    let good = fs_err::read(&path).unwrap();
    let mut unseen = Vec::new();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x21;
        fs_err::write(&path, &bytes).unwrap();
        if verify(ArtifactKind::Container, &path).is_ok() {
            unseen.push(at);
        }
    }
    // What is left are zeros between members and at the end, and what `index.json` says besides digests.
    let index = good.windows(10).position(|window| window == b"index.json").unwrap() + 512;
    let beside = unseen.iter().filter(|at| good[**at] != 0 && !(index..index + 512).contains(*at));
    assert_eq!(beside.copied().collect::<Vec<_>>(), Vec::<usize>::new());
    for len in (0..good.len() - 2048).step_by(97) {
        fs_err::write(&path, &good[..len]).unwrap();
        assert!(verify(ArtifactKind::Container, &path).is_err(), "cut at {len}");
    }
}

/// A layout that was changed by hand, and what is said about it.
fn changed(change: impl Fn(&mut ImageConfig, &mut Manifest, &mut Index)) -> String {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    let path = made(&sandbox, &parameters(OciFormat::Layout), "layout");
    let read = |name: &str| fs_err::read(path.join(name)).unwrap();
    let place = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let mut index: Index = json::parse(&read("index.json")).unwrap();
    let mut manifest: Manifest = json::parse(&read(&place(&index.manifests[0].digest))).unwrap();
    let mut config: ImageConfig = json::parse(&read(&place(&manifest.config.digest))).unwrap();
    let store = |bytes: Vec<u8>| {
        let digest = format!("sha256:{}", Digest::of(&bytes));
        fs_err::write(path.join(place(&digest)), &bytes).unwrap();
        (digest, bytes.len() as u64)
    };
    let (mut scratch_manifest, mut scratch_index) = (manifest.clone(), index.clone());
    change(&mut config, &mut scratch_manifest, &mut scratch_index);
    (manifest.config.digest, manifest.config.size) = store(serde_json::to_vec(&config).unwrap());
    change(&mut config.clone(), &mut manifest, &mut scratch_index);
    (index.manifests[0].digest, index.manifests[0].size) = store(serde_json::to_vec(&manifest).unwrap());
    change(&mut config, &mut manifest, &mut index);
    fs_err::write(path.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    match verify(ArtifactKind::Container, &path) {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string().replace(path.as_str(), "it"),
    }
}

#[test]
fn what_is_wrong_with_a_foreign_image_is_said() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("has [0-9]+ bytes, and", "has SIZE bytes, and");
    settings.add_filter("[0-9a-f]{12}", "DIGEST");
    let _guard = settings.bind_to_scope();
    let said = [
        changed(|_, _, _| {}),
        changed(|config, _, _| config.rootfs.diff_ids.reverse()),
        changed(|config, _, _| config.rootfs.diff_ids.truncate(2)),
        changed(|config, _, _| config.history.truncate(1)),
        changed(|config, _, _| config.rootfs.kind = "tree".to_owned()),
        changed(|config, _, _| config.architecture = String::new()),
        changed(|config, _, _| config.config.env.truncate(0)),
        changed(|config, _, _| config.config.env = vec!["PATH".to_owned()]),
        changed(|config, _, _| config.config.entrypoint.truncate(0)),
        changed(|config, _, _| config.config.healthcheck.as_mut().unwrap().test[0] = "RUN".to_owned()),
        changed(|_, manifest, _| manifest.layers[0].media_type = json::LAYER.to_owned()),
        changed(|_, manifest, _| manifest.layers[0].size = 7),
        changed(|_, manifest, _| manifest.layers[1].media_type = "application/x-chart".to_owned()),
        changed(|_, manifest, _| manifest.schema_version = 1),
        changed(|_, _, index| index.manifests[0].digest = format!("sha256:{}", Digest::of(b""))),
        changed(|_, _, index| index.manifests[0].media_type = json::CONFIG.to_owned()),
        changed(|_, _, index| index.manifests.clear()),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    good
    `it` is not a container image: found a damaged one: layer `DIGEST` unpacks to sha256:DIGEST, and the configuration says sha256:DIGEST; layer `DIGEST` unpacks to sha256:DIGEST, and the configuration says sha256:DIGEST
    `it` is not a container image: found a damaged one: the configuration has 2 layers, and the manifest 3
    `it` is not a container image: found a damaged one: the history tells of 1 layers, and there are 3
    `it` is not a container image: found a damaged one: the configuration has a root of kind `tree`, and not `layers`
    `it` is not a container image: found a damaged one: the configuration names no architecture, or no system
    good
    `it` is not a container image: found a damaged one: `PATH` in its environment is not NAME=VALUE
    `it` is not a container image: found a damaged one: its command `now` is in none of the directories of its PATH
    `it` is not a container image: found a damaged one: its health check ["RUN", "/bin/sh", "-c", "demo --well"] begins with neither CMD, CMD-SHELL nor NONE
    `it` is not a container image: found a damaged one: layer `DIGEST` has compression gzip, and type `application/vnd.oci.image.layer.v1.tar`
    `it` is not a container image: found a damaged one: blob `DIGEST` has SIZE bytes, and is said to have 7
    `it` is not a container image: found a damaged one: `DIGEST` is no image: it has blobs of type `application/x-chart`
    `it` is not a container image: found a damaged one: manifest `DIGEST` is of schema 1, and not 2
    `it` is not a container image: found a damaged one: blob `DIGEST` is not there
    `it` is not a container image: found a damaged one: an index leads to a blob of type `application/vnd.oci.image.config.v1+json`
    `it` is not a container image: found a damaged one: there is no image in it
    "#);
}

#[test]
fn a_blob_that_is_gone_or_another_is_named() {
    let runner = SystemRunner::default();
    let sandbox = with_tree(&runner, &sample());
    let path = made(&sandbox, &parameters(OciFormat::Layout), "layout");
    let layer = Container::read(&path).unwrap().unwrap().report.images[0].layers[0].digest;
    let blob = path.join(format!("blobs/sha256/{layer}"));
    let good = fs_err::read(&blob).unwrap();
    let verdict =
        || verify(ArtifactKind::Container, &path).unwrap_err().to_string().replace(path.as_str(), "it");
    fs_err::write(&blob, [&good[..good.len() - 1], b"x"].concat()).unwrap();
    let other = verdict();
    fs_err::remove_file(&blob).unwrap();
    let gone = verdict();
    fs_err::remove_file(path.join("oci-layout")).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("[0-9a-f]{12}", "DIGEST");
    let _guard = settings.bind_to_scope();
    insta::assert_snapshot!([other, gone, verdict()].join("\n"), @"
    `it` is not a container image: found a damaged one: blob `DIGEST` has other contents, of sha256:DIGEST
    `it` is not a container image: found a damaged one: blob `DIGEST` is not there
    `it` is not a container image: found a directory without an `oci-layout`
    ");
}

/// Layers over each other, as an engine lays them.
#[test]
fn whiteouts_hide_what_is_below_and_nothing_else() {
    let layer = |members: &[&str]| {
        let mut out = Vec::new();
        for name in members {
            let kind = if name.ends_with('/') { kind::DIRECTORY } else { kind::FILE };
            out.extend(tar::encode(&Member {
                path: name,
                link: "",
                kind,
                mode: 0o755,
                uid: 0,
                gid: 0,
                size: 0,
                mtime: 0,
                device: (0, 0),
                xattrs: None,
            }));
        }
        out.extend(tar::END);
        out
    };
    let layers = [
        layer(&["a/", "a/x", "a/y", "a-b", "d/", "d/old", "d/sub/", "d/sub/z", "f/", "f/in"]),
        layer(&["a/.wh.x", "a/new", "d/", "d/new", "d/.wh..wh..opq", "f"]),
    ];
    let mut config =
        ImageConfig { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..ImageConfig::default() };
    config.rootfs.kind = "layers".to_owned();
    config.rootfs.diff_ids = layers.iter().map(|it| format!("sha256:{}", Digest::of(it))).collect();
    let config = serde_json::to_vec(&config).unwrap();
    let docker = [DockerImage {
        config: format!("{}.json", Digest::of(&config)),
        repo_tags: Vec::new(),
        layers: vec!["one/layer.tar".to_owned(), "two/layer.tar".to_owned()],
    }];
    let [one, two] = layers;
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("it.tar");
    let files = [
        ("manifest.json".to_owned(), bytes(serde_json::to_vec(&docker).unwrap())),
        (docker[0].config.clone(), bytes(config)),
        ("one/layer.tar".to_owned(), bytes(one)),
        ("two/layer.tar".to_owned(), bytes(two)),
    ];
    pack(&sandbox.cx(), &files, &path).unwrap();
    verify(ArtifactKind::Container, &path).unwrap();
    let container = Container::read(&path).unwrap().unwrap();
    let seen: Vec<_> = container.stored[0].files.listing.files.keys().map(ToString::to_string).collect();
    assert_eq!(seen, ["/", "/a", "/a-b", "/a/new", "/a/y", "/d", "/d/new", "/f"]);
}
