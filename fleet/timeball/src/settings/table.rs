//! Every setting there is, as a table; the reader, the errors and the document are made from it.

/// One setting.
pub(crate) struct Key {
    /// Path in the file, its segments joined by dots; `<name>` stands for a name of the operator's choice.
    pub(crate) path: &'static str,
    /// The variable of the environment that wins over the file.
    pub(crate) env: Option<&'static str>,
    /// What the value looks like.
    pub(crate) form: Form,
    /// What holds without it, for the document.
    pub(crate) default: &'static str,
    /// What it is, for the document.
    pub(crate) about: &'static str,
    /// Another path that means the same.
    pub(crate) alias: Option<&'static str>,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One text.
    Text,
    /// A file or directory; relative ones are taken from the settings file's directory.
    Path,
    /// One text that nobody else may read: accepted from a file that only its owner can read.
    Secret,
    /// A list of texts.
    List,
}

impl Form {
    /// The form in the words of the document.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Form::Text => "text",
            Form::Path => "path",
            Form::Secret => "secret",
            Form::List => "list",
        }
    }
}

pub(crate) const CLIENT_URL: &str = "client.url";
pub(crate) const CLIENT_TOKEN: &str = "controller.client.security.bearer_token";
pub(crate) const CLIENT_TOKEN_FILE: &str = "client.token_file";
pub(crate) const CLIENT_CA: &str = "client.ca";
pub(crate) const CLIENT_CA_FINGERPRINT: &str = "client.ca_fingerprint";
pub(crate) const CLIENT_DATA: &str = "client.data";
pub(crate) const CONTROLLER_DATA: &str = "controller.data";
pub(crate) const API_LISTEN: &str = "controller.api.listen";
pub(crate) const API_TLS: &str = "controller.api.tls";
pub(crate) const API_CERTIFICATE: &str = "controller.api.certificate";
pub(crate) const API_KEY: &str = "controller.api.key";
pub(crate) const API_JOB_TIMEOUT: &str = "controller.api.job_timeout";
pub(crate) const API_METRICS_OPEN: &str = "controller.api.metrics_open";
pub(crate) const ROLE_PERMISSIONS: &str = "controller.api.security.roles.<name>.permissions";
pub(crate) const LINK_LISTEN: &str = "controller.link.listen";
pub(crate) const LINK_ADVERTISE: &str = "controller.link.advertise";
pub(crate) const HEARTBEAT: &str = "controller.heartbeat";
pub(crate) const AUTO_ACCEPT: &str = "controller.auto_accept";
pub(crate) const AGENT_DATA: &str = "agent.data";
pub(crate) const AGENT_CONTROLLER: &str = "agent.controller";
pub(crate) const AGENT_CONTROLLER_FINGERPRINT: &str = "agent.controller_fingerprint";
pub(crate) const AGENT_TOKEN_FILE: &str = "agent.enrolment_token_file";
pub(crate) const AGENT_TOKEN: &str = "agent.enrolment_token";
pub(crate) const AGENT_HOSTNAME: &str = "agent.hostname";
pub(crate) const AGENT_CONTAINER: &str = "agent.container";
pub(crate) const AGENT_SERVICE: &str = "agent.service";
pub(crate) const CHRONY_CONFIG: &str = "agent.chrony.config";
pub(crate) const CHRONY_SOCKET: &str = "agent.chrony.socket";
pub(crate) const CHRONY_UDP: &str = "agent.chrony.udp";
pub(crate) const CHRONY_APPLY: &str = "agent.chrony.apply";
pub(crate) const CHRONY_RESTART: &str = "agent.chrony.restart_command";
pub(crate) const CHRONY_RELOAD_TIMEOUT: &str = "agent.chrony.reload_timeout";
pub(crate) const TIMEBALLD_CONFIG: &str = "agent.timeballd.config";
pub(crate) const TIMEBALLD_SOCKET: &str = "agent.timeballd.socket";
pub(crate) const TIMEBALLD_UDP: &str = "agent.timeballd.udp";
pub(crate) const TIMEBALLD_APPLY: &str = "agent.timeballd.apply";
pub(crate) const TIMEBALLD_RESTART: &str = "agent.timeballd.restart_command";
pub(crate) const TIMEBALLD_RELOAD_TIMEOUT: &str = "agent.timeballd.reload_timeout";
pub(crate) const NTPD_CONFIG: &str = "agent.ntpd.config";
pub(crate) const NTPD_RESTART: &str = "agent.ntpd.restart_command";
pub(crate) const NTPD_RELOAD_TIMEOUT: &str = "agent.ntpd.reload_timeout";
pub(crate) const OPENNTPD_CONFIG: &str = "agent.openntpd.config";
pub(crate) const OPENNTPD_RESTART: &str = "agent.openntpd.restart_command";
pub(crate) const OPENNTPD_RELOAD_TIMEOUT: &str = "agent.openntpd.reload_timeout";
pub(crate) const TIMESYNCD_CONFIG: &str = "agent.timesyncd.config";
pub(crate) const TIMESYNCD_RESTART: &str = "agent.timesyncd.restart_command";
pub(crate) const TIMESYNCD_RELOAD_TIMEOUT: &str = "agent.timesyncd.reload_timeout";
pub(crate) const AGENT_LABELS: &str = "agent.labels.<name>";

