//! Containers of pods and of pod templates.

use serde_json::Value;

use super::text::{Text, items, pairs, plain, text, titled};
use super::volumes;
use crate::ages::long_date;

/// A pod template as `rollout history --revision` shows it.
pub fn template(template: &Value) -> String {
    let mut text = Text::default();
    describe_template(&mut text, template);
    text.aligned()
}

pub fn describe_template(to: &mut Text, template: &Value) {
    to.line(0, "Pod Template:");
    to.labels(1, &template["metadata"]["labels"]);
    if template["metadata"]["annotations"].is_object() {
        to.annotations(1, &template["metadata"]["annotations"]);
    }
    to.optional(1, "Service Account", text(&template["spec"]["serviceAccountName"]));
    if !items(&template["spec"]["initContainers"]).is_empty() {
        describe(to, "Init Containers", &template["spec"]["initContainers"], None, 1);
    }
    describe(to, "Containers", &template["spec"]["containers"], None, 1);
    volumes::describe(to, &template["spec"]["volumes"], 1);
    placement(to, &template["spec"], 1);
}

/// Where the pod may run.
pub fn placement(to: &mut Text, spec: &Value, level: usize) {
    to.values(level, "Node-Selectors", &pairs(&spec["nodeSelector"], "="));
    let mut tolerations: Vec<String> = items(&spec["tolerations"]).iter().map(toleration).collect();
    tolerations.sort();
    to.values(level, "Tolerations", &tolerations);
}

fn toleration(toleration: &Value) -> String {
    let part = |field: &str, before: &str| match text(&toleration[field]) {
        "" => String::new(),
        value => format!("{before}{value}"),
    };
    let exists = toleration["operator"] == "Exists" && text(&toleration["value"]).is_empty();
    let operator = if exists { " op=Exists" } else { "" };
    let seconds = toleration["tolerationSeconds"].as_i64().map(|seconds| format!(" for {seconds}s"));
    let seconds = seconds.unwrap_or_default();
    format!("{}{}{}{operator}{seconds}", part("key", ""), part("value", "="), part("effect", ":"))
}

/// A list of containers; `statuses` are those of a pod that runs.
pub fn describe(to: &mut Text, title: &str, containers: &Value, statuses: Option<&Value>, level: usize) {
    to.line(level, &format!("{title}:"));
    for container in items(containers) {
        let status = items(statuses.unwrap_or(&Value::Null)).iter().find(|status| status["name"] == container["name"]);
        // Within a template names stand one space further in, what is below them does not.
        to.line(1, &format!("{}{}:", " ".repeat(level), text(&container["name"])));
        describe_one(to, container, status, 2);
    }
}

fn describe_one(to: &mut Text, container: &Value, status: Option<&Value>, level: usize) {
    if let Some(status) = status {
        to.field(level, "Container ID", text(&status["containerID"]));
    }
    to.field(level, "Image", text(&container["image"]));
    if let Some(status) = status {
        to.field(level, "Image ID", text(&status["imageID"]));
    }
    ports(to, container, level);
    block(to, "Command", &container["command"], level);
    block(to, "Args", &container["args"], level);
    if let Some(status) = status {
        run_state(to, "State", &status["state"], level);
        if status["lastState"].as_object().is_some_and(|state| !state.is_empty()) {
            run_state(to, "Last State", &status["lastState"], level);
        }
        to.field(level, "Ready", titled(status["ready"] == true));
        to.field(level, "Restart Count", status["restartCount"].as_i64().unwrap_or_default());
    }
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = pairs(&container["resources"][field], ":\t");
        if !amounts.is_empty() {
            to.line(level, &format!("{title}:"));
            amounts.iter().for_each(|amount| to.line(level + 1, amount));
        }
    }
    for (title, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if container[field].is_object() {
            to.field(level, title, probe(&container[field]));
        }
    }
    environment(to, container, level);
    mounts(to, container, level);
}

fn ports(to: &mut Text, container: &Value, level: usize) {
    let ports = items(&container["ports"]);
    let listed = |field: &str| -> String {
        let one = |port: &Value| format!("{}/{}", port[field].as_i64().unwrap_or_default(), protocol(port));
        ports.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (own, host) = (listed("containerPort"), listed("hostPort"));
    let (own, host) = if ports.is_empty() { ("<none>", "<none>") } else { (own.as_str(), host.as_str()) };
    let plural = if ports.len() > 1 { "s" } else { "" };
    to.field(level, &format!("Port{plural}"), own);
    to.field(level, &format!("Host Port{plural}"), host);
}

pub fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

fn block(to: &mut Text, title: &str, words: &Value, level: usize) {
    if items(words).is_empty() {
        return;
    }
    to.line(level, &format!("{title}:"));
    for word in items(words) {
        text(word).lines().for_each(|line| to.line(level + 1, line));
    }
}

fn run_state(to: &mut Text, title: &str, state: &Value, level: usize) {
    if state["running"].is_object() {
        to.field(level, title, "Running");
        to.field(level + 1, "Started", long_date(text(&state["running"]["startedAt"])));
    } else if let ended @ Value::Object(_) = &state["terminated"] {
        to.field(level, title, "Terminated");
        to.optional(level + 1, "Reason", text(&ended["reason"]));
        to.optional(level + 1, "Message", text(&ended["message"]));
        to.field(level + 1, "Exit Code", ended["exitCode"].as_i64().unwrap_or_default());
        if let Some(signal) = ended["signal"].as_i64().filter(|signal| *signal > 0) {
            to.field(level + 1, "Signal", signal);
        }
        to.field(level + 1, "Started", long_date(text(&ended["startedAt"])));
        to.field(level + 1, "Finished", long_date(text(&ended["finishedAt"])));
    } else {
        to.field(level, title, "Waiting");
        to.optional(level + 1, "Reason", text(&state["waiting"]["reason"]));
    }
}

/// `http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`
fn probe(probe: &Value) -> String {
    let number = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let timing = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3)
    );
    format!("{} {timing}", handler(probe))
}

