//! Plans a collection before a row is written: parts lists, and an inventory that covers just the wanted
//! share of each.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::catalogue::{Catalogue, Moc};
use crate::random::Random;

const SETS_MAX: usize = 40;
const WISHES_MAX: usize = 15;
const HOUR: f64 = 3_600.0;

/// Elements that most creations are made of, by their numbers in the catalogues.
const PARTS: [&str; 80] = [
    "3001", "3002", "3003", "3004", "3005", "3008", "3009", "3010", "3020", "3021", "3022", "3023",
    "3024", "3028", "3029", "3030", "3031", "3032", "3034", "3035", "3036", "3037", "3038", "3039",
    "3040", "3062b", "3068b", "3069b", "3070b", "3298", "3460", "3622", "3623", "3660", "3665",
    "3666", "3700", "3701", "3702", "3710", "3713", "3747b", "3795", "3832", "3894", "3958",
    "4070", "4150", "4162", "4274", "4286", "4287", "4477", "4510", "4589", "4733", "4865b",
    "6091", "6141", "6541", "6558", "6636", "11211", "11212", "11477", "14719", "15068", "15573",
    "22885", "24246", "24866", "25269", "26603", "54200", "60478", "63864", "85984", "87079",
    "87087", "99207",
];
/// Colours as the catalogues number them.
const COLOURS: [i32; 30] = [
    0, 1, 2, 4, 5, 6, 14, 15, 19, 25, 26, 27, 28, 29, 70, 71, 72, 73, 84, 85, 92, 191, 212, 226,
    272, 288, 308, 320, 326, 484,
];

/// A part in a colour.
pub(crate) type Element = (&'static str, i32);

/// One person's data.
#[derive(Debug)]
pub(crate) struct Collection<'a> {
    pub(crate) user: &'a str,
    pub(crate) mocs: Vec<PlannedMoc<'a>>,
    pub(crate) inventory: Vec<Stock>,
    /// Titles and themes.
    pub(crate) sets: Vec<(&'a str, &'a str)>,
    /// Titles.
    pub(crate) wishes: Vec<&'a str>,
}

/// A MOC with its parts list.
#[derive(Debug)]
pub(crate) struct PlannedMoc<'a> {
    pub(crate) id: Uuid,
    pub(crate) moc: &'a Moc,
    pub(crate) cover: Option<&'a str>,
    /// How long ago it was added, in seconds.
    pub(crate) age: f64,
    /// How long ago it last changed, in seconds.
    pub(crate) touched: f64,
    pub(crate) parts: Vec<Lot>,
}

/// A number of pieces of one element in a parts list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lot {
    pub(crate) element: Element,
    pub(crate) quantity: u32,
}

/// A number of pieces of one element that a person owns or has ordered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stock {
    pub(crate) element: Element,
    pub(crate) owned: u32,
    pub(crate) ordered: u32,
}

/// Works out one person's collection. The result is the same at every call.
pub(crate) fn collection<'a>(catalogue: &'a Catalogue, user: &'a str) -> Collection<'a> {
    let mut random =
        Random::seeded(user.bytes().fold(0x0010_0c5e, |seed, byte| seed * 31 + u64::from(byte)));
    let mut taken = BTreeSet::new();
    let mut inventory = Vec::new();
    let mut mocs = Vec::new();
    for (place, moc) in catalogue.mocs_of(user).enumerate() {
        let parts = parts_list(moc.pieces, &mut taken, &mut random);
        inventory.extend(stock(moc, &parts, &mut random));
        let age = age(place);
        let cover = catalogue.cover(moc);
        let touched = age * (0.05 + 0.8 * fraction(&mut random));
        mocs.push(PlannedMoc { id: random.id(), moc, cover, age, touched, parts });
    }
    let (sets, wishes) = shelves(catalogue, &mocs, &mut random);
    Collection { user, mocs, inventory, sets, wishes }
}

/// A parts list with exactly this number of pieces. It uses no element that is already `taken`, so that
/// what covers one MOC leaves the others as they are.
pub(crate) fn parts_list(
    pieces: u32,
    taken: &mut BTreeSet<Element>,
    random: &mut Random,
) -> Vec<Lot> {
    if pieces == 0 {
        return Vec::new();
    }
    let wanted = (pieces / 40).clamp(6, 40);
    let mut lots = Vec::new();
    let mut rest = pieces;
    for left in (1..=wanted).rev() {
        let even = rest / left;
        let quantity = if left == 1 {
            rest
        } else {
            // Half to one and a half times the even share, and at least one for each later lot.
            let spread = u32::try_from(random.below(even as usize + 1)).unwrap_or(0);
            (even / 2 + spread).clamp(1, rest - (left - 1))
        };
        rest -= quantity;
        lots.push(Lot { element: free_element(taken, random), quantity });
    }
    lots
}

/// Every element that there is.
pub(crate) fn elements() -> impl Iterator<Item = Element> {
    COLOURS.iter().flat_map(|colour| PARTS.iter().map(|part| (*part, *colour)))
}

