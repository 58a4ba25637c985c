//! YAML (or JSON, which is YAML) that users write into a text field.

use serde_json::Value;

/// Deepest nesting that is read: as deep as JSON is read, and far deeper than any object of Kubernetes.
const DEEPEST: usize = 128;

/// Reads one document.
///
/// # Errors
/// What is wrong with it, with what to do about it.
pub fn parse(text: &str) -> Result<Value, String> {
    // The scanner looks at every open bracket for each further character: half a megabyte of them would take minutes.
    if deepest(text) > DEEPEST {
        return Err(format!(
            "is nested more than {DEEPEST} levels deep; write it flatter"
        ));
    }
    serde_yaml::from_str(text).map_err(|error| format!("is neither YAML nor JSON ({error}); correct it"))
}

/// How many brackets are open at once. Those inside of strings count too, which nobody has so many of.
fn deepest(text: &str) -> usize {
    let mut open = 0usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_yaml_and_json() {
        assert_eq!(parse("a: [1, {b: c}]"), Ok(json!({"a": [1, {"b": "c"}]})));
        assert_eq!(
            parse(r#"[{"op": "remove", "path": "/a"}]"#),
            Ok(json!([{"op": "remove", "path": "/a"}]))
        );
        assert_eq!(
            parse(&"[]{}".repeat(10)).unwrap_err().split(' ').next(),
            Some("is")
        );
        for text in ["a: b: c", "a\n---\nb", "&a [*a]", "\t- a"] {
            assert!(
                parse(text).unwrap_err().contains("neither YAML nor JSON"),
                "{text}"
            );
        }
        assert!(parse(&"[".repeat(500_000)).unwrap_err().contains("levels deep"));
    }
}
