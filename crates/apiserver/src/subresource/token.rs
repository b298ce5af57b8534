//! Service account tokens: issuing them, and telling others how to verify them.

use auth::tokens::request;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use kinds::KindDef;
use machinery::ApiError;
use registry::Operation;
use serde_json::Value;

use crate::body;
use crate::call::Call;
use crate::decode;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::subresource::Asked;
use crate::verbs::plain_accept;

const TOKEN_REQUEST: KindDef = KindDef {
    group: "authentication.k8s.io",
    kind: "TokenRequest",
    schema: "io.k8s.api.authentication.v1.TokenRequest",
    ..KindDef::PLAIN
};

const JWKS_PATH: &str = "/openid/v1/jwks";

impl Server {
    /// `POST serviceaccounts/NAME/token`
    pub(crate) async fn issue_token(&self, call: &mut Call, accounts: &'static KindDef) -> Result<Answer, ApiError> {
        let issuer = self.config().tokens.as_ref().ok_or_else(ApiError::no_such_path)?;
        let accept = plain_accept(call)?;
        let context = call.context()?;
        let mut asked = decode::object(call, &TOKEN_REQUEST, context.field_validation).await?;
        let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
        let registry = self.registry();
        // Waits until the cache, from which the token is made, has seen all that was written before.
        registry.get(accounts, namespace, name, "").await?;
        self.admit(&context, accounts, Asked::of(call, Operation::Create), &mut asked).await?;
        let issued = request::serve(registry, issuer, &context, (namespace, name), asked)?;
        Ok(respond::value(call, accept, StatusCode::CREATED, TOKEN_REQUEST.schema, &issued.into_value()))
    }

    /// `/.well-known/openid-configuration` and `/openid/v1/jwks`
    pub(crate) fn serve_issuer(&self, path: &str) -> Result<Answer, ApiError> {
        let issuer = self.config().tokens.as_ref().filter(|issuer| issuer.is_discoverable());
        let issuer = issuer.ok_or_else(ApiError::no_such_path)?;
        let answer = |content_type, document: Value| {
            let mut answer = respond::with(StatusCode::OK, content_type, body::full(document.to_string()));
            answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
            answer
        };
        match path {
            JWKS_PATH => Ok(answer("application/jwk-set+json", issuer.jwks())),
            "/.well-known/openid-configuration" => {
                let uri = format!("https://{}{JWKS_PATH}", self.config().advertised);
                Ok(answer("application/json", issuer.discovery(&uri)))
            }
            _ => Err(ApiError::no_such_path()),
        }
    }
}
