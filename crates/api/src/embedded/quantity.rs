//! Quantities, as numbers and as text.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::api::resource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An amount such as `1Gi`, `500m` or `2`. Users write small ones as numbers, and the API server keeps them so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    Number(i64),
    Text(String),
}

impl Quantity {
    /// Whether it says nothing: Go writes a quantity that was never set as `0`.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Text(text) => text.is_empty() || text == "0",
        }
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&Quantity> for resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(match quantity {
            Quantity::Number(number) => number.to_string(),
            Quantity::Text(text) => text.clone(),
        })
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        quantity(generator)
    }
}

/// Schema of a quantity, for optional fields too.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text() {
        let both: Vec<Quantity> = serde_json::from_str(r#"[2, "1Gi", "0", 0, ""]"#).unwrap();
        let text: Vec<_> = both.iter().map(|q| resource::Quantity::from(q).0).collect();
        assert_eq!(text, ["2", "1Gi", "0", "0", ""]);
        let zero: Vec<_> = both.iter().map(Quantity::is_zero).collect();
        assert_eq!(zero, [false, false, true, true, true]);
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"[2,"1Gi","0",0,""]"#);
    }
}
