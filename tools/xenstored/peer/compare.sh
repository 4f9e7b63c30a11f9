#!/usr/bin/env bash
# Measures our xenstored (supervised, and alone) and Debian's C and OCaml daemons on this machine, one after the
# other: operations per CPU-second, one client's round trip, memory. No Xen is needed: shim.c stands in for it.
#
#   compare.sh DIRECTORY_WITH_XEN_UTILS_UNPACKED [SECONDS]
#
# The OCaml daemon has its socket's path built in (/var/run/xenstored): it is left out where that exists.
set -eu
root=${1:?usage: compare.sh DIRECTORY_WITH_XEN_UTILS_UNPACKED [SECONDS]}
seconds=${2:-3}
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
cargo build --release --quiet --manifest-path "$top/Cargo.toml" -p xenstored
bin=$top/target/release
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null || :; rm -rf "$dir"' EXIT
gcc -shared -fPIC -O2 -o "$dir/shim.so" "$here/shim.c" -ldl

await() { for _ in $(seq 100); do [ -S "$1" ] && return; sleep 0.05; done; echo "no $1" >&2; exit 1; }
stop() { kill -9 $pid 2>/dev/null || :; wait $pid 2>/dev/null || :; pid=; }
bench() { sock=$1; shift; "$bin/xenstore-bench" --socket "$sock" --seconds "$seconds" "$@"; echo; }

echo "== ours, supervised"
"$bin/xenstored" --supervise --run-dir "$dir/a" 2>"$dir/a.log" & pid=$!
await "$dir/a/socket"; sleep 0.3
child=$(cat "/proc/$pid/task/$pid/children")
bench "$dir/a/socket" --pid $pid --pid $child
kill -TERM $pid; wait $pid || :; pid=

echo "== ours, alone"
"$bin/xenstored" --run-dir "$dir/b" 2>"$dir/b.log" & pid=$!
await "$dir/b/socket"
bench "$dir/b/socket" --pid $pid
stop

xen=$(echo "$root"/usr/lib/xen-4.*/bin)
echo "== Debian's C xenstored"
mkdir "$dir/c"
XS_SHIM_DIR=$dir/c LD_PRELOAD=$dir/shim.so XENSTORED_ROOTDIR=$dir/c XENSTORED_RUNDIR=$dir/c XENSTORED_PATH=$dir/c/socket \
    "$xen/xenstored" -N 2>/dev/null & pid=$!
await "$dir/c/socket"
bench "$dir/c/socket" --pid $pid
stop

if [ -e /var/run/xenstored ]; then
    echo "== Debian's oxenstored: left out, /var/run/xenstored exists"
    exit
fi
echo "== Debian's oxenstored"
mkdir "$dir/d"
sed "s|^pid-file.*|pid-file = $dir/d/pid|; s|^# xenstored-log-file.*|xenstored-log-file = $dir/d/log|
     s|^# access-log-file.*|access-log-file = $dir/d/access|" "$root/etc/xen/oxenstored.conf" >"$dir/d/conf"
XS_SHIM_DIR=$dir/d LD_PRELOAD=$dir/shim.so "$xen/oxenstored" --no-fork --config-file "$dir/d/conf" >/dev/null 2>&1 & pid=$!
await /var/run/xenstored/socket
bench /var/run/xenstored/socket --pid $pid
stop
rm -rf /var/run/xenstored
