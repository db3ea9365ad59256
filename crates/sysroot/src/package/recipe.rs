//! What each strategy does, as a value.

use std::collections::BTreeMap;

use bootway_exec::Cx;
use bootway_plan::{
    TreePath,
    step::{Edit, Package, Strategy},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::root::{BUILD, Program};

/// How a package is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// The name of the directory of the source, below [`BUILD`].
    pub(crate) directory: String,
    /// In order.
    pub(crate) acts: Vec<Act>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Run a program in the root.
    Run(Program),
    /// Change files in the root.
    Edit(Vec<Edit>),
    /// Set options of a Kconfig.
    Configure {
        /// Below [`BUILD`].
        file: Utf8PathBuf,
        /// Without `CONFIG_`.
        options: BTreeMap<String, String>,
    },
    /// See whether the options are still what they were set to.
    Verify {
        /// Below [`BUILD`].
        file: Utf8PathBuf,
        /// Without `CONFIG_`.
        options: BTreeMap<String, String>,
    },
    /// Remove everything but headers.
    OnlyHeaders {
        /// Below [`BUILD`].
        dir: Utf8PathBuf,
    },
}

impl Act {
    /// The program that it runs, if it runs one.
    pub(crate) const fn program(&self) -> Option<&Program> {
        match self {
            Self::Run(program) => Some(program),
            _ => None,
        }
    }
}

/// What a recipe is made with.
struct Maker<'a> {
    step: &'a Package,
    /// The source, in the root.
    source: String,
    prefix: String,
    destdir: Option<String>,
    jobs: String,
    answers: Utf8PathBuf,
}

/// How `step` is built.
pub(crate) fn recipe(cx: &Cx<'_>, step: &Package) -> Recipe {
    let name = step.package.as_ref().map_or("source", bootway_plan::Name::as_str);
    let directory =
        step.version.as_ref().map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"));
    let top = Utf8Path::new(BUILD).join(&directory);
    let source = step.subdir.as_ref().map_or_else(|| top.clone(), |subdir| top.join(subdir));
    let maker = Maker {
        step,
        source: source.into_string(),
        prefix: step.install_prefix.clone().unwrap_or_else(|| "/usr".to_owned()),
        destdir: step.destdir.clone().filter(|destdir| destdir != "/"),
        jobs: cx.jobs.to_string(),
        answers: answers(cx),
    };
    let acts = match step.strategy {
        Strategy::Autotools => maker.autotools(),
        Strategy::Cmake => maker.cmake(),
        Strategy::Meson => maker.meson(),
        Strategy::Make => maker.make_alone(),
        Strategy::Busybox => maker.busybox(&directory),
        Strategy::LinuxHeaders => maker.linux_headers(&directory),
        Strategy::Tarball => maker.as_it_is(),
        Strategy::Command => maker.commands(),
    };
    Recipe { directory, acts }
}

/// A file with nothing but ends of lines: what a person answers who takes every default.
pub(crate) fn answers(cx: &Cx<'_>) -> Utf8PathBuf {
    cx.scratch.join("answers")
}

