//! Attributes the bytes of the module to what they are for.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Context;
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// What is neither code nor data: types, imports, exports, tables.
const REST: &str = "imports, exports, tables";

/// Bytes per area, uncompressed: compressed sizes of parts add up to more than the whole. The names
/// of the functions are not counted, for they are not shipped.
///
/// # Errors
///
/// Where the bytes are not a module.
pub(super) fn of(module: &[u8]) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let mut names = BTreeMap::new();
    let mut bodies = Vec::new();
    let mut imported = 0;
    let mut areas = BTreeMap::new();
    let mut code = 0;
    for payload in Parser::new(0).parse_all(module) {
        match payload.context("the module cannot be read")? {
            Payload::ImportSection(imports) => {
                *areas.entry(REST).or_default() += length(&imports.range());
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionStart { unchecked_range, .. } => code = length(&unchecked_range),
            Payload::CodeSectionEntry(body) => bodies.push(length(&body.range())),
            Payload::DataSection(data) => {
                *areas.entry("data").or_default() += length(&data.range());
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(sections) = section.as_known() {
                    for section in sections {
                        let Name::Function(functions) = section? else { continue };
                        for function in functions {
                            let function = function?;
                            names.insert(function.index, function.name);
                        }
                    }
                }
            }
            other => {
                if let Some((_, range)) = other.as_section() {
                    *areas.entry(REST).or_default() += length(&range);
                }
            }
        }
    }
    *areas.entry(REST).or_default() += code - bodies.iter().sum::<u64>();
    for (index, size) in (imported..).zip(bodies) {
        *areas.entry(area(names.get(&index).unwrap_or(&""))).or_default() += size;
    }
    Ok(areas)
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// Whose function that is. A generic function of the standard library is whose types it is for.
fn area(name: &str) -> &'static str {
    const AREAS: [(&str, &str); 13] = [
        ("client_sdk::driver", "driver"),
        ("dashboardcore_", "driver"),
        ("client_sdk::machine", "core: machine"),
        ("client_sdk::decode", "core: decoding"),
        ("client_sdk::encode", "core: encoding"),
        ("client_sdk::", "core: others"),
        ("shared_types::", "shared-types"),
        ("talc", "allocator"),
        ("js_sys", "wasm-bindgen, js-sys, web-sys"),
        ("web_sys", "wasm-bindgen, js-sys, web-sys"),
        ("wasm_bindgen", "wasm-bindgen, js-sys, web-sys"),
        ("__wbindgen", "wasm-bindgen, js-sys, web-sys"),
        ("__externref", "wasm-bindgen, js-sys, web-sys"),
    ];
    let found = AREAS.iter().find(|(part, _)| name.contains(part));
    found.map_or("core and alloc", |(_, area)| area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_function_is_its_types() {
        assert_eq!(area("core::ptr::drop_in_place<client_sdk::machine::Effect>"), "core: machine");
        assert_eq!(area("core[c5930c85a12de822]::slice::memchr::memchr"), "core and alloc");
    }

    #[test]
    fn every_byte_is_counted_once() {
        // (module (import "a" "b" (func)) (func $talc) (memory 1) (data (i32.const 0) "xyz"))
        let module = b"\0asm\x01\0\0\0\
            \x01\x04\x01\x60\0\0\
            \x02\x07\x01\x01a\x01b\0\0\
            \x03\x02\x01\0\
            \x05\x03\x01\0\x01\
            \x0a\x04\x01\x02\0\x0b\
            \x0b\x09\x01\0\x41\0\x0b\x03xyz\
            \0\x0e\x04name\x01\x07\x01\x01\x04talc";
        let areas = of(module).unwrap();
        assert_eq!(areas.get("allocator"), Some(&2));
        assert_eq!(areas.get("data"), Some(&9));
        // Its sections' bodies: types, imports, functions, memory, and the count of bodies with
        // their lengths.
        assert_eq!(areas.get(REST), Some(&(4 + 7 + 2 + 3 + 2)));
    }
}
