# Words for tests that look after guests. In a script: `. /guests/words.sh`; it ends with `finish`.
bad=0
# ok COMMAND …: it has to succeed.
ok() { "$@" || { echo "WRONG: $*"; bad=1; }; }
finish() { [ $bad = 0 ] && echo all well || evidence; exit $bad; }
# What is needed to see why, if something was wrong.
evidence() {
	for file in /var/log/xen/console/guest-*.log /var/log/xen/*.log; do [ -s "$file" ] && { echo "--- the end of $file"; tail -n 40 "$file"; }; done
	echo "--- the hypervisor"; xm dmesg | tail -n 30; echo "--- dom0"; dmesg | tail -n 30; xm list; ps; xenstore ls -f /local | tail -n 200
}
log() { echo "/var/log/xen/console/guest-$1.log"; }
# until_ok TENTHS COMMAND …
until_ok() { local n=$1; shift; while [ $n -gt 0 ]; do "$@" >/dev/null 2>&1 && return 0; n=$((n - 1)); usleep 100000; done; return 1; }
up() { until_ok 2400 grep -q "$1: up" "$(log $1)"; }
no_domain() { ! xm domid $1 >/dev/null 2>&1; }
gone() { until_ok 600 no_domain $1; }
# g NAME COMMAND: what a command (one line, its shell takes 1000 bytes) prints in a guest, by its console, and its status.
g() {
	local name=$1 id token tty; shift; id=$(xm domid $name) || return 3
	token=$(tr -d ' .' </proc/uptime); tty=$(xenstore-read /local/domain/$id/console/tty)
	echo "echo @b'$token'; $*; echo @'$token'@ \$?" >$tty
	until_ok 600 grep -q "^@$token@" $(log $name) || return 4
	tr -d '\r' <$(log $name) | sed -n "/^@b$token/,/^@$token@/p" | sed '1d;$d'
	return $(tr -d '\r' <$(log $name) | sed -n "s/^@$token@ \([0-9]*\).*/\1/p" | head -1)
}
# put NAME FILE TO: a file goes into a guest.
put() {
	g $1 "rm -f $3.64"
	for part in $(base64 $2 | tr -d '\n' | fold -w 600); do g $1 "echo $part >>$3.64" || return 1; done
	g $1 "base64 -d $3.64 >$3"
}
# What is in use now, and whether it is the same again (a guest's terminal outlives it by three seconds at most).
# Debian's Xen keeps a few frames of its own after what was there: 64 fewer than the first time are the same to it.
counts() {
	if grep -q ferroxen /sys/hypervisor/version/extra; then xm counts; return; fi
	xm counts | awk '$1 == "frames" { if ((getline first <"/tmp/frames") <= 0) { first = $2; print first >"/tmp/frames" }; if ($2 <= first && $2 >= first - 64) $2 = first } 1'
}
settled() { counts >/tmp/noted; sleep 4; is_noted; }
note() { until_ok 30 settled || ok false "what is in use does not settle: $(xm counts 2>&1)"; xenstore ls -f / | sort >/tmp/noted.nodes; }
is_noted() { counts >/tmp/now && cmp -s /tmp/noted /tmp/now; }
nothing_left() { until_ok 100 is_noted || { diff /tmp/noted /tmp/now; xenstore ls -f / | sort >/tmp/now.nodes; diff /tmp/noted.nodes /tmp/now.nodes | head -30; return 1; }; echo "nothing is left of $1"; }
# A guest that prints a few lines and ends.
hello() { xm create -q /guests/hello.cfg "$@" && gone hello; }
