//! Percent encoding of names and values in URLs.

/// Undoes percent encoding; what is not valid UTF-8 becomes replacement characters.
pub fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match hex_pair(&bytes[at..]) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        }
        _ => None,
    }
}

/// The same for names and values of a query, where `+` is a blank.
pub fn decode_value(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text = "a b/ü&=%+";
        assert_eq!(encode(text), "a%20b%2F%C3%BC%26%3D%25%2B");
        assert_eq!((decode(&encode(text)).as_str(), decode_value(&encode(text)).as_str()), (text, text));
    }

    #[test]
    fn what_is_not_encoded_stays_as_it_is() {
        for text in ["%zz", "%4", "%", "%+4", "a+b"] {
            assert_eq!(decode(text), text);
        }
        assert_eq!((decode_value("a+b").as_str(), decode("%ff").as_str()), ("a b", "\u{fffd}"));
    }
}
