# Turns fresh mount, host name and process namespaces into one host with its own /etc, /run and /var, a real
# chronyd that never touches the clock, and a timeball agent. It ends with its first process.
#
# BENCH_ROOT        directory that becomes the host's root
# BENCH_NAME        its name
# BENCH_TIMEBALL    the program
# BENCH_CONTROLLER  host and port of the controller's link
set -eu

mount --make-rprivate /
for directory in usr dev sys; do
    mkdir -p "$BENCH_ROOT/$directory"
    mount --rbind "/$directory" "$BENCH_ROOT/$directory"
done
for directory in bin sbin lib lib64; do
    [ -e "$BENCH_ROOT/$directory" ] || ln -s "usr/$directory" "$BENCH_ROOT/$directory"
done
mkdir -p "$BENCH_ROOT/proc" "$BENCH_ROOT/tmp" "$BENCH_ROOT/var/lib/chrony" "$BENCH_ROOT/run/chrony"
mount -t proc proc "$BENCH_ROOT/proc"
chmod 0700 "$BENCH_ROOT/run/chrony"
: >"$BENCH_ROOT/timeball"
mount --bind "$BENCH_TIMEBALL" "$BENCH_ROOT/timeball"
cp /etc/passwd /etc/group /etc/os-release "$BENCH_ROOT/etc"
# A path below the root means the same inside and outside: chronyd answers chronyc by path.
if [ ! -L "$BENCH_ROOT$BENCH_ROOT" ]; then
    mkdir -p "$BENCH_ROOT$(dirname "$BENCH_ROOT")"
    ln -s / "$BENCH_ROOT$BENCH_ROOT"
fi
hostname "$BENCH_NAME"

exec chroot "$BENCH_ROOT" /bin/sh -c '
    chronyd -x -d -u root >/run/chronyd.log 2>&1 &
    TIMEBALL_AGENT_CONTROLLER="$BENCH_CONTROLLER" TIMEBALL_AGENT_ENROLMENT_TOKEN_FILE=/etc/enrolment-token \
        TIMEBALL_DATA=/var/lib/timeball exec /timeball agent >/run/agent.log 2>&1
'
