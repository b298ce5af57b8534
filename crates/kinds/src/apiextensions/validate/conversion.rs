//! `spec.conversion`, at the paths of upstream's internal form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1035_label;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::forgiven::Forgiven;
use crate::admissionregistration::client::{validate_service, validate_url};
use crate::check::{At, required_one_of};

/// Versions of ConversionReview that this server speaks.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

pub fn validate(conversion: &At, forgiven: &Forgiven) -> ErrorList {
    if !conversion.is_set() {
        return ErrorList::new();
    }
    let strategy = conversion.child("strategy");
    let mut errors: ErrorList = required_one_of(&strategy, &["None", "Webhook"]).into_iter().collect();
    let webhook = conversion.child("webhook");
    let client = webhook.child("clientConfig").at(conversion.path.child("webhookClientConfig"));
    let reviews = webhook.child("conversionReviewVersions").at(conversion.path.child("conversionReviewVersions"));
    if strategy.text() == "Webhook" {
        errors.extend(validate_client(&client, forgiven));
        errors.extend(validate_reviews(&reviews, forgiven));
        return errors;
    }
    const UNASKED: &str = "should not be set when strategy is not set to Webhook";
    errors.extend(client.is_set().then(|| client.forbidden(UNASKED)));
    errors.extend((!reviews.is_empty()).then(|| reviews.forbidden(UNASKED)));
    errors
}

fn validate_client(client: &At, forgiven: &Forgiven) -> ErrorList {
    if !client.is_set() {
        return vec![client.required("required when strategy is set to Webhook")];
    }
    let (url, service) = (client.child("url"), client.child("service"));
    let mut errors = match (url.is_set(), service.is_set()) {
        (true, false) => validate_url(&url),
        (false, true) => validate_service(&service),
        _ => vec![client.required("exactly one of url or service is required")],
    };
    let bundle = client.child("caBundle");
    if !bundle.is_empty() && !forgiven.ca_bundle && !is_bundle(bundle.text()) {
        let text = "unable to load root certificates: unable to parse bytes as PEM block";
        errors.push(bundle.invalid(text));
    }
    errors
}

/// Whether it is Base64 of one or more certificates.
fn is_bundle(text: &str) -> bool {
    let Ok(pem) = STANDARD.decode(text) else { return false };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.is_ok_and(|certificates| !certificates.is_empty())
}

pub fn has_invalid_ca_bundle(definition: &Object) -> bool {
    let bundle = definition.str(&["spec", "conversion", "webhook", "clientConfig", "caBundle"]);
    !bundle.is_empty() && !is_bundle(bundle)
}

pub fn has_unknown_reviews(definition: &Object) -> bool {
    let reviews = definition.list(&["spec", "conversion", "webhook", "conversionReviewVersions"]);
    !reviews.is_empty() && !reviews.iter().any(|review| REVIEWS.iter().any(|known| review == known))
}

fn validate_reviews(reviews: &At, forgiven: &Forgiven) -> ErrorList {
    if reviews.is_empty() {
        return vec![reviews.required("")];
    }
    let mut errors = ErrorList::new();
    let mut seen: Vec<&str> = Vec::new();
    for review in reviews.items() {
        if seen.contains(&review.text()) {
            errors.push(review.invalid("duplicate version"));
            continue;
        }
        seen.push(review.text());
        errors.extend(review.messages(dns1035_label(review.text())));
    }
    if !forgiven.review_versions && !seen.iter().any(|review| REVIEWS.contains(review)) {
        errors.push(reviews.invalid(format!("must include at least one of {}", REVIEWS.join(", "))));
    }
    errors
}
