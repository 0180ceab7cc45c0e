//! The clock for real: a machine that is emulated, with a kernel of its own, in which the tests of `guest` set it.
//!
//! qemu, the kernel and the programs that are used there are Debian's, unpacked by `./test slow` into the directory that
//! the variable [`PACKAGES`] names. The machine has one processor, no disk and no network, and starts with a clock that is
//! forty years off. It needs no root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Names the directory with the unpacked packages.
const PACKAGES: &str = "TIMEBALL_GUEST";

/// How long the machine may run.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What the real-time clock of the machine says when it starts.
const STARTS_AT: &str = "1986-11-22T00:00:00";

/// The test that wants the clock as the machine starts with it.
const FIRST: &str = "a_machine_that_starts_decades_off_is_right_at_once";

/// The program of `guest` and of the daemon, each one file, and how many tests there are.
struct Programs {
    guest: PathBuf,
    timeballd: PathBuf,
    tests: usize,
}

#[test]
#[ignore = "starts an emulated machine, for minutes: `./test slow` does it"]
fn the_clock_of_a_machine_is_set_for_real() {
    let Some(packages) = env::var_os(PACKAGES).map(PathBuf::from) else {
        panic!("{PACKAGES} names no directory with qemu: run `./test slow`, which unpacks it");
    };
    let folder = tempfile::tempdir().unwrap();
    let programs = build();
    let files = lay_out(&packages, &programs, folder.path());
    let said = boot(&packages, &files, folder.path());
    println!("{said}");
    let first = said.find("test result: ok. 1 passed; 0 failed");
    let others = format!("test result: ok. {} passed; 0 failed", programs.tests - 1);
    let others = said.find(&others);
    assert!(
        first.is_some() && others.is_some() && first < others,
        "not every test passed in the machine"
    );
}

/// Builds both as `deploy/container/build` builds the daemon.
fn build() -> Programs {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--no-run", "--message-format", "json"])
        .args(["--target", &target, "-p", "timeballd", "--test", "guest"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the guest's programs cannot be built");
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let built: Vec<(String, PathBuf)> = messages
        .filter_map(|message| {
            let path = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
        })
        .collect();
    let program = |name: &str| {
        let found = built.iter().find(|(target, _)| target == name);
        found
            .unwrap_or_else(|| panic!("{name} was not built: {built:?}"))
            .1
            .clone()
    };
    let guest = program("guest");
    let list = run(Command::new(&guest).args(["--list", "--ignored"]));
    let tests = list.lines().filter(|line| line.ends_with(": test")).count();
    assert!(tests > 1 && list.contains(FIRST), "{list}");
    Programs {
        guest,
        timeballd: program("timeballd"),
        tests,
    }
}

/// Puts together what the machine has instead of a disk, and packs it.
fn lay_out(packages: &Path, programs: &Programs, folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for directory in [
        "bin",
        "usr/bin",
        "usr/sbin",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "etc",
        "image/etc/timeball",
        "image/proc",
        "image/dev",
        "image/run",
    ] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let busybox = packages.join("bin/busybox");
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    strip(&programs.guest, &root.join("guest"));
    // As in the image.
    strip(&programs.timeballd, &root.join("image/timeballd"));
    for name in ["ntpd", "openntpd", "chronyd"] {
        symlink("timeballd", root.join("image").join(name)).unwrap();
    }
    add(&root, "usr/sbin/chronyd", &find("chronyd"));
    add(&root, "usr/bin/setpriv", &find("setpriv"));
    add(&root, "usr/sbin/runc", &packages.join("usr/sbin/runc"));
    add(&root, "usr/sbin/ip", &find("ip"));
    let module = kernel_modules(packages).join("kernel/drivers/net/veth.ko");
    fs::copy(module, root.join("veth.ko")).unwrap();
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    )
    .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
    let init = root.join("init");
    fs::write(&init, INIT.replace("@FIRST@", FIRST)).unwrap();
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
    let packed = folder.join("files");
    let script = format!("find . | {} cpio -o -H newc", busybox.display());
    let status = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&root)
        .stdin(Stdio::null())
        .stdout(File::create(&packed).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    packed
}

/// The directory with what the kernel can load.
fn kernel_modules(packages: &Path) -> PathBuf {
    only(&packages.join("lib/modules"), "")
}

/// The only file of a directory whose name begins so.
fn only(directory: &Path, begin: &str) -> PathBuf {
    let files = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with(begin));
    assert_eq!(files.len(), 1, "{}: {files:?}", directory.display());
    files.remove(0)
}

/// What the machine does: it mounts what every system has, runs the tests, and is switched off.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/bin TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
insmod /veth.ko
ip=/usr/sbin/ip
$ip link set lo up
$ip netns add pod
$ip link add pod type veth peer name eth0 netns pod
for last in 1 2 3; do $ip address add 10.99.0.$last/24 dev pod; done
$ip link set pod up
$ip -n pod address add 10.99.0.9/24 dev eth0
$ip -n pod link set lo up
$ip -n pod link set eth0 up
echo \"Linux $(uname -r), $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource), $(date -u)\"
/guest --ignored --nocapture --test-threads 1 --exact @FIRST@
/guest --ignored --nocapture --test-threads 1 --skip @FIRST@
poweroff -f
";

/// Puts a program there, with the libraries that it needs.
fn add(root: &Path, place: &str, program: &Path) {
    fs::copy(program, root.join(place)).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let needs = run(Command::new("ldd").arg(program));
    let libraries: BTreeSet<&str> = needs
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect();
    for library in libraries {
        let place = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
}

/// Puts a program there without what only debuggers read.
fn strip(program: &Path, place: &Path) {
    run(Command::new("strip").arg("-o").arg(place).arg(program));
}

/// Finds a program where an ordinary user has no path to.
fn find(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|place| Path::new(place).join(name));
    let found = places.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed"))
}

/// Runs the machine until it switches itself off, and returns what it wrote to its console.
fn boot(packages: &Path, files: &Path, folder: &Path) -> String {
    let console = folder.join("console");
    let kernel = only(&packages.join("boot"), "vmlinuz-");
    let architecture = env::consts::ARCH;
    let libraries = ["lib", "usr/lib"].map(|place| {
        let place = packages.join(place).join(format!("{architecture}-linux-gnu"));
        place.to_str().unwrap().to_owned()
    });
    let qemu = Command::new(packages.join(format!("usr/bin/qemu-system-{architecture}")))
        .env("LD_LIBRARY_PATH", libraries.join(":"))
        .args([
            "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-smp", "1",
        ])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-rtc", &format!("base={STARTS_AT}")])
        .arg("-L")
        .arg(packages.join("usr/share/qemu"))
        .arg("-L")
        .arg(packages.join("usr/share/seabios"))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(files)
        // The processor's counter would be measured at the start, badly where others run beside. The last word is what the tests ask for before they touch a clock.
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 no_timer_check clocksource=hpet timeball.guest",
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut machine = Machine(qemu);
    let begun = Instant::now();
    let said = || String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).replace('\r', "");
    loop {
        if let Some(status) = machine.0.try_wait().unwrap() {
            assert!(status.success(), "qemu: {status}: {}", said());
            return said();
        }
        assert!(begun.elapsed() < PATIENCE, "the machine still runs: {}", said());
        sleep(Duration::from_millis(200));
    }
}

/// A machine that runs; it is switched off with this value.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command and returns what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
