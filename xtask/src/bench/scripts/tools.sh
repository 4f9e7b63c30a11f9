# In dom0: what the tools cost: xenstored, a guest's creation and end, a list of many, memory.
# TOOLS is whose tools these are, SMALL how many small guests `list` lists, ONLY what is measured (empty: all).
fail() { echo "bench: $*"; exit 1; }
wanted() {
	[ -n "$ONLY" ] || return 0
	for name in "$@"; do case " $ONLY " in *" $name "*) return 0 ;; esac; done
	return 1
}
for name in xs-read xs-write xs-transaction xs-watch; do
	wanted $name && { fxbench --batches 3 $name || fail $name; }
done

# With `earlyprintk=xen` a kernel speaks as soon as it reads its command line; without, after 1,300 million instructions of its own.
linux() { printf 'name = "c"\nkernel = "%s"\nramdisk = "/guests/ramdisk.img"\nmemory = 160\nextra = "%s"\n' "$1" "$3" >"$2"; }
linux /guests/vmlinuz /tmp/packed.cfg 'earlyprintk=xen console=hvc0'
linux /guests/vmlinux /tmp/unpacked.cfg 'earlyprintk=xen console=hvc0'
linux /guests/vmlinux /tmp/hvc0.cfg console=hvc0
byte() {
	local name=$1 config=$2 before=$3
	wanted $name || return 0
	fxbench until $name --rounds 1 --text 'Linux version' --before "$before" --after 'xl destroy c' -- xl create -c $config || fail $name
}
# xl has no cache: its packed kernel is unpacked each time.
if [ $TOOLS = ferroxen ]; then
	byte create-cold /tmp/packed.cfg 'rm -rf /var/cache/ferroxen/kernels'
	wanted create-warm && { xl create -q -p /tmp/packed.cfg || fail create-warm; xl destroy c; }
	byte create-warm /tmp/packed.cfg true
else
	wanted create-warm && [ -n "$ONLY" ] && ONLY="$ONLY create-cold"
	byte create-cold /tmp/packed.cfg true | tee /tmp/cold
	sed 's/cold/warm/' /tmp/cold
fi
byte create-unpacked /tmp/unpacked.cfg true
byte create-unpacked-hvc0 /tmp/hvc0.cfg true

small='xl create -q -p /guests/hello.cfg memory=16'
wanted domain-create && { fxbench time domain-create --rounds 3 --after 'xl destroy h' -- $small 'name="h"' || fail create; }
wanted domain-destroy && { fxbench time domain-destroy --rounds 3 --before "$small 'name=\"h\"'" -- xl destroy h || fail destroy; }
wanted list domain-memory domain-memory-dom0 domains-64m || exit 0

free() { xl info | awk '/^free_memory/ { print $3 }'; }
available() { awk '/^MemAvailable/ { print $2 }' /proc/meminfo; }
before=$(free) dom0=$(available)
for n in $(seq $SMALL); do $small "name=\"h$n\"" || fail guest $n of $SMALL; done
echo "domain-memory $(((before - $(free) - 16 * SMALL) * 1024 / SMALL)) $SMALL"
echo "domain-memory-dom0 $(((dom0 - $(available)) / SMALL)) $SMALL"
[ $(xl list | wc -l) = $((SMALL + 2)) ] || fail not all are there
wanted list && { fxbench time list --rounds 3 -- xl list || fail list; }

# Until memory ends, in larger steps.
wanted domains-64m || exit 0
n=0
while xl create -q -p /guests/hello.cfg memory=64 "name=\"m$n\"" >/dev/null 2>&1; do n=$((n + 1)); done
echo "domains-64m $n 1"
