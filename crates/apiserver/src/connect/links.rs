//! Links of what is proxied: those to paths of the backend lead back to it through the server.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/proxy/transport.go

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;

use super::forward::Backend;
use crate::body;
use crate::call::Call;
use crate::respond::Answer;

/// Longer pages are passed on as they are.
const PAGE_BYTES_MAX: usize = 3 << 20;

/// Attributes that hold links, by their elements.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// Where what is proxied stands.
pub struct Place {
    /// The path that is proxied, such as `/api/v1/namespaces/shop/pods/web/proxy`.
    pub prefix: String,
    /// The names of the backend: how the server reaches it, and how the client reaches the server.
    pub hosts: [String; 2],
}

impl Place {
    pub fn of(call: &Call, backend: &Backend) -> Self {
        let path = call.parts.uri.path();
        let prefix = path.strip_suffix(&call.info.rest).unwrap_or(path);
        let host = call.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Self { prefix: prefix.trim_end_matches('/').to_owned(), hosts: [backend.address.clone(), host.to_owned()] }
    }

    /// Changes where a redirect leads, and the links of a page.
    pub async fn lead_back(&self, mut answer: Answer) -> Answer {
        if let Some(location) = answer.headers().get(LOCATION) {
            let changed = location.to_str().ok().and_then(|link| HeaderValue::try_from(self.link(link)).ok());
            if let Some(changed) = changed {
                answer.headers_mut().insert(LOCATION, changed);
            }
            return answer;
        }
        if !is_page(answer.headers()) {
            return answer;
        }
        let (mut parts, mut body) = answer.into_parts();
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => read.extend_from_slice(&data),
                Ok(Err(_)) => {}
                // What came is passed on, and the connection breaks as it would have.
                Err(error) => {
                    let broken = futures::stream::iter([Err(error)]);
                    let broken = http_body_util::StreamBody::new(broken).boxed_unsync();
                    return Answer::from_parts(parts, body::preceded(read.freeze(), broken));
                }
            }
            if read.len() > PAGE_BYTES_MAX {
                return Answer::from_parts(parts, body::preceded(read.freeze(), body));
            }
        }
        let page = self.page(&read);
        parts.headers.insert(CONTENT_LENGTH, page.len().into());
        Answer::from_parts(parts, body::full(page))
    }

    fn link(&self, link: &str) -> String {
        let (host, path) = match link.split_once("//") {
            Some(("http:" | "https:" | "", rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                rest.split_at(end)
            }
            _ => ("", link),
        };
        let elsewhere = !host.is_empty() && !self.hosts.iter().any(|own| own == host);
        if elsewhere || !path.starts_with('/') {
            return link.to_owned();
        }
        if path.starts_with(&self.prefix) { path.to_owned() } else { format!("{}{path}", self.prefix) }
    }

    fn page(&self, page: &[u8]) -> Bytes {
        let mut changed = Vec::with_capacity(page.len() + 256);
        let mut rest = page;
        while let Some(open) = rest.iter().position(|byte| *byte == b'<') {
            let (text, tag) = rest.split_at(open);
            changed.extend_from_slice(text);
            let (tag, behind) = tag.split_at(tag_end(tag).unwrap_or(tag.len()));
            let name = tag_name(tag);
            self.tag(&name, tag, &mut changed);
            rest = behind;
            if RAW.contains(&name.as_str()) {
                let (raw, behind) = rest.split_at(find(rest, &format!("</{name}")).unwrap_or(rest.len()));
                changed.extend_from_slice(raw);
                rest = behind;
            }
        }
        changed.extend_from_slice(rest);
        changed.into()
    }

    /// Appends a tag with its links changed.
    fn tag(&self, name: &str, tag: &[u8], changed: &mut Vec<u8>) {
        let attributes = LINKS.iter().find(|(element, _)| *element == name).map_or(&[][..], |(_, links)| links);
        let (mut copied, mut at) = (0, 1 + name.len());
        while let Some((key, value)) = attribute(tag, &mut at) {
            if attributes.contains(&key.as_str())
                && let Ok(link) = std::str::from_utf8(&tag[value.clone()])
            {
                changed.extend_from_slice(&tag[copied..value.start]);
                changed.extend_from_slice(self.link(link).as_bytes());
                copied = value.end;
            }
        }
        changed.extend_from_slice(&tag[copied..]);
    }
}

