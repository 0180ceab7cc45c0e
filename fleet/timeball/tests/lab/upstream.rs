//! The three time servers in the hub that all machines may follow.

use std::net::Ipv4Addr;

use super::host::Host;

/// How many there are: `ntp1.lab` to `ntp3.lab`, together `pool.lab`.
pub const UPSTREAMS: u8 = 3;

/// One real chronyd that serves the machine's own time at stratum 3.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'lab> {
    hub: &'lab Host,
    number: u8,
}

impl<'lab> Upstream<'lab> {
    pub(super) fn new(hub: &'lab Host, number: u8) -> Self {
        assert!((1..=UPSTREAMS).contains(&number), "there is no upstream {number}");
        Self { hub, number }
    }

    /// The address of an upstream, 10.213.255.1 and so on.
    pub(super) const fn address_of(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, 255, number)
    }

    /// Its name, which every machine resolves.
    pub fn name(self) -> String {
        format!("ntp{}.lab", self.number)
    }

    /// Its address.
    pub fn address(self) -> Ipv4Addr {
        Self::address_of(self.number)
    }

    /// Starts it; all upstreams run when the laboratory opens.
    pub fn start(self) {
        let (n, address) = (self.number, self.address());
        let text = format!(
            "local stratum 3\nmanual\nallow\nbindaddress {address}\ncmdport 0\n\
             bindcmdaddress /run/chrony/ntp{n}.sock\npidfile /run/chrony/ntp{n}.pid\n"
        );
        let conf = format!("/etc/lab-ntp{n}.conf");
        self.hub.write(&conf, &text);
        let script = format!(
            ". /run/lab/env && chronyd -x -F 1 -u \"$LAB_USER\" -f {conf} -l \"${{LAB_LOG%.chronyd.log}}.ntp{n}.log\""
        );
        self.hub.sh(&script).ok();
    }

    /// Stops it and waits until it is gone: its clients lose their source.
    pub fn stop(self) {
        let script = format!(
            "pid=$(cat /run/chrony/ntp{}.pid) && kill \"$pid\" && while kill -0 \"$pid\" 2>/dev/null; do sleep 0.02; done",
            self.number
        );
        self.hub.sh(&script).ok();
    }

    /// Makes it tell a time that is `seconds` from the truth, positive for later.
    /// Only what it serves moves: it has no power over the machine's clock.
    pub fn lie(self, seconds: i32) {
        let socket = format!("/run/chrony/ntp{}.sock", self.number);
        let when = format!("{seconds} seconds");
        self.hub.run(&["chronyc", "-h", &socket, "settime", &when]).ok();
    }
}
