//! Models the rules of the source: over plain rows, in plain Rust, with nothing in common with its SQL.

mod snapshot;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

/// What is projected of all users, by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    mocs: BTreeMap<String, Moc>,
    /// By feed and key: owner and theme.
    sets: BTreeMap<(String, String), (String, String)>,
    wishes: BTreeMap<(String, String), String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Moc {
    user: String,
    title: String,
    theme: String,
    build_status: &'static str,
    /// As the database writes them.
    created_at: String,
    updated_at: String,
    covered: i64,
    total: i64,
}

/// What each user sees.
#[derive(Default)]
pub(super) struct Views(BTreeMap<String, View>);

/// The four sections, and the rows that they are made of.
#[derive(Clone, Default, PartialEq, Eq)]
struct View {
    summary: [usize; 8],
    themes: BTreeMap<String, (usize, usize)>,
    recent: Vec<(String, String, String, String, &'static str)>,
    partial: BTreeMap<String, (String, String, &'static str, i64, String)>,
    mocs: BTreeMap<String, (String, String, &'static str, String, &'static str)>,
    sets: BTreeMap<(String, String), String>,
    wishes: BTreeSet<(String, String)>,
}

#[derive(FromRow)]
struct Instruction {
    id: Uuid,
    user_id: String,
    title: String,
    r#type: String,
    theme: Option<String>,
    tags: Option<serde_json::Value>,
    build_status: String,
    want_to_build: Option<bool>,
    created_at: String,
    updated_at: String,
}

#[derive(FromRow)]
struct List {
    id: Uuid,
    moc_id: Uuid,
    purchased: Option<bool>,
    total_parts_count: Option<String>,
}

#[derive(FromRow)]
struct ProjectedMoc {
    key: String,
    user_id: String,
    title: String,
    theme: String,
    build_status: String,
    created_at: String,
    updated_at: String,
    covered_parts: i64,
    total_parts: i64,
    coverage_percentage: i64,
    coverage_status: String,
}

/// The application's rows.
struct Rows {
    instructions: Vec<Instruction>,
    /// By MOC.
    lists: BTreeMap<Uuid, Vec<List>>,
    /// By list. A negative quantity is none.
    parts: BTreeMap<Uuid, Vec<(Lot, i64)>>,
    inventory: Vec<(String, String, String, i32)>,
    sets: Vec<(Uuid, String, String, Option<String>)>,
    wishes: Vec<(Uuid, String)>,
    /// The least theme of each tag, which is in lower case.
    mappings: BTreeMap<String, String>,
}

/// Part and colour.
type Lot = (String, String);

const MAX: i64 = 2_147_483_647;

impl Moc {
    fn percentage(&self) -> i64 {
        match (self.covered, self.total) {
            (0, _) => 0,
            (covered, total) if covered >= total => 100,
            (covered, total) => (covered * 100 / total).max(1),
        }
    }

    fn coverage(&self) -> &'static str {
        match (self.covered, self.total) {
            (0, _) => "NONE",
            (covered, total) if covered >= total => "FULL_INVENTORY",
            _ => "PARTIAL_ORDERED",
        }
    }
}

fn is_owner(user: &str) -> bool {
    (1..=255).contains(&user.len())
}

/// The beginning of a text, in whole letters and with at most that number of UTF-16 units.
fn first(text: &str, units: usize) -> String {
    let mut taken = 0;
    let fits = |letter: &char| {
        taken += letter.len_utf16();
        taken <= units
    };
    text.chars().take_while(fits).collect()
}

/// As the tags and themes of the source are trimmed: of spaces.
fn trimmed(text: &str) -> &str {
    text.trim_matches(' ')
}

impl Model {
    pub(super) fn is_empty(&self) -> bool {
        self.mocs.is_empty() || self.sets.is_empty() || self.wishes.is_empty()
    }

    /// What one has and the other has not, a line each.
    pub(super) fn minus(&self, other: &Self) -> Vec<String> {
        let mocs = self.mocs.iter().filter(|(key, moc)| other.mocs.get(*key) != Some(moc));
        let sets = self.sets.iter().filter(|(key, set)| other.sets.get(*key) != Some(set));
        let wishes = self.wishes.iter().filter(|(key, wish)| other.wishes.get(*key) != Some(wish));
        mocs.map(|row| format!("{row:?}"))
            .chain(sets.map(|row| format!("{row:?}")))
            .chain(wishes.map(|row| format!("{row:?}")))
            .collect()
    }

