//! The JSON that the client writes itself, held against serde's.
#![cfg(test)]
#![cfg(all(feature = "native", not(target_arch = "wasm32")))]

use std::fs;
use std::path::Path;

use client_sdk::View;
use client_sdk::encode::ToJson as _;
use serde_json::Value;
use shared_types::DashboardView;

fn written(view: DashboardView) -> Value {
    let mut json = String::new();
    View::from(view).write_json(&mut json);
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn views_are_written_as_serde_writes_them() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared-types/goldens");
    let mut seen = 0;
    for entry in fs::read_dir(goldens).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with("view.json") {
            continue;
        }
        let view: DashboardView =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(written(view.clone()), serde_json::to_value(view).unwrap(), "{name}");
        seen += 1;
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn texts_are_escaped() {
    let mut view: DashboardView = serde_json::from_value(serde_json::json!({
        "summary": DashboardView::default().summary,
        "themeBreakdown": [{ "theme": "\"\\\n\u{1}🧱</script>", "mocCount": 1, "setCount": 0 }],
        "recentMocs": [],
        "partialPartsMocs": [],
    }))
    .unwrap();
    view.theme_breakdown.push(view.theme_breakdown[0].clone());
    assert_eq!(written(view.clone()), serde_json::to_value(view).unwrap());
}
