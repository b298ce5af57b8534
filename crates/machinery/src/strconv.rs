//! Numbers, durations and bytes as text; what is none is refused in the words of Go's `strconv` and `time`, which clients see.

use std::time::Duration;

/// A number without a sign.
pub fn parse_uint(text: &str) -> Result<u64, String> {
    let digits = Some(text).filter(|text| !text.starts_with('+'));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| refusal("ParseUint", text, text))
}

pub fn parse_int(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    text.parse().map_err(|_| refusal("ParseInt", text, digits))
}

/// A duration in Go's notation, as `1m30s` or `1.5h`; negative ones are none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        seconds += number * scale;
        rest = after;
    }
    let duration = Duration::try_from_secs_f64(seconds).ok();
    duration.filter(|duration| i64::try_from(duration.as_nanos()).is_ok()).ok_or_else(invalid)
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refusal(function: &str, text: &str, digits: &str) -> String {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    format!("strconv.{function}: parsing {text:?}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let table = [("10s", 10_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250), ("0", 0), ("+.5s", 500)];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1..s", ".s", "300000000h"] {
            assert_eq!(parse_duration(text), Err(format!("time: invalid duration {text:?}")));
        }
        assert_eq!(parse_duration("10").unwrap_err(), "time: missing unit in duration \"10\"");
        assert_eq!(parse_duration("1d2s").unwrap_err(), "time: unknown unit \"d\" in duration \"1d2s\"");
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        assert_eq!((parse_uint("7"), parse_int("-7"), parse_int("+7")), (Ok(7), Ok(-7), Ok(7)));
        for (text, why) in
            [("", "invalid syntax"), ("+7", "invalid syntax"), ("99999999999999999999", "value out of range")]
        {
            assert_eq!(parse_uint(text), Err(format!("strconv.ParseUint: parsing {text:?}: {why}")));
        }
        let beyond = "-9999999999999999999";
        assert_eq!(parse_int(beyond), Err(format!("strconv.ParseInt: parsing {beyond:?}: value out of range")));
    }
}
