//! Converts states and diagnostics to plain JavaScript objects.
//!
//! It writes a section as JSON text, which the browser's parser reads. That is one call into
//! JavaScript, while building the object needs one call for each field.

use crate::prelude::*;
use alloc::sync::Arc;

use js_sys::{JSON, Object, Reflect};
use shared_types::{DashboardSummary, PartialPartsMoc, RecentMoc, ThemeStats};
use wasm_bindgen::JsValue;

use crate::encode::ToJson;
use crate::reducer::View;
use crate::state::{DashboardState, Diagnostic, Freshness};

/// Makes JavaScript states, and keeps what did not change: a section that is the same here is the
/// same object there.
#[derive(Debug, Default)]
pub(super) struct Converter {
    summary: Kept<DashboardSummary>,
    theme_breakdown: Kept<Vec<ThemeStats>>,
    recent_mocs: Kept<Vec<RecentMoc>>,
    partial_parts_mocs: Kept<Vec<PartialPartsMoc>>,
    view: Option<JsValue>,
}

/// A section and what was made of it.
#[derive(Debug)]
struct Kept<T>(Option<(Arc<T>, JsValue)>);

impl Converter {
    pub(super) fn state(&mut self, state: &DashboardState) -> JsValue {
        object(&[
            ("view", self.view(state.view.as_ref())),
            ("status", state.status.name().into()),
            ("freshness", freshness(&state.freshness)),
        ])
    }

    fn view(&mut self, view: Option<&View>) -> JsValue {
        let Some(view) = view else {
            // Nothing of a view that is gone stays behind.
            *self = Self::default();
            return JsValue::NULL;
        };
        let changed = [
            self.summary.update(&view.summary),
            self.theme_breakdown.update(&view.theme_breakdown),
            self.recent_mocs.update(&view.recent_mocs),
            self.partial_parts_mocs.update(&view.partial_parts_mocs),
        ];
        if let Some(view) = self.view.as_ref().filter(|_| !changed.contains(&true)) {
            return view.clone();
        }
        let view = object(&[
            ("summary", self.summary.value()),
            ("themeBreakdown", self.theme_breakdown.value()),
            ("recentMocs", self.recent_mocs.value()),
            ("partialPartsMocs", self.partial_parts_mocs.value()),
        ]);
        self.view = Some(view.clone());
        view
    }
}

pub(super) fn diagnostic(diagnostic: &Diagnostic) -> JsValue {
    object(&[
        ("at", number(Some(diagnostic.at))),
        ("level", diagnostic.level.name().into()),
        ("code", diagnostic.code.name().into()),
        ("message", diagnostic.message.as_str().into()),
    ])
}

fn freshness(freshness: &Freshness) -> JsValue {
    let reason = freshness.reason.as_ref().map_or(JsValue::NULL, |reason| {
        object(&[("code", reason.code.name().into()), ("message", reason.message.as_str().into())])
    });
    object(&[
        ("source", freshness.source.name().into()),
        ("revision", number(freshness.revision.map(shared_types::Revision::get))),
        ("asOf", number(freshness.as_of)),
        ("nextRetryAt", number(freshness.next_retry_at)),
        ("attempt", freshness.attempt.into()),
        ("reason", reason),
    ])
}

pub(super) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A new plain object takes any field.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

/// Revisions are safe integers by their type, and dates are for another 285,000 years.
#[expect(clippy::cast_precision_loss, reason = "all of them are far below 2^53")]
fn number(number: Option<u64>) -> JsValue {
    number.map_or(JsValue::NULL, |number| JsValue::from_f64(number as f64))
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: ToJson> Kept<T> {
    /// Whether the section is another one than the one that is kept.
    fn update(&mut self, section: &Arc<T>) -> bool {
        if self.0.as_ref().is_some_and(|(kept, _)| Arc::ptr_eq(kept, section)) {
            return false;
        }
        let mut json = String::new();
        section.write_json(&mut json);
        // What is written there is JSON.
        let value = JSON::parse(&json).unwrap_or(JsValue::NULL);
        self.0 = Some((section.clone(), value));
        true
    }

    fn value(&self) -> JsValue {
        self.0.as_ref().map_or(JsValue::NULL, |(_, value)| value.clone())
    }
}
