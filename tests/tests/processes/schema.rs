//! As much of JSON Schema as the node's OpenAPI description uses; what it does not know it refuses, so that no word of a
//! description goes unchecked.

use markstein_proto::encoding::base64_decode;
use serde_json::Value;

/// Says what is wrong with `value` by a schema of the document `root`.
pub fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(root, schema);
    let wrong = |what: &str| Err(format!("{what}: {value} is not {schema}"));
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        match word.as_str() {
            "description" | "contentMediaType" => {}
            "type" => {
                let is = |name: &Value| match name.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("integer") => value.is_u64() || value.is_i64(),
                    Some("boolean") => value.is_boolean(),
                    Some("null") => value.is_null(),
                    other => panic!("the type {other:?} is not known"),
                };
                let fits = rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is));
                if !fits {
                    return wrong("type");
                }
            }
            "minimum" if value.as_i64() < rule.as_i64() => return wrong("minimum"),
            "minimum" => {}
            "pattern" => {
                if !fits(rule.as_str().unwrap(), value.as_str().unwrap_or_default()) {
                    return wrong("pattern");
                }
            }
            "contentEncoding" => {
                let text = value.as_str().unwrap_or_default();
                if rule != "base64" || base64_decode(text, 1 << 24).is_err() {
                    return wrong("contentEncoding");
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    return wrong("enum");
                }
            }
            "required" => {
                if rule.as_array().unwrap().iter().any(|name| value.get(name.as_str().unwrap()).is_none()) {
                    return wrong("required");
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value)?;
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(rule, false);
                let known = schema["properties"].as_object().unwrap();
                if !value.as_object().is_some_and(|it| it.keys().all(|name| known.contains_key(name))) {
                    return wrong("additionalProperties");
                }
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| check(root, rule, item))?;
            }
            "oneOf" => {
                let of = rule.as_array().unwrap();
                if of.iter().filter(|schema| check(root, schema, value).is_ok()).count() != 1 {
                    return wrong("oneOf");
                }
            }
            other => panic!("the word {other} of JSON Schema is not known"),
        }
    }
    Ok(())
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema.get("$ref") else { return schema };
    let path = reference.as_str().and_then(|it| it.strip_prefix('#')).expect("a reference into the document");
    root.pointer(path).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// The patterns of answers.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9a-f]{64}$" => text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "^[A-Z_]+$" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
        other => panic!("the pattern {other} is not known"),
    }
}
