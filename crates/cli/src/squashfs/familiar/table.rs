//! What becomes of each option of `mksquashfs` and `unsquashfs`.
//!
//! Source: squashfs-tools 4.7.5 and 4.5.1, `mksquashfs -help-all` and `unsquashfs -help-all`.

use super::{
    Becomes::{Args, Command, Note, Nothing, Refused, Rest},
    Familiar,
};

/// An option without a value.
const fn flag(names: &'static [&'static str], becomes: super::Becomes) -> Familiar {
    Familiar { names, value: None, becomes }
}

/// An option with a value.
const fn with(names: &'static [&'static str], value: &'static str, becomes: super::Becomes) -> Familiar {
    Familiar { names, value: Some(value), becomes }
}

const EDIT_A_TAR: &str = "make a tar of the files, say it there (`tar --transform --mode --owner`, or a program of yours), and give the tar as the source";
const LIGHTEST: &str = "there is no image without compression; `-comp lz4` is as fast as copying";
const ONE_WRITER: &str = "an image is always written anew, whole, beside the old one, and renamed; `--cache` makes that as quick as appending";
const BOUNDED: &str = "memory is bounded by itself, at some 30 MiB and a few blocks for each thread";
const GLOBS: &str = "there are globs: `--exclude '*.o'`";
const ONE_TIME: &str = "`--all-time T` is for every file";