/// Sends who asks for the proxied path without a slash to the one with it, below which relative links lead.
pub fn to_root(call: &Call) -> Option<Answer> {
    let uri = &call.parts.uri;
    let reads = [Method::GET, Method::HEAD].contains(&call.parts.method) && !call.headers().contains_key(UPGRADE);
    if !reads || !call.info.rest.is_empty() || uri.path().ends_with('/') {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{}/{query}", uri.path())).ok()?;
    let mut moved = Answer::new(body::empty());
    *moved.status_mut() = StatusCode::MOVED_PERMANENTLY;
    moved.headers_mut().insert(LOCATION, location);
    Some(moved)
}

/// HTML that is not packed.
fn is_page(headers: &HeaderMap) -> bool {
    let of_type = headers.get(CONTENT_TYPE).and_then(|of| of.to_str().ok()).unwrap_or_default();
    of_type.split(';').next().unwrap_or_default().trim() == "text/html" && !headers.contains_key(CONTENT_ENCODING)
}

fn find(page: &[u8], text: &str) -> Option<usize> {
    page.windows(text.len()).position(|at| at.eq_ignore_ascii_case(text.as_bytes()))
}

/// Just behind a tag or comment; a `<` that begins neither is alone.
fn tag_end(tag: &[u8]) -> Option<usize> {
    if tag.starts_with(b"<!--") {
        return find(tag, "-->").map(|at| at + "-->".len());
    }
    if !tag.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || b"/!?".contains(byte)) {
        return Some(1);
    }
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// The element that a tag opens; empty where it opens none.
fn tag_name(tag: &[u8]) -> String {
    let name = tag.iter().skip(1).take_while(|byte| byte.is_ascii_alphanumeric());
    name.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// The name of the next attribute of a tag, and where its value is; `at` moves behind it.
fn attribute(tag: &[u8], at: &mut usize) -> Option<(String, Range<usize>)> {
    let end_of = |from: usize, ends: &dyn Fn(u8) -> bool| {
        from + tag[from..].iter().position(|byte| ends(*byte)).unwrap_or(tag.len() - from)
    };
    let is_space = |byte: u8| byte.is_ascii_whitespace();
    let start = end_of(*at, &|byte| !is_space(byte) && byte != b'/');
    let end = end_of(start, &|byte| is_space(byte) || b"=>/".contains(&byte));
    if start == end {
        return None;
    }
    let key = String::from_utf8_lossy(&tag[start..end]).to_ascii_lowercase();
    let equals = end_of(end, &|byte| !is_space(byte));
    if tag.get(equals) != Some(&b'=') {
        *at = equals;
        return Some((key, end..end));
    }
    let open = end_of(equals + 1, &|byte| !is_space(byte));
    let value = match tag.get(open) {
        Some(quote @ (b'"' | b'\'')) => open + 1..end_of(open + 1, &|byte| byte == *quote),
        _ => open..end_of(open, &|byte| is_space(byte) || byte == b'>'),
    };
    let quoted = value.start > open;
    *at = (value.end + usize::from(quoted)).min(tag.len());
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { prefix: "/api/v1/pods/web/proxy".to_owned(), hosts: ["10.42.0.7:80", "k8s:6443"].map(str::to_owned) }
    }

    #[test]
    fn paths_of_the_backend_lead_back() {
        for (link, wanted) in [
            ("/login?next=/a#b", "/api/v1/pods/web/proxy/login?next=/a#b"),
            ("/", "/api/v1/pods/web/proxy/"),
            ("http://10.42.0.7:80/a", "/api/v1/pods/web/proxy/a"),
            ("//k8s:6443/a", "/api/v1/pods/web/proxy/a"),
            ("https://k8s:6443/api/v1/pods/web/proxy/a", "/api/v1/pods/web/proxy/a"),
            ("/api/v1/pods/web/proxy/a", "/api/v1/pods/web/proxy/a"),
            ("http://elsewhere/a", "http://elsewhere/a"),
            ("a/b//c", "a/b//c"),
            ("../a", "../a"),
            ("", ""),
        ] {
            assert_eq!(place().link(link), wanted, "{link}");
        }
    }

    #[test]
    fn links_of_a_page_are_changed_and_nothing_else() {
        for (page, wanted) in [
            (r#"<a href="/x">t</a>"#, r#"<a href="/api/v1/pods/web/proxy/x">t</a>"#),
            ("<A class=y HREF = '/x' id>", "<A class=y HREF = '/api/v1/pods/web/proxy/x' id>"),
            ("<img src=/x alt='>'/>", "<img src=/api/v1/pods/web/proxy/x alt='>'/>"),
            (r#"<p href="/x">1 < 2 <!-- <a href="/x"> --> "#, r#"<p href="/x">1 < 2 <!-- <a href="/x"> --> "#),
            (r#"<script>"<a href='/x'>"</SCRIPT>"#, r#"<script>"<a href='/x'>"</SCRIPT>"#),
            (r#"<a href="/x"#, r#"<a href="/api/v1/pods/web/proxy/x"#),
            ("<a href=", "<a href="),
            ("<", "<"),
        ] {
            assert_eq!(String::from_utf8(place().page(page.as_bytes()).to_vec()).unwrap(), wanted);
        }
    }
}
