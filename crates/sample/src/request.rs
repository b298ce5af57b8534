//! As much HTTP as the server needs.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_LINE: u64 = 8 * 1024;

#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    query: String,
    /// The header `X-Password`.
    pub password: String,
}

impl Request {
    /// Reads a request's head; a body is left where it is.
    pub fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let first = line(&mut reader)?;
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request =
            Self { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), ..Self::default() };
        loop {
            let header = line(&mut reader)?;
            match header.split_once(':') {
                None => return Ok(request),
                Some((name, value)) if name.eq_ignore_ascii_case("x-password") => {
                    value.trim().clone_into(&mut request.password)
                }
                Some(_) => {}
            }
        }
    }

    /// A parameter of the query; empty if it is not there.
    pub fn text(&self, name: &str) -> &str {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    reader.take(MAX_LINE).read_line(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// Asks another server.
pub fn get(host: &str, path: &str, password: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Password: {password}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Error::other("no answer"))?;
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(Error::other(body.trim().to_owned())) }
}
