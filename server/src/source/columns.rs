//! The columns that a feed's query yields, and the SQL that corrects what the contract cannot express.

use url::Url;

use super::Kind;

/// What a query yields, and how it is corrected. Rows of an application are shown as well as possible,
/// no matter what they hold. Each value that had to be changed is marked in `oddities`.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// SQL over `given`.
    pub(crate) value: &'static str,
    /// SQL: whether the value is not what was given.
    pub(crate) is_odd: &'static str,
    /// Its bit in `oddities`.
    pub(crate) bit: i32,
    /// The report about rows with that bit.
    told: &'static str,
}

/// A row without an owner belongs to no dashboard, and an id that is longer than this fits into no index.
pub(crate) const OWNER: Column = Column {
    name: "owner",
    value: "given.user_id::text",
    is_odd: "coalesce(octet_length(given.user_id::text), 0) not between 1 and 255",
    bit: 1,
    told: "left out: without a user id of 1 to 255 bytes",
};
/// A word that is none of the three could mean any of them.
const BUILD_STATUS: Column = Column {
    name: "build_status",
    value: "case when given.build_status::text in ('ADDED', 'IN_PROGRESS', 'BUILT')
                 then given.build_status::text else 'ADDED' end::dashboard.build_status",
    is_odd: "coalesce(given.build_status::text not in ('ADDED', 'IN_PROGRESS', 'BUILT'), true)",
    bit: 2,
    told: "left out: build_status is none of ADDED, IN_PROGRESS and BUILT",
};
/// The bits that leave a row out.
pub(crate) const LEFT_OUT: i32 = OWNER.bit | BUILD_STATUS.bit;

