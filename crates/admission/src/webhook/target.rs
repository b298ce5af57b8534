//! Where a webhook is called, and whom the caller trusts there.

use ::webhook::Trust;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const SERVICE_PORT: u16 = 443;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub place: Place,
    pub trust: Trust,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `https://host[:port][/path]`
    Url(String),
    Service {
        namespace: String,
        name: String,
        port: u16,
        /// Empty, or it begins with a slash.
        path: String,
    },
}

impl Target {
    /// Reads a `clientConfig`. The error says what is wrong with it.
    pub fn from_client_config(config: &Value) -> Result<Self, String> {
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        let authorities = STANDARD.decode(bundle).map_err(|error| format!("caBundle: {error}"))?;
        let authorities = String::from_utf8(authorities).map_err(|_| "caBundle is no PEM".to_owned())?;
        let place = match (config["url"].as_str(), config.get("service").filter(|service| service.is_object())) {
            (Some(url), None) => Place::Url(url.to_owned()),
            (None, Some(service)) => of_service(service),
            _ => return Err("webhook configuration must have either service or URL".to_owned()),
        };
        let trust = if authorities.is_empty() { Trust::System } else { Trust::Authorities(authorities) };
        Ok(Self { place, trust })
    }

    /// By which credentials for it are found.
    pub fn host_port(&self) -> String {
        host_port(&self.url()).unwrap_or_default()
    }

    /// The URL that is asked for; a service goes by its name in the cluster.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Url(url) => url.clone(),
            Place::Service { namespace, name, port, path } => format!("https://{name}.{namespace}.svc:{port}{path}"),
        }
    }
}

fn host_port(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    Some(format!("{}:{}", url.host()?, url.port_u16().unwrap_or(SERVICE_PORT)))
}

fn of_service(service: &Value) -> Place {
    let text = |field: &str| service[field].as_str().unwrap_or_default().to_owned();
    let port = service["port"].as_i64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let path = match text("path") {
        path if path.is_empty() || path.starts_with('/') => path,
        path => format!("/{path}"),
    };
    Place::Service { namespace: text("namespace"), name: text("name"), port: port.unwrap_or(SERVICE_PORT), path }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_config_names_a_place() {
        let service = |extra: Value| {
            let mut service = json!({"namespace": "shop", "name": "guard"});
            service.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"service": service, "caBundle": STANDARD.encode("PEM")})
        };
        for (config, url) in [
            (json!({"url": "https://guard.example/x"}), Ok("https://guard.example/x")),
            (service(json!({})), Ok("https://guard.shop.svc:443")),
            (service(json!({"port": 8443, "path": "/check"})), Ok("https://guard.shop.svc:8443/check")),
            (service(json!({"path": "check"})), Ok("https://guard.shop.svc:443/check")),
            (json!({}), Err("webhook configuration must have either service or URL")),
        ] {
            let found = Target::from_client_config(&config).map(|target| target.url());
            assert_eq!(found.as_deref().map_err(String::as_str), url, "{config}");
        }
        let trust = Target::from_client_config(&service(json!({}))).unwrap().trust;
        assert_eq!(trust, Trust::Authorities("PEM".to_owned()));
        assert!(Target::from_client_config(&json!({"url": "https://a", "caBundle": "%"})).is_err());
    }
}
