//! Kinds that are asked and never stored: reviews of tokens and of access, and bindings by their old path.

use auth::authn::token_review::token_review;
use auth::authz::reviews;
use http::StatusCode;
use kinds::KindDef;
use machinery::{ApiError, Object, UserInfo};
use registry::Operation;
use serde_json::json;

use crate::call::Call;
use crate::decode;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::subresource::Asked;
use crate::verbs::{no_such_method, plain_accept};

impl Server {
    pub(crate) async fn serve_virtual(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        if kind.namespaced() == call.info.namespace.is_empty() || !call.info.name.is_empty() {
            return Err(ApiError::no_such_path());
        }
        if call.info.verb != "create" {
            return Err(no_such_method());
        }
        if kind.resource == "bindings" {
            return self.bind(call, self.kind("", "v1", "pods")?).await;
        }
        let accept = plain_accept(call)?;
        let context = call.context()?;
        let mut review = decode::object(call, kind, context.field_validation).await?;
        self.admit(&context, kind, Asked::of(call, Operation::Create), &mut review).await?;
        let reviewed = self.review(call, kind, review).await?;
        Ok(respond::value(call, accept, StatusCode::CREATED, kind.schema, &reviewed.into_value()))
    }

    async fn review(&self, call: &Call, kind: &KindDef, review: Object) -> Result<Object, ApiError> {
        let user = &call.user;
        match kind.kind {
            "TokenReview" => self.token_review(review).await,
            "SelfSubjectReview" => Ok(self_subject_review(review, user)),
            "SubjectAccessReview" => reviews::subject_access_review(self.authorizer(), review).await,
            "LocalSubjectAccessReview" => {
                reviews::local_subject_access_review(self.authorizer(), &call.info.namespace, review).await
            }
            "SelfSubjectAccessReview" => reviews::self_subject_access_review(self.authorizer(), user, review).await,
            "SelfSubjectRulesReview" => reviews::self_subject_rules_review(&self.config().rbac, user, review),
            _ => Err(ApiError::no_such_path()),
        }
    }

    async fn token_review(&self, review: Object) -> Result<Object, ApiError> {
        let own = self.config().tokens.as_ref().map_or(&[][..], |issuer| &issuer.terms().audiences);
        token_review(self.authenticator(), own, review).await
    }
}

fn self_subject_review(mut review: Object, user: &UserInfo) -> Object {
    review.set(&["metadata", "creationTimestamp"], clock::format_time(clock::now()));
    review.set(&["status"], json!({"userInfo": user}));
    review
}
