# xen-exporter, as Prometheus meets it, with a Debian guest at work: its numbers grow, say what others say, and go with the guest;
# clients that are slow, many or wrong keep nobody out; a xenstored that hangs costs its own part only. BELOW is the hypervisor.
. /guests/words.sh
ok sh /guests/prepare
ip link set lo up
ok hello
ok blkimg create /tmp/a.qcow2 16
note
at=127.0.0.1:10603
xen-exporter 2>/tmp/exporter.log & exporter=$!
scrape() { timeout 30 wget -q -O /tmp/scrape http://$at/metrics; }
# value METRIC LABELS …: of the one series of /tmp/scrape that has all of these labels.
value() {
	local metric=$1 lines; shift; lines=$(grep "^$metric[{ ]" /tmp/scrape)
	for label in "$@"; do lines=$(echo "$lines" | grep -F "$label"); done
	[ "$(echo "$lines" | grep -c .)" = 1 ] || { echo "$metric $*: $(echo "$lines" | grep -c .) series" >&2; return 1; }
	echo "$lines" | sed 's/.* //'
}
is() { local want=$1 got; shift; got=$(value "$@"); [ "$got" = "$want" ] || ok false "$*: $got, not $want"; }
# above LEAST METRIC …
above() { local least=$1 got; shift; got=$(value "$@") && awk "BEGIN { exit !($got > $least) }" || ok false "$*: $got, not above $least"; }
no_errors() { ! grep '^xen_exporter_scrape_error.* 1$' /tmp/scrape; }
ok until_ok 100 scrape
ok no_errors
is 1 xen_domains
is 1 xen_domain_state 'name="Domain-0"' 'state="running"'
version=$(xm info | sed -n 's/^xen_version *: //p')
ok grep -q "^xen_info{version=\"$version\"" /tmp/scrape
above 1 xen_host_uptime_seconds
[ $(grep -c '^xen_host_cpu_idle_seconds_total' /tmp/scrape) = 2 ] || ok false "CPUs: $(grep idle /tmp/scrape)"
is 1000 xen_xenstore_quota 'resource="nodes"'
above 10 xen_domain_xenstore_usage 'name="Domain-0"' 'resource="nodes"'
echo "the machine is told of"

ok xm create -q /guests/disk.cfg
ok up disk
ok xm block-attach disk format=qcow2,vdev=xvdb,access=rw,target=/tmp/a.qcow2
g disk 'for n in $(seq 50); do [ -b /dev/xvdb ] && break; usleep 100000; done'
id=$(xm domid disk); own="domid=\"$id\",name=\"disk\",uuid=\"$(xm vm-list | awk '$3 == "disk" {print $1}')\""
ok scrape; ok no_errors; cp /tmp/scrape /tmp/first
is 2 xen_domains
is $((160 << 20)) xen_domain_memory_bytes "$own"
is 1 xen_domain_vcpus_online "$own"
above 10 xen_domain_xenstore_usage "$own" 'resource="nodes"'
above 1 xen_domain_xenstore_usage "$own" 'resource="watches"'
awk "BEGIN { exit !($(value xen_domain_start_time_seconds "$own") > $(date +%s) - 3600) }" || ok false "its start"

# Work: 4 MiB to each disk, pings.
ok g disk 'dd if=/dev/zero of=/mnt/big bs=64k count=64 conv=fsync 2>/dev/null; dd if=/dev/zero of=/dev/xvdb bs=64k count=64 conv=fsync 2>/dev/null'
ok ping -q -c 10 -i 0.2 -w 30 192.168.77.2
usleep 600000
ok scrape; ok no_errors
# grown LEAST METRIC LABELS …: by at least so much since the first scrape.
grown() {
	local least=$1 now before; shift; now=$(value "$@") || ok false "$* is missing"
	cp /tmp/scrape /tmp/second; cp /tmp/first /tmp/scrape; before=$(value "$@"); cp /tmp/second /tmp/scrape
	awk "BEGIN { exit !($now - $before >= $least) }" || ok false "$*: $before, then $now"
}
grown 0.01 xen_domain_cpu_seconds_total "$own"
grown 0.01 xen_vcpu_seconds_total "$own" 'vcpu="0"' 'state="running"'
grown 4194304 xen_domain_block_bytes_total "$own" 'backend="vbd"' 'device="xvda"' 'operation="write"'
grown 4194304 xen_domain_block_bytes_total "$own" 'backend="qdisk"' 'device="xvdb"' 'operation="write"'
grown 1 xen_domain_block_requests_total "$own" 'device="xvda"' 'operation="write"'
grown 1 xen_domain_block_requests_total "$own" 'device="xvdb"' 'operation="flush"'
grown 10 xen_domain_network_receive_packets_total "$own" 'device="0"'
grown 10 xen_domain_network_transmit_packets_total "$own" 'device="0"'
grown 840 xen_domain_network_transmit_bytes_total "$own" 'device="0"'
grown 0.5 xen_host_uptime_seconds
for state in running runnable blocked offline; do above -1 xen_vcpu_seconds_total 'name="Domain-0"' 'vcpu="0"' "state=\"$state\""; done
if [ $BELOW = ferroxen ]; then
	grown 100 xen_vcpu_hypercalls_total "$own" 'vcpu="0"'
	grown 100 xen_vcpu_hypercalls_total 'name="Domain-0"' 'vcpu="0"'
	grown 0.5 xen_vcpu_seconds_total "$own" 'vcpu="0"' 'state="blocked"'
	above -1 xen_vcpu_seconds_total "$own" 'vcpu="0"' 'state="runnable"'
else
	! grep -q '^xen_vcpu_hypercalls\|domid="'$id'".*state="runnable"' /tmp/scrape || ok false "$BELOW says more than expected"
fi
xm list | awk -v now=$(value xen_domain_cpu_seconds_total "$own") '$1 == "disk" { exit !($6 + 0.2 >= now && $6 - 20 <= now) }' || ok false "cpu time: $(xm list)"
xen-exporter --once >/tmp/once || ok false "--once: $?"
[ "$(sed 's/ .*//' /tmp/once)" = "$(sed 's/ .*//' /tmp/scrape)" ] || { sed 's/ .*//' /tmp/once >/tmp/a; sed 's/ .*//' /tmp/scrape | diff /tmp/a -; ok false "--once says other things"; }
echo "$(grep -c '^[^#]' /tmp/scrape) numbers; the guest's have grown"

# Who is slow, wrong, or many.
rss() { awk '/VmRSS/ {print $2}' /proc/$exporter/status; }
for n in $(seq 40); do sleep 20 | nc 127.0.0.1 10603 >/dev/null 2>&1 & held="$held $!"; done
usleep 500000
ok scrape
(printf 'GET /metr'; sleep 7) | nc 127.0.0.1 10603 >/tmp/slow 2>&1 &
head -c 1000000 /dev/zero | timeout 20 nc 127.0.0.1 10603 >/dev/null 2>&1
printf 'POST /metrics HTTP/1.0\r\n\r\n' | timeout 20 nc 127.0.0.1 10603 | grep -q ' 405 ' || ok false "POST"
printf 'HEAD /metrics HTTP/1.0\r\n\r\n' | timeout 20 nc 127.0.0.1 10603 | grep -q ' 200 ' || ok false "HEAD"
ok scrape
kill $held 2>/dev/null
small=$(rss); for n in $(seq 100); do scrape || ok false "scrape $n"; done; large=$(rss)
[ $((large - small)) -lt 1024 ] || ok false "$small KiB, after 100 scrapes $large"
echo "slow clients keep nobody out; $small KiB, after 100 scrapes $large"

# A xenstored that hangs; one that is started again.
stored=$(ps | awk '/xenstored.*--kept/ && !/awk/ {print $1}')
kill -STOP $stored; ok scrape; kill -CONT $stored
is 1 xen_exporter_scrape_error 'source="xenstore_quota"'
is 0 xen_exporter_scrape_error 'source="hypervisor"'
is $((160 << 20)) xen_domain_memory_bytes "domid=\"$id\""
kill -9 $stored
calm() { scrape && no_errors; }
ok until_ok 100 calm
is $((160 << 20)) xen_domain_memory_bytes "$own"
echo "a xenstored that hangs costs its own part"

# code WANTED COMMAND …: its exit code, and one line that says why.
code() { want=$1; shift; "$@" >/dev/null 2>/tmp/said; got=$?; [ $got = $want ] && [ $(wc -l </tmp/said) = 1 ] || ok false "exit $got, not $want: $*: $(cat /tmp/said)"; }
code 1 xen-exporter --listen $at
echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
code 4 su -s /bin/sh nobody -c '/usr/local/sbin/xen-exporter --once'
xen-exporter --listen nowhere 2>/dev/null; [ $? = 2 ] || ok false "usage"

ok xm shutdown disk; ok gone disk
ok scrape; ok no_errors
! grep -q 'name="disk"' /tmp/scrape || ok false "a guest that is gone is told of"
# It is dying, without a name, as long as a backend maps its memory.
alone() { scrape && no_errors && [ "$(value xen_domains)" = 1 ]; }
ok until_ok 300 alone
! grep -q "domid=\"$id\"" /tmp/scrape || ok false "its number is told of"
echo "who is gone is not told of"
kill $exporter
rm -f /tmp/a.qcow2
ok nothing_left "the guest"
[ $bad = 0 ] || cat /tmp/exporter.log
finish
