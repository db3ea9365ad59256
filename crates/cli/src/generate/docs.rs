//! A table in a Markdown file: what can be run, profile by profile.

use bootway_plan::{Cell, Grid};
use thiserror::Error;

use super::Made;

const BEGIN: &str = "<!-- bootway:targets -->";
const END: &str = "<!-- /bootway:targets -->";

/// The Markdown file has no place for the table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{place}` has no place for the table: write a line `{BEGIN}` and below it a line `{END}`, once")]
pub(crate) struct Unmarked {
    place: String,
}

/// The whole file: `old` with the table between its marks; without a file, the marks alone.
pub(super) fn text(made: &Made<'_>, place: &str, old: Option<&str>) -> Result<String, Unmarked> {
    let old = old.map_or_else(|| format!("{BEGIN}\n{END}\n"), str::to_owned);
    let unmarked = || Unmarked { place: place.to_owned() };
    let lines: Vec<(usize, &str)> = old
        .split_inclusive('\n')
        .scan(0, |at, line| {
            *at += line.len();
            Some((*at, line))
        })
        .collect();
    let once = |mark: &str| {
        let mut found = lines.iter().filter(|(_, line)| line.trim() == mark);
        found.next().filter(|_| found.next().is_none()).copied()
    };
    let (Some((begin, _)), Some((end, end_line))) = (once(BEGIN), once(END)) else { return Err(unmarked()) };
    let end = end - end_line.len();
    if end < begin {
        return Err(unmarked());
    }
    Ok(format!("{}{}{}", &old[..begin], table(made), &old[end..]))
}

fn table(made: &Made<'_>) -> String {
    let mut text = format!("<!-- {} -->\n", made.header());
    for (n, grid) in made.grids.iter().enumerate() {
        text += &of_grid(made, grid, n == 0);
    }
    text
}

fn of_grid(made: &Made<'_>, grid: &Grid<'_>, is_first: bool) -> String {
    let help = grid.target().help.as_ref().map(|help| format!(": {}", cell_text(help))).unwrap_or_default();
    let option = if is_first { String::new() } else { format!(" --target {}", grid.name()) };
    let mut text = format!("\n**{}**{help}\n\n| `bootway up{option}` |", grid.name());
    let variants: Vec<_> = grid.target().variants.keys().collect();
    text += &variants.iter().map(|name| format!(" {name} |")).collect::<String>();
    text += &format!("\n|{}\n", "---|".repeat(variants.len() + 1));
    for profile in grid.profiles() {
        let is_default = profile == grid.default_profile();
        text += &if is_default { format!("| **{profile}** |") } else { format!("| {profile} |") };
        let cells: Vec<Cell<'_>> = grid.of_profile(profile).collect();
        for name in &variants {
            let cell = cells.iter().find(|cell| cell.name == *name);
            let attribute = cell.map(|cell| format!(" `{}` |", cell.attribute(&made.system)));
            text += &attribute.unwrap_or_else(|| " – |".to_owned());
        }
        text += "\n";
    }
    let helped = grid.target().variants.iter().filter_map(|(name, it)| Some((name, it.help.as_ref()?)));
    let lines: String = helped.map(|(name, help)| format!("- {name}: {}\n", cell_text(help))).collect();
    if lines.is_empty() { text } else { text + "\n" + &lines }
}

/// Text in one line that ends no cell of a table.
fn cell_text(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
