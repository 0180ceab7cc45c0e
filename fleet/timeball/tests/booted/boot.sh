# Boots this machine's own system files a second time, in a container whose writes stay in memory, and runs the story there.
#
#   boot.sh FOLDER    FOLDER holds timeball, timeballd, units/ and story.sh, and gets result/story.log
#
# The container has a network of its own and no right to set the clock.
set -eu
folder=$1 memory=$1/memory
mkdir "$memory" "$folder/result"
mount -t tmpfs -o size=1g tmpfs "$memory"
mkdir "$memory/upper" "$memory/work" "$memory/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$memory/upper,workdir=$memory/work" "$memory/root"
root=$memory/root

# Of what this machine has enabled nothing is started, nor is this a container to the agent.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/.dockerenv "$root"/run/.containerenv "$root"/etc/timeball "$root"/var/lib/timeball*
install -m 755 "$folder/timeball" "$root/usr/local/bin/"
install -m 755 -D "$folder/timeballd" "$root/usr/local/sbin/timeballd"
install -m 644 "$folder"/units/*.service "$root/etc/systemd/system/"
install -m 755 "$folder/story.sh" "$root/story.sh"
cat >"$root/etc/systemd/system/story.service" <<'X'
[Unit]
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=/story.sh
StandardOutput=file:/result/story.log
StandardError=file:/result/story.log
TimeoutStartSec=240
[Install]
WantedBy=default.target
X
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../story.service "$root/etc/systemd/system/multi-user.target.wants/"
timeout --kill-after=10 300 systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no \
    --bind="$folder/result:/result" --directory="$root" --boot systemd.unit=multi-user.target