/// Options of `mksquashfs`, in the order of its help.
pub(crate) const MKSQUASHFS: &[Familiar] = &[
    with(&["-b"], "SIZE", Args(&["--block-size", "{}"])),
    with(&["-comp"], "NAME", Args(&["--compressor", "{}"])),
    with(&["-Xcompression-level"], "N", Args(&["--level", "{}"])),
    flag(&["-Xhc"], Args(&["--high"])),
    with(&["-Xbcj"], "FILTERS", Args(&["--bcj", "{}"])),
    with(&["-Xdict-size"], "SIZE", Note("the dictionary is always as large as a block")),
    with(
        &["-Xwindow-size"],
        "N",
        Note("the window is always the largest, 15: it costs nothing to those who read"),
    ),
    with(&["-Xstrategy"], "NAMES", Note("the compressor chooses for each block by itself")),
    with(
        &["-Xalgorithm"],
        "NAME",
        Refused("there is no lzo here: `-comp lz4` is quicker, `-comp zstd` smaller"),
    ),
    flag(
        &["-noI", "-noInodeCompression", "-noId", "-noIdTableCompression", "-noX", "-noXattrCompression"],
        Note("metadata is always compressed; what it holds is the same"),
    ),
    flag(&["-noD", "-noDataCompression", "-noF", "-noFragmentCompression"], Refused(LIGHTEST)),
    flag(&["-no-compression"], Refused(LIGHTEST)),
    flag(&["-tar"], Nothing("an archive is known by its content; `-` is standard input")),
    flag(&["-zip"], Refused("unpack it, or make a tar of it: `bsdtar cf - @FILES.zip`")),
    flag(
        &["-no-strip", "-tarstyle", "-cpiostyle", "-cpiostyle0"],
        Refused("let tar choose the files, `tar cf - -T LIST`, and give `-` as the source"),
    ),
    flag(&["-exports"], Nothing("it is always so, unless `--no-exports`")),
    flag(&["-no-exports"], Args(&["--no-exports"])),
    flag(&["-no-sparse"], Note("holes are always found; they are read as the zeros they are")),
    flag(&["-no-tailends"], Nothing("it is always so, unless `--tail-ends`")),
    flag(&["-tailends", "-always-use-fragments"], Args(&["--tail-ends"])),
    flag(&["-no-fragments"], Note("small files always share blocks; they are read as they would be without")),
    flag(
        &["-no-duplicates"],
        Note("duplicates are always stored once; they are read as they would be twice"),
    ),
    flag(&["-no-hardlinks"], Note("hard links stay hard links, and equal contents are stored once anyway")),
    flag(&["-keep-as-directory"], Args(&["--under-name"])),
    with(&["-mkfs-time", "-fstime"], "TIME", Args(&["--mkfs-time", "{}"])),
    with(&["-all-time", "-inode-time"], "TIME", Args(&["--all-time", "{}"])),
    with(&["-root-time"], "TIME", Refused(ONE_TIME)),
    flag(&["-repro", "-reproducible"], Nothing("it is always so")),
    with(&["-repro-time"], "TIME", Args(&["--mkfs-time", "{}", "--all-time", "{}"])),
    flag(&["-not-reproducible"], Note("same files, same bytes: it is always so")),
    flag(&["-all-root", "-root-owned"], Args(&["--all-root"])),
    with(&["-force-uid"], "UID", Args(&["--owner", "{}"])),
    with(&["-force-gid"], "GID", Args(&["--group", "{}"])),
    with(&["-root-mode"], "MODE", Args(&["--root-mode", "{}"])),
    with(&["-root-uid", "-root-gid"], "ID", Refused(EDIT_A_TAR)),
    with(&["-force-file-mode"], "MODE", Args(&["--file-mode", "{}"])),
    with(&["-force-dir-mode"], "MODE", Args(&["--dir-mode", "{}"])),
    with(&["-uid-gid-offset"], "N", Refused(EDIT_A_TAR)),
    with(&["-p", "-pd", "-pf"], "PSEUDO", Refused(EDIT_A_TAR)),
    flag(&["-pseudo-override", "-pseudo-dir"], Refused(EDIT_A_TAR)),
    flag(&["-dereference"], Refused("let tar follow the links, `tar chf - DIR`, and give `-` as the source")),
    with(
        &["-deref", "-deref-path"],
        "NAME",
        Refused("let tar follow the links, `tar chf - DIR`, and give `-` as the source"),
    ),
    flag(&["-e"], Rest(&["--exclude", "{}"])),
    with(&["-ef"], "FILE", Args(&["--exclude-from", "{}"])),
    flag(&["-wildcards"], Args(&["--exclude-as", "rooted"])),
    flag(&["-regex"], Refused(GLOBS)),
    with(&["-max-depth"], "N", Refused("say what to leave out: `--exclude '/*/*/*'`")),
    flag(&["-one-file-system"], Args(&["--one-file-system"])),
    flag(
        &["-one-file-system-x"],
        Refused("`-one-file-system` leaves the mount points, as empty directories"),
    ),
    with(
        &["-sort"],
        "FILE",
        Refused("files are stored in the order of their names, so that images can be compared"),
    ),
    flag(&["-xattrs"], Nothing("it is always so, unless `--no-xattrs`")),
    flag(&["-no-xattrs"], Args(&["--no-xattrs"])),
    with(
        &["-xattrs-exclude", "-xattrs-include", "-xattrs-add"],
        "NAMES",
        Refused(
            "`--no-xattrs` leaves all of them out; tar chooses: `tar --xattrs --xattrs-include='user.*' -cf -`",
        ),
    ),
    flag(&["-version"], Refused("`bootway --version` says it")),
    flag(&["-exit-on-error"], Nothing("it is always so: a file that cannot be read fails the build")),
    flag(&["-quiet"], Args(&["--quiet"])),
    flag(&["-info"], Note("`bootway squashfs list IMAGE` shows the files afterwards")),
    with(&["-info-file"], "FILE", Note("`bootway squashfs list IMAGE` shows the files afterwards")),
    flag(&["-no-progress"], Args(&["--no-progress"])),
    flag(&["-progress"], Nothing("it is always so, for a build that takes more than a second")),
    flag(&["-percentage"], Note("without a terminal there is a line every few seconds, with the percentage")),
    with(&["-throttle", "-limit"], "PERCENT", Note("`--threads N` takes fewer processors, `nice` gives way")),
    with(&["-processors"], "N", Args(&["--threads", "{}"])),
    with(&["-mem", "-mem-percent"], "SIZE", Note(BOUNDED)),
    with(&["-read-queue", "-write-queue", "-fragment-queue"], "SIZE", Note(BOUNDED)),
    flag(&["-mem-default"], Refused(BOUNDED)),
    flag(&["-single-reader"], Note("the order of reading never changes an image")),
    with(
        &["-small-readers", "-block-readers", "-overcommit"],
        "N",
        Note("the order of reading never changes an image"),
    ),
    flag(&["-noappend"], Nothing("it is always so")),
    flag(&["-append"], Refused(ONE_WRITER)),
    with(&["-root-becomes"], "NAME", Refused(ONE_WRITER)),
    flag(&["-no-recovery"], Nothing("there is nothing to recover: an image appears when it is whole")),
    with(
        &["-recovery-path"],
        "DIR",
        Nothing("there is nothing to recover: an image appears when it is whole"),
    ),
    with(&["-recover"], "FILE", Refused("it was made by mksquashfs, and so has to be mended by it")),
    with(
        &["-action", "-log-action", "-true-action", "-false-action"],
        "ACTION",
        Refused("a plan's tree step edits a tree by rules: see `edits` in docs/plan-format.md"),
    ),
    with(
        &["-action-file", "-log-action-file", "-true-action-file", "-false-action-file"],
        "FILE",
        Refused("a plan's tree step edits a tree by rules: see `edits` in docs/plan-format.md"),
    ),
    with(&["-default-mode", "-default-uid", "-default-gid"], "ID", Refused(EDIT_A_TAR)),
    flag(&["-ignore-zeros"], Refused("join the archives before: `tar --concatenate`")),
    flag(&["-numeric-owner"], Nothing("owners are always numbers")),
    flag(&["-stream"], Refused("an image is written to a file, whole or not at all; then `cat` it")),
    with(&["-fix"], "FILE", Refused("it was made by mksquashfs, and so has to be mended by it")),
    flag(&["-nopad"], Args(&["--no-pad"])),
    with(
        &["-offset", "-o"],
        "BYTES",
        Refused("write an image, and put it where it goes: a plan's disk step does"),
    ),
    flag(&["-h"], Args(&["-h"])),
    flag(&["-help", "-help-all"], Args(&["--help"])),
    with(&["-help-option", "-ho", "-help-section", "-hs", "-help-comp"], "NAME", Args(&["--help"])),
    flag(&["-ha", "-Xhelp"], Args(&["--help"])),
    flag(&["-no-pager"], Nothing("there is no pager")),
    with(&["-cols"], "N", Nothing("the terminal says how wide it is")),
];