impl Maker<'_> {
    /// Fills in the places that are known when a package is built.
    fn fill(&self, text: &str) -> String {
        let destdir = self.destdir.as_deref().unwrap_or("");
        let places = [
            ("prefix", self.prefix.as_str()),
            ("destdir", destdir),
            ("jobs", &self.jobs),
            ("build", &self.source),
        ];
        places
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    fn run(&self, cwd: &str, argv: &[&[String]]) -> Act {
        let argv = argv.iter().flat_map(|part| part.iter()).map(|arg| self.fill(arg)).collect();
        Act::Run(Program { argv, cwd: cwd.to_owned(), ..Program::default() })
    }

    /// The directory that it is built in, if that is not the source.
    fn beside(&self) -> Option<String> {
        let dir = self.step.build_dir.as_ref()?;
        Some(Utf8Path::new(&self.source).join(dir).into_string())
    }

    fn mkdir(dir: &str) -> Act {
        Act::Edit(vec![Edit::Mkdir {
            path: dir.parse::<TreePath>().unwrap_or_default(),
            mode: bootway_plan::step::Mode(0o755),
        }])
    }

    fn make(&self, dir: &str, targets: &[&str], install: bool) -> Act {
        let mut argv = words(&["make"]);
        if !install {
            argv.push(format!("-j{}", self.jobs));
        }
        argv.extend(words(targets));
        argv.extend(self.step.make_flags.clone());
        if let (true, Some(destdir)) = (install, &self.destdir) {
            argv.push(format!("DESTDIR={destdir}"));
        }
        self.run(dir, &[&argv])
    }

    fn autotools(&self) -> Vec<Act> {
        let (dir, configure) = match self.beside() {
            Some(dir) => (dir, format!("{}/configure", self.source)),
            None => (self.source.clone(), "./configure".to_owned()),
        };
        let argv = [configure, format!("--prefix={}", self.prefix)];
        let begin = (dir != self.source).then(|| Self::mkdir(&dir));
        let rest = [
            self.run(&dir, &[&argv, &self.step.configure_flags]),
            self.make(&dir, &[], false),
            self.make(&dir, &["install"], true),
        ];
        begin.into_iter().chain(rest).collect()
    }

    fn cmake(&self) -> Vec<Act> {
        let dir = self.beside().unwrap_or_else(|| format!("{}/build-bootway", self.source));
        let configure = words(&["cmake", "-S", &self.source, "-B", &dir]);
        let prefix = [format!("-DCMAKE_INSTALL_PREFIX={}", self.prefix)];
        let build = words(&["cmake", "--build", &dir, "-j", &self.jobs]);
        let install = self.run(&self.source, &[&words(&["cmake", "--install", &dir])]);
        vec![
            self.run(&self.source, &[&configure, &prefix, &self.step.configure_flags]),
            self.run(&self.source, &[&build, &self.step.make_flags]),
            self.with_destdir(install),
        ]
    }

    fn meson(&self) -> Vec<Act> {
        let dir = self.beside().unwrap_or_else(|| format!("{}/build-bootway", self.source));
        let setup = words(&["meson", "setup", &dir, &self.source]);
        let prefix = [format!("--prefix={}", self.prefix)];
        let build = words(&["meson", "compile", "-C", &dir, "-j", &self.jobs]);
        let install = self.run(&self.source, &[&words(&["meson", "install", "--no-rebuild", "-C", &dir])]);
        vec![
            self.run(&self.source, &[&setup, &prefix, &self.step.configure_flags]),
            self.run(&self.source, &[&build, &self.step.make_flags]),
            self.with_destdir(install),
        ]
    }

    /// For programs that look for `DESTDIR` in their environment.
    fn with_destdir(&self, act: Act) -> Act {
        match (act, &self.destdir) {
            (Act::Run(mut program), Some(destdir)) => {
                program.env.insert("DESTDIR".to_owned(), destdir.clone());
                Act::Run(program)
            }
            (act, _) => act,
        }
    }

    fn make_alone(&self) -> Vec<Act> {
        let dir = &self.source;
        let prefix = format!("PREFIX={}", self.prefix);
        vec![self.make(dir, &[&prefix], false), self.make(dir, &["install", &prefix], true)]
    }

    fn busybox(&self, directory: &str) -> Vec<Act> {
        let dir = &self.source;
        let file = Utf8Path::new(directory).join(self.step.subdir.as_deref().unwrap_or("")).join(".config");
        let options = self.step.config.clone();
        let mut oldconfig = self.make(dir, &["oldconfig"], false);
        if let Act::Run(program) = &mut oldconfig {
            program.stdin = Some(self.answers.clone());
        }
        let place = self.destdir.as_deref().unwrap_or("/");
        vec![
            self.make(dir, &["defconfig"], false),
            Act::Configure { file: file.clone(), options: options.clone() },
            oldconfig,
            Act::Verify { file, options },
            self.make(dir, &[], false),
            self.make(dir, &["install", &format!("CONFIG_PREFIX={place}")], false),
        ]
    }

    fn linux_headers(&self, directory: &str) -> Vec<Act> {
        let made =
            Utf8Path::new(directory).join(self.step.subdir.as_deref().unwrap_or("")).join("usr/include");
        let place = format!("{}{}/include", self.destdir.as_deref().unwrap_or(""), self.prefix);
        let path = |text: &str| text.parse::<TreePath>().unwrap_or_default();
        vec![
            self.make(&self.source, &["headers"], false),
            Act::OnlyHeaders { dir: made },
            Act::Edit(vec![Edit::Copy {
                path: path(&format!("{}/usr/include", self.source)),
                to: path(&place),
            }]),
        ]
    }

    fn as_it_is(&self) -> Vec<Act> {
        let place =
            format!("{}/{}", self.destdir.as_deref().unwrap_or(""), self.prefix.trim_start_matches('/'));
        let path = |text: &str| text.parse::<TreePath>().unwrap_or_default();
        vec![Act::Edit(vec![Edit::Copy { path: path(&self.source), to: path(&place) }])]
    }

    fn commands(&self) -> Vec<Act> {
        self.step.commands.iter().map(|argv| self.run(&self.source, &[argv])).collect()
    }
}

fn words(of: &[&str]) -> Vec<String> {
    of.iter().map(|word| (*word).to_owned()).collect()
}
