//! The decoder of browsers: it splits the text into values, then checks them by hand.
//!
//! By hand, because serde's machinery would be half of the download. Every value still goes through
//! the checked types of `shared-types`. Tests check that this decoder and serde's accept the same
//! texts and read the same from them.

use crate::prelude::*;
use shared_types::{
    BuildStatus, CoverImageUrl, DashboardSummary, DashboardView, ErrorCode, ErrorEvent,
    ErrorEventCode, EventType, Id, Invalid, MocsByBuildStatus, MocsByCoverageStatus,
    PartialPartsMoc, Percentage, RecentMoc, Revision, SnapshotTag, Theme, ThemeStats, Timestamp,
    Title,
};

use super::tape::{MEMBERS, Tape, Value};
use super::{Answer, Change, DecodeError, Decoder, Event, Handshake, Refusal, RestRefusal};

/// Reads JSON without any library.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckedDecoder;

/// Which rule is broken, and where. Boxed, because the result of every check has room for one and
/// few checks fail.
struct Wrong<'t> {
    rule: &'static str,
    at: Value<'t>,
    /// The member of that object, if it is the rule's.
    member: &'static str,
}

type Checked<'t, T> = Result<T, Box<Wrong<'t>>>;

impl Decoder for CheckedDecoder {
    fn handshake(&self, json: &str) -> Result<Handshake, DecodeError> {
        let (interval, timeout) = read(json, |object| {
            let [interval, timeout, ..] = members(object, &["pingInterval", "pingTimeout"], 2)?;
            Ok((interval.count()?, timeout.count()?))
        })?;
        Handshake::new(interval, timeout)
    }

    fn acceptance(&self, json: &str) -> Option<SnapshotTag> {
        read(json, |object| {
            let [accepted, ..] = members(object, &["tag"], 1)?;
            tag(accepted)
        })
        .ok()
    }

    fn refusal(&self, json: &str) -> Result<Refusal, DecodeError> {
        read(json, |object| {
            let [message, data, ..] = members(object, &["message", "data"], 1)?;
            // What else is in there is not ours to judge.
            let code = data.members(&["code"]).ok().and_then(|[code, ..]| code.text());
            Ok(Refusal { message: message.string()?, code })
        })
    }

    fn event(&self, json: &str) -> Result<Event, DecodeError> {
        let tape = Tape::of(json).ok_or_else(not_json)?;
        let mut parts = tape.root().items().ok_or_else(|| error("an event is an array"))?;
        let name =
            parts.next().and_then(Value::text).ok_or_else(|| error("an event has a name"))?;
        let Some(event_type) = EventType::from_name(&name) else {
            return Ok(Event::Unknown(name));
        };
        let (Some(envelope), None) = (parts.next(), parts.next()) else {
            return Err(error("an event has one argument"));
        };
        event(envelope, event_type).map_err(|wrong| wrong.told(envelope))
    }

    fn answer(&self, json: &str) -> Result<Answer, DecodeError> {
        read(json, |object| {
            let [fresh, named, shown, ..] = members(object, &["fresh", "tag", "view"], 2)?;
            Ok(Answer {
                fresh: fresh.string()?,
                tag: tag(named)?,
                view: if shown.is_null() { None } else { Some(view(shown)?) },
            })
        })
    }

    fn snapshot(&self, json: &str) -> Result<DashboardView, DecodeError> {
        read(json, view)
    }

    fn rest_refusal(&self, json: &str) -> Result<RestRefusal, DecodeError> {
        read(json, |object| {
            let names = ["success", "error", "correlationId", "timestamp", "fresh"];
            let [success, detail, correlation, timestamp, fresh, ..] = members(object, &names, 4)?;
            if !success.is_false() {
                return Err(success.breaks("must be false"));
            }
            correlation.string()?;
            let _: Timestamp = timestamp.checked()?;
            let [code, message, ..] = members(detail, &["code", "message"], 2)?;
            message.string()?;
            let code = match code.string()?.as_str() {
                "UNAUTHORIZED" => ErrorCode::Unauthorized,
                "FORBIDDEN" => ErrorCode::Forbidden,
                _ => return Err(code.breaks("not a known code")),
            };
            let fresh = if fresh.is_null() { None } else { Some(fresh.string()?) };
            Ok(RestRefusal { code, fresh })
        })
    }
}