/// Options of `unsquashfs`, in the order of its help.
pub(crate) const UNSQUASHFS: &[Familiar] = &[
    with(&["-d", "-dest"], "DIR", Args(&["--dest", "{}"])),
    with(&["-max", "-max-depth"], "N", Refused("say what you want: `extract IMAGE 'etc/*'`")),
    flag(
        &["-excludes", "-ex", "-exclude-list"],
        Refused("say what you want, not what you do not: `extract IMAGE PATH`"),
    ),
    with(
        &["-exclude-file", "-exc", "-excf"],
        "FILE",
        Refused("say what you want, not what you do not: `extract IMAGE PATH`"),
    ),
    with(
        &["-extract-file", "-e", "-ef"],
        "FILE",
        Refused("give the names themselves: `xargs -a FILE bootway squashfs extract IMAGE`"),
    ),
    flag(&["-match"], Nothing("it is always so: a path that matches nothing is an error")),
    flag(
        &["-follow", "-follow-symlinks", "-L", "-missing", "-missing-symlinks"],
        Refused("links are extracted as links; name what they lead to"),
    ),
    flag(&["-no-wild", "-no-wildcards"], Args(&["--literal"])),
    flag(&["-r", "-regex"], Refused("there are globs: `extract IMAGE 'usr/lib/*.so'`")),
    with(
        &["-all", "-all-time"],
        "TIME",
        Refused("files have the times that the image says; `touch` changes them"),
    ),
    flag(&["-cat"], Refused("`extract IMAGE PATH`, and `cat` it from there")),
    flag(&["-f", "-force"], Args(&["--force"])),
    with(&["-pf", "-pseudo-file"], "FILE", Refused("`list IMAGE --json` says everything about every file")),
    with(
        &["-force-uid", "-force-gid"],
        "ID",
        Refused("files belong to who extracts them, unless `--owners`"),
    ),
    with(&["-force-file-mode", "-force-dir-mode"], "MODE", Refused("`chmod` does it afterwards")),
    flag(&["-s", "-stat"], Command("list", &["--info"])),
    flag(&["-i", "-info", "-li", "-linfo"], Note("`bootway squashfs list IMAGE --long` shows the files")),
    flag(&["-l", "-ls", "-lc"], Command("list", &[])),
    flag(&["-ll", "-lls", "-lln", "-llnumeric", "-llc"], Command("list", &["--long"])),
    flag(&["-full", "-full-precision", "-UTC"], Nothing("it is always so: times are UTC, to the second")),
    flag(&["-mkfs-time", "-fstime"], Command("list", &["--info"])),
    flag(&["-no", "-no-xattrs"], Args(&["--no-xattrs"])),
    flag(&["-x", "-xattrs"], Nothing("it is always so, unless `--no-xattrs`")),
    flag(&["-u", "-user-xattrs"], Refused("`--no-xattrs` leaves all of them out")),
    with(&["-xattrs-exclude", "-xattrs-include"], "NAMES", Refused("`--no-xattrs` leaves all of them out")),
    flag(&["-v", "-version"], Refused("`bootway --version` says it")),
    with(&["-p", "-processors"], "N", Args(&["--threads", "{}"])),
    with(
        &["-max-files", "-mem", "-mem-percent", "-da", "-data-queue", "-fr", "-frag-queue"],
        "N",
        Note("memory and open files are bounded by themselves"),
    ),
    flag(&["-mem-default"], Refused("memory is bounded by itself")),
    flag(&["-q", "-quiet"], Args(&["--quiet"])),
    flag(&["-n", "-no-progress"], Args(&["--no-progress"])),
    flag(&["-percentage"], Note("without a terminal there is a line every few seconds, with the percentage")),
    flag(
        &["-ig", "-ignore-errors", "-no-exit", "-no-exit-code"],
        Refused("an error is never a success: `verify IMAGE` says what can be read"),
    ),
    flag(&["-st", "-strict-errors"], Nothing("it is always so")),
    with(&["-o", "-offset"], "BYTES", Args(&["--offset", "{}"])),
    flag(&["-h"], Args(&["-h"])),
    flag(&["-help", "-help-all", "-ha"], Args(&["--help"])),
    with(&["-help-option", "-ho", "-help-section", "-hs"], "NAME", Args(&["--help"])),
    flag(&["-no-pager"], Nothing("there is no pager")),
    with(&["-cols"], "N", Nothing("the terminal says how wide it is")),
];
