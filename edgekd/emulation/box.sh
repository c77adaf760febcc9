# Runs in namespaces of its own and becomes the first process of a box; what it mounts ends with it.
# box.sh BASE PRIVATE NAME PROGRAM [ARGUMENT ...]
#   BASE     the root file system, shared by boxes and mounted read-only
#   PRIVATE  the folder of this box: root/ (empty), home/ tmp/ run/ ssh/ sys/ cpuinfo
set -eu
base=$1 private=$2 name=$3
shift 3
root=$private/root

mount --bind "$base" "$root"
mount -o remount,bind,ro "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$private/cpuinfo" "$root/proc/cpuinfo"
mount -o bind,ro "$private/sys" "$root/sys"
mount --bind "$private/home" "$root/root"
mount --bind "$private/tmp" "$root/tmp"
mount --bind "$private/run" "$root/run"
mount --bind "$private/ssh" "$root/etc/ssh"

# The machine's own harmless devices and nothing else; terminals are a set of their own.
mount -t tmpfs -o mode=755,size=64k tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"

echo "$name" > /proc/sys/kernel/hostname
exec chroot "$root" "$@"
