//! The decoder of native programs, on `serde_json`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shared_types::{
    DashboardEvent, DashboardView, ErrorBody, ErrorCode, ErrorEvent, EventType, SnapshotTag,
};

use super::{Answer, Change, DecodeError, Decoder, Event, Handshake, Refusal, RestRefusal};

/// Reads JSON with `serde_json`, which bounds its own depth.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonDecoder;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HandshakeObject {
    ping_interval: u32,
    ping_timeout: u32,
}

#[derive(Deserialize)]
struct AcceptanceObject {
    tag: String,
}

#[derive(Deserialize)]
struct AnswerObject {
    fresh: String,
    tag: String,
    view: Option<DashboardView>,
}

#[derive(Deserialize)]
struct RefusalObject<'a> {
    message: String,
    /// What is in there is not ours to judge.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RefusalData {
    code: String,
}

impl Decoder for JsonDecoder {
    fn handshake(&self, json: &str) -> Result<Handshake, DecodeError> {
        let object: HandshakeObject = read(json)?;
        Handshake::new(object.ping_interval, object.ping_timeout)
    }

    fn acceptance(&self, json: &str) -> Option<SnapshotTag> {
        read::<AcceptanceObject>(json).ok()?.tag.parse().ok()
    }

    fn refusal(&self, json: &str) -> Result<Refusal, DecodeError> {
        let RefusalObject { message, data } = read(json)?;
        let data = data.and_then(|data| read::<RefusalData>(data.get()).ok());
        Ok(Refusal { message, code: data.map(|data| data.code) })
    }

    fn event(&self, json: &str) -> Result<Event, DecodeError> {
        let parts: Vec<&RawValue> = read(json)?;
        let (name, arguments) = parts.split_first().ok_or_else(|| error("an event has a name"))?;
        let name: String = read(name.get())?;
        let Some(event_type) = EventType::from_name(&name) else {
            return Ok(Event::Unknown(name));
        };
        let [envelope] = arguments else {
            return Err(error("an event has one argument"));
        };
        let envelope = envelope.get();
        match event_type {
            EventType::SummaryUpdated => change(envelope, event_type, Change::Summary),
            EventType::RecentMocAdded => change(envelope, event_type, Change::RecentMocAdded),
            EventType::RecentMocsUpdated => change(envelope, event_type, Change::RecentMocs),
            EventType::PartialPartsUpdated => change(envelope, event_type, Change::PartialParts),
            EventType::ThemeBreakdownUpdated => {
                change(envelope, event_type, Change::ThemeBreakdown)
            }
            EventType::Error => {
                Ok(Event::Error(read_envelope::<ErrorEvent>(envelope, event_type)?.payload))
            }
        }
    }

    fn answer(&self, json: &str) -> Result<Answer, DecodeError> {
        let AnswerObject { fresh, tag, view } = read(json)?;
        let tag = tag.parse().map_err(|rule| error(&format!("tag: {rule}")))?;
        Ok(Answer { fresh, tag, view })
    }

    fn snapshot(&self, json: &str) -> Result<DashboardView, DecodeError> {
        read(json)
    }

    fn rest_refusal(&self, json: &str) -> Result<RestRefusal, DecodeError> {
        let body: ErrorBody = read(json)?;
        match body.error.code {
            _ if body.success => Err(error("success: must be false")),
            code @ (ErrorCode::Unauthorized | ErrorCode::Forbidden) => {
                Ok(RestRefusal { code, fresh: body.fresh })
            }
            _ => Err(error("error.code: not a refusal")),
        }
    }
}

fn change<T: DeserializeOwned>(
    json: &str,
    event_type: EventType,
    of: fn(T) -> Change,
) -> Result<Event, DecodeError> {
    let envelope = read_envelope(json, event_type)?;
    Ok(Event::Change { revision: envelope.revision, change: of(envelope.payload) })
}

