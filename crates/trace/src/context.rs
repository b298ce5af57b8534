//! The span of a caller, from its `traceparent` and `tracestate`. (W3C Trace Context)

use http::HeaderMap;

pub(crate) const SAMPLED: u8 = 1;

/// What a caller says of the trace that its request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) state: String,
    pub(crate) sampled: bool,
}

impl Parent {
    /// Nothing where there is none, or it is not well-formed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all("traceparent").iter();
        let (header, None) = (given.next()?.to_str().ok()?, given.next()) else { return None };
        let states = headers.get_all("tracestate").iter().filter_map(|state| state.to_str().ok());
        let state = states.collect::<Vec<&str>>().join(",");
        Some(Self { state, ..Self::parse(header)? })
    }

    fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(5, '-');
        let mut part = |length: usize| parts.next().filter(|part| part.len() == length);
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let [version] = bytes::<1>(version)?;
        // Version 255 is none; later ones than the first may say more than it does.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace_id, span_id, [flags]) = (bytes(trace)?, bytes(span)?, bytes::<1>(flags)?);
        let valid = trace_id != [0; 16] && span_id != [0; 8];
        valid.then(|| Self { trace_id, span_id, state: String::new(), sampled: flags & SAMPLED != 0 })
    }
}

/// Hexadecimal in lower case, of exactly so many bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_caller_names_its_trace_its_span_and_whether_it_is_sampled() {
        let parent = Parent::parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!((parent.trace_id[..2].to_vec(), parent.span_id[7]), (vec![0x0a, 0xf7], 0x31));
        assert!(parent.sampled);
        assert!(!Parent::parse(&format!("00-{TRACE}-{SPAN}-02")).unwrap().sampled);
        assert!(Parent::parse(&format!("cc-{TRACE}-{SPAN}-01-what-comes-later")).is_some());
    }

    #[test]
    fn what_is_not_well_formed_is_no_parent() {
        let zeros = "0".repeat(32);
        for header in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}é-{SPAN}-01"),
        ] {
            assert_eq!(Parent::parse(&header), None, "{header}");
        }
    }

    #[test]
    fn the_state_of_the_trace_goes_along() {
        let mut headers = HeaderMap::new();
        headers.append("traceparent", format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
        headers.append("tracestate", "a=1".parse().unwrap());
        headers.append("tracestate", "b=2".parse().unwrap());
        assert_eq!(Parent::of(&headers).unwrap().state, "a=1,b=2");
        headers.append("traceparent", format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
        assert_eq!(Parent::of(&headers), None);
    }
}