fn free_element(taken: &mut BTreeSet<Element>, random: &mut Random) -> Element {
    let all = PARTS.len() * COLOURS.len();
    let start = random.below(all);
    let nth = |at: usize| (PARTS[at % PARTS.len()], COLOURS[at / PARTS.len()]);
    let found =
        (start..start + all).map(|at| nth(at % all)).find(|element| !taken.contains(element));
    // With every element taken, lots of two MOCs share one: the shares are then less exact.
    let element = found.unwrap_or(nth(start));
    taken.insert(element);
    element
}

/// Just enough for the MOC's coverage: lots in order, the last one cut.
fn stock(moc: &Moc, parts: &[Lot], random: &mut Random) -> Vec<Stock> {
    // Rounded up, because the share is rounded down when it is shown.
    let mut left = (moc.pieces * moc.coverage).div_ceil(100);
    let mut stock = Vec::new();
    for lot in parts {
        let usable = lot.quantity.min(left);
        if usable == 0 {
            break;
        }
        left -= usable;
        // What is built is owned. The rest comes partly from shops that have not delivered yet.
        let ordered = match random.below(10) {
            _ if moc.build_status == "BUILT" => 0,
            0..5 => 0,
            5..8 => usable,
            _ => usable / 2,
        };
        stock.push(Stock { element: lot.element, owned: usable - ordered, ordered });
    }
    stock
}

type Shelves<'a> = (Vec<(&'a str, &'a str)>, Vec<&'a str>);

/// Sets on the shelf, mostly of the themes that the person builds in, and sets on the wishlist.
fn shelves<'a>(
    catalogue: &'a Catalogue,
    mocs: &[PlannedMoc<'a>],
    random: &mut Random,
) -> Shelves<'a> {
    let themes: BTreeSet<&str> = mocs.iter().map(|planned| planned.moc.theme.as_str()).collect();
    let mut sets: Vec<_> = catalogue.sets.iter().collect();
    random.shuffle(&mut sets);
    // Stable, so the shuffled order stays within each half.
    sets.sort_by_key(|set| !themes.contains(set.theme.as_str()));
    let owned = sets.len().min(SETS_MAX * mocs.len().div_ceil(4) / 16).min(SETS_MAX);
    let wished = owned.min(WISHES_MAX);
    let shelf = sets.iter().take(owned).map(|set| (set.name.as_str(), set.theme.as_str()));
    let wishlist = sets.iter().skip(owned).take(wished).map(|set| set.name.as_str());
    (shelf.collect(), wishlist.collect())
}

/// From half an hour to about two years: many lately, fewer long ago.
fn age(place: usize) -> f64 {
    let place = f64::from(u32::try_from(place).unwrap_or(u32::MAX));
    HOUR * (0.6 + 2.0 * place.powf(2.15))
}

fn fraction(random: &mut Random) -> f64 {
    f64::from(u32::try_from(random.below(1 << 20)).unwrap_or(0)) / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalogue::USERS;

    #[test]
    fn every_moc_is_covered_as_wanted() {
        let catalogue = Catalogue::load().unwrap();
        for (user, _) in USERS {
            let collection = collection(&catalogue, user);
            let stock: BTreeMap<Element, u32> = collection
                .inventory
                .iter()
                .map(|stock| (stock.element, stock.owned + stock.ordered))
                .collect();
            assert_eq!(stock.len(), collection.inventory.len(), "one row per element");
            for PlannedMoc { moc, parts, .. } in &collection.mocs {
                let total: u32 = parts.iter().map(|lot| lot.quantity).sum();
                assert_eq!(total, moc.pieces, "{}", moc.title);
                assert!(parts.iter().all(|lot| lot.quantity > 0), "{}", moc.title);
                let usable = |lot: &Lot| stock.get(&lot.element).copied().unwrap_or(0);
                let covered: u32 = parts.iter().map(|lot| lot.quantity.min(usable(lot))).sum();
                let share = (covered * 100).checked_div(total).unwrap_or(0);
                assert_eq!(share, moc.coverage, "{}", moc.title);
            }
        }
    }

    #[test]
    fn a_collection_is_the_same_every_time() {
        let catalogue = Catalogue::load().unwrap();
        let print = || format!("{:?}", collection(&catalogue, USERS[0].0));
        assert_eq!(print(), print());
    }

    #[test]
    fn shelves_are_full_and_differ() {
        let catalogue = Catalogue::load().unwrap();
        let [ada, jonas] = USERS.map(|(user, _)| collection(&catalogue, user));
        assert_eq!((ada.sets.len(), ada.wishes.len()), (40, 15));
        assert!((3..20).contains(&jonas.sets.len()), "{}", jonas.sets.len());
        assert!(ada.wishes.iter().all(|wish| !ada.sets.iter().any(|(title, _)| title == wish)));
    }

    #[test]
    fn the_newest_moc_is_first() {
        let catalogue = Catalogue::load().unwrap();
        let mocs = collection(&catalogue, USERS[0].0).mocs;
        assert!(mocs.windows(2).all(|pair| pair[0].age < pair[1].age));
        assert!(mocs.iter().all(|moc| moc.touched < moc.age));
        assert!(mocs.last().unwrap().age < 3.0 * 366.0 * 24.0 * HOUR);
    }
}