fn read_envelope<T: DeserializeOwned>(
    json: &str,
    event_type: EventType,
) -> Result<DashboardEvent<T>, DecodeError> {
    let envelope: DashboardEvent<T> = read(json)?;
    if envelope.event_type == event_type {
        Ok(envelope)
    } else {
        Err(error("type: is not the event's name"))
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, DecodeError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| DecodeError(error.to_string()))?;
    reader.end().map_err(|error| DecodeError(error.to_string()))?;
    Ok(value)
}

fn error(reason: &str) -> DecodeError {
    DecodeError(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"["dashboard:themeBreakdownUpdated",{
        "eventId":"0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60","type":"dashboard:themeBreakdownUpdated",
        "timestamp":"2026-11-23T09:30:00Z","revision":7,
        "payload":[{"theme":"Castle","mocCount":1,"setCount":2}]}]"#;

    #[test]
    fn events_are_read_by_their_name() {
        let Ok(Event::Change { revision, change: Change::ThemeBreakdown(themes) }) =
            JsonDecoder.event(EVENT)
        else {
            panic!("not read");
        };
        assert_eq!((revision.get(), themes.len(), themes[0].set_count), (7, 1, 2));
        assert_eq!(
            JsonDecoder.event(r#"["dashboard:newThing",1,2]"#),
            Ok(Event::Unknown("dashboard:newThing".to_owned()))
        );
    }

    #[test]
    fn a_breach_of_the_contract_is_reported_with_its_place() {
        for (from, to, place) in [
            ("\"mocCount\":1", "\"mocCount\":-1", "payload[0].mocCount"),
            ("\"mocCount\":1,", "", "payload[0]"),
            ("\"Castle\"", "\"\"", "payload[0].theme"),
            ("\"revision\":7", "\"revision\":9007199254740992", "revision"),
            ("\"revision\":7", "\"revision\":1.5", "revision"),
            ("\"type\":\"dashboard:theme", "\"type\":\"dashboard:them", "type"),
            (
                "\"type\":\"dashboard:themeBreakdownUpdated\"",
                "\"type\":\"dashboard:summaryUpdated\"",
                "type",
            ),
            ("09:30:00Z", "09:30:00+00:00", "timestamp"),
        ] {
            let DecodeError(reason) = JsonDecoder.event(&EVENT.replace(from, to)).unwrap_err();
            assert!(reason.starts_with(place), "{to}: {reason}");
        }
        for text in
            ["", "[]", "[1]", "{}", "[\"dashboard:error\"]", "[\"dashboard:error\",1,2]", "[[[["]
        {
            assert!(JsonDecoder.event(text).is_err(), "{text}");
        }
        assert!(JsonDecoder.event(&"[".repeat(100_000)).is_err(), "depth");
    }

    #[test]
    fn refusals_tell_a_refused_session_from_a_refused_connection() {
        let auth_failed = |json| JsonDecoder.refusal(json).map(|refusal| refusal.is_auth_failed());
        assert_eq!(auth_failed(r#"{"message":"AUTH_FAILED"}"#), Ok(true));
        assert_eq!(auth_failed(r#"{"message":"no","data":{"code":"AUTH_FAILED"}}"#), Ok(true));
        assert_eq!(auth_failed(r#"{"message":"no","data":[1]}"#), Ok(false));
        assert_eq!(auth_failed(r#"{"message":"Invalid namespace"}"#), Ok(false));
        assert!(auth_failed("{}").is_err());
    }

    #[test]
    fn absurd_heartbeats_are_not_believed() {
        let patience = |json| JsonDecoder.handshake(json).map(|handshake| handshake.patience.0);
        assert_eq!(patience(r#"{"sid":"a","pingInterval":25000,"pingTimeout":20000}"#), Ok(45_000));
        for bad in [
            r#"{"pingInterval":0,"pingTimeout":20000}"#,
            r#"{"pingInterval":25000,"pingTimeout":3600001}"#,
            r#"{"pingInterval":1e99,"pingTimeout":1}"#,
            r#"{"pingInterval":25000}"#,
        ] {
            assert!(patience(bad).is_err(), "{bad}");
        }
    }
}