/// Every setting, grouped as in the file.
pub(crate) const KEYS: &[Key] = &[
    Key {
        path: CLIENT_URL,
        env: Some("TIMEBALL_URL"),
        form: Form::Text,
        default: "the controller of the same user on this machine",
        about: "Address of the controller, `http://HOST:PORT` or `https://HOST:PORT`. Plain http is for \
                loopback addresses only.",
        alias: Some("controller.client.url"),
    },
    Key {
        path: CLIENT_TOKEN_FILE,
        env: Some("TIMEBALL_TOKEN_FILE"),
        form: Form::Path,
        default: "the file of the controller of the same user on this machine",
        about: "File with the API token.",
        alias: None,
    },
    Key {
        path: CLIENT_TOKEN,
        env: Some("TIMEBALL_TOKEN"),
        form: Form::Secret,
        default: "none",
        about: "The API token itself. In a file only when nobody but its owner can read that file.",
        alias: None,
    },
    Key {
        path: CLIENT_CA,
        env: Some("TIMEBALL_CA"),
        form: Form::Path,
        default: "none",
        about: "PEM file with the certificate authorities that may vouch for an https controller.",
        alias: None,
    },
    Key {
        path: CLIENT_CA_FINGERPRINT,
        env: Some("TIMEBALL_CA_FINGERPRINT"),
        form: Form::Text,
        default: "none",
        about: "`SHA256:` and 64 hex digits: fingerprint of the one authority that may vouch for an https \
                controller. The controller prints it when it starts.",
        alias: None,
    },
    Key {
        path: CLIENT_DATA,
        env: Some("TIMEBALL_DATA"),
        form: Form::Path,
        default: "`$XDG_STATE_HOME/timeball` or `~/.local/state/timeball`; root: `/var/lib/timeball`",
        about: "Directory in which the controller of this machine left its address for clients.",
        alias: None,
    },
    Key {
        path: CONTROLLER_DATA,
        env: Some("TIMEBALL_DATA"),
        form: Form::Path,
        default: "as `client.data`",
        about: "Directory of the controller's store, keys and tokens.",
        alias: None,
    },
    Key {
        path: API_LISTEN,
        env: Some("TIMEBALL_CONTROLLER_API_LISTEN"),
        form: Form::Text,
        default: "`127.0.0.1:8080`",
        about: "Address and port of the API and the web page.",
        alias: None,
    },
    Key {
        path: API_TLS,
        env: Some("TIMEBALL_CONTROLLER_API_TLS"),
        form: Form::Text,
        default: "`auto`",
        about: "`auto`: none on a loopback address, the controller's own authority on others; `own`: the \
                controller's own authority everywhere; `off`: none, on a loopback address only.",
        alias: None,
    },
    Key {
        path: API_CERTIFICATE,
        env: Some("TIMEBALL_CONTROLLER_API_CERTIFICATE"),
        form: Form::Path,
        default: "none",
        about: "PEM file with the organisation's own certificate chain for the API, leaf first; needs \
                `controller.api.key` too.",
        alias: None,
    },
    Key {
        path: API_KEY,
        env: Some("TIMEBALL_CONTROLLER_API_KEY"),
        form: Form::Path,
        default: "none",
        about: "PEM file with the private key of `controller.api.certificate`.",
        alias: None,
    },
    Key {
        path: API_JOB_TIMEOUT,
        env: Some("TIMEBALL_CONTROLLER_API_JOB_TIMEOUT"),
        form: Form::Text,
        default: "`30s`",
        about: "How long a job waits for its hosts unless the request says otherwise, such as `30s`.",
        alias: None,
    },
    Key {
        path: API_METRICS_OPEN,
        env: Some("TIMEBALL_CONTROLLER_API_METRICS_OPEN"),
        form: Form::Text,
        default: "`false`",
        about: "Give `/metrics` without a token also on other addresses than loopback.",
        alias: None,
    },
    Key {
        path: ROLE_PERMISSIONS,
        env: None,
        form: Form::List,
        default: "the built-in roles `admin`, `write` and `read`",
        about: "Permissions of a role, such as `[ntp:read, agent:read]`. A role named like a built-in one \
                replaces it.",
        alias: None,
    },
    Key {
        path: LINK_LISTEN,
        env: Some("TIMEBALL_CONTROLLER_LINK_LISTEN"),
        form: Form::Text,
        default: "`0.0.0.0:8443`; `up`: a free port on 127.0.0.1",
        about: "Address and port where agents dial in; always TLS with the controller's own authority.",
        alias: None,
    },
    Key {
        path: LINK_ADVERTISE,
        env: Some("TIMEBALL_CONTROLLER_LINK_ADVERTISE"),
        form: Form::Text,
        default: "the link's own address",
        about: "`HOST:PORT` that agents are told to dial, when it is another than the link listens on.",
        alias: None,
    },
    Key {
        path: HEARTBEAT,
        env: Some("TIMEBALL_CONTROLLER_HEARTBEAT"),
        form: Form::Text,
        default: "`10s`",
        about: "How often agents report.",
        alias: None,
    },
    Key {
        path: AUTO_ACCEPT,
        env: Some("TIMEBALL_CONTROLLER_AUTO_ACCEPT"),
        form: Form::Text,
        default: "`false`",
        about: "Accept every host that asks, without a token or an administrator's word.",
        alias: None,
    },
    Key {
        path: AGENT_CONTROLLER,
        env: Some("TIMEBALL_AGENT_CONTROLLER"),
        form: Form::Text,
        default: "none: the agent needs it, or a token that carries it",
        about: "`HOST:PORT` of the controller's link.",
        alias: None,
    },
    Key {
        path: AGENT_CONTROLLER_FINGERPRINT,
        env: Some("TIMEBALL_AGENT_CONTROLLER_FINGERPRINT"),
        form: Form::Text,
        default: "the first one seen is pinned",
        about: "`SHA256:` and 64 hex digits: fingerprint of the controller's authority.",
        alias: None,
    },
    Key {
        path: AGENT_TOKEN_FILE,
        env: Some("TIMEBALL_AGENT_ENROLMENT_TOKEN_FILE"),
        form: Form::Path,
        default: "none: an administrator accepts the host",
        about: "File with an enrolment token of `timeball client agent token create`.",
        alias: None,
    },
    Key {
        path: AGENT_TOKEN,
        env: Some("TIMEBALL_AGENT_ENROLMENT_TOKEN"),
        form: Form::Secret,
        default: "none",
        about: "The enrolment token itself. In a file only when nobody but its owner can read that file.",
        alias: None,
    },
    Key {
        path: AGENT_LABELS,
        env: Some("TIMEBALL_AGENT_LABELS"),
        form: Form::Text,
        default: "none",
        about: "A label of this host: `group: web.eu` below `agent.labels`. In the environment \
                `group:web.eu,rack:a1`, which replaces those of the file.",
        alias: None,
    },
    Key {
        path: AGENT_DATA,
        env: Some("TIMEBALL_DATA"),
        form: Form::Path,
        default: "as `client.data`",
        about: "Directory below which the agent keeps its key and journal, in `agent/`.",
        alias: None,
    },
    Key {
        path: AGENT_HOSTNAME,
        env: Some("TIMEBALL_AGENT_HOSTNAME"),
        form: Form::Text,
        default: "the host name of the kernel",
        about: "The host's name in the fleet.",
        alias: None,
    },
    Key {
        path: AGENT_CONTAINER,
        env: Some("TIMEBALL_AGENT_CONTAINER"),
        form: Form::Text,
        default: "`auto`",
        about: "Whether the clock belongs to somebody else: `auto` looks for the marks of container engines, `host` and `container` say so.",
        alias: None,
    },
    Key {
        path: AGENT_SERVICE,
        env: Some("TIMEBALL_AGENT_SERVICE"),
        form: Form::Text,
        default: "`auto`",
        about: "The time service that is managed: `chrony`, `timeballd`, `ntpd`, `openntpd`, `timesyncd`, or `auto`: the one that runs; two that run are an error.",
        alias: None,
    },
    Key {
        path: CHRONY_CONFIG,
        env: Some("TIMEBALL_AGENT_CHRONY_CONFIG"),
        form: Form::Path,
        default: "as the distribution has it",
        about: "chronyd's configuration file.",
        alias: None,
    },
    Key {
        path: CHRONY_SOCKET,
        env: Some("TIMEBALL_AGENT_CHRONY_SOCKET"),
        form: Form::Path,
        default: "as chronyd's configuration says",
        about: "chronyd's command socket.",
        alias: None,
    },
    Key {
        path: CHRONY_UDP,
        env: Some("TIMEBALL_AGENT_CHRONY_UDP"),
        form: Form::Text,
        default: "`127.0.0.1:323`, or the port that chronyd's configuration says",
        about: "Where chronyd answers those who are not root.",
        alias: None,
    },
    Key {
        path: CHRONY_APPLY,
        env: Some("TIMEBALL_AGENT_CHRONY_APPLY"),
        form: Form::Text,
        default: "`auto`",
        about: "Where the managed servers are put: `sourcedir` (applied by reloading the sources), `confdir` (applied by restarting chronyd), or `auto`: the first of the two that lasts.",
        alias: None,
    },
    Key {
        path: CHRONY_RESTART,
        env: None,
        form: Form::List,
        default: "`[systemctl, restart, chrony]`, with the unit of the distribution",
        about: "Command that restarts chronyd, program first.",
        alias: None,
    },
    Key {
        path: CHRONY_RELOAD_TIMEOUT,
        env: Some("TIMEBALL_AGENT_CHRONY_RELOAD_TIMEOUT"),
        form: Form::Text,
        default: "`5s`",
        about: "How long chronyd may take to have what it was told to load.",
        alias: None,
    },
    Key {
        path: TIMEBALLD_CONFIG,
        env: Some("TIMEBALL_AGENT_TIMEBALLD_CONFIG"),
        form: Form::Path,
        default: "`/etc/timeball/timeballd.conf`",
        about: "timeballd's configuration file.",
        alias: None,
    },
    Key {
        path: TIMEBALLD_SOCKET,
        env: Some("TIMEBALL_AGENT_TIMEBALLD_SOCKET"),
        form: Form::Path,
        default: "as timeballd's configuration says",
        about: "timeballd's command socket.",
        alias: None,
    },
    Key {
        path: TIMEBALLD_UDP,
        env: Some("TIMEBALL_AGENT_TIMEBALLD_UDP"),
        form: Form::Text,
        default: "`127.0.0.1:323`, or the port that timeballd's configuration says",
        about: "Where timeballd answers those who are not root.",
        alias: None,
    },
    Key {
        path: TIMEBALLD_APPLY,
        env: Some("TIMEBALL_AGENT_TIMEBALLD_APPLY"),
        form: Form::Text,
        default: "`auto`",
        about: "Where the managed servers are put: `sourcedir` (applied by reloading the sources), `confdir` (applied by restarting timeballd), or `auto`: the first of the two that lasts.",
        alias: None,
    },
    Key {
        path: TIMEBALLD_RESTART,
        env: None,
        form: Form::List,
        default: "`[systemctl, restart, timeballd]`",
        about: "Command that restarts timeballd, program first.",
        alias: None,
    },
    Key {
        path: TIMEBALLD_RELOAD_TIMEOUT,
        env: Some("TIMEBALL_AGENT_TIMEBALLD_RELOAD_TIMEOUT"),
        form: Form::Text,
        default: "`5s`",
        about: "How long timeballd may take to have what it was told to load.",
        alias: None,
    },
    Key {
        path: NTPD_CONFIG,
        env: Some("TIMEBALL_AGENT_NTPD_CONFIG"),
        form: Form::Path,
        default: "what ntpd was started with, or `/etc/ntpsec/ntp.conf` or `/etc/ntp.conf`",
        about: "ntpd's configuration file.",
        alias: None,
    },
    Key {
        path: NTPD_RESTART,
        env: None,
        form: Form::List,
        default: "`[systemctl, restart, ntpsec]`, with the unit of the distribution",
        about: "Command that restarts ntpd, program first.",
        alias: None,
    },
    Key {
        path: NTPD_RELOAD_TIMEOUT,
        env: Some("TIMEBALL_AGENT_NTPD_RELOAD_TIMEOUT"),
        form: Form::Text,
        default: "`5s`; at least 15 s are given",
        about: "How long ntpd may take after its restart to have what it was told.",
        alias: None,
    },
    Key {
        path: OPENNTPD_CONFIG,
        env: Some("TIMEBALL_AGENT_OPENNTPD_CONFIG"),
        form: Form::Path,
        default: "what OpenNTPD was started with, or `/etc/openntpd/ntpd.conf` or `/etc/ntpd.conf`",
        about: "OpenNTPD's configuration file.",
        alias: None,
    },
    Key {
        path: OPENNTPD_RESTART,
        env: None,
        form: Form::List,
        default: "`[systemctl, restart, openntpd]`",
        about: "Command that restarts OpenNTPD, program first.",
        alias: None,
    },
    Key {
        path: OPENNTPD_RELOAD_TIMEOUT,
        env: Some("TIMEBALL_AGENT_OPENNTPD_RELOAD_TIMEOUT"),
        form: Form::Text,
        default: "`5s`; at least 15 s are given",
        about: "How long OpenNTPD may take after its restart to have what it was told.",
        alias: None,
    },
    Key {
        path: TIMESYNCD_CONFIG,
        env: Some("TIMEBALL_AGENT_TIMESYNCD_CONFIG"),
        form: Form::Path,
        default: "`/etc/systemd/timesyncd.conf`",
        about: "systemd-timesyncd's configuration file.",
        alias: None,
    },
    Key {
        path: TIMESYNCD_RESTART,
        env: None,
        form: Form::List,
        default: "`[systemctl, restart, systemd-timesyncd]`",
        about: "Command that restarts systemd-timesyncd, program first.",
        alias: None,
    },
    Key {
        path: TIMESYNCD_RELOAD_TIMEOUT,
        env: Some("TIMEBALL_AGENT_TIMESYNCD_RELOAD_TIMEOUT"),
        form: Form::Text,
        default: "`5s`; at least 15 s are given",
        about: "How long systemd-timesyncd may take after its restart to have what it was told.",
        alias: None,
    },
];

/// Settings of OSAPI that mean nothing here, with what to do instead.
pub(crate) const FOREIGN: &[(&str, &str)] = &[
    (
        "controller.api.security.signing_key",
        "the controller makes its own signing key in its data directory; leave it out",
    ),
    (
        "controller.nats",
        "agents dial the controller itself; leave it out and see controller.link",
    ),
    ("nats", "no message server is needed; leave it out"),
    ("telemetry", "leave it out; metrics are at /metrics of the API"),
];
