//! Evaluation of `authentication.k8s.io` reviews.

use machinery::{ApiError, Object, UserInfo};
use serde_json::{Value, json};

use super::{Authenticator, Credentials, Refused};

/// TokenReview: whose token is this? `default_audience` is the API server's own.
pub async fn token_review(
    authenticator: &dyn Authenticator,
    own_audiences: &[String],
    mut review: Object,
) -> Result<Object, ApiError> {
    let token = review.str(&["spec", "token"]).to_owned();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let asked: Vec<String> = texts(review.list(&["spec", "audiences"]));
    let audiences = if asked.is_empty() { own_audiences.to_vec() } else { asked };
    // Each audience is tried by itself, to answer which of them the token is meant for.
    let mut known: Option<UserInfo> = None;
    let mut meant = Vec::new();
    let mut refused = None;
    for audience in audiences {
        let for_others = !own_audiences.contains(&audience);
        let credentials = Credentials { audiences: vec![audience.clone()], for_others, ..Credentials::token(&token) };
        match authenticator.authenticate(&credentials).await {
            Ok(Some(user)) => {
                known = Some(user);
                meant.push(audience);
            }
            Ok(None) => {}
            Err(Refused(why)) => refused = Some(why),
        }
    }
    let status = match (known, refused) {
        (Some(user), _) => json!({"authenticated": true, "user": user, "audiences": meant}),
        (None, Some(why)) => json!({"user": {}, "error": why}),
        (None, None) => json!({"user": {}}),
    };
    review.set(&["status"], status);
    // A review is in no namespace.
    review.remove(&["metadata", "namespace"]);
    Ok(review)
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::authn::ServiceAccountTokens;
    use crate::tokens::{Private, Reference, Terms, TokenIssuer};
    use crate::view::testing::Objects;

    async fn review(audiences: Value) -> Value {
        let objects = Objects::default();
        objects.apply("serviceaccounts/dev bot metadata.uid=\"sa\"");
        let key = crate::pki::key_pem(&crate::pki::generate_key()).unwrap();
        let issuer = Arc::new(TokenIssuer::from_pem(&key, Terms::of("me")).unwrap());
        let account = Reference { name: "bot".to_owned(), uid: "sa".to_owned() };
        let private = Private { namespace: "dev".to_owned(), serviceaccount: account, ..Private::default() };
        let (token, _) = issuer.mint(private, vec!["vault".to_owned(), "me".to_owned()], 600).unwrap();
        let tokens = ServiceAccountTokens::new(Arc::new(objects), issuer);
        let review = json!({"kind": "TokenReview", "spec": {"token": token, "audiences": audiences}});
        let answer = token_review(&tokens, &["me".to_owned()], Object::from_value(review).unwrap()).await.unwrap();
        answer.get(&["status"]).unwrap().clone()
    }

    #[tokio::test]
    async fn a_review_names_the_user_and_the_audiences_that_fit() {
        let status = review(json!(["vault", "other"])).await;
        assert_eq!(status["user"]["username"], "system:serviceaccount:dev:bot");
        assert_eq!(status["audiences"], json!(["vault"]));
        assert_eq!(review(json!([])).await["audiences"], json!(["me"]));
        let status = review(json!(["other"])).await;
        assert_eq!((&status["authenticated"], status["error"].is_string()), (&Value::Null, true));
    }
}
