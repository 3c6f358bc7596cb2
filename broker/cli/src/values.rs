//! Values as people write and read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use wire::traceparent::TraceParent;

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The oldest message.
    Earliest,
    /// The next one.
    Latest,
    /// The first one stored at that time (unix ms) or later.
    TimeMs(u64),
    /// The one with that number.
    Offset(u64),
}

/// Reads `500ms`, `10s`, `5m`, `3h` or `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a number and ms, s, m, h or d, such as `10s`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

/// Reads `earliest`, `latest`, a time, an age or `offset=12`.
pub(crate) fn place(text: &str) -> Result<Place, String> {
    match text.to_lowercase().as_str() {
        "earliest" => return Ok(Place::Earliest),
        "latest" => return Ok(Place::Latest),
        _ => {}
    }
    if let Some(number) = text.strip_prefix("offset=") {
        return number.parse().map(Place::Offset).map_err(|_| format!("`{number}` is no offset"));
    }
    time_ms(text).map(Place::TimeMs)
}

/// Reads a time in UTC as `2026-11-22T08:00:00Z` or `2026-11-22`, or how long ago it was, such as `90m`.
pub(crate) fn time_ms(text: &str) -> Result<u64, String> {
    if let Ok(age) = duration(text) {
        return Ok(client::now_ms().saturating_sub(age.as_millis() as u64));
    }
    let wrong = || format!("`{text}` is no time: write 2026-11-22T08:00:00Z, or 90m for so long ago");
    let day = text.parse::<Date>().ok().filter(|_| !text.contains('T'));
    let time = match day.map(|day| day.to_zoned(TimeZone::UTC)) {
        Some(begin) => begin.map_err(|_| wrong())?.timestamp(),
        None => text.parse::<Timestamp>().map_err(|_| wrong())?,
    };
    u64::try_from(time.as_millisecond()).map_err(|_| wrong())
}

/// Writes a time (unix ms) as `2026-11-22T08:00:00.250Z`.
pub(crate) fn show_time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms"), |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads a W3C `traceparent`; it stays a text.
pub(crate) fn traceparent(text: &str) -> Result<String, String> {
    let form = "00-<trace id, 32 hex digits>-<span id, 16 hex digits>-<flags, 01: sampled>";
    match TraceParent::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("`{text}` is no traceparent: write {form}, in lower case, and no id all zero")),
    }
}

/// Writes a duration with its largest whole unit.
pub(crate) fn show_ms(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

/// Writes a number of bytes with the unit that leaves three or four digits.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Names made of a pattern with one `%d` or `%05d` in it, counted from `first`.
pub(crate) fn expand(pattern: &str, first: u32, count: u32) -> Result<Vec<String>, String> {
    let wrong = || format!("`{pattern}` needs one %d, or %05d for five digits");
    let (before, rest) = pattern.split_once('%').ok_or_else(wrong)?;
    let (width, after) = rest.split_once('d').ok_or_else(wrong)?;
    let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| wrong())? };
    if after.contains('%') || width > 20 {
        return Err(wrong());
    }
    Ok((first..first.saturating_add(count)).map(|n| format!("{before}{n:0width$}{after}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3h"), Ok(Duration::from_hours(3)));
        for wrong in ["", "5", "s", "1.5s", "99999999999999999999s", "999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_words_times_ages_and_offsets() {
        assert_eq!(place("Earliest"), Ok(Place::Earliest));
        assert_eq!(place("offset=12"), Ok(Place::Offset(12)));
        assert_eq!(place("1970-01-01T00:00:01.5Z"), Ok(Place::TimeMs(1500)));
        assert_eq!(show_time(1500), "1970-01-01T00:00:01.500Z");
        assert_eq!(place("2026-01-01"), Ok(Place::TimeMs(1_767_225_600_000)));
        for ms in [0, 951_825_599_999, 1_767_225_599_000, 1_767_225_600_000] {
            assert_eq!(time_ms(&show_time(ms)), Ok(ms));
        }
        let Ok(Place::TimeMs(ms)) = place("1h") else { panic!("an age") };
        assert!(client::now_ms().abs_diff(ms + 3_600_000) < 60_000);
        for wrong in [
            "",
            "offset=",
            "offset=-1",
            "yesterday",
            "2026-02-29",
            "2026-13-01",
            "1969-12-31T23:59:59Z",
            "1969-12-31",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_makes_names() {
        assert_eq!(expand("bench-%05d", 0, 2).unwrap(), ["bench-00000", "bench-00001"]);
        assert_eq!(expand("t%d-x", 9, 2).unwrap(), ["t9-x", "t10-x"]);
        for wrong in ["bench", "%", "%s", "%d%d", "%99d"] {
            assert!(expand(wrong, 0, 1).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_trace_context_is_taken_as_it_is_or_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(good), Ok(good.to_owned()));
        for wrong in ["", "0af7651916cd43dd8448eb211c80319c", &good.to_uppercase()] {
            assert!(traceparent(wrong).unwrap_err().contains("is no traceparent"), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!((show_bytes(1023), show_bytes(1536)), ("1023 B".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!((show_ms(259_200_000), show_ms(1500)), ("3d".to_owned(), "1500ms".to_owned()));
    }
}