fn view(object: Value<'_>) -> Checked<'_, DashboardView> {
    let names = ["summary", "themeBreakdown", "recentMocs", "partialPartsMocs"];
    let [counts, themes, recent, partial, ..] = members(object, &names, 4)?;
    Ok(DashboardView {
        summary: summary(counts)?,
        theme_breakdown: list(themes, theme_stats)?,
        recent_mocs: list(recent, recent_moc)?,
        partial_parts_mocs: list(partial, partial_moc)?,
    })
}

fn tag(text: Value<'_>) -> Checked<'_, SnapshotTag> {
    text.string()?.parse().map_err(|rule: Invalid| text.breaks(rule.0))
}

fn event(envelope: Value<'_>, event_type: EventType) -> Checked<'_, Event> {
    let [id, named, timestamp, revision, payload, ..] =
        members(envelope, &["eventId", "type", "timestamp", "revision", "payload"], 5)?;
    let _: Id = id.checked()?;
    let _: Timestamp = timestamp.checked()?;
    if named.string()? != event_type.name() {
        return Err(named.breaks("is not the event's name"));
    }
    let revision = Revision::try_from(revision.whole()?).map_err(|rule| revision.breaks(rule.0))?;
    let change = match event_type {
        EventType::SummaryUpdated => Change::Summary(summary(payload)?),
        EventType::RecentMocAdded => Change::RecentMocAdded(recent_moc(payload)?),
        EventType::RecentMocsUpdated => Change::RecentMocs(list(payload, recent_moc)?),
        EventType::PartialPartsUpdated => Change::PartialParts(list(payload, partial_moc)?),
        EventType::ThemeBreakdownUpdated => Change::ThemeBreakdown(list(payload, theme_stats)?),
        EventType::Error => return error_event(payload).map(Event::Error),
    };
    Ok(Event::Change { revision, change })
}

fn summary(object: Value<'_>) -> Checked<'_, DashboardSummary> {
    let [mocs, wishlist, by_build, by_coverage, ..] = members(
        object,
        &["totalMocs", "totalWishlistItems", "mocsByBuildStatus", "mocsByCoverageStatus"],
        4,
    )?;
    let [added, in_progress, built, ..] = members(by_build, &["ADDED", "IN_PROGRESS", "BUILT"], 3)?;
    let [full, partial, none, ..] =
        members(by_coverage, &["FULL_INVENTORY", "PARTIAL_ORDERED", "NONE"], 3)?;
    Ok(DashboardSummary {
        total_mocs: mocs.count()?,
        total_wishlist_items: wishlist.count()?,
        mocs_by_build_status: MocsByBuildStatus {
            added: added.count()?,
            in_progress: in_progress.count()?,
            built: built.count()?,
        },
        mocs_by_coverage_status: MocsByCoverageStatus {
            full_inventory: full.count()?,
            partial_ordered: partial.count()?,
            none: none.count()?,
        },
    })
}

fn theme_stats(object: Value<'_>) -> Checked<'_, ThemeStats> {
    let [theme, mocs, sets, ..] = members(object, &["theme", "mocCount", "setCount"], 3)?;
    Ok(ThemeStats {
        theme: theme.checked::<Theme>()?,
        moc_count: mocs.count()?,
        set_count: sets.count()?,
    })
}

fn recent_moc(object: Value<'_>) -> Checked<'_, RecentMoc> {
    let names = ["id", "title", "theme", "buildStatus", "createdAt", "coverImageUrl"];
    let [id, title, theme, status, created, cover] = members(object, &names, 5)?;
    Ok(RecentMoc {
        id: id.checked::<Id>()?,
        title: title.checked::<Title>()?,
        theme: theme.checked::<Theme>()?,
        build_status: status.build_status()?,
        cover_image_url: if cover.is_null() {
            None
        } else {
            Some(cover.checked::<CoverImageUrl>()?)
        },
        created_at: created.checked::<Timestamp>()?,
    })
}

fn partial_moc(object: Value<'_>) -> Checked<'_, PartialPartsMoc> {
    let [id, title, theme, status, coverage, updated] = members(
        object,
        &["id", "title", "theme", "buildStatus", "coveragePercentage", "lastUpdatedAt"],
        6,
    )?;
    Ok(PartialPartsMoc {
        id: id.checked::<Id>()?,
        title: title.checked::<Title>()?,
        theme: theme.checked::<Theme>()?,
        build_status: status.build_status()?,
        coverage_percentage: u8::try_from(coverage.count()?)
            .map_err(|_| Invalid("a percentage must be 0 to 100"))
            .and_then(Percentage::try_from)
            .map_err(|rule| coverage.breaks(rule.0))?,
        last_updated_at: updated.checked::<Timestamp>()?,
    })
}

fn error_event(object: Value<'_>) -> Checked<'_, ErrorEvent> {
    let names = ["code", "message", "reconnectAfterMs"];
    let [code, message, delay, ..] = members(object, &names, 2)?;
    Ok(ErrorEvent {
        code: match code.string()?.as_str() {
            "TOKEN_EXPIRED" => ErrorEventCode::TokenExpired,
            "SNAPSHOT_UNAVAILABLE" => ErrorEventCode::SnapshotUnavailable,
            "SERVER_DRAINING" => ErrorEventCode::ServerDraining,
            _ => return Err(code.breaks("not a known code")),
        },
        message: message.string()?,
        reconnect_after_ms: if delay.is_null() { None } else { Some(delay.count()?) },
    })
}

impl<'t> Value<'t> {
    fn string(self) -> Checked<'t, String> {
        self.text().ok_or_else(|| self.breaks("must be a string"))
    }

    fn checked<T: TryFrom<String, Error = Invalid>>(self) -> Checked<'t, T> {
        T::try_from(self.string()?).map_err(|rule| self.breaks(rule.0))
    }

    fn whole(self) -> Checked<'t, u64> {
        self.integer().ok_or_else(|| self.breaks("must be an integer of at least 0"))
    }

    fn count(self) -> Checked<'t, u32> {
        u32::try_from(self.whole()?).map_err(|_| self.breaks("must be below 2^32"))
    }

    fn build_status(self) -> Checked<'t, BuildStatus> {
        match self.string()?.as_str() {
            "ADDED" => Ok(BuildStatus::Added),
            "IN_PROGRESS" => Ok(BuildStatus::InProgress),
            "BUILT" => Ok(BuildStatus::Built),
            _ => Err(self.breaks("not a known status")),
        }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "every caller wants it boxed")]
    fn breaks(self, rule: &'static str) -> Box<Wrong<'t>> {
        Box::new(Wrong { rule, at: self, member: "" })
    }
}

impl Wrong<'_> {
    /// For people; the way to the place begins at `root`.
    fn told(&self, root: Value) -> DecodeError {
        let mut told = root.way_to(self.at);
        for (separator, more) in [(".", self.member), (": ", self.rule)] {
            if !told.is_empty() && !more.is_empty() {
                told.push_str(separator);
            }
            told.push_str(more);
        }
        DecodeError(told)
    }
}

fn read<T>(
    json: &str,
    check: impl for<'t> FnOnce(Value<'t>) -> Checked<'t, T>,
) -> Result<T, DecodeError> {
    let tape = Tape::of(json).ok_or_else(not_json)?;
    check(tape.root()).map_err(|wrong| wrong.told(tape.root()))
}

fn list<'t, T>(
    array: Value<'t>,
    check: impl Fn(Value<'t>) -> Checked<'t, T>,
) -> Checked<'t, Vec<T>> {
    let mut list = Vec::new();
    for item in array.items().ok_or_else(|| array.breaks("must be an array"))? {
        list.push(check(item)?);
    }
    Ok(list)
}

/// The members of those names, of which the first `required` must be there.
fn members<'t>(
    object: Value<'t>,
    names: &[&'static str],
    required: usize,
) -> Checked<'t, [Value<'t>; MEMBERS]> {
    if !object.is_object() {
        return Err(object.breaks("must be an object"));
    }
    let (rule, member) = match object.members(names) {
        Err(name) => ("must be there once", name),
        Ok(members) => {
            let mut wanted = names.iter().zip(members).take(required);
            match wanted.find(|(_, member)| !member.is_there()) {
                Some((name, _)) => ("is missing", *name),
                None => return Ok(members),
            }
        }
    };
    Err(Box::new(Wrong { rule, at: object, member }))
}

fn not_json() -> DecodeError {
    error("not JSON")
}

fn error(reason: &str) -> DecodeError {
    DecodeError(reason.to_owned())
}
