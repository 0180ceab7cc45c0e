# Turns fresh namespaces into one lab host, then keeps them until standard input closes.
#
# Started by holder.rs as the first process of the host's PID namespace. It answers
# "mounted PID" (its process id as the test sees it), waits for the word that its network
# cable is plugged in, answers "up", and then only waits. When the test ends, however it
# ends, the kernel closes the pipe, this shell leaves, and with it every process, mount and
# interface of the host.
#
# LAB_NAME      host name
# LAB_DISK      directory that receives the host's private tmpfs
# LAB_FILES     tree copied over / once the private layers are in place
# LAB_ADDRESS   IPv4 address of eth0, empty for the hub
# LAB_LAYERS    "overlay" (root) or "copy" (a user namespace that maps one user only)
# LAB_USER      the user chronyd drops to
# LAB_PROGRAM   the daemon that keeps the clock: chronyd, or the path of timeballd; chronyd stands for either below
# LAB_CONF      chronyd's configuration file
# LAB_UNIT      systemd's name for chronyd
# LAB_LOG       chronyd's log file
# LAB_RUN       directory of chronyd's socket and pid file
# LAB_SOCKET    the socket
# LAB_PID       the pid file
# LAB_CHRONYD   running, stopped or absent
# LAB_SYSTEMCTL the lab's systemctl
set -eu

read -r outside _ </proc/self/stat

# Nothing that follows may be seen outside of this mount namespace.
mount --make-rprivate /
mount -t tmpfs -o mode=0755 lab "$LAB_DISK"

overlay() {
    mkdir -p "$LAB_DISK/$1" "$LAB_DISK/work/$1"
    mount -t overlay -o "lowerdir=/$1,upperdir=$LAB_DISK/$1,workdir=$LAB_DISK/work/$1" "lab-$1" "/$1"
}

if [ "$LAB_LAYERS" = overlay ]; then
    overlay etc
    overlay var
    overlay usr
    [ -e /usr/bin/systemctl ] || : >/usr/bin/systemctl
else
    # Files of unmapped users cannot be written, not even through an overlay.
    mkdir -p "$LAB_DISK/etc" "$LAB_DISK/var/lib" "$LAB_DISK/var/log" "$LAB_DISK/var/cache" "$LAB_DISK/var/tmp"
    cp -R --preserve=mode,links /etc/. "$LAB_DISK/etc" 2>/dev/null || : # secrets stay unreadable
    ln -s /run "$LAB_DISK/var/run"
    mount --bind "$LAB_DISK/etc" /etc
    mount --bind "$LAB_DISK/var" /var
fi
mount -t tmpfs -o mode=0755 lab-run /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys

# A host starts as if nobody had used this machine before.
rm -rf /etc/chrony /etc/chrony.conf /etc/chrony.d /etc/timeball
rm -rf /var/lib/chrony /var/log/chrony /var/lib/timeball /var/log/timeball
mkdir -p /etc/timeball /var/lib/timeball /run/timeball /run/chrony-dhcp /run/lab
cp -R --remove-destination "$LAB_FILES/." /
[ ! -e /usr/lib/os-release ] || mount --bind /etc/os-release /usr/lib/os-release
hostname "$LAB_NAME"

# What packages and units prepare for chronyd.
state=${LAB_RUN#/run/}
mkdir -p "$LAB_RUN" "/var/lib/$state" "/var/log/$state"
chown "$LAB_USER:" "$LAB_RUN" "/var/lib/$state" "/var/log/$state"
chmod 0700 "$LAB_RUN"
chmod 0750 "/var/lib/$state" "/var/log/$state"
for keys in /etc/chrony/chrony.keys /etc/chrony.keys; do
    [ ! -e "$keys" ] || { chown "root:$(id -gn "$LAB_USER")" "$keys" && chmod 0640 "$keys"; }
done
cat >/run/lab/env <<END
LAB_USER='$LAB_USER'
LAB_CONF='$LAB_CONF'
LAB_UNIT='$LAB_UNIT'
LAB_LOG='$LAB_LOG'
LAB_PROGRAM='$LAB_PROGRAM'
LAB_RUN='$LAB_RUN'
LAB_SOCKET='$LAB_SOCKET'
LAB_PID='$LAB_PID'
END
mount --bind "$LAB_SYSTEMCTL" /usr/bin/systemctl

if [ "$LAB_UNIT" = timeballd ]; then
    mkdir -p "$LAB_DISK/installed"
    ln -s "$LAB_PROGRAM" "$LAB_DISK/installed/timeballd"
    mount --bind "$LAB_DISK/installed" /usr/local/sbin
fi
if [ "$LAB_CHRONYD" = absent ]; then
    rm -rf /etc/chrony /etc/chrony.conf /var/lib/chrony /run/chrony
    [ "$LAB_LAYERS" = overlay ] || for directory in bin sbin; do
        mkdir -p "/run/lab/real/$directory" "$LAB_DISK/$directory"
        mount --rbind "/usr/$directory" "/run/lab/real/$directory"
        cp -rs "/run/lab/real/$directory/." "$LAB_DISK/$directory"
        mount --bind "$LAB_DISK/$directory" "/usr/$directory"
    done
    rm /usr/sbin/chronyd /usr/bin/chronyc
fi

echo "mounted $outside"
read -r _

ip link set lo up
if [ -n "$LAB_ADDRESS" ]; then
    ip addr add "$LAB_ADDRESS/16" dev eth0
    ip link set eth0 up
fi
[ "$LAB_CHRONYD" != running ] || systemctl start "$LAB_UNIT"

echo up
# Orphans become children of this process: ignoring their end lets the kernel reap them.
exec env --ignore-signal=CHLD cat >/dev/null
