//! What is wrong with a set of manifests that no schema can tell.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Control-plane nodes are tainted by one name or the other, by age.
const TAINTS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// What the daemon may be given.
const CAPABILITIES: [&str; 2] = ["SYS_TIME", "NET_BIND_SERVICE"];

/// The commands of the other program that a container may begin with.
const COMMANDS: [&str; 2] = ["controller", "agent"];

/// The documents of a file.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).map_err(|error| error.to_string()))
        .collect()
}

/// What is wrong, a line each.
pub(crate) fn lint(documents: &[Value]) -> Vec<String> {
    let mut lint = Lint {
        documents,
        found: Vec::new(),
    };
    for document in documents {
        lint.document(document);
    }
    lint.found
}

struct Lint<'a> {
    documents: &'a [Value],
    found: Vec<String>,
}

impl Lint<'_> {
    fn say(&mut self, place: &str, what: impl AsRef<str>) {
        self.found.push(format!("{place}: {}", what.as_ref()));
    }

    fn document(&mut self, document: &Value) {
        let kind = text(&document["kind"]);
        let name = match text(&document["metadata"]["name"]) {
            "" => "?",
            name => name,
        };
        let place = format!("{kind} {name}");
        if name == "?" {
            self.say(&place, "metadata.name is missing");
        }
        for field in document.as_object().into_iter().flat_map(|fields| fields.keys()) {
            let known = ["apiVersion", "kind", "metadata", "spec", "data"];
            if !known.contains(&field.as_str()) && kind != "ServiceAccount" {
                self.say(
                    &place,
                    format!("there is a field `{field}` beside kind and metadata: lost indentation?"),
                );
            }
        }
        match kind {
            "DaemonSet" | "Deployment" | "StatefulSet" => self.workload(&place, document),
            "ConfigMap" => self.configuration(&place, document),
            "Service" => self.service(&place, document),
            "PodDisruptionBudget" => self.budget(&place, document),
            _ => {}
        }
    }

    /// Something that makes pods.
    fn workload(&mut self, place: &str, document: &Value) {
        let template = &document["spec"]["template"];
        if template.is_null() {
            return self.say(place, "spec.template is missing");
        }
        let selector = &document["spec"]["selector"]["matchLabels"];
        let labels = &template["metadata"]["labels"];
        if !is_within(selector, labels) {
            self.say(
                place,
                format!("the selector {selector} is not among the pod's labels {labels}"),
            );
        }
        let pod = &template["spec"];
        if document["kind"] == "DaemonSet" {
            for taint in TAINTS {
                let is_tolerated = items(&pod["tolerations"])
                    .iter()
                    .any(|toleration| toleration["key"] == taint);
                if !is_tolerated {
                    self.say(place, format!("no toleration for {taint}"));
                }
            }
        }
        if pod["hostNetwork"] == true && pod["dnsPolicy"] != "ClusterFirstWithHostNet" {
            self.say(
                place,
                "with the host's network the cluster's names need dnsPolicy ClusterFirstWithHostNet",
            );
        }
        let volumes: BTreeSet<&str> = items(&pod["volumes"])
            .iter()
            .chain(items(&document["spec"]["volumeClaimTemplates"]))
            .map(|volume| match text(&volume["name"]) {
                "" => text(&volume["metadata"]["name"]),
                name => name,
            })
            .collect();
        for volume in items(&pod["volumes"]) {
            if let Some(name) = volume["configMap"]["name"].as_str()
                && !self.has("ConfigMap", name)
            {
                self.say(place, format!("there is no ConfigMap {name}"));
            }
        }
        for container in items(&pod["containers"]) {
            let place = format!("{place}, container {}", text(&container["name"]));
            self.container(&place, container, &volumes);
        }
    }

    fn container(&mut self, place: &str, container: &Value, volumes: &BTreeSet<&str>) {
        let image = text(&container["image"]);
        let version = image
            .rsplit('/')
            .next()
            .and_then(|name| name.split_once([':', '@']));
        match version {
            None => self.say(place, format!("the image {image} has no version")),
            Some((_, "latest")) => self.say(place, "the version latest is another one tomorrow"),
            Some(_) => {}
        }
        if container["imagePullPolicy"] == "Never" {
            self.say(
                place,
                "imagePullPolicy Never works on nodes that have the image already",
            );
        }
        self.security(place, &container["securityContext"]);
        for side in ["requests", "limits"] {
            let fields = container["resources"][side].as_object();
            for (name, quantity) in fields.into_iter().flatten() {
                if !is_quantity(quantity) {
                    self.say(place, format!("{name}: {quantity} is no quantity"));
                }
            }
        }
        if container["resources"]["limits"]["memory"].is_null() {
            self.say(place, "no limit of memory");
        }
        for mount in items(&container["volumeMounts"]) {
            let name = text(&mount["name"]);
            if !volumes.contains(name) {
                self.say(place, format!("there is no volume {name}"));
            }
            if !mount["subPath"].is_null() {
                self.say(place, format!("{name} is mounted by subPath and never changes"));
            }
        }
        let ports: Vec<&Value> = items(&container["ports"]).iter().collect();
        for port in &ports {
            let number = port["containerPort"].as_u64();
            if number == Some(123) && port["protocol"] != "UDP" {
                self.say(place, "NTP's port is one of UDP");
            }
        }
        let is_daemon = image.contains("timeballd") || image.contains("ntpd");
        for probe in ["livenessProbe", "readinessProbe"] {
            if container[probe].is_null() && (is_daemon || !ports.is_empty()) {
                self.say(place, format!("no {probe}"));
            }
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            self.probe(place, probe, &container[probe], &ports);
        }
        self.program(place, container);
        self.environment(place, container);
    }

    fn security(&mut self, place: &str, context: &Value) {
        if context["privileged"] == true {
            self.say(
                place,
                "privileged gives the whole node away; CAP_SYS_TIME is enough",
            );
        }
        let capabilities = &context["capabilities"];
        if !items(&capabilities["drop"]).iter().any(|one| one == "ALL") {
            self.say(place, "capabilities do not drop ALL");
        }
        for added in items(&capabilities["add"]) {
            if !CAPABILITIES.contains(&text(added)) {
                self.say(place, format!("the capability {added} is not needed"));
            }
        }
        if context["allowPrivilegeEscalation"] != false {
            self.say(place, "allowPrivilegeEscalation is not false");
        }
        if context["readOnlyRootFilesystem"] != true {
            self.say(place, "readOnlyRootFilesystem is not true");
        }
    }

    /// What is asked in a probe has to be there.
    fn probe(&mut self, place: &str, name: &str, probe: &Value, ports: &[&Value]) {
        let command: Vec<&str> = items(&probe["exec"]["command"]).iter().map(text).collect();
        if let [program, words @ ..] = command.as_slice() {
            let is_command = match (*program, words) {
                // A command that exists says that nobody answers there, and with 2 that it is none.
                ("/timeballd", ["ctl", rest @ ..]) => ctl_knows(rest),
                _ => false,
            };
            if !is_command {
                self.say(
                    place,
                    format!("{name} asks what no program answers: {}", command.join(" ")),
                );
            }
        }
        let http = &probe["httpGet"];
        if !http.is_null() {
            let path = text(&http["path"]);
            let api = repository_file("openapi/timeball.json");
            let api: Value = serde_json::from_str(&api).unwrap();
            if api["paths"][path]["get"].is_null() {
                self.say(place, format!("{name} asks for {path}, which is not in the API"));
            }
            if !ports
                .iter()
                .any(|port| port["name"] == http["port"] || port["containerPort"] == http["port"])
            {
                self.say(
                    place,
                    format!("{name} asks port {}, which there is not", http["port"]),
                );
            }
        }
    }

    /// What is started has to be there, with its arguments.
    fn program(&mut self, place: &str, container: &Value) {
        let words = |field: &str| items(&container[field]).iter().map(text).collect::<Vec<_>>();
        let (command, arguments) = (words("command"), words("args"));
        match command.as_slice() {
            ["/timeballd"] => {
                // With `-p` it only reads; that there is no such file here is not about the arguments.
                let output = Command::new(env!("CARGO_BIN_EXE_timeballd"))
                    .arg("-p")
                    .args(&arguments)
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if !output.status.success() && !said.contains("Could not open") {
                    self.say(place, format!("timeballd does not take {}", arguments.join(" ")));
                }
            }
            [] if text(&container["image"]).contains("/timeball:")
                && !matches!(arguments.as_slice(), [one] if COMMANDS.contains(one)) =>
            {
                self.say(place, format!("timeball has no command {}", arguments.join(" ")));
            }
            _ => {}
        }
    }

    /// Variables that nobody reads are mistakes.
    fn environment(&mut self, place: &str, container: &Value) {
        let settings = repository_file("docs/settings.md");
        for variable in items(&container["env"]) {
            let name = text(&variable["name"]);
            if name.starts_with("TIMEBALL_") && !settings.contains(&format!("`{name}`")) {
                self.say(place, format!("nobody reads {name}"));
            }
        }
    }

    /// Configurations have to be read without a complaint.
    fn configuration(&mut self, place: &str, document: &Value) {
        for (name, content) in document["data"].as_object().into_iter().flatten() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, text(content)).unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_timeballd"))
                .args(["-p", "-f"])
                .arg(&path)
                .output()
                .unwrap();
            if !output.status.success() || !output.stderr.is_empty() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let line = said.lines().next().unwrap_or_default();
                let line = line.split_once("Z ").map_or(line, |(_, line)| line);
                let line = line.replace(&format!("{}/", folder.path().display()), "");
                self.say(place, format!("timeballd says of {name}: {line}"));
            }
        }
    }

    fn service(&mut self, place: &str, document: &Value) {
        let selector = &document["spec"]["selector"];
        let pods: Vec<&Value> = self
            .documents
            .iter()
            .map(|other| &other["spec"]["template"])
            .filter(|template| is_within(selector, &template["metadata"]["labels"]))
            .collect();
        if pods.is_empty() {
            return self.say(place, format!("no pod has the labels {selector}"));
        }
        for port in items(&document["spec"]["ports"]) {
            let target = &port["targetPort"];
            let mut of_pods = pods
                .iter()
                .flat_map(|pod| items(&pod["spec"]["containers"]))
                .flat_map(|container| items(&container["ports"]));
            let found =
                of_pods.find(|of_pod| of_pod["name"] == *target || of_pod["containerPort"] == *target);
            match found {
                None => self.say(place, format!("no container has the port {target}")),
                Some(of_pod) if of_pod["protocol"] != port["protocol"] => {
                    self.say(
                        place,
                        format!("the container's port {target} is of another protocol"),
                    );
                }
                Some(_) => {}
            }
            if port["port"] == 123 && port["protocol"] != "UDP" {
                self.say(place, "NTP's port is one of UDP");
            }
            if port["nodePort"]
                .as_u64()
                .is_some_and(|port| !(30_000..=32_767).contains(&port))
            {
                self.say(
                    place,
                    format!("nodePort {} is outside of 30000 to 32767", port["nodePort"]),
                );
            }
        }
    }

    /// A DaemonSet's pods are not moved away, and there is nothing to count them by.
    fn budget(&mut self, place: &str, document: &Value) {
        let selector = &document["spec"]["selector"]["matchLabels"];
        let is_of_daemon_set = self.documents.iter().any(|other| {
            other["kind"] == "DaemonSet"
                && is_within(selector, &other["spec"]["template"]["metadata"]["labels"])
        });
        if is_of_daemon_set {
            self.say(
                place,
                "a PodDisruptionBudget cannot count the pods of a DaemonSet",
            );
        }
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        let mut documents = self.documents.iter();
        documents.any(|document| document["kind"] == kind && document["metadata"]["name"] == name)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether there are labels, and all of them are among others.
fn is_within(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
    })
}

/// Whether this is a quantity as Kubernetes has them: a number, with a suffix of a power of ten or two.
fn is_quantity(value: &Value) -> bool {
    let text = match value {
        Value::Number(number) => number.to_string(),
        other => text(other).to_owned(),
    };
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let suffix = &text[digits.len()..];
    let suffixes = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    digits.parse::<f64>().is_ok() && suffixes.contains(&suffix)
}

/// Whether `timeballd ctl` has such a command: it is told apart from one that nobody answers by its exit status.
fn ctl_knows(words: &[&str]) -> bool {
    let output = Command::new(env!("CARGO_BIN_EXE_timeballd"))
        .args(["ctl", "-h", "/nonexistent/socket"])
        .args(words)
        .output()
        .unwrap();
    output.status.code() == Some(1)
}

fn repository_file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap()
}
