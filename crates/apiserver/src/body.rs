//! Bodies of requests and responses.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use machinery::{ApiError, Reason};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the service reads and answers, whoever the caller is.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The most bytes a request's body may have (upstream: `MaxRequestBodyBytes`).
pub const REQUEST_BYTES_MAX: usize = 3 << 20;

/// Bytes of a body nobody asked for that are read, so that the connection can go on (upstream: net/http
/// `maxPostHandlerReadBytes`), and how long they may take.
const UNASKED_MAX: usize = 256 << 10;
const UNASKED_TIMEOUT: Duration = Duration::from_secs(5);

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    full(Bytes::new())
}

/// Sends each item as one frame.
pub fn stream(items: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(items.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync()
}

/// What was read of a body, and the rest of it.
pub fn preceded(read: Bytes, rest: Body) -> Body {
    let rest = futures::stream::unfold(rest, |mut rest| async move { rest.frame().await.map(|frame| (frame, rest)) });
    StreamBody::new(futures::stream::iter([Ok(Frame::data(read))]).chain(rest)).boxed_unsync()
}

/// Makes any body one of ours.
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Keeps `guard` until the body is sent or given up.
pub fn guarded(body: Body, guard: impl Send + 'static) -> Body {
    body.map_frame(move |frame| {
        let _kept = &guard;
        frame
    })
    .boxed_unsync()
}

/// Reads a whole request body, up to [`REQUEST_BYTES_MAX`].
pub async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, ApiError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > REQUEST_BYTES_MAX) {
        return Err(too_large());
    }
    let mut read = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::bad_request(format!("cannot read the request body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + joined.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(too_large());
        }
        // Most bodies come in one frame, which is passed on without a copy.
        if read.is_empty() && joined.is_empty() {
            read = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut read));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { read } else { joined.freeze() })
}

/// Reads a body that nobody asked for. Answers whether it ended within limits.
pub async fn pass_over(mut body: Body) -> bool {
    let reading = async {
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            size += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            if frame.is_err() || size > UNASKED_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(UNASKED_TIMEOUT, reading).await.unwrap_or(false)
}

fn too_large() -> ApiError {
    let message = format!("Request entity too large: limit is {REQUEST_BYTES_MAX}");
    ApiError::new(Reason::RequestEntityTooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(sizes: &[usize]) -> Body {
        let pieces: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect();
        stream(futures::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, pieces(&[3, 4])).await.unwrap().len(), 7);
        assert_eq!(read(&none, pieces(&[REQUEST_BYTES_MAX])).await.unwrap().len(), REQUEST_BYTES_MAX);
        let error = read(&none, pieces(&[REQUEST_BYTES_MAX, 1])).await.unwrap_err();
        assert_eq!(error.message, "Request entity too large: limit is 3145728");
    }
}
