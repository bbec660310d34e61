//! Makes a user's expected dashboard from the model alone: names, orders and formats as the contract has them,
//! written down once more.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Moc, Model};

impl Model {
    /// The body of the user's snapshot.
    pub(in crate::projector) fn snapshot(&self, user: &str) -> Value {
        let mocs: Vec<_> = self.mocs.iter().filter(|(_, moc)| moc.user == user).collect();
        let built = |status| mocs.iter().filter(|(_, moc)| moc.build_status == status).count();
        let covered = |status| mocs.iter().filter(|(_, moc)| moc.coverage() == status).count();
        let wishes = self.wishes.values().filter(|of| *of == user).count();
        json!({
            "summary": {
                "totalMocs": mocs.len(),
                "totalWishlistItems": wishes,
                "mocsByBuildStatus": {
                    "ADDED": built("ADDED"),
                    "IN_PROGRESS": built("IN_PROGRESS"),
                    "BUILT": built("BUILT")
                },
                "mocsByCoverageStatus": {
                    "FULL_INVENTORY": covered("FULL_INVENTORY"),
                    "PARTIAL_ORDERED": covered("PARTIAL_ORDERED"),
                    "NONE": covered("NONE")
                }
            },
            "themeBreakdown": self.themes(user, &mocs),
            "recentMocs": recent(mocs.clone()),
            "partialPartsMocs": partial(mocs)
        })
    }

    /// Most MOCs first, then by name.
    fn themes(&self, user: &str, mocs: &[(&String, &Moc)]) -> Value {
        let mut themes = BTreeMap::<&str, (usize, usize)>::new();
        for (_, moc) in mocs {
            themes.entry(&moc.theme).or_default().0 += 1;
        }
        for (_, theme) in self.sets.values().filter(|(of, _)| of == user) {
            themes.entry(theme).or_default().1 += 1;
        }
        let mut themes: Vec<_> = themes.into_iter().collect();
        themes.sort_by_key(|(_, (mocs, _))| Reverse(*mocs));
        let shown = themes.into_iter().map(
            |(theme, (mocs, sets))| json!({ "theme": theme, "mocCount": mocs, "setCount": sets }),
        );
        shown.collect()
    }
}

/// The ten newest. Of the same moment, the greatest id comes first.
fn recent(mut mocs: Vec<(&String, &Moc)>) -> Value {
    mocs.sort_by_key(|(id, moc)| Reverse((&moc.created_at, *id)));
    let shown = mocs.into_iter().take(10).map(|(id, moc)| {
        json!({
            "id": id,
            "title": moc.title,
            "theme": moc.theme,
            "buildStatus": moc.build_status,
            "coverImageUrl": null,
            "createdAt": timestamp(&moc.created_at)
        })
    });
    shown.collect()
}

/// The least covered first, then those that were updated last, then by id.
fn partial(mut mocs: Vec<(&String, &Moc)>) -> Value {
    mocs.retain(|(_, moc)| moc.coverage() == "PARTIAL_ORDERED");
    mocs.sort_by_key(|(id, moc)| (moc.percentage(), Reverse(&moc.updated_at), *id));
    let shown = mocs.into_iter().map(|(id, moc)| {
        json!({
            "id": id,
            "title": moc.title,
            "theme": moc.theme,
            "buildStatus": moc.build_status,
            "coveragePercentage": moc.percentage(),
            "lastUpdatedAt": timestamp(&moc.updated_at)
        })
    });
    shown.collect()
}

/// The database writes a year of four digits, and no zeros at the end of a fraction.
fn timestamp(written: &str) -> String {
    format!("{}Z", written.replace(' ', "T"))
}
