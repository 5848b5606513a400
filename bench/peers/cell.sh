# The inside of a cell: this system with the packages laid over it, in mount and process namespaces of its own.
# Arguments: folder of the unpacked packages, folder of this run, control group or "", folder of node modules or "".
# The run's folder appears as /bench in the cell; /var/spool is a plain folder of the disk, since an overlay would make
# every file of a queue dearer than it is. When the process that started us goes, the kernel kills everything in here.
set -eu
packages=$1 run=$2 group=$3 modules=$4
[ -z "$group" ] || echo 0 > "$group/cgroup.procs"
mount --make-rprivate /
mkdir -p "$run/work" "$run/root" "$run/spool"
# A copy, since a layer that lies inside another one is refused.
cp -a "$packages" "$run/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$run/upper,workdir=$run/work" "$run/root"
mkdir -p "$run/root/bench" "$run/root/node_modules" "$run/root/var/spool" "$run/root/proc"
mount -t proc proc "$run/root/proc"
mount --rbind /dev "$run/root/dev"
mount --bind "$run" "$run/root/bench"
mount --bind "$run/spool" "$run/root/var/spool"
[ -z "$modules" ] || mount --bind "$modules" "$run/root/node_modules"
exec chroot "$run/root" /bin/sh -eu /bench/start.sh
