//! What goes wrong on a machine, and how it is put right again.

use super::host::Host;

impl Host {
    /// Makes a directory (or one file) refuse every write, with `EROFS`, also root's.
    pub fn make_readonly(&self, path: &str) {
        self.run(&[
            "sh",
            "-c",
            "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"",
            path,
        ])
        .ok();
    }

    /// Ends [`Host::make_readonly`].
    pub fn make_writable(&self, path: &str) {
        self.run(&["umount", path]).ok();
    }

    /// Puts a directory on a file system of its own that is full: what is there stays, new
    /// files can be created, but the first byte written is refused with `ENOSPC`.
    pub fn fill_disk(&self, directory: &str) {
        let script = "set -e
            size=$(($(du -sk \"$0\" | cut -f1) + 64))
            disk=/run/lab/full$(echo \"$0\" | tr / -)
            mkdir -p \"$disk\"
            mount -t tmpfs -o size=${size}k,mode=0755 lab-full \"$disk\"
            cp -a \"$0/.\" \"$disk\"
            cat /dev/zero >\"$disk/.filling\" 2>/dev/null || :
            mount --bind \"$disk\" \"$0\"";
        self.run(&["sh", "-c", script, directory]).ok();
    }

    /// Frees the space that [`Host::fill_disk`] took; the directory keeps what it holds by now.
    pub fn free_disk(&self, directory: &str) {
        self.run(&["rm", &format!("{directory}/.filling")]).ok();
    }

    /// Stops a process where it stands.
    pub fn freeze(&self, pid: u32) {
        self.kill(pid, "STOP");
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self, pid: u32) {
        self.kill(pid, "CONT");
    }

    /// Pulls the network cable.
    pub fn unplug(&self) {
        self.run(&["ip", "link", "set", "eth0", "down"]).ok();
    }

    /// Plugs the network cable in again.
    pub fn plug(&self) {
        self.run(&["ip", "link", "set", "eth0", "up"]).ok();
    }

    /// Takes away chronyd's command socket: chronyc falls back to UDP, where it may still ask,
    /// but every change (`reload sources`, `online`, …) is refused with "501 Not authorised".
    pub fn refuse_commands(&self) {
        self.run(&["mv", "/run/chrony/chronyd.sock", "/run/chrony/hidden.sock"])
            .ok();
    }

    /// Ends [`Host::refuse_commands`].
    pub fn accept_commands(&self) {
        self.run(&["mv", "/run/chrony/hidden.sock", "/run/chrony/chronyd.sock"])
            .ok();
    }

    /// Makes `systemctl start` and `restart` of chrony fail from now on, or succeed again.
    pub fn fail_restarts(&self, fail: bool) {
        self.sh(if fail {
            "touch /run/lab/systemctl.fail"
        } else {
            "rm -f /run/lab/systemctl.fail"
        })
        .ok();
    }
}
