//! Makes JSON Schemas of the contract's types, for the documents.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use shared_types::{DashboardView, ErrorBody, ErrorEvent, EventType};

use crate::format::prose;

/// Where both kinds of document keep their schemas.
pub(crate) const PATH: &str = "#/components/schemas/";

/// The payload of a type of event: the type's name, and whether a list of it is sent (D-WS-6).
pub(crate) fn payload_name(event_type: EventType) -> (&'static str, bool) {
    match event_type {
        EventType::SummaryUpdated => ("DashboardSummary", false),
        EventType::RecentMocAdded => ("RecentMoc", false),
        EventType::RecentMocsUpdated => ("RecentMoc", true),
        EventType::PartialPartsUpdated => ("PartialPartsMoc", true),
        EventType::ThemeBreakdownUpdated => ("ThemeStats", true),
        EventType::Error => ("ErrorEvent", false),
    }
}

/// What REST answers: the view and the error body, with all that they are made of.
pub(crate) fn of_rest() -> Map<String, Value> {
    let mut generator = generator(SchemaSettings::draft2020_12());
    generator.subschema_for::<DashboardView>();
    generator.subschema_for::<ErrorBody>();
    finish(generator)
}

/// What the socket pushes: an envelope for each type of event, named like `SummaryUpdated`.
pub(crate) fn of_socket() -> Map<String, Value> {
    // AsyncAPI's own schema format is a superset of this draft.
    let mut generator = generator(SchemaSettings::draft07());
    generator.subschema_for::<shared_types::DashboardEvent<ErrorEvent>>();
    generator.subschema_for::<DashboardView>();
    let mut schemas = finish(generator);

    // Only REST has the view. Its parts are the payloads.
    schemas.shift_remove("DashboardView");
    let envelope = schemas.shift_remove("DashboardEventOfErrorEvent").unwrap_or_default();
    for event_type in EventType::ALL {
        let (name, list) = payload_name(event_type);
        let one = json!({ "$ref": format!("{PATH}{name}") });
        let mut schema = envelope.clone();
        schema["properties"]["type"] = json!({ "type": "string", "const": event_type.name() });
        schema["properties"]["payload"] =
            if list { json!({ "type": "array", "items": one }) } else { one };
        schemas.insert(envelope_name(event_type), schema);
    }
    schemas.shift_remove("EventType");
    schemas
}

/// `dashboard:summaryUpdated` → `SummaryUpdated`.
pub(crate) fn envelope_name(event_type: EventType) -> String {
    let name = event_type.name().trim_start_matches("dashboard:");
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    // As the server writes them: a field that may be null is still always there.
    let mut settings = settings.for_serialize();
    settings.definitions_path =
        PATH.trim_start_matches('#').trim_end_matches('/').to_owned().into();
    settings.into_generator()
}

fn finish(mut generator: SchemaGenerator) -> Map<String, Value> {
    let mut schemas = generator.take_definitions(true);
    for schema in schemas.values_mut() {
        translate_links(schema);
    }
    schemas
}

fn translate_links(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) if key == "description" => {
                        *text = text.lines().map(prose).collect::<Vec<_>>().join("\n");
                    }
                    _ => translate_links(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(translate_links),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_event_has_an_envelope_with_its_own_payload() {
        let schemas = of_socket();
        for event_type in EventType::ALL {
            let schema = &schemas[&envelope_name(event_type)];
            assert_eq!(schema["properties"]["type"]["const"], event_type.name());
            let payload = schema["properties"]["payload"].to_string();
            assert!(payload.contains(payload_name(event_type).0), "{payload}");
            let required = schema["required"].to_string();
            assert_eq!(required, r#"["eventId","type","timestamp","revision","payload"]"#);
        }
    }

    #[test]
    fn a_field_that_may_be_null_is_still_required() {
        assert!(of_rest()["RecentMoc"]["required"].to_string().contains("coverImageUrl"));
    }
}
