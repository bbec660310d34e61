//! The decoder of browsers: the browser's own `JSON.parse`, then checks made by hand.
//!
//! By hand, because serde's machinery for values that it does not know would be a third of the
//! download. Every value still goes through the checked types of `shared-types`, and the goldens
//! of the contract are read by both decoders in the tests.

use js_sys::{Array, JSON, JsString, Reflect};
use shared_types::{
    BuildStatus, CoverImageUrl, DashboardSummary, DashboardView, ErrorEvent, ErrorEventCode,
    EventType, Id, Invalid, MocsByBuildStatus, MocsByCoverageStatus, PartialPartsMoc, Percentage,
    RecentMoc, Revision, Theme, ThemeStats, Timestamp, Title,
};
use wasm_bindgen::{JsCast as _, JsValue};

use crate::decode::{Change, DecodeError, Decoder, Event, Handshake, Refusal};

/// Reads JSON with the browser's parser.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserDecoder;

/// A value and the name by which it was found, which errors tell.
struct Found {
    name: &'static str,
    value: JsValue,
}

impl Decoder for BrowserDecoder {
    fn handshake(&self, json: &str) -> Result<Handshake, DecodeError> {
        let object = parse(json)?;
        Handshake::new(
            get(&object, "pingInterval")?.count()?,
            get(&object, "pingTimeout")?.count()?,
        )
    }

    fn refusal(&self, json: &str) -> Result<Refusal, DecodeError> {
        let object = parse(json)?;
        let data = get(&object, "data")?.value;
        let code = if data.is_object() { get(&data, "code")?.value.as_string() } else { None };
        Ok(Refusal { message: get(&object, "message")?.text()?, code })
    }

    fn event(&self, json: &str) -> Result<Event, DecodeError> {
        let parts = parse(json)?.dyn_into::<Array>().map_err(|_| error("an event is an array"))?;
        let name = parts.get(0).as_string().ok_or_else(|| error("an event has a name"))?;
        let Some(event_type) = EventType::from_name(&name) else {
            return Ok(Event::Unknown(name));
        };
        if parts.length() != 2 {
            return Err(error("an event has one argument"));
        }
        let envelope = parts.get(1);
        let _: Id = get(&envelope, "eventId")?.checked()?;
        let _: Timestamp = get(&envelope, "timestamp")?.checked()?;
        if get(&envelope, "type")?.text()? != name {
            return Err(error("type: is not the event's name"));
        }
        let revision = get(&envelope, "revision")?.revision()?;
        let payload = get(&envelope, "payload")?;
        let change = match event_type {
            EventType::SummaryUpdated => Change::Summary(payload.read(summary)?),
            EventType::RecentMocAdded => Change::RecentMocAdded(payload.read(recent_moc)?),
            EventType::RecentMocsUpdated => Change::RecentMocs(payload.list(recent_moc)?),
            EventType::PartialPartsUpdated => Change::PartialParts(payload.list(partial_moc)?),
            EventType::ThemeBreakdownUpdated => Change::ThemeBreakdown(payload.list(theme_stats)?),
            EventType::Error => return payload.read(error_event).map(Event::Error),
        };
        Ok(Event::Change { revision, change })
    }

    fn snapshot(&self, json: &str) -> Result<DashboardView, DecodeError> {
        let object = parse(json)?;
        Ok(DashboardView {
            summary: get(&object, "summary")?.read(summary)?,
            theme_breakdown: get(&object, "themeBreakdown")?.list(theme_stats)?,
            recent_mocs: get(&object, "recentMocs")?.list(recent_moc)?,
            partial_parts_mocs: get(&object, "partialPartsMocs")?.list(partial_moc)?,
        })
    }
}

fn summary(object: &JsValue) -> Result<DashboardSummary, DecodeError> {
    Ok(DashboardSummary {
        total_mocs: get(object, "totalMocs")?.count()?,
        total_wishlist_items: get(object, "totalWishlistItems")?.count()?,
        mocs_by_build_status: get(object, "mocsByBuildStatus")?.read(|counts| {
            Ok(MocsByBuildStatus {
                added: get(counts, "ADDED")?.count()?,
                in_progress: get(counts, "IN_PROGRESS")?.count()?,
                built: get(counts, "BUILT")?.count()?,
            })
        })?,
        mocs_by_coverage_status: get(object, "mocsByCoverageStatus")?.read(|counts| {
            Ok(MocsByCoverageStatus {
                full_inventory: get(counts, "FULL_INVENTORY")?.count()?,
                partial_ordered: get(counts, "PARTIAL_ORDERED")?.count()?,
                none: get(counts, "NONE")?.count()?,
            })
        })?,
    })
}

fn theme_stats(object: &JsValue) -> Result<ThemeStats, DecodeError> {
    Ok(ThemeStats {
        theme: get(object, "theme")?.checked::<Theme>()?,
        moc_count: get(object, "mocCount")?.count()?,
        set_count: get(object, "setCount")?.count()?,
    })
}

