//! Clients whose server is a function of the test.

use std::future::Future;

use bytes::Bytes;
use futures::Stream;
use http::{Request, Response};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use kube::Client;
use kube::client::Body;

pub type TestBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// A client whose requests never get an answer.
pub fn silent_client() -> Client {
    client(|_| std::future::pending())
}

pub fn client<F>(answer: impl Fn(Request<Body>) -> F + Send + Clone + 'static) -> Client
where
    F: Future<Output = Response<TestBody>> + Send + 'static,
{
    let service = tower::service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, std::io::Error>(answer.await) }
    });
    Client::new(service, "default")
}

pub fn json(status: u16, body: &serde_json::Value) -> Response<TestBody> {
    lines(status, futures::stream::iter([body.to_string()]))
}

pub fn lines(status: u16, chunks: impl Stream<Item = String> + Send + 'static) -> Response<TestBody> {
    use futures::StreamExt;
    use http_body_util::BodyExt;
    let frames = chunks.map(|chunk| Ok(http_body::Frame::data(Bytes::from(chunk))));
    let body = StreamBody::new(frames).boxed_unsync();
    Response::builder().status(status).body(body).expect("a status and a body make a response")
}
