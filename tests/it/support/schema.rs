//! docs/output.schema.json, and whether a line is as it says. Knows the part of JSON Schema that is used there, and is stricter in one
//! thing: a field or a kind that the schema does not know is a mistake of ours, though no reader minds.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The schema as it is in the repository.
pub static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/output.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

/// The words of JSON Schema that are understood here.
const WORDS: [&str; 10] =
    ["$ref", "anyOf", "const", "description", "enum", "items", "minimum", "properties", "required", "type"];

/// What is wrong with a line; none if it is as the schema says.
pub fn problem(line: &Value) -> Option<String> {
    let Some(kind) = line["event"].as_str() else { return Some(format!("no `event` in {line}")) };
    let name = format!("event_{kind}");
    match SCHEMA["$defs"].get(&name) {
        Some(schema) => check(schema, line).err().map(|why| format!("{kind}: {why} in {line}")),
        None => Some(format!("docs/output.schema.json knows no `{kind}`: {line}")),
    }
}

/// Whether every line of a text that is one of ours is as the schema says.
pub fn check_lines(text: &str) {
    let lines = text.lines().filter(|line| line.starts_with("{\"event\":"));
    for line in lines {
        let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Some(problem) = problem(&value) {
            panic!("{problem}");
        }
    }
}

fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let rules = schema.as_object().unwrap();
    for (word, rule) in rules {
        assert!(WORDS.contains(&word.as_str()), "{word} is not understood: {schema}");
        match word.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(&SCHEMA["$defs"][name], value).map_err(|why| format!("{name}: {why}"))?;
            }
            "anyOf" => {
                let all: Vec<_> = rule.as_array().unwrap().iter().map(|rule| check(rule, value)).collect();
                if all.iter().all(Result::is_err) {
                    return Err(format!("{all:?}"));
                }
            }
            "const" if rule != value => return Err(format!("{value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => return Err(format!("{value} is none of {rule}")),
            "minimum" if value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap()) => {
                return Err(format!("{value} is below {rule}"));
            }
            "type" => is_of(rule, value)?,
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| check(rule, item))?,
            "properties" => has(rule.as_object().unwrap(), value)?,
            "required" => {
                let missing = |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
                if let Some(name) = rule.as_array().unwrap().iter().find(missing) {
                    return Err(format!("{name} is missing"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_of(kinds: &Value, value: &Value) -> Result<(), String> {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    let fits = kinds.as_array().map_or_else(|| is(kinds), |kinds| kinds.iter().any(is));
    if fits { Ok(()) } else { Err(format!("{value} is no {kinds}")) }
}

fn has(known: &Map<String, Value>, value: &Value) -> Result<(), String> {
    for (name, field) in value.as_object().into_iter().flatten() {
        // Lines of records carry what records carry.
        let is_free = known.contains_key("line");
        match known.get(name) {
            Some(schema) => check(schema, field).map_err(|why| format!("`{name}`: {why}"))?,
            None if is_free => {}
            None => return Err(format!("`{name}` is not described")),
        }
    }
    Ok(())
}
