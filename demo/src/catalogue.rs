//! Loads real sets, and the MOCs of invented collectors: `data/*.csv`, compiled in.

use anyhow::Context;
use serde::Deserialize;

const SETS: &str = include_str!("../data/lego-sets.csv");
const MOCS: &str = include_str!("../data/mocs.csv");

/// The two people of the demo, and the id of each in tokens and rows.
pub(crate) const USERS: [(&str, &str); 2] = [("ada", "Ada"), ("jonas", "Jonas")];

/// Everything that the demo's collections are made from.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) sets: Vec<Set>,
    mocs: Vec<Moc>,
}

/// A set that was sold.
#[derive(Debug, Deserialize)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) theme: String,
    img_url: String,
}

/// A collector's own creation.
#[derive(Debug, Deserialize)]
pub(crate) struct Moc {
    owner: String,
    pub(crate) title: String,
    pub(crate) theme: String,
    inspired_by: Option<String>,
    pub(crate) build_status: String,
    /// In its parts list. 0 where there is none.
    pub(crate) pieces: u32,
    /// Per cent of the pieces that the owner has or has ordered.
    pub(crate) coverage: u32,
}

impl Catalogue {
    /// Reads what was compiled in.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let sets: Vec<Set> = rows(SETS).context("demo/data/lego-sets.csv")?;
        let mocs: Vec<Moc> = rows(MOCS).context("demo/data/mocs.csv")?;
        Ok(Self { sets, mocs })
    }

    /// A person's MOCs, newest first.
    pub(crate) fn mocs_of<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Moc> {
        self.mocs.iter().filter(move |moc| moc.owner == owner)
    }

    /// The MOCs that appear while the demo runs.
    pub(crate) fn new_mocs(&self) -> impl Iterator<Item = &Moc> {
        self.mocs_of("new")
    }

    /// All that the demo itself gives a person.
    pub(crate) fn titles_of<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a str> {
        self.mocs_of(owner).chain(self.new_mocs()).map(|moc| moc.title.as_str())
    }

    /// The picture of the set that inspired a MOC.
    pub(crate) fn cover(&self, moc: &Moc) -> Option<&str> {
        let name = moc.inspired_by.as_deref()?;
        self.sets.iter().find(|set| set.name == name).map(|set| set.img_url.as_str())
    }
}

fn rows<T: for<'row> Deserialize<'row>>(text: &str) -> Result<Vec<T>, csv::Error> {
    csv::Reader::from_reader(text.as_bytes()).into_deserialize().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_data_is_sound() {
        let catalogue = Catalogue::load().unwrap();
        assert!((300..600).contains(&catalogue.sets.len()));
        assert!(catalogue.sets.iter().all(|set| set.img_url.starts_with("https://")));
        let themes: BTreeSet<_> = catalogue.sets.iter().map(|set| set.theme.as_str()).collect();
        for moc in &catalogue.mocs {
            assert!(themes.contains(moc.theme.as_str()), "{}", moc.title);
            assert!(["ADDED", "IN_PROGRESS", "BUILT"].contains(&moc.build_status.as_str()));
            assert!(moc.coverage <= 100 && (moc.pieces > 0 || moc.coverage == 0), "{}", moc.title);
            let has_cover = catalogue.cover(moc).is_some();
            assert_eq!(has_cover, moc.inspired_by.is_some(), "{}: no such set", moc.title);
        }
    }

    #[test]
    fn titles_are_unique() {
        let catalogue = Catalogue::load().unwrap();
        let titles: BTreeSet<_> = catalogue.mocs.iter().map(|moc| moc.title.as_str()).collect();
        assert_eq!(titles.len(), catalogue.mocs.len());
    }

    #[test]
    fn the_first_collector_has_some_of_everything() {
        let catalogue = Catalogue::load().unwrap();
        let mocs: Vec<&Moc> = catalogue.mocs_of(USERS[0].0).collect();
        assert!((55..70).contains(&mocs.len()));
        for status in ["ADDED", "IN_PROGRESS", "BUILT"] {
            assert!(mocs.iter().filter(|moc| moc.build_status == status).count() >= 5);
        }
        let partial: BTreeSet<u32> =
            mocs.iter().map(|moc| moc.coverage).filter(|share| (1..100).contains(share)).collect();
        assert!(partial.len() >= 12, "various percentages: {partial:?}");
        assert!(mocs.iter().any(|moc| moc.coverage == 100));
        assert!(mocs.iter().any(|moc| moc.pieces > 0 && moc.coverage == 0));
        assert!(mocs.iter().any(|moc| moc.pieces == 0));
    }
}