    /// What the rules say.
    pub(super) async fn of(connection: &mut PgConnection) -> Self {
        let rows = Rows::read(connection).await;
        let have = rows.have();
        let mut model = Self::default();
        for moc in rows.instructions.iter().filter(|moc| is_owner(&moc.user_id)) {
            let key = moc.id.to_string();
            if !moc.is_moc() {
                let set = (moc.user_id.clone(), set_theme(moc.theme.as_deref()));
                model.sets.insert(("built_sets".to_owned(), key), set);
            } else if moc.build_status != "parted_out" {
                model.mocs.insert(key, rows.project(moc, &have));
            }
        }
        for (id, user, status, theme) in rows.sets.iter().filter(|(_, user, ..)| is_owner(user)) {
            match status.as_str() {
                "owned" => {
                    let set = (user.clone(), set_theme(theme.as_deref()));
                    model.sets.insert(("sets".to_owned(), id.to_string()), set);
                }
                "wanted" => {
                    model.wishes.insert(("wishlist".to_owned(), id.to_string()), user.clone());
                }
                _ => {}
            }
        }
        let bought: BTreeSet<_> = rows.sets.iter().map(|(id, ..)| id).collect();
        for (id, user) in rows.wishes.iter().filter(|(_, user)| is_owner(user)) {
            if !bought.contains(id) {
                model.wishes.insert(("old_wishlist".to_owned(), id.to_string()), user.clone());
            }
        }
        model
    }

    /// What the read model holds.
    pub(super) async fn projected(connection: &mut PgConnection) -> Self {
        let mocs: Vec<ProjectedMoc> = sqlx::query_as(
            "select key, user_id, title, theme, build_status::text,
                    (created_at at time zone 'UTC')::text as created_at,
                    (updated_at at time zone 'UTC')::text as updated_at,
                    covered_parts::int8, total_parts::int8, coverage_percentage::int8,
                    coverage_status::text
             from dashboard.mocs where user_id is not null",
        )
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        let mut model = Self::default();
        for row in mocs {
            let build_status = ["ADDED", "IN_PROGRESS", "BUILT"]
                .into_iter()
                .find(|known| *known == row.build_status)
                .unwrap_or("other");
            let moc = Moc {
                user: row.user_id,
                title: row.title,
                theme: row.theme,
                build_status,
                created_at: row.created_at,
                updated_at: row.updated_at,
                covered: row.covered_parts,
                total: row.total_parts,
            };
            assert_eq!(row.coverage_percentage, moc.percentage());
            assert_eq!(row.coverage_status, moc.coverage());
            model.mocs.insert(row.key, moc);
        }
        let sets: Vec<(String, String, String, String)> = sqlx::query_as(
            "select f.name, key, user_id, theme
             from dashboard.sets join dashboard.feeds as f on number = feed
             where user_id is not null",
        )
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        model.sets =
            sets.into_iter().map(|(feed, key, user, theme)| ((feed, key), (user, theme))).collect();
        let wishes: Vec<(String, String, String)> = sqlx::query_as(
            "select f.name, key, user_id
             from dashboard.wishlist_items join dashboard.feeds as f on number = feed
             where user_id is not null",
        )
        .fetch_all(connection)
        .await
        .unwrap();
        model.wishes = wishes.into_iter().map(|(feed, key, user)| ((feed, key), user)).collect();
        model
    }

