//! Values of rows within the JSON of entries. Whatever is not merged keeps its bytes, numbers included.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object: names and the text of what they name, in order, no name twice.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &RawValue)> = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &RawValue>()? {
                    if members.iter().any(|member| member.0 == name) {
                        return Err(A::Error::custom("a name is there twice"));
                    }
                    members.push((name, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Where the value is in the JSON of an entry that may be merged: an object of `key`, `value` and
/// `headers`, each once and nothing else, the value an object that has no name twice.
pub(super) fn place(json: &[u8]) -> Option<Range<usize>> {
    let Object(members) = serde_json::from_slice(json).ok()?;
    let member = |wanted| members.iter().find(|(name, _)| name == wanted).map(|member| member.1);
    let (Some(_), Some(value), Some(_), 3) =
        (member("key"), member("value"), member("headers"), members.len())
    else {
        return None;
    };
    let _: Object<'_> = serde_json::from_str(value.get()).ok()?;
    let start = value.get().as_ptr() as usize - json.as_ptr() as usize;
    Some(start..start + value.get().len())
}

/// The names of an entry's value, ascending; none where the entry cannot be merged.
pub(super) fn names(json: &[u8]) -> Option<Vec<Box<str>>> {
    let value = std::str::from_utf8(&json[place(json)?]).ok()?;
    let Object(members) = serde_json::from_str(value).ok()?;
    let mut names: Vec<Box<str>> = members.into_iter().map(|(name, _)| name.into()).collect();
    names.sort_unstable();
    Some(names)
}

/// The older value with the newer one's members in place of its own, and those that it has not behind
/// them. Both were objects when they were looked at by [`place`].
pub(super) fn merge(older: &str, newer: &str) -> Option<String> {
    let Object(mut members) = serde_json::from_str(older).ok()?;
    let Object(newer) = serde_json::from_str(newer).ok()?;
    for (name, value) in newer {
        match members.iter_mut().find(|member| member.0 == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
    }
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&name).ok()?);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text_and_their_order() {
        let older = r#"{"z":1.10, "a" : 12345678901234567890.0123 ,"q\"":"\u00e9","n":null}"#;
        let newer = r#"{"a":-0.0,"new":[1, 2],"q\u0022":"é","z":1e400}"#;
        let merged = r#"{"z":1e400,"a":-0.0,"q\"":"é","n":null,"new":[1, 2]}"#;
        assert_eq!(merge(older, newer).as_deref(), Some(merged));
        assert_eq!(merge("{}", "{}").as_deref(), Some("{}"));
    }

    #[test]
    fn only_entries_of_the_known_form_are_merged() {
        let json = br#" {"headers":{"operation":"update"},"key":"1", "value":{"a":1} } "#;
        let place = place(json).expect("the known form");
        assert_eq!(&json[place], br#"{"a":1}"#);
        for json in [
            r#"{"key":"1","value":{"a":1}}"#,
            r#"{"key":"1","value":{"a":1},"headers":{},"old_value":{}}"#,
            r#"{"key":"1","value":null,"headers":{}}"#,
            r#"{"key":"1","value":[1],"headers":{}}"#,
            r#"{"key":"1","value":{"a":1,"\u0061":2},"headers":{}}"#,
            r#"{"key":"1","value":{"a":1},"headers":{},"value":{"a":2}}"#,
            r#"{"key":"1","value":{"a":1},"headers":{}"#,
            r#"{"key":"1","value":{"a":1},"headers":{}}}"#,
            r#"[{"key":"1","value":{"a":1},"headers":{}}]"#,
            "",
            "1",
            "null",
        ] {
            assert_eq!(super::place(json.as_bytes()), None, "{json}");
        }
        assert_eq!(super::place(b"{\"key\":\"\xff\",\"value\":{},\"headers\":{}}"), None);
    }
}
