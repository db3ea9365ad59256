//! Recipes for `just`, to be imported by a justfile: `import 'targets.just'`.

use bootway_plan::Cell;
use camino::{Utf8Path, Utf8PathBuf};

use super::Made;

/// The whole file, which is at `place`, relative to the plan's directory.
pub(super) fn text(made: &Made<'_>, place: &str) -> String {
    let file = made.dir.join(place);
    let plan = relative(file.parent().unwrap_or(made.dir), &made.dir.join(made.plan));
    let mut text = format!("# {}\n", made.header());
    for grid in made.grids {
        for cell in grid.cells() {
            text += &recipe(cell, &plan);
        }
    }
    text
}

fn recipe(cell: Cell<'_>, plan: &Utf8Path) -> String {
    let help = cell.variant.help.as_ref().map(|help| format!(": {}", help.replace('\n', " ")));
    format!(
        "\n# {cell}{}\n[group('{}'), positional-arguments]\n{}-{}-{} *args:\n    \
         @bootway up --plan '{{{{source_directory()}}}}/{plan}' --target {} {} {} -- \"$@\"\n",
        help.unwrap_or_default(),
        cell.target,
        cell.target,
        cell.profile,
        cell.name,
        cell.target,
        cell.profile,
        cell.name,
    )
}

/// The path from the directory `from` to `to`, both absolute.
fn relative(from: &Utf8Path, to: &Utf8Path) -> Utf8PathBuf {
    let (from, to) = (plain(from), plain(to));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - shared);
    up.chain(to[shared..].iter().copied()).collect()
}

/// The names of an absolute path, without `.` and `..`.
fn plain(path: &Utf8Path) -> Vec<&str> {
    let mut names = Vec::new();
    for part in path.components() {
        match part.as_str() {
            "." | "/" => (),
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}
