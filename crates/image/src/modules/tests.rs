use std::sync::Arc;

use super::*;
use crate::{format::modinfo::tests::module, tree::Node};

/// A kernel tree: `(path below lib/modules/6.1.0-t, bytes)`.
pub(crate) fn kernel(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree::default();
    for (name, bytes) in files {
        let mut path: TreePath = format!("usr/lib/modules/6.1.0-t/{name}").parse().unwrap();
        let content = NodeKind::File(Content::Bytes(Arc::from(bytes.as_slice())));
        tree.nodes.insert(path.clone(), Node::new(0o644, content));
        while let Some(parent) = path.parent() {
            tree.nodes.insert(parent.clone(), Node::new(0o755, NodeKind::Directory));
            path = parent;
        }
    }
    tree
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = compress::Encoder::new(bootway_plan::step::Compression::Xz, Vec::new()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn small() -> Tree {
    kernel(&[
        ("kernel/fs/ext4/ext4.ko", module(&["name=ext4", "depends=jbd2,mbcache", "alias=fs-ext4"])),
        ("kernel/fs/jbd2/jbd2.ko.xz", xz(&module(&["name=jbd2", "softdep=pre: crc32c aead9", "depends="]))),
        ("kernel/fs/mbcache.ko", module(&["name=mbcache", "depends=jbd2"])),
        (
            "kernel/crypto/crc32c-generic.ko",
            module(&["name=crc32c_generic", "alias=crc32c", "alias=crypto-crc32c"]),
        ),
        ("kernel/drivers/virtio/virtio.ko", module(&["name=virtio", "depends=virtio-ring"])),
        ("kernel/drivers/broken.ko", b"no".to_vec()),
        ("kernel/drivers/lonely.ko", module(&["depends=nowhere"])),
        ("modules.builtin", b"kernel/drivers/virtio/virtio_ring.ko\nkernel/lib/crc16.ko\n".to_vec()),
    ])
}

fn closure(wanted: &[&str]) -> Result<Closure, ModulesError> {
    let tree = small();
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    Modules::find(&tree).unwrap().closure(&wanted, &Cancel::default())
}

#[test]
fn a_module_comes_with_all_that_it_needs() {
    let closure = closure(&["ext4", "crc16", "virtio"]).unwrap();
    insta::assert_snapshot!(closure.modules_dep(), @"
    kernel/crypto/crc32c-generic.ko:
    kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
    kernel/fs/jbd2/jbd2.ko:
    kernel/fs/mbcache.ko: kernel/fs/jbd2/jbd2.ko
    kernel/drivers/virtio/virtio.ko:
    ");
    insta::assert_snapshot!(closure.modules_alias(), @"
    alias crc32c crc32c_generic
    alias crypto-crc32c crc32c_generic
    alias fs-ext4 ext4
    ");
    let jbd2 = closure.modules().find(|module| module.path.ends_with("jbd2.ko")).unwrap();
    assert!(jbd2.bytes.starts_with(b"\x7fELF"), "a compressed module was not unpacked");
}

#[test]
fn says_which_module_is_not_there() {
    let messages = ["ext5", "crc32c_generik", "zzz", "lonely", "broken"]
        .map(|name| closure(&[name]).unwrap_err().to_string());
    insta::assert_snapshot!(messages.join("\n"), @"
    kernel 6.1.0-t has no module `ext5`: did you mean `ext4`?
    kernel 6.1.0-t has no module `crc32c_generik`: did you mean `crc32c_generic`?
    kernel 6.1.0-t has no module `zzz`
    the module `/usr/lib/modules/6.1.0-t/kernel/drivers/lonely.ko` depends on `nowhere`, which is neither a module nor built in: the kernel tree is not whole
    `/usr/lib/modules/6.1.0-t/kernel/drivers/broken.ko` is not a kernel module: it is not an ELF file
    ");
}

#[test]
fn says_when_there_is_not_one_kernel() {
    let mut tree = small();
    let mut add = |path: &str| {
        let content = NodeKind::File(Content::Bytes(Arc::from([])));
        tree.nodes.insert(path.parse().unwrap(), Node::new(0o644, content));
    };
    add("usr/lib/modules/5.10.0/kernel/a.ko");
    insta::assert_snapshot!(Modules::find(&tree).unwrap_err(), @"the kernel tree has modules of several kernels, `5.10.0`, `6.1.0-t`: keep one of them");
    insta::assert_snapshot!(Modules::find(&Tree::default()).unwrap_err(), @"no `lib/modules/VERSION` with kernel modules in the kernel tree: name a tree that has one");
}