/// SQL for a text of at most 200 UTF-16 code units, as JavaScript counts: a character of four bytes is two
/// of them, and is kept whole or not at all. No text has more units than bytes.
macro_rules! cut {
    ($text:literal) => {
        concat!(
            "case when octet_length(",
            $text,
            ") <= 200 then ",
            $text,
            " else (
                select string_agg(letter, '' order by place)
                from (
                    select letter, place,
                           sum(1 + octet_length(letter) / 4) over (order by place) as units
                    from string_to_table(left(",
            $text,
            ", 200), null) with ordinality as each (letter, place)
                ) as counted
                where units <= 200
            ) end"
        )
    };
}

const TITLE: Column = Column {
    name: "title",
    value: cut!("coalesce(nullif(given.title::text, ''), 'Untitled')"),
    is_odd: concat!(
        "coalesce(given.title::text, '') = '' or char_length(given.title::text) > char_length(",
        cut!("given.title::text"),
        ")"
    ),
    bit: 4,
    told: "with a title that is empty or longer than 200 characters",
};
const THEME: Column = Column {
    name: "theme",
    value: cut!("coalesce(nullif(btrim(given.theme::text), ''), 'Uncategorized')"),
    is_odd: concat!(
        "coalesce(btrim(given.theme::text), '') = ''
             or char_length(btrim(given.theme::text)) > char_length(",
        cut!("btrim(given.theme::text)"),
        ")"
    ),
    bit: 8,
    told: "without a theme, or with one longer than 200 characters",
};

/// SQL for whether a text is the address of a picture: an absolute http(s) URL without blanks, as far as
/// SQL can tell. The standard's rules for hosts take a library, so what this lets through is judged once
/// more where it is read (`dashboard/query/rows`), and counted by `source check`: addresses of IPv6, and names in
/// other letters than ASCII's, in Punycode, or with an escape.
macro_rules! is_picture {
    ($text:literal) => {
        concat!(
            "octet_length(",
            $text,
            ") <= 2048 and ",
            $text,
            " ~ '^https?://' and ",
            $text,
            " !~ '[[:space:][:cntrl:]]'",
            // The standard takes one slash for the other.
            " and translate(",
            $text,
            // A name and a password, in which an @ may be too.
            ", chr(92), '/') ~ '^https?://([^/?#]*@)?",
            // An address of IPv6, one of IPv4 as four numbers, or a name whose last part is no number, as the standard
            // takes it for an address otherwise.
            "([[][0-9A-Fa-f:.]+]",
            "|((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}",
            "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]?",
            "|(?!([^][/?#@:<>^|]*[.])?([0-9]+|0[xX][0-9A-Fa-f]*)[.]?([:/?#]|$))",
            "[^][/?#@:<>^|]+)",
            // A port, or none.
            "(:(0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9][0-9]|6[0-4][0-9][0-9][0-9]",
            "|[1-5][0-9][0-9][0-9][0-9]|[0-9]{1,4}))?)?",
            "([/?#]|$)'"
        )
    };
}

const COVER_IMAGE_URL: Column = Column {
    name: "cover_image_url",
    value: concat!(
        "case when ",
        is_picture!("given.cover_image_url::text"),
        " then given.cover_image_url::text end"
    ),
    is_odd: concat!("not (", is_picture!("given.cover_image_url::text"), ")"),
    bit: 16,
    told: "shown without a picture: cover_image_url is no http(s) address of at most 2,048 bytes",
};
const CREATED_AT: Column = Column {
    name: "created_at",
    value: "least(greatest(given.created_at::timestamptz, '1900-01-01Z'), '9999-12-31Z')",
    is_odd: "coalesce(given.created_at::timestamptz not between '1900-01-01Z' and '9999-12-31Z', true)",
    bit: 32,
    told: "with a date that is missing, or not between 1900 and 9999",
};
const UPDATED_AT: Column = Column {
    name: "updated_at",
    value: "least(greatest(given.updated_at::timestamptz, '1900-01-01Z'), '9999-12-31Z')",
    is_odd: "coalesce(given.updated_at::timestamptz not between '1900-01-01Z' and '9999-12-31Z', true)",
    bit: 32,
    told: "with a date that is missing, or not between 1900 and 9999",
};
/// A missing count is none: `greatest` passes over a null.
const TOTAL_PARTS: Column = Column {
    name: "total_parts",
    value: "least(greatest(given.total_parts::numeric, 0), 2147483647)::integer",
    is_odd: "given.total_parts::numeric not between 0 and 2147483647",
    bit: 64,
    told: "with a number of parts below 0 or beyond 2,147,483,647",
};
const COVERED_PARTS: Column = Column {
    name: "covered_parts",
    value: "least(greatest(given.covered_parts::numeric, 0),
                  greatest(given.total_parts::numeric, 0), 2147483647)::integer",
    is_odd: "given.covered_parts::numeric not between 0 and 2147483647",
    bit: 64,
    told: "with a number of parts below 0 or beyond 2,147,483,647",
};
const CONTENT: Column = Column {
    name: "content",
    value: "coalesce(given.content::text, '')",
    is_odd: "false",
    bit: 0,
    told: "",
};

const OF_MOCS: [Column; 8] = [
    TITLE,
    THEME,
    BUILD_STATUS,
    COVER_IMAGE_URL,
    CREATED_AT,
    UPDATED_AT,
    COVERED_PARTS,
    TOTAL_PARTS,
];

/// What a feed's query yields beside `id` and `user_id`.
pub(crate) fn columns_of(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Mocs => &OF_MOCS,
        Kind::Sets => &[THEME],
        Kind::Wishlist => &[],
        Kind::Fact => &[CONTENT],
    }
}

/// The names of those columns.
pub(crate) fn columns(kind: Kind) -> impl Iterator<Item = &'static str> {
    columns_of(kind).iter().map(|column| column.name)
}

/// The bits of `oddities`, and the report about rows with each.
pub(super) fn oddities(kind: Kind) -> Vec<(i32, &'static str)> {
    let columns = std::iter::once(&OWNER).chain(columns_of(kind));
    let mut bits: Vec<_> = columns.map(|column| (column.bit, column.told)).collect();
    bits.retain(|(bit, _)| *bit != 0);
    bits.sort_unstable();
    bits.dedup();
    bits
}

/// Whether `new URL()` can read an address. A client that checks it would otherwise refuse the whole
/// snapshot.
pub(crate) fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok()
}
