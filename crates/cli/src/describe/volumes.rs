//! Volumes of pods and of pod templates.

use serde_json::Value;

use super::text::{Text, items, plain, text};

pub fn describe(to: &mut Text, volumes: &Value, level: usize) {
    if items(volumes).is_empty() {
        to.field(level, "Volumes", "<none>");
        return;
    }
    to.line(level, "Volumes:");
    for volume in items(volumes) {
        to.line(1, &format!("{}{}:", " ".repeat(level), text(&volume["name"])));
        describe_one(to, volume, 2);
    }
}

fn describe_one(to: &mut Text, volume: &Value, level: usize) {
    let source = volume.as_object().into_iter().flatten().find(|(name, value)| *name != "name" && value.is_object());
    let Some((kind, source)) = source else { return };
    match kind.as_str() {
        "emptyDir" => {
            to.field(level, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
            to.field(level, "Medium", text(&source["medium"]));
            to.field(level, "SizeLimit", source["sizeLimit"].as_str().unwrap_or("<unset>"));
        }
        "hostPath" => {
            to.field(level, "Type", "HostPath (bare host directory volume)");
            to.field(level, "Path", text(&source["path"]));
            to.field(level, "HostPathType", text(&source["type"]));
        }
        "secret" => {
            to.field(level, "Type", "Secret (a volume populated by a Secret)");
            to.field(level, "SecretName", text(&source["secretName"]));
            to.field(level, "Optional", source["optional"] == true);
        }
        "configMap" => {
            to.field(level, "Type", "ConfigMap (a volume populated by a ConfigMap)");
            to.field(level, "Name", text(&source["name"]));
            to.field(level, "Optional", source["optional"] == true);
        }
        "persistentVolumeClaim" => {
            let title = "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)";
            to.field(level, "Type", title);
            to.field(level, "ClaimName", text(&source["claimName"]));
            to.field(level, "ReadOnly", source["readOnly"] == true);
        }
        "projected" => {
            to.field(level, "Type", "Projected (a volume that contains injected data from multiple sources)");
            items(&source["sources"]).iter().for_each(|source| projected(to, source, level));
        }
        other => {
            to.field(level, "Type", other);
            let fields = source.as_object().into_iter().flatten().filter(|(_, value)| !value.is_object());
            fields.for_each(|(name, value)| to.field(level, name, plain(value)));
        }
    }
}

fn projected(to: &mut Text, source: &Value, level: usize) {
    if let token @ Value::Object(_) = &source["serviceAccountToken"] {
        to.field(level, "TokenExpirationSeconds", plain(&token["expirationSeconds"]));
    }
    if let map @ Value::Object(_) = &source["configMap"] {
        to.field(level, "ConfigMapName", text(&map["name"]));
        to.field(level, "Optional", map["optional"] == true);
    }
    if let secret @ Value::Object(_) = &source["secret"] {
        to.field(level, "SecretName", text(&secret["name"]));
        to.field(level, "Optional", secret["optional"] == true);
    }
    if source["downwardAPI"].is_object() {
        to.field(level, "DownwardAPI", true);
    }
}
