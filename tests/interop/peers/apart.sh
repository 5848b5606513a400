#!/bin/sh
# apart.sh FOLDER DEBS COMMAND...: runs a server of unpacked Debian packages as if they were installed. Call it under
# `unshare --mount`. The whole system is seen through an overlay in memory into which the packages are unpacked, so
# nothing of it changes for anybody else; FOLDER is the same on both sides. FOLDER/apart.sh, if it is there, runs first.
set -eu
folder=$1 debs=$2
shift 2
mount -t tmpfs -o mode=755 tmpfs "$folder/layer"
mkdir "$folder/layer/upper" "$folder/layer/work" "$folder/layer/root"
root=$folder/layer/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layer/upper,workdir=$folder/layer/work" "$root"
for deb in $debs; do
    # Not dpkg -x: it would put a folder in the place of the link /lib.
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
[ ! -e "$folder/apart.sh" ] || chroot "$root" sh -eu "$folder/apart.sh"
exec chroot "$root" "$@"
