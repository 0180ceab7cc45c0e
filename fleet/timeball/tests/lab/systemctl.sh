#!/bin/sh
# The systemctl of a lab host: knows one unit, chrony or timeballd, and runs the real daemon with -x,
# so that a program that restarts it "through systemd" restarts it in truth.
#
# Every call is a line of /run/lab/systemctl.log. With a file /run/lab/systemctl.fail,
# start and restart fail as systemd reports a unit whose process left with an error.
set -u
. /run/lab/env
echo "$*" >>/run/lab/systemctl.log

pidfile=$LAB_PID

main_pid() {
    pid=$(cat "$pidfile" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

stop() {
    pid=$(main_pid) || return 0
    kill -TERM "$pid"
    turns=0
    while kill -0 "$pid" 2>/dev/null; do
        turns=$((turns + 1))
        [ "$turns" -lt 500 ] || kill -KILL "$pid" 2>/dev/null
        sleep 0.02
    done
}

start() {
    main_pid >/dev/null && return 0
    if [ ! -e /run/lab/systemctl.fail ]; then
        # A daemon killed by SIGKILL leaves both behind; systemd's RuntimeDirectory= clears them.
        mkdir -p "$LAB_RUN"
        chown "$LAB_USER:" "$LAB_RUN"
        chmod 0700 "$LAB_RUN"
        rm -f "$pidfile" "$LAB_SOCKET"
        "$LAB_PROGRAM" -x -F 1 -u "$LAB_USER" -f "$LAB_CONF" -l "$LAB_LOG" </dev/null >/dev/null 2>&1 && return 0
    fi
    echo "Job for $LAB_UNIT.service failed because the control process exited with error code." >&2
    return 1
}

quiet= property= value= verb= units=
while [ $# -gt 0 ]; do
    case $1 in
        -q | --quiet) quiet=1 ;;
        -p | --property) property=$2 && shift ;;
        --property=*) property=${1#*=} ;;
        --value) value=1 ;;
        -*) ;;
        *) if [ -z "$verb" ]; then verb=$1; else units="$units ${1%.service}"; fi ;;
    esac
    shift
done

say() {
    [ -n "$quiet" ] || echo "$1"
}

show() {
    pid=$(main_pid) && active=active sub=running || { active=inactive sub=dead pid=0; }
    for pair in "Id=$LAB_UNIT.service" LoadState=loaded "ActiveState=$active" "SubState=$sub" \
        UnitFileState=enabled "MainPID=$pid"; do
        case ",${property:-${pair%%=*}}," in
            *",${pair%%=*},"*) if [ -n "$value" ]; then echo "${pair#*=}"; else echo "$pair"; fi ;;
        esac
    done
}

case $verb in
    daemon-reload | reset-failed) exit 0 ;;
    is-system-running) echo running && exit 0 ;;
esac
for unit in $units; do
    case $LAB_UNIT in
        timeballd) [ "$unit" = timeballd ] && known=1 || known= ;;
        *) [ "$unit" = chrony ] || [ "$unit" = chronyd ] && known=1 || known= ;;
    esac
    if [ -z "$known" ] || ! command -v "$LAB_PROGRAM" >/dev/null; then
        case $verb in
            is-active) say inactive && exit 3 ;;
            is-enabled) echo "Failed to get unit file state for $unit.service: No such file or directory" >&2 && exit 1 ;;
            show) printf 'LoadState=not-found\nActiveState=inactive\n' && exit 0 ;;
            status) echo "Unit $unit.service could not be found." >&2 && exit 4 ;;
            *) echo "Failed to $verb $unit.service: Unit $unit.service not found." >&2 && exit 5 ;;
        esac
    fi
    case $verb in
        start) start || exit 1 ;;
        stop) stop ;;
        restart | reload-or-restart) stop && start || exit 1 ;;
        try-restart) main_pid >/dev/null && { stop && start || exit 1; } ;;
        is-active | status) if main_pid >/dev/null; then say active; else say inactive && exit 3; fi ;;
        is-enabled) say enabled ;;
        enable | disable) ;;
        show) show ;;
        *) echo "Unknown command verb $verb." >&2 && exit 1 ;;
    esac
done
