//! Hosts made of namespaces, each with a real chronyd and a real agent. Seen from outside, a host's files are
//! below its directory, so that another program can configure the same chronyd.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Fault, usage};

/// chronyd's configuration: as Debian's, without its servers, its ports and what sets the clock.
const CONF: &str = "\
sourcedir /etc/chrony/sources.d
driftfile /var/lib/chrony/chrony.drift
port 0
cmdport 0
maxupdateskew 100.0
";

/// One host.
pub(crate) struct Host {
    pub(crate) root: PathBuf,
    process: Child,
}

impl Host {
    /// Starts a host of this number below `work`.
    pub(crate) fn start(
        work: &Path,
        number: u32,
        program: &Path,
        link: &str,
        token: &str,
    ) -> Result<Self, Fault> {
        let name = format!("bench-{number:02}");
        let root = work.join(&name);
        let _ = fs::remove_dir_all(&root);
        let etc = root.join("etc");
        fs::create_dir_all(etc.join("chrony/sources.d"))?;
        fs::write(etc.join("chrony/chrony.conf"), CONF)?;
        fs::write(etc.join("machine-id"), format!("{:032x}\n", 0xb0b0_0000 + number))?;
        fs::write(etc.join("enrolment-token"), token)?;
        let log = File::create(work.join(format!("{name}.log")))?;
        // It ends with this program, however that ends.
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                include_str!("host.sh"),
            ])
            .env("BENCH_ROOT", &root)
            .env("BENCH_NAME", &name)
            .env("BENCH_TIMEBALL", program)
            .env("BENCH_CONTROLLER", link)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("setpriv: {error}"))?;
        Ok(Host { root, process })
    }

    /// chronyd's command socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("run/chrony/chronyd.sock")
    }

    /// The addresses of the sources that chronyd has.
    pub(crate) fn sources(&self) -> Result<Vec<String>, Fault> {
        let output = Command::new("chronyc")
            .arg("-h")
            .arg(self.socket())
            .args(["-n", "-c", "sources", "-a"])
            .output()
            .map_err(|error| format!("chronyc: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("chronyc of {}: {text}", self.root.display()).into());
        }
        Ok(text
            .lines()
            .filter_map(|line| Some(line.split(',').nth(2)?.to_owned()))
            .collect())
    }

    /// Processor time of everything that runs on the host.
    pub(crate) fn cpu(&self) -> Result<Duration, Fault> {
        usage::family_cpu(self.process.id())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The first process of the namespaces ends with it, and everything in them.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
