//! The value of a run's parameter: a number, a text or a truth value.

use serde::{Deserialize, Serialize};

/// The value of a run's parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
}

macro_rules! parameter_from {
    ($($from:ty => |$value:ident| $into:expr),* $(,)?) => {
        $(impl From<$from> for Parameter {
            fn from($value: $from) -> Self {
                $into
            }
        })*
    };
}

parameter_from! {
    bool => |value| Self::Boolean(value),
    i64 => |value| Self::Integer(value),
    i32 => |value| Self::Integer(value.into()),
    u32 => |value| Self::Integer(value.into()),
    u64 => |value| i64::try_from(value).map_or_else(|_| Self::Text(value.to_string()), Self::Integer),
    usize => |value| Self::from(value as u64),
    f64 => |value| Self::Number(value),
    f32 => |value| Self::Number(value.into()),
    &str => |value| Self::Text(value.to_owned()),
    String => |value| Self::Text(value),
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// Lists and objects are kept as their JSON text.
impl From<serde_json::Value> for Parameter {
    fn from(value: serde_json::Value) -> Self {
        serde_json::from_value(value.clone()).unwrap_or_else(|_| Self::Text(value.to_string()))
    }
}

/// How a number that JSON has no word for is written: `{"number": "NaN"}`.
#[derive(Serialize, Deserialize)]
struct NotFinite {
    number: String,
}

impl Parameter {
    /// As the store keeps it.
    pub(super) fn to_json(&self) -> String {
        match self {
            Self::Number(number) if !number.is_finite() => {
                serde_json::json!(NotFinite { number: number.to_string() }).to_string()
            }
            value => serde_json::json!(value).to_string(),
        }
    }

    /// What [`Parameter::to_json`] wrote. Other text stands for itself.
    pub(super) fn from_json(text: &str) -> Self {
        // Most are numbers, of which a runs table reads many.
        if text.as_bytes().first().is_some_and(|first| first.is_ascii_digit() || *first == b'-') {
            if let Ok(value) = text.parse() {
                return Self::Integer(value);
            }
            if let Ok(value) = text.parse() {
                return Self::Number(value);
            }
        }
        if let Ok(NotFinite { number }) = serde_json::from_str(text)
            && let Ok(number) = number.parse()
        {
            return Self::Number(number);
        }
        serde_json::from_str(text).unwrap_or_else(|_| Self::Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Parameter;

    #[test]
    fn values_come_back_as_they_were() {
        let values = [
            Parameter::Boolean(true),
            Parameter::Integer(i64::MIN),
            Parameter::Number(1.0),
            Parameter::Number(-1e-300),
            Parameter::Number(f64::NEG_INFINITY),
            Parameter::Text("NaN".to_owned()),
            Parameter::Text("12".to_owned()),
            Parameter::Text("\"quoted\" \n 日本語".to_owned()),
        ];
        for value in values {
            assert_eq!(Parameter::from_json(&value.to_json()), value);
        }
        let Parameter::Number(number) = Parameter::from_json(&Parameter::Number(f64::NAN).to_json()) else {
            panic!("NaN is a number here")
        };
        assert!(number.is_nan());
        assert_eq!(Parameter::from_json("[1, 2"), Parameter::Text("[1, 2".to_owned()));
    }
}