    pub(super) fn views(&self) -> Views {
        let mut views = BTreeMap::<String, View>::new();
        for (key, moc) in &self.mocs {
            let view = views.entry(moc.user.clone()).or_default();
            view.summary[0] += 1;
            view.summary[match moc.build_status {
                "ADDED" => 2,
                "IN_PROGRESS" => 3,
                _ => 4,
            }] += 1;
            view.summary[match moc.coverage() {
                "NONE" => 5,
                "PARTIAL_ORDERED" => 6,
                _ => 7,
            }] += 1;
            view.themes.entry(moc.theme.clone()).or_default().0 += 1;
            view.recent.push((
                moc.created_at.clone(),
                key.clone(),
                moc.title.clone(),
                moc.theme.clone(),
                moc.build_status,
            ));
            if moc.coverage() == "PARTIAL_ORDERED" {
                let (title, theme) = (moc.title.clone(), moc.theme.clone());
                let row =
                    (title, theme, moc.build_status, moc.percentage(), moc.updated_at.clone());
                view.partial.insert(key.clone(), row);
            }
            let row = (
                moc.title.clone(),
                moc.theme.clone(),
                moc.build_status,
                moc.created_at.clone(),
                moc.coverage(),
            );
            view.mocs.insert(key.clone(), row);
        }
        for (key, (user, theme)) in &self.sets {
            let view = views.entry(user.clone()).or_default();
            view.themes.entry(theme.clone()).or_default().1 += 1;
            view.sets.insert(key.clone(), theme.clone());
        }
        for (key, user) in &self.wishes {
            let view = views.entry(user.clone()).or_default();
            view.summary[1] += 1;
            view.wishes.insert(key.clone());
        }
        for view in views.values_mut() {
            view.recent.sort();
            view.recent.reverse();
            view.recent.truncate(10);
        }
        Views(views)
    }
}

fn set_theme(theme: Option<&str>) -> String {
    let theme = theme.map(trimmed).filter(|theme| !theme.is_empty());
    first(theme.unwrap_or("Uncategorized"), 200)
}

impl Instruction {
    fn is_moc(&self) -> bool {
        self.r#type.to_lowercase() != "set"
    }
}

impl Rows {
    async fn read(connection: &mut PgConnection) -> Self {
        let time = |column: &str| {
            format!("least(greatest({column}, '1900-01-01'), '9999-12-31')::text as {column}")
        };
        let instructions = format!(
            "select id, user_id, title, type, theme, tags, build_status, want_to_build, {}, {}
             from public.moc_instructions",
            time("created_at"),
            time("updated_at")
        );
        let mut rows = Self {
            instructions: all(connection, &instructions).await,
            lists: BTreeMap::new(),
            inventory: all(
                connection,
                "select user_id, part_number, color, quantity from public.parts_inventory",
            )
            .await,
            sets: all(connection, "select id, user_id, status, theme from public.sets").await,
            wishes: all(connection, "select id, user_id from public.wishlist_items").await,
            mappings: BTreeMap::new(),
            parts: BTreeMap::new(),
        };
        let lists = "select id, moc_id, purchased, total_parts_count from public.moc_parts_lists";
        for list in all::<List>(connection, lists).await {
            rows.lists.entry(list.moc_id).or_default().push(list);
        }
        let mappings: Vec<(String, String)> =
            all(connection, "select tag, theme from public.tag_theme_mappings").await;
        for (tag, theme) in mappings.into_iter().filter(|(_, theme)| !trimmed(theme).is_empty()) {
            let least = rows.mappings.entry(tag.to_lowercase()).or_insert_with(|| theme.clone());
            if theme < *least {
                *least = theme;
            }
        }
        let parts: Vec<(Uuid, String, String, i32)> =
            all(connection, "select parts_list_id, part_id, color, quantity from public.moc_parts")
                .await;
        for (list, part, color, quantity) in parts {
            let quantity = i64::from(quantity).max(0);
            rows.parts.entry(list).or_default().push(((part, color), quantity));
        }
        rows
    }

    fn lists(&self, moc: Uuid) -> impl Iterator<Item = (&List, &[(Lot, i64)])> {
        let lists = self.lists.get(&moc).into_iter().flatten();
        lists.map(|list| (list, self.parts.get(&list.id).map_or(&[][..], Vec::as_slice)))
    }

    /// What users have of a lot, with the parts of what they have taken apart for good.
    fn have(&self) -> BTreeMap<(String, Lot), i64> {
        let mut have = BTreeMap::new();
        for (user, part, color, quantity) in &self.inventory {
            let lot = (part.clone(), color.clone());
            *have.entry((user.clone(), lot)).or_default() += i64::from(*quantity);
        }
        for given in self.instructions.iter().filter(|moc| moc.is_moc()) {
            if given.build_status == "parted_out" && given.want_to_build == Some(false) {
                for (lot, quantity) in self.lists(given.id).flat_map(|(_, parts)| parts) {
                    *have.entry((given.user_id.clone(), lot.clone())).or_default() += quantity;
                }
            }
        }
        have
    }

