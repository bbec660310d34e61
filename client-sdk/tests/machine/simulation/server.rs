//! The server of the simulated world: one user's data at a time, with revisions.
//!
//! Each section bears its own revision inside what it shows, so that a checker can tell from the
//! view alone how old it is; and the number of wishlist items names the user and the epoch.

use client_sdk::View;
use client_sdk::machine::Response;
use client_sdk::random::Random;
use client_sdk::time::Millis;
use serde_json::{Value, json};

use crate::bench::event;

/// One user's data.
#[derive(Clone)]
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
    pub(super) owner: u32,
    pub(super) summary: u64,
    pub(super) themes: u64,
    pub(super) partial: u64,
    /// The newest revision among the recent MOCs, if there is any.
    pub(super) recent: Option<u64>,
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
        let mut frames = Vec::new();
        match random.span(Millis(0), Millis(5)).0 {
            0 => {
                self.themes = at;
                frames.push(event("dashboard:themeBreakdownUpdated", at, &self.themes_json()));
            }
            1 => {
                self.partial = at;
                frames.push(event("dashboard:partialPartsUpdated", at, &self.partial_json()));
            }
            2 => {
                // Renamed, or one deleted: the list as a whole.
                if random.span(Millis(0), Millis(2)).0 == 0 {
                    self.recent.pop();
                }
                for (_, revision) in &mut self.recent {
                    *revision = at;
                }
                frames.push(event("dashboard:recentMocsUpdated", at, &self.recent_json()));
            }
            _ => {
                self.mocs += 1;
                self.recent.insert(0, (self.mocs, at));
                self.recent.truncate(10);
                frames.push(event("dashboard:recentMocAdded", at, &moc((self.mocs, at))));
                self.summary = at;
                frames.push(event("dashboard:summaryUpdated", at, &self.summary_json()));
            }
        }
        frames
    }

    pub(super) fn snapshot(&self) -> Response {
        Response {
            status: 200,
            etag: Some(self.tag()),
            retry_after: None,
            body: json!({
                "summary": self.summary_json(),
                "themeBreakdown": self.themes_json(),
                "recentMocs": self.recent_json(),
                "partialPartsMocs": self.partial_json(),
            })
            .to_string(),
        }
    }

    pub(super) fn tag(&self) -> String {
        format!("\"e{}-{}\"", self.epoch, self.revision)
    }

    /// The number that names this user and epoch in every summary.
    pub(super) fn owner(&self) -> u64 {
        self.user * 1_000 + self.epoch
    }

    /// Whether the view is exactly this server's data.
    pub(super) fn is_shown_by(&self, view: &View) -> bool {
        let shown: Vec<String> = view.recent_mocs.iter().map(|moc| moc.title.to_string()).collect();
        let here: Vec<String> = self.recent.iter().map(|moc| title(*moc)).collect();
        let seen = Seen::of(view);
        (u64::from(seen.owner), seen.summary, seen.themes, seen.partial)
            == (self.owner(), self.summary, self.themes, self.partial)
            && shown == here
    }

    fn summary_json(&self) -> Value {
        let mut summary = crate::bench::summary(self.summary);
        summary["totalWishlistItems"] = self.owner().into();
        summary
    }

    fn themes_json(&self) -> Value {
        json!([{ "theme": "Castle", "mocCount": self.themes, "setCount": 0 }])
    }

    fn partial_json(&self) -> Value {
        json!([{
            "id": "00000000-0000-7000-8000-000000000001",
            "title": self.partial.to_string(),
            "theme": "Castle",
            "buildStatus": "ADDED",
            "coveragePercentage": 50,
            "lastUpdatedAt": "2026-11-23T09:30:00Z",
        }])
    }

    fn recent_json(&self) -> Value {
        self.recent.iter().map(|recent| moc(*recent)).collect()
    }
}

impl Seen {
    pub(super) fn of(view: &View) -> Self {
        let number = |text: &str| text.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        Self {
            owner: view.summary.total_wishlist_items,
            summary: view.summary.total_mocs.into(),
            themes: view.theme_breakdown[0].moc_count.into(),
            partial: number(view.partial_parts_mocs[0].title.as_str()),
            recent: view.recent_mocs.iter().map(|moc| number(moc.title.as_str())).max(),
        }
    }
}

fn moc(recent: (u64, u64)) -> Value {
    let mut moc = crate::bench::moc(recent.0);
    moc["title"] = title(recent).into();
    moc
}

fn title((number, revision): (u64, u64)) -> String {
    format!("MOC {number} of revision {revision}")
}
