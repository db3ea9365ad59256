//! What an image says it is.

use std::{collections::BTreeMap, io::Read as _};

use bootway_image::{NodeKind, Tree};
use bootway_plan::Judgement;
use serde::Serialize;

use super::Notes;

/// More than the file ever has.
const MOST: u64 = 64 << 10;

/// `etc/lsb-release` of a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Release {
    /// The board that it was built for: `octopus`.
    pub board: Option<String>,
    /// `15236.80.0`.
    pub version: Option<String>,
    /// Of Chrome: `109`.
    pub milestone: Option<String>,
    /// `stable-channel`.
    pub track: Option<String>,
    /// Every line of the file.
    pub fields: BTreeMap<String, String>,
}

impl Release {
    /// What the root says, if it says anything.
    pub(super) fn of(root: &Tree) -> Option<Self> {
        let at = root.follow("etc/lsb-release")?;
        let NodeKind::File(content) = &root.file(&at)?.kind else { return None };
        let mut text = Vec::new();
        content.open().ok()?.take(MOST).read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text);
        let fields: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let get = |key: &str| fields.get(&format!("CHROMEOS_RELEASE_{key}")).cloned();
        // What follows the board says with which keys it was signed.
        let board = get("BOARD").map(|board| board.split("-signed-").next().unwrap_or(&board).to_owned());
        Some(Self {
            board,
            version: get("VERSION"),
            milestone: get("CHROME_MILESTONE"),
            track: get("TRACK"),
            fields,
        })
    }
}

pub(super) fn findings(release: Option<&Release>, root: Option<&Tree>, notes: &mut Notes<'_>) {
    let Some(release) = release else {
        if root.is_some() {
            notes.say(
                Judgement::Fact,
                "release",
                "not said",
                "its root has no etc/lsb-release: not an image of Google's",
            );
        }
        return;
    };
    let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "not said".to_owned());
    notes.say(
        Judgement::Fact,
        "board",
        said(&release.board),
        format!(
            "CHROMEOS_RELEASE_BOARD={}",
            release.fields.get("CHROMEOS_RELEASE_BOARD").map_or("", String::as_str)
        ),
    );
    let what = release.fields.get("CHROMEOS_RELEASE_BUILD_TYPE").map_or("", String::as_str);
    notes.say(
        Judgement::Fact,
        "release",
        format!("{} (Chrome {})", said(&release.version), said(&release.milestone)),
        format!(
            "{} of {}, etc/lsb-release",
            if what.is_empty() { "an image" } else { what },
            said(&release.track)
        ),
    );
}