    fn theme(&self, moc: &Instruction) -> String {
        let tags = moc.tags.as_ref().and_then(|tags| tags.as_array()).into_iter().flatten();
        let tagged = tags
            .filter_map(|tag| match tag {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.to_lowercase()),
                other => Some(other.to_string().to_lowercase()),
            })
            .filter_map(|tag| self.mappings.get(&tag).map(String::as_str))
            .min();
        let own = moc.theme.as_deref().map(trimmed).filter(|theme| !theme.is_empty());
        first(own.or(tagged.map(trimmed)).unwrap_or("Uncategorized"), 200)
    }

    fn project(&self, moc: &Instruction, have: &BTreeMap<(String, Lot), i64>) -> Moc {
        let (mut covered, mut total) = (0, 0);
        let mut need = BTreeMap::<&Lot, i64>::new();
        for (list, parts) in self.lists(moc.id) {
            let stated = list.total_parts_count.as_deref().unwrap_or_default();
            let is_number =
                (1..=9).contains(&stated.len()) && stated.bytes().all(|byte| byte.is_ascii_digit());
            let size: i64 = match parts {
                [] if is_number => stated.parse().unwrap(),
                parts => parts.iter().map(|(_, quantity)| quantity).sum(),
            };
            total += size;
            if list.purchased == Some(true) {
                covered += size;
            } else {
                for (lot, quantity) in parts {
                    *need.entry(lot).or_default() += quantity;
                }
            }
        }
        for (lot, quantity) in need {
            let lots = have.get(&(moc.user_id.clone(), lot.clone())).copied().unwrap_or_default();
            covered += quantity.min(lots.max(0));
        }
        let title = first(&moc.title, 200);
        Moc {
            user: moc.user_id.clone(),
            title: if title.is_empty() { "Untitled".to_owned() } else { title },
            theme: self.theme(moc),
            build_status: match moc.build_status.as_str() {
                "building" => "IN_PROGRESS",
                "complete" => "BUILT",
                _ => "ADDED",
            },
            created_at: moc.created_at.clone(),
            updated_at: moc.updated_at.clone(),
            covered: covered.min(MAX),
            total: total.min(MAX),
        }
    }
}

async fn all<T>(connection: &mut PgConnection, query: &str) -> Vec<T>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(AssertSqlSafe(query.to_owned())).fetch_all(connection).await.unwrap()
}

impl Views {
    /// The users who see something else now, and where.
    pub(super) fn differences(&self, before: &Self) -> Vec<(String, i16)> {
        let users: BTreeSet<_> = self.0.keys().chain(before.0.keys()).collect();
        let empty = View::default();
        let mut differences = Vec::new();
        for user in users {
            let now = self.0.get(user).unwrap_or(&empty);
            let was = before.0.get(user).unwrap_or(&empty);
            let sections = i16::from(now.summary != was.summary)
                | i16::from(now.themes != was.themes) << 1
                | i16::from(now.recent != was.recent) << 2
                | i16::from(now.partial != was.partial) << 3;
            if sections != 0 {
                differences.push((user.clone(), sections));
            }
        }
        differences
    }

    /// The sections that a user may be informed of: those whose rows differ. What two rows do to a section may
    /// cancel out, and a change of any row counts for the recent list.
    pub(super) fn rows_differ(&self, before: &Self, user: &str) -> i16 {
        let empty = View::default();
        let now = self.0.get(user).unwrap_or(&empty);
        let was = before.0.get(user).unwrap_or(&empty);
        let mut sections = self
            .differences(before)
            .into_iter()
            .find(|(of, _)| of == user)
            .map_or(0, |(_, sections)| sections);
        if now.mocs != was.mocs {
            sections |= 7;
        }
        if now.sets != was.sets {
            sections |= 2;
        }
        if now.wishes != was.wishes {
            sections |= 1;
        }
        sections
    }
}
