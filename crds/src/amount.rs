//! Amounts as people write them: `72h`, `1h30m`, `10Gi`.
//!
//! Promise: what the API server accepts by the rules in these schemas, these types parse; both are tested on one list.
//! Limit: durations have no days, because the API server's own durations have none; `168h` is a week.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// What is wrong with an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a duration.
    #[error("`{0}` is not a duration; write for example 72h, 1h30m or 500ms, and days as hours")]
    Duration(String),
    /// Not a quantity.
    #[error("`{0}` is not a quantity of bytes; write for example 10Gi or 500Mi")]
    Quantity(String),
}

const DURATION_RULE: &str = "self.matches('^([0-9]+(ms|s|m|h))+$') && duration(self) >= duration('1ms')";
const DURATION_MESSAGE: &str =
    "must be a duration above zero such as 72h, 1h30m or 500ms; write days as hours, 168h for a week";

/// A length of time: `72h`, `1h30m`, `500ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub String);

impl Span {
    /// The milliseconds of it.
    pub fn millis(&self) -> Result<u64, AmountError> {
        let wrong = || AmountError::Duration(self.0.clone());
        let mut rest = self.0.as_str();
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let (unit, ms) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))
                .ok_or_else(wrong)?;
            rest = &rest[unit.len()..];
            let part = number.checked_mul(ms).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
        }
        if total == 0 { Err(wrong()) } else { Ok(total) }
    }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            // Nineteen digits of hours would not be a duration any more, and the rule's cost is bounded by this.
            "maxLength": 16,
            "x-kubernetes-validations": [{ "rule": DURATION_RULE, "message": DURATION_MESSAGE }],
        })
    }
}

/// A quantity as Kubernetes writes it: `10Gi`, `500Mi`, `2`, `250m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Quantity {
    /// The whole number it stands for, rounded up as Kubernetes does.
    pub fn bytes(&self) -> Result<u64, AmountError> {
        let wrong = || AmountError::Quantity(self.0.clone());
        let split = self.0.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.0.len());
        let (number, suffix) = self.0.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // More digits than a u128 can multiply are nothing that a disk can hold.
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 9 {
            return Err(wrong());
        }
        let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
        let (times, over) = scale(suffix).ok_or_else(wrong)?;
        let divisor = 10u128.pow(fraction.len() as u32) * over;
        u64::try_from((digits * times).div_ceil(divisor)).map_err(|_| wrong())
    }
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let power = |list: [&str; 6], base: u128| {
        let at = list.iter().position(|known| *known == suffix)?;
        Some((base.pow(at as u32 + 1), 1))
    };
    match suffix {
        "" => Some((1, 1)),
        "m" => Some((1, 1000)),
        _ => power(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], 1024)
            .or_else(|| power(["k", "M", "G", "T", "P", "E"], 1000))
            .or_else(|| exponent(suffix)),
    }
}

fn exponent(suffix: &str) -> Option<(u128, u128)> {
    let power: u32 = suffix.strip_prefix(['e', 'E'])?.trim_start_matches('+').parse().ok()?;
    (power <= 18).then(|| (10u128.pow(power), 1))
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Number(number) => Self(number.to_string()),
            Written::Text(text) => Self(text),
        })
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A person writes `cpu: 2` as a number; the API server has this type for it.
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "maxLength": 32,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_mean_what_they_say() {
        for (text, ms) in [("72h", 259_200_000), ("1h30m", 5_400_000), ("1m0s", 60_000), ("5ms", 5)] {
            assert_eq!(Span::from(text).millis(), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "0s", "72", "h", "1d", "-1h", "1.5h", "99999999999999999999h", "9999999999999999h"] {
            assert!(Span::from(text).millis().is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_mean_what_kubernetes_means() {
        for (text, bytes) in [
            ("10Gi", 10 << 30),
            ("1.5Gi", 3 << 29),
            ("500M", 500_000_000),
            ("1e3", 1000),
            ("7", 7),
            ("1m", 1),
        ] {
            assert_eq!(Quantity::from(text).bytes(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "Gi", "-1Gi", "10GiB", "10 Gi", "1e99", "99999999Ei", "1..2"] {
            assert!(Quantity::from(text).bytes().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_a_quantity() {
        assert_eq!(serde_json::from_str::<Quantity>("2").unwrap(), Quantity::from("2"));
        assert_eq!(serde_json::from_str::<Quantity>("\"2Gi\"").unwrap(), Quantity::from("2Gi"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}") {
            let _ = Span(text.clone()).millis();
            let _ = Quantity(text).bytes();
        }

        #[test]
        fn every_number_of_bytes_survives(bytes in any::<u32>()) {
            prop_assert_eq!(Quantity(format!("{bytes}Ki")).bytes(), Ok(u64::from(bytes) << 10));
        }
    }
}
