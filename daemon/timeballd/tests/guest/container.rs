//! The image in a container, under a runtime as Kubernetes and podman have it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{status, until};

/// What a container may do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rights {
    /// Everything that root may.
    Privileged,
    /// Set the clock.
    OnlySysTime,
    /// Set the clock, but only with those system calls that the profile of an old runtime knows.
    OldProfile,
    /// Nothing.
    None,
}

/// The memory that it has, bytes: that of the seed's small pod.
const MEMORY: u64 = 20 * 1024 * 1024;

/// What root may do (`capabilities(7)`).
const PRIVILEGED: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT \
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE \
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ \
    PERFMON BPF CHECKPOINT_RESTORE";

/// The network of containers, which was made when the machine started.
const NETWORK: &str = "/run/netns/pod";

/// Where the image's files are.
const IMAGE: &str = "/image";

/// A container that runs; it is removed with this value.
pub(crate) struct Container {
    name: String,
    bundle: TempDir,
    child: Child,
}

impl Container {
    /// Starts the image with a configuration where its environment says.
    pub(crate) fn start(name: &str, rights: Rights, words: &[&str], configuration: &str) -> Self {
        let bundle = tempfile::tempdir().unwrap();
        let path = bundle.path();
        fs::create_dir(path.join("etc")).unwrap();
        fs::write(path.join("etc/ntpd.conf"), configuration).unwrap();
        let made = Command::new("runc")
            .arg("spec")
            .current_dir(path)
            .status()
            .unwrap();
        assert!(made.success());
        let settings = fs::read(path.join("config.json")).unwrap();
        let mut settings = serde_json::from_slice(&settings).unwrap();
        adapt(&mut settings, rights, words, path);
        fs::write(path.join("config.json"), settings.to_string()).unwrap();
        let log = File::create(path.join("log")).unwrap();
        let child = Command::new("runc")
            // The first file system of a machine cannot be put aside.
            .args(["run", "--no-pivot", "--pid-file"])
            .arg(path.join("pid"))
            .arg("--bundle")
            .arg(path)
            .arg(name)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            name: name.to_owned(),
            bundle,
            child,
        }
    }

    /// What the daemon and the runtime have said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.bundle.path().join("log")).unwrap()
    }

    /// See [`status`].
    pub(crate) fn status(&self, name: &str) -> String {
        let pid = fs::read_to_string(self.bundle.path().join("pid")).unwrap();
        status(pid.trim().parse().unwrap(), name)
    }

    /// Waits until something is so, as long as it runs.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let path = self.bundle.path().join("log");
        let log = || fs::read_to_string(&path).unwrap();
        until(what, log, || {
            assert_eq!(self.child.try_wait().unwrap(), None, "{what}: {}", self.log());
            is_so(self)
        });
    }

    /// Has it end as a node does; it is process 1 there, for which no signal has an effect unless it says so.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        let told = Command::new("runc").args(["kill", &self.name, "TERM"]).status();
        assert!(told.unwrap().success());
        let (status, log) = self.wait();
        assert_eq!(status, Some(0), "{log}");
    }

    /// Waits until it has ended: its exit status, and what was said.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let path = self.bundle.path().join("log");
        let log = || fs::read_to_string(&path).unwrap();
        let mut status = None;
        until("it ends", log, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.and_then(|status| status.code()), log())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("runc")
            .args(["delete", "--force", &self.name])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes of the runtime's own settings those of the image and its rights.
fn adapt(settings: &mut Value, rights: Rights, words: &[&str], bundle: &Path) {
    let capabilities = match rights {
        Rights::Privileged => PRIVILEGED.split(' ').map(|name| format!("CAP_{name}")).collect(),
        Rights::OnlySysTime | Rights::OldProfile => vec!["CAP_SYS_TIME".to_owned()],
        Rights::None => Vec::new(),
    };
    let is_privileged = matches!(rights, Rights::Privileged);
    let process = &mut settings["process"];
    process["terminal"] = json!(false);
    process["args"] = json!(words);
    process["env"] = json!(["container=oci", "NTP_CONF_FILE=/etc/timeball/ntpd.conf"]);
    // As runtimes do it that give nothing to the ambient set.
    process["capabilities"] = json!({
        "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
    });
    process["noNewPrivileges"] = json!(!is_privileged);
    settings["root"] = json!({"path": IMAGE, "readonly": !is_privileged});
    settings["mounts"] = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"]},
        {"destination": "/etc/timeball", "type": "bind", "source": bundle.join("etc"), "options": ["bind", "ro"]},
    ]);
    let linux = &mut settings["linux"];
    linux["resources"] = json!({"memory": {"limit": MEMORY, "swap": MEMORY}});
    linux["namespaces"] = json!([
        {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
        {"type": "network", "path": NETWORK},
    ]);
    if matches!(rights, Rights::OldProfile) {
        linux["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["clock_adjtime", "clock_settime"], "action": "SCMP_ACT_ERRNO"}],
        });
    }
}