fn recent_moc(object: &JsValue) -> Result<RecentMoc, DecodeError> {
    let cover = get(object, "coverImageUrl")?;
    Ok(RecentMoc {
        id: get(object, "id")?.checked::<Id>()?,
        title: get(object, "title")?.checked::<Title>()?,
        theme: get(object, "theme")?.checked::<Theme>()?,
        build_status: get(object, "buildStatus")?.build_status()?,
        cover_image_url: if cover.value.is_null() || cover.value.is_undefined() {
            None
        } else {
            Some(cover.checked::<CoverImageUrl>()?)
        },
        created_at: get(object, "createdAt")?.checked::<Timestamp>()?,
    })
}

fn partial_moc(object: &JsValue) -> Result<PartialPartsMoc, DecodeError> {
    let coverage = get(object, "coveragePercentage")?;
    Ok(PartialPartsMoc {
        id: get(object, "id")?.checked::<Id>()?,
        title: get(object, "title")?.checked::<Title>()?,
        theme: get(object, "theme")?.checked::<Theme>()?,
        build_status: get(object, "buildStatus")?.build_status()?,
        coverage_percentage: u8::try_from(coverage.count()?)
            .map_err(|_| Invalid("a percentage must be 0 to 100"))
            .and_then(Percentage::try_from)
            .map_err(|Invalid(rule)| coverage.wrong(rule))?,
        last_updated_at: get(object, "lastUpdatedAt")?.checked::<Timestamp>()?,
    })
}

fn error_event(object: &JsValue) -> Result<ErrorEvent, DecodeError> {
    let (code, delay) = (get(object, "code")?, get(object, "reconnectAfterMs")?);
    Ok(ErrorEvent {
        code: match code.text()?.as_str() {
            "TOKEN_EXPIRED" => ErrorEventCode::TokenExpired,
            "SNAPSHOT_UNAVAILABLE" => ErrorEventCode::SnapshotUnavailable,
            "SERVER_DRAINING" => ErrorEventCode::ServerDraining,
            _ => return Err(code.wrong("not a known code")),
        },
        message: get(object, "message")?.text()?,
        reconnect_after_ms: if delay.value.is_null() || delay.value.is_undefined() {
            None
        } else {
            Some(delay.count()?)
        },
    })
}

impl Found {
    fn text(&self) -> Result<String, DecodeError> {
        self.value.as_string().ok_or_else(|| self.wrong("must be a string"))
    }

    fn checked<T: TryFrom<String, Error = Invalid>>(&self) -> Result<T, DecodeError> {
        T::try_from(self.text()?).map_err(|Invalid(rule)| self.wrong(rule))
    }

    #[expect(clippy::cast_possible_truncation, reason = "compared with the number right after")]
    #[expect(clippy::cast_sign_loss, reason = "compared with the number right after")]
    fn count(&self) -> Result<u32, DecodeError> {
        let number = self.value.as_f64().unwrap_or(f64::NAN);
        let count = number as u32;
        if is_same(f64::from(count), number) {
            Ok(count)
        } else {
            Err(self.wrong("must be an integer of at least 0"))
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "compared with the number right after")]
    #[expect(clippy::cast_sign_loss, reason = "compared with the number right after")]
    #[expect(clippy::cast_precision_loss, reason = "too large a number is refused by its type")]
    fn revision(&self) -> Result<Revision, DecodeError> {
        let number = self.value.as_f64().unwrap_or(f64::NAN);
        let count = number as u64;
        if !is_same(count as f64, number) {
            return Err(self.wrong("must be an integer of at least 0"));
        }
        Revision::try_from(count).map_err(|Invalid(rule)| self.wrong(rule))
    }

    fn build_status(&self) -> Result<BuildStatus, DecodeError> {
        match self.text()?.as_str() {
            "ADDED" => Ok(BuildStatus::Added),
            "IN_PROGRESS" => Ok(BuildStatus::InProgress),
            "BUILT" => Ok(BuildStatus::Built),
            _ => Err(self.wrong("not a known status")),
        }
    }

    fn read<T>(&self, read: impl Fn(&JsValue) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        read(&self.value).map_err(|DecodeError(why)| DecodeError([self.name, ".", &why].concat()))
    }

    fn list<T>(
        &self,
        read: impl Fn(&JsValue) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let array = self.value.dyn_ref::<Array>().ok_or_else(|| self.wrong("must be an array"))?;
        let mut items = Vec::new();
        for index in 0..array.length() {
            items.push(read(&array.get(index)).map_err(|DecodeError(why)| {
                DecodeError([self.name, "[", &index.to_string(), "].", &why].concat())
            })?);
        }
        Ok(items)
    }

    fn wrong(&self, rule: &str) -> DecodeError {
        DecodeError([self.name, ": ", rule].concat())
    }
}

/// Whether a number came through a conversion whole; NaN never does.
#[expect(clippy::float_cmp, reason = "the very same number is meant")]
fn is_same(converted: f64, number: f64) -> bool {
    converted == number
}

fn parse(json: &str) -> Result<JsValue, DecodeError> {
    JSON::parse(json).map_err(|_| error("not JSON"))
}

fn get(object: &JsValue, name: &'static str) -> Result<Found, DecodeError> {
    // Asking a string or a number for a field is no error in JavaScript; asking null is one.
    Reflect::get(object, &JsString::from(name))
        .map(|value| Found { name, value })
        .map_err(|_| error("must be an object"))
}

fn error(reason: &str) -> DecodeError {
    DecodeError(reason.to_owned())
}
