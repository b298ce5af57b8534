//! Numbers in queries, refused in the words of Go's `strconv`, which clients see.

/// A number without a sign.
pub fn parse_uint(text: &str) -> Result<u64, String> {
    let digits = Some(text).filter(|text| !text.starts_with('+'));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| refusal("ParseUint", text, text))
}

pub fn parse_int(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    text.parse().map_err(|_| refusal("ParseInt", text, digits))
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
