//! What a jsonb can be found by in an index: hashes of its leaves, keys and fields.

use std::hash::{BuildHasher, Hash, Hasher};

use super::json::{Json, Node};
use super::json_order::deep;

const LEAF: u8 = 1;
const KEY: u8 = 2;
const FIELD: u8 = 3;

impl Json<'_> {
    /// Hashes of the leaves: each scalar with the keys that lead to it, whatever the arrays on its
    /// way. Where `a @> b` holds, every leaf of `b` is one of `a`'s. Empty containers have none.
    pub fn leaf_hashes<S: BuildHasher>(&self, state: &S, found: &mut dyn FnMut(u64)) {
        leaves(*self, 0, state, found);
    }

    /// Hashes of what `?` finds: an object's keys, an array's strings, a string alone. For a key on
    /// its own see [`Json::key_hash`].
    pub fn key_hashes<S: BuildHasher>(&self, state: &S, found: &mut dyn FnMut(u64)) {
        match self.node() {
            Node::Object(object) => object.iter().for_each(|(key, _)| found(hash_key(key, state))),
            Node::Array(array) => {
                for item in array.iter() {
                    if let Node::String(text) = item.node() {
                        found(hash_key(text, state));
                    }
                }
            }
            Node::String(text) => found(hash_key(text, state)),
            _ => {}
        }
    }

    /// Hashes of an object's fields as `->>` gives them, numbers and strings, `true` and `false`.
    /// For a field on its own see [`Json::field_hash`]. Fields that hold objects or arrays have none,
    /// so a value that begins like one (see [`Json::is_field`]) must be sought otherwise.
    pub fn field_hashes<S: BuildHasher>(&self, state: &S, found: &mut dyn FnMut(u64)) {
        let Node::Object(object) = self.node() else { return };
        let arena = bumpalo::Bump::new();
        for (key, value) in object.iter() {
            let text = match value.node() {
                Node::Bool(true) => "true",
                Node::Bool(false) => "false",
                Node::String(bytes) => super::json::text(bytes),
                Node::Number(_) => super::json_text::output(value, &arena),
                Node::Null | Node::Object(_) | Node::Array(_) => continue,
            };
            found(hash_field(key, text, state));
        }
    }

    /// The hash of a key that `?` asks for.
    pub fn key_hash<S: BuildHasher>(key: &str, state: &S) -> u64 {
        hash_key(key.as_bytes(), state)
    }

    /// The hash of `column ->> key = text`.
    pub fn field_hash<S: BuildHasher>(key: &str, text: &str, state: &S) -> u64 {
        hash_field(key.as_bytes(), text, state)
    }

    /// Can no object's or array's text equal this one?
    #[must_use]
    pub fn is_field(text: &str) -> bool {
        !text.starts_with(['{', '['])
    }
}

fn hash_key<S: BuildHasher>(key: &[u8], state: &S) -> u64 {
    state.hash_one((KEY, key))
}

fn hash_field<S: BuildHasher>(key: &[u8], text: &str, state: &S) -> u64 {
    state.hash_one((FIELD, key, text))
}

fn leaves<S: BuildHasher>(json: Json<'_>, path: u64, state: &S, found: &mut dyn FnMut(u64)) {
    match json.node() {
        Node::Array(array) => {
            deep(|| array.iter().for_each(|item| leaves(item, path, state, found)));
        }
        Node::Object(object) => deep(|| {
            for (key, value) in object.iter() {
                leaves(value, state.hash_one((path, key)), state, found);
            }
        }),
        _ => {
            let mut hasher = state.build_hasher();
            (LEAF, path).hash(&mut hasher);
            super::json_order::hash_equality(json, &mut hasher);
            found(hasher.finish());
        }
    }
}