fn handler(probe: &Value) -> String {
    if let http @ Value::Object(_) = &probe["httpGet"] {
        let scheme = http["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let path = text(&http["path"]);
        let slash = if path.starts_with('/') { "" } else { "/" };
        return format!("http-get {scheme}://{}:{}{slash}{path}", text(&http["host"]), plain(&http["port"]));
    }
    if let socket @ Value::Object(_) = &probe["tcpSocket"] {
        return format!("tcp-socket {}:{}", text(&socket["host"]), plain(&socket["port"]));
    }
    if let grpc @ Value::Object(_) = &probe["grpc"] {
        return format!("grpc <pod>:{} {}", plain(&grpc["port"]), text(&grpc["service"]));
    }
    let command: Vec<&str> = items(&probe["exec"]["command"]).iter().map(text).collect();
    format!("exec [{}]", command.join(" "))
}

fn environment(to: &mut Text, container: &Value, level: usize) {
    let sources = items(&container["envFrom"]);
    if !sources.is_empty() {
        to.line(level, "Environment Variables from:");
        for source in sources {
            let is_map = source["configMapRef"].is_object();
            let (field, kind) = if is_map { ("configMapRef", "ConfigMap") } else { ("secretRef", "Secret") };
            let (name, optional) = (text(&source[field]["name"]), source[field]["optional"] == true);
            to.line(level + 1, &format!("{name}\t{kind}\tOptional: {optional}"));
        }
    }
    let variables = items(&container["env"]);
    if variables.is_empty() {
        to.field(level, "Environment", "<none>");
        return;
    }
    to.line(level, "Environment:");
    for variable in variables {
        to.line(level + 1, &format!("{}:\t{}", text(&variable["name"]), variable_value(variable)));
    }
}

fn variable_value(variable: &Value) -> String {
    let from = &variable["valueFrom"];
    for (field, kind) in [("secretKeyRef", "secret"), ("configMapKeyRef", "config map")] {
        if let reference @ Value::Object(_) = &from[field] {
            let optional = reference["optional"] == true;
            let (key, name) = (text(&reference["key"]), text(&reference["name"]));
            return format!("<set to the key '{key}' of {kind} '{name}'>\tOptional: {optional}");
        }
    }
    if let field @ Value::Object(_) = &from["fieldRef"] {
        let version = field["apiVersion"].as_str().unwrap_or("v1");
        return format!(" ({version}:{})", text(&field["fieldPath"]));
    }
    if let amount @ Value::Object(_) = &from["resourceFieldRef"] {
        return format!(" ({})", text(&amount["resource"]));
    }
    text(&variable["value"]).replace('\n', "\n\t\t")
}

fn mounts(to: &mut Text, container: &Value, level: usize) {
    let mut mounts: Vec<&Value> = items(&container["volumeMounts"]).iter().collect();
    if mounts.is_empty() {
        to.field(level, "Mounts", "<none>");
        return;
    }
    mounts.sort_by_key(|mount| text(&mount["mountPath"]));
    to.line(level, "Mounts:");
    for mount in mounts {
        let access = if mount["readOnly"] == true { "ro" } else { "rw" };
        let path = match text(&mount["subPath"]) {
            "" => String::new(),
            path => format!(",path={path:?}"),
        };
        to.line(level + 1, &format!("{} from {} ({access}{path})", text(&mount["mountPath"]), text(&mount["name"])));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn tolerations_and_probes_are_one_line_each() {
        let lasting = json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        assert_eq!(toleration(&lasting), "k:NoExecute op=Exists for 300s");
        assert_eq!(toleration(&json!({"key": "k", "value": "v", "effect": "NoSchedule"})), "k=v:NoSchedule");
        let timing = "delay=0s timeout=1s period=10s #success=1 #failure=3";
        let http = json!({"httpGet": {"path": "/", "port": 80}});
        assert_eq!(probe(&http), format!("http-get http://:80/ {timing}"));
        assert_eq!(probe(&json!({"exec": {"command": ["a", "b"]}})), format!("exec [a b] {timing}"));
    }

    #[test]
    fn a_template_shows_its_containers() {
        let found = template(&json!({"metadata": {"labels": {"app": "web"}}, "spec": {
            "containers": [{"name": "web", "image": "busybox:1", "command": ["sh"], "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "value": "b"}, {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "resources": {"requests": {"cpu": "100m"}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}}));
        expect![[r#"
            Pod Template:
              Labels:  app=web
              Containers:
               web:
                Image:      busybox:1
                Port:       80/TCP
                Host Port:  0/TCP
                Command:
                  sh
                Requests:
                  cpu:  100m
                Environment:
                  A:  b
                  S:  <set to the key 'k' of secret 's'>  Optional: false
                Mounts:
                  /v from v (rw)
              Volumes:
               v:
                Type:          EmptyDir (a temporary directory that shares a pod's lifetime)
                Medium:        
                SizeLimit:     <unset>
              Node-Selectors:  <none>
              Tolerations:     <none>
        "#]]
        .assert_eq(&found);
    }
}
