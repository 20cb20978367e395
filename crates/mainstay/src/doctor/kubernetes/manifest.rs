//! Manifests as plain values: YAML read into the same shape as JSON.

use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value};

/// Everything that some files describe; lists are taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifests(Vec<Value>);

impl Manifests {
    /// Adds the documents of a file.
    ///
    /// # Errors
    /// What is no YAML.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        let documents = YamlOwned::load_from_str(text).map_err(|error| error.to_string())?;
        for document in documents {
            match value(document)? {
                Value::Null => {}
                Value::Object(mut list) if list.get("kind").is_some_and(|it| it == "List") => {
                    if let Some(Value::Array(items)) = list.remove("items") {
                        self.0.extend(items);
                    }
                }
                object @ Value::Object(_) => self.0.push(object),
                _ => return Err("a document is no object of Kubernetes".to_owned()),
            }
        }
        Ok(())
    }

    /// All objects of these kinds.
    pub(crate) fn of<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(|it| kinds.iter().any(|kind| it["kind"] == *kind))
    }

    /// The object of this kind and name.
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
    }
}

fn value(node: YamlOwned) -> Result<Value, String> {
    Ok(match node {
        YamlOwned::Value(scalar) => match scalar {
            ScalarOwned::Null => Value::Null,
            ScalarOwned::Boolean(it) => it.into(),
            ScalarOwned::Integer(it) => it.into(),
            ScalarOwned::FloatingPoint(it) => it.into_inner().into(),
            ScalarOwned::String(it) => it.into(),
        },
        YamlOwned::Sequence(items) => {
            Value::Array(items.into_iter().map(value).collect::<Result<_, _>>()?)
        }
        YamlOwned::Mapping(entries) => {
            let mut map = Map::new();
            for (key, held) in entries {
                let key = match value(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                map.insert(key, value(held)?);
            }
            Value::Object(map)
        }
        YamlOwned::Tagged(_, inner) => value(*inner)?,
        YamlOwned::Representation(text, ..) => text.into(),
        YamlOwned::Alias(_) | YamlOwned::BadValue => {
            return Err("it holds a value that cannot be read".to_owned());
        }
    })
}

/// `Kind name`, as kubectl has it.
pub(crate) fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["metadata"]["name"]))
}

/// The pod that an object describes.
pub(crate) fn pod_of(object: &Value) -> &Value {
    if object["kind"] == "Pod" { object } else { &object["spec"]["template"] }
}

/// Whether a selector of labels takes these labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let Value::Object(wanted) = selector else { return false };
    !wanted.is_empty() && wanted.iter().all(|(name, value)| &labels[name] == value)
}

/// Bytes of a quantity such as `512Mi`.
pub(crate) fn bytes(quantity: &Value) -> Option<u64> {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    let end = text.find(|it: char| it.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|it| (it * factor) as u64)
}

/// Cores of a quantity such as `1500m`, as many as they are begun.
pub(crate) fn cores(quantity: &Value) -> Option<usize> {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    let cores = match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().ok()? / 1e3,
        None => text.parse().ok()?,
    };
    Some(cores.ceil().max(1.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let mut all = Manifests::default();
        all.add("kind: Pod\nmetadata: { name: a }\n---\n---\nkind: List\nitems:\n- kind: Pod\n")
            .unwrap();
        assert_eq!(all.of(&["Pod"]).count(), 2);
        assert!(all.find("Pod", "a").is_some() && all.find("Pod", "b").is_none());
        for bad in ["- 1\n", "a: [", "just words\n"] {
            assert!(all.add(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quantities_are_numbers() {
        let cases = [
            ("512Mi", Some(512 << 20)),
            ("1G", Some(1_000_000_000)),
            ("1.5Ki", Some(1536)),
            ("1x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(&json!(text)), expected, "{text}");
        }
        for (text, expected) in [(json!("1500m"), 2), (json!("0.5"), 1), (json!(3), 3)] {
            assert_eq!(cores(&text), Some(expected));
        }
    }
}
