#!/bin/sh
# What deploy/systemd/README.md tells an administrator to do, and what has to follow. The container cannot set the clock, so
# timeballd only observes here; nothing else is changed in the units.
set -eux
export SYSTEMD_PAGER=cat
rm -f /run/systemd/container

is() { [ "$(systemctl is-active "$1")" = active ]; }
# Tries until a command succeeds, for half a minute at most.
eventually() {
    for _ in $(seq 300); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    return 1
}

# --- the clock daemon
useradd --system --no-create-home --home-dir /var/lib/timeballd --shell /usr/sbin/nologin _timeball
install -d /etc/timeball /etc/timeball/sources.d /etc/timeball/conf.d
cat >/etc/timeball/timeballd.conf <<'X'
server 127.0.0.1 port 11123 iburst
sourcedir /etc/timeball/sources.d
driftfile /var/lib/timeballd/drift
X
# Another one is the server, a clock of its own.
mkdir /run/server
printf 'port 11123\nlocal stratum 3\nallow 127.0.0.1\ncmdport 0\nbindcmdaddress /\npidfile /run/server/pid\n' >/run/server/conf
/usr/local/sbin/timeballd -d -x -u root -f /run/server/conf >/run/server/log 2>&1 &
for unit in timeballd timeball-wait; do
    mkdir "/etc/systemd/system/$unit.service.d"
    printf '[Unit]\nConditionCapability=\n' >"/etc/systemd/system/$unit.service.d/container.conf"
done
printf '[Service]\nExecStart=\nExecStart=!/usr/local/sbin/timeballd -n -x\n' >>/etc/systemd/system/timeballd.service.d/container.conf
systemctl daemon-reload
systemctl enable --now timeballd
is timeballd
[ "$(stat -c %U /run/timeballd/timeballd.sock)" = _timeball ]
[ "$(stat -c %a /run/timeballd)" = 700 ]
main=$(systemctl show --property MainPID --value timeballd)
[ "$(stat -c %U "/proc/$main")" = _timeball ]
grep -q '^Seccomp:.2$' "/proc/$main/status"

# --- the gate
systemctl start timeball-wait
is timeball-wait
timeballd ctl tracking | grep -q '^Stratum  *: 4$'

# --- controller and agent
systemctl enable --now timeball-controller
eventually timeball client health status
(umask 077 && timeball client agent token create --json | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' >/etc/timeball/enrolment.token)
[ -s /etc/timeball/enrolment.token ]
cat >/etc/timeball/timeball.yaml <<'X'
agent:
  controller: 127.0.0.1:8443
  enrolment_token_file: /etc/timeball/enrolment.token
X
systemctl enable --now timeball-agent
ready() { timeball client agent list | grep -q ' Ready '; }
eventually ready
timeball client node ntp create --servers 192.0.2.1,192.0.2.2 --target _all | grep -q ' changed$'
timeballd ctl -n sources | grep -q 192.0.2.2
timeball client node ntp get | grep -q '192.0.2.1, 192.0.2.2'

# --- a crash, and a daemon that was stopped
kill -KILL "$main"
another() { is timeballd && [ "$(systemctl show --property MainPID --value timeballd)" != "$main" ]; }
eventually another
eventually timeballd ctl -n sources
timeballd ctl -n sources | grep -q 192.0.2.2
systemctl stop timeballd
[ ! -e /run/timeballd ]
if timeball client node ntp get >/tmp/get; then false; fi
grep 'timeballd does not answer' /tmp/get
systemctl start timeballd
timeball client node ntp delete --target _all | grep -q ' changed$'
if timeballd ctl -n sources | grep 192.0.2; then false; fi

# --- restarts keep everything
systemctl restart timeball-controller timeball-agent
eventually ready

# --- the end
systemctl stop timeball-agent timeball-controller timeballd
systemctl --failed --no-legend | tee /tmp/failed
[ ! -s /tmp/failed ]
echo 'the story is complete'
