//! The server of the simulated world: one user's data at a time, with revisions.
//!
//! Each section contains its revision inside what it shows, so that a checker can tell from the
//! view alone how old it is. The number of wishlist items names the user and the epoch.

use std::fmt::Write as _;

use client_sdk::View;
use client_sdk::machine::Response;
use client_sdk::random::Random;
use client_sdk::time::Millis;

use crate::bench::status;

/// One user's data.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) epoch: u64,
    pub(super) user: u64,
    pub(super) revision: u64,
    summary: u64,
    themes: u64,
    partial: u64,
    /// Number and revision of the recent MOCs.
    recent: Vec<(u64, u64)>,
    mocs: u64,
}

/// What a view shows, as revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) owner: u64,
    pub(super) summary: u64,
    pub(super) themes: u64,
    pub(super) partial: u64,
    /// Number and revision of the recent MOCs.
    pub(super) recent: Vec<(u64, u64)>,
}

impl Server {
    pub(super) fn new(user: u64, epoch: u64, revision: u64) -> Self {
        let (summary, themes, partial) = (revision, revision, revision);
        Self { epoch, user, revision, summary, themes, partial, recent: Vec::new(), mocs: 0 }
    }

    /// A committed change; the frames that the server pushes for it.
    pub(super) fn change(&mut self, random: &mut Random) -> Vec<String> {
        self.revision += 1;
        let at = self.revision;
        match random.span(Millis(0), Millis(5)).0 {
            0 => {
                self.themes = at;
                vec![event("dashboard:themeBreakdownUpdated", at, &self.themes_json())]
            }
            1 => {
                self.partial = at;
                vec![event("dashboard:partialPartsUpdated", at, &self.partial_json())]
            }
            2 => {
                // Renamed, or one deleted: the list as a whole.
                if random.span(Millis(0), Millis(2)).0 == 0 {
                    self.recent.pop();
                }
                for (_, revision) in &mut self.recent {
                    *revision = at;
                }
                vec![event("dashboard:recentMocsUpdated", at, &self.recent_json())]
            }
            _ => {
                // Several may be new at once.
                let count = random.span(Millis(0), Millis(5)).0.saturating_sub(2).max(1);
                let mut events = Vec::new();
                for _ in 0..count {
                    self.mocs += 1;
                    self.recent.insert(0, (self.mocs, at));
                    events.push(event("dashboard:recentMocAdded", at, &moc((self.mocs, at))));
                }
                self.recent.truncate(10);
                self.summary = at;
                events.push(event("dashboard:summaryUpdated", at, &self.summary_json()));
                events
            }
        }
    }

    pub(super) fn snapshot(&self) -> Response {
        Response {
            etag: Some(format!("\"{}\"", self.tag())),
            body: format!(
                r#"{{"summary":{},"themeBreakdown":{},"recentMocs":{},"partialPartsMocs":{}}}"#,
                self.summary_json(),
                self.themes_json(),
                self.recent_json(),
                self.partial_json(),
            ),
            ..status(200)
        }
    }

    /// Each user has a separate epoch, as on a real server.
    pub(super) fn tag(&self) -> String {
        format!("e{}u{}-{}", self.epoch, self.user, self.revision)
    }

    /// The number that names this user and epoch in every summary.
    pub(super) fn owner(&self) -> u64 {
        self.user * 1_000 + self.epoch
    }

    /// Whether that is exactly this server's data.
    pub(super) fn is_shown_by(&self, seen: &Seen) -> bool {
        (seen.owner, seen.summary, seen.themes, seen.partial)
            == (self.owner(), self.summary, self.themes, self.partial)
            && seen.recent == self.recent
    }

    fn summary_json(&self) -> String {
        let (total, owner) = (self.summary, self.owner());
        format!(
            r#"{{"totalMocs":{total},"totalWishlistItems":{owner},"mocsByBuildStatus":{{"ADDED":{total},"IN_PROGRESS":0,"BUILT":0}},"mocsByCoverageStatus":{{"FULL_INVENTORY":0,"PARTIAL_ORDERED":0,"NONE":{total}}}}}"#
        )
    }

    fn themes_json(&self) -> String {
        format!(r#"[{{"theme":"Castle","mocCount":{},"setCount":0}}]"#, self.themes)
    }

    fn partial_json(&self) -> String {
        let title = self.partial;
        format!(
            r#"[{{"id":"00000000-0000-7000-8000-000000000001","title":"{title}","theme":"Castle","buildStatus":"ADDED","coveragePercentage":50,"lastUpdatedAt":"2026-11-23T09:30:00Z"}}]"#
        )
    }

    fn recent_json(&self) -> String {
        let mut json = String::from("[");
        for (index, recent) in self.recent.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(json, "{comma}{}", moc(*recent));
        }
        json + "]"
    }
}

impl Seen {
    pub(super) fn of(view: &View) -> Self {
        let number = |text: &str| text.parse::<u64>().unwrap();
        let recent = view.recent_mocs.iter().map(|moc| {
            let (title, revision) = moc.title.as_str().split_once(" of revision ").unwrap();
            (number(title), number(revision))
        });
        Self {
            owner: view.summary.total_wishlist_items.into(),
            summary: view.summary.total_mocs.into(),
            themes: view.theme_breakdown[0].moc_count.into(),
            partial: number(view.partial_parts_mocs[0].title.as_str()),
            recent: recent.collect(),
        }
    }

    pub(super) fn newest_recent(&self) -> Option<u64> {
        self.recent.iter().map(|(_, revision)| *revision).max()
    }
}

fn moc((number, revision): (u64, u64)) -> String {
    format!(
        r#"{{"id":"00000000-0000-7000-8000-{number:012}","title":"{number} of revision {revision}","theme":"Castle","buildStatus":"ADDED","coverImageUrl":null,"createdAt":"2026-11-23T09:30:00Z"}}"#
    )
}

fn event(name: &str, revision: u64, payload: &str) -> String {
    format!(
        r#"42/dashboard,["{name}",{{"eventId":"0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60","type":"{name}","timestamp":"2026-11-23T09:30:00Z","revision":{revision},"payload":{payload}}}]"#
    )
}
