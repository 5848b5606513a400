# manager.sh FOLDER PYTHON SITE REPOSITORY: a machine of its own, whose first process is a real systemd with the units
# of FOLDER/units and no others. Call it under `unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child`.
# It sees this system's files, with an /etc, /run, /opt, /var/lib, /var/log, a network and cgroups of its own; nothing
# changes for anybody else. PYTHON (a prefix), SITE (its packages) and REPOSITORY are seen under /opt, since the unit
# hides /home, /root and /tmp. FOLDER/etc is laid over /etc; FOLDER/console is what systemd says.
set -eu
folder=$1 python=$2 site=$3 repository=$4
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$folder/layer"
mkdir "$folder/layer/upper" "$folder/layer/work" "$folder/layer/lib"
cp -a "$folder/etc/." "$folder/layer/upper/"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$folder/layer/upper,workdir=$folder/layer/work" /etc
for place in /run /opt /var/log; do mount -t tmpfs -o mode=755 tmpfs $place; done
mount --bind "$folder/layer/lib" /var/lib
mkdir -p /opt/python /opt/site /opt/sokutatsu/source /opt/sokutatsu/.venv/bin
mount --bind "$python" /opt/python
mount --bind "$site" /opt/site
mount --bind "$repository" /opt/sokutatsu/source
cp "$folder/sokutatsu" /opt/sokutatsu/.venv/bin/
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs
mkdir /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$folder/console" /dev/console
export container=other SYSTEMD_UNIT_PATH="$folder/units" PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec /usr/lib/systemd/systemd --system --unit=machine.target --log-target=console < /dev/null
