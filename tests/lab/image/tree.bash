# Sourced by `base` and `build`: work in a root tree without leaving a mount, and tell what is done.
# They run in a mount namespace of their own and hold the builders' lock, so what a killed builder left may be removed.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/horcrux-lab

say() { echo "lab image: [$((SECONDS - t0)) s] $*" >&4; }

# open_work: $work is a scratch folder that ends with this process; output goes to its log, shown when something fails.
# 3 is the answer, 4 is for people.
open_work() {
    t0=$SECONDS
    exec 3>&1 4>&2
    work=$(mktemp -d "$cache/.build.XXXXXX")
    trap close_work EXIT
    trap 'tail -n 40 "$work/log" >&4; say "failed in line $LINENO of $(basename "$0")"' ERR
    exec >"$work/log" 2>&1
}

close_work() {
    trap - EXIT ERR
    set +e
    local mounted
    grep -o " $cache/[^ ]*" /proc/self/mounts | sort -r | while read -r mounted; do umount "$mounted"; done
    # Never descend into a mount that would not go away: it may be the /dev of this machine.
    grep -q " $work/" /proc/self/mounts || rm -rf "$work"
}

enter() { # FOLDER CMD…: run in a root tree
    local r=$1
    shift
    chroot "$r" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# mount_system FOLDER: what programs in a root tree expect of a running system. Its /dev is not this machine's: a package that gives
# /dev/kvm to its own group kvm would take it from QEMU here.
mount_system() {
    local node
    mount -t proc proc "$1/proc"
    mount -t sysfs -o ro sys "$1/sys"
    mount -t tmpfs -o mode=0755 dev "$1/dev"
    mkdir "$1/dev/pts" "$1/dev/shm"
    for node in null zero full random urandom tty; do
        touch "$1/dev/$node"
        mount --bind "/dev/$node" "$1/dev/$node"
    done
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
    ln -s pts/ptmx "$1/dev/ptmx"
    ln -s /proc/self/fd "$1/dev/fd"
}

release() { umount --recursive "$1/dev" "$1/sys" "$1/proc"; }

key_of() { sha256sum | cut -c1-16; }
