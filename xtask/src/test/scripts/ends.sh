# What a configuration says of a domain's end, a guest that does each; a guest that listens to nobody; exit codes.
. /guests/words.sh
ok hello
note
state() { xm list $1 2>/dev/null | awk 'NR == 2 {print $5}'; }
stays() { state hello | grep -q -- '---s[c-]-'; }
newer() { now=$(xm domid hello 2>/dev/null) && [ "$now" -gt "$first" ]; }
# A guest that is started again and again goes when it is met alive. Who was killed while he started it again has left that to the
# next command, so that it comes back once more.
attends() { ps | awk '/xm attend/ && !/awk/ {print $1}'; }
rid_of() {
	kill $(attends) 2>/dev/null
	xm destroy hello 2>/dev/null
	for name in $(xm list | awk '/^hello|^.null/ {print $2}'); do xm destroy $name 2>/dev/null; done
	! xm list | grep -q '^hello\|^.null' && [ -z "$(attends)" ] && [ "$(ls /run/ferroxen/work)" = attended ]
}
# ended HOW POLICY: a guest that ends so, under that policy.
ended() {
	xm create -q -p /guests/hello.cfg "cmdline=end=$1" "on_$1=$2" || return 1
	first=$(xm domid hello); xm unpause hello
	case $2 in
	*destroy) gone hello ;;
	preserve) until_ok 300 stays && [ $(xm domid hello) = $first ] && xm destroy hello ;;
	rename-restart)
		until_ok 300 newer && [ "$(xm domid hello-$first)" = $first ] && state hello-$first | grep -q -- '---s[c-]-' &&
			[ "$(xenstore-read /local/domain/$first/name)" = hello-$first ] && until_ok 100 rid_of ;;
	*restart) until_ok 300 newer && no_domain hello-$first && [ -z "$(state $first)" ] && until_ok 100 rid_of ;;
	esac
}
for how in poweroff reboot crash watchdog; do
	for policy in destroy restart rename-restart preserve; do ok ended $how $policy; done
	echo "$how ends as it should"
done
for policy in coredump-destroy coredump-restart; do ok ended crash $policy; done
ok grep -q 'no core: .*max_pfn' /var/lib/xen/crash/hello-*/reason; rm -r /var/lib/xen/crash
xm create -q /guests/hello.cfg on_crash=coredump 2>/tmp/said; [ $? = 2 ] && grep -q 'on_crash: "coredump" is no action' /tmp/said || ok false "$(cat /tmp/said)"
ok nothing_left "their ends"
# A guest that listens to nobody.
ok xm create -q /guests/hello.cfg cmdline=end=never
for verb in shutdown reboot; do
	xm $verb -w --timeout 2 hello 2>/tmp/said; [ $? = 6 ] && [ $(wc -l </tmp/said) = 1 ] || ok false "$verb of a deaf guest: $(cat /tmp/said)"
done
ok xm domid hello
# code WANTED COMMAND …: its exit code, and one line that says why.
code() { want=$1; shift; "$@" >/dev/null 2>/tmp/said; got=$?; [ $got = $want ] && [ $want = 0 -o $(wc -l </tmp/said) = 1 ] || ok false "exit $got, not $want: $*: $(cat /tmp/said)"; }
code 0 xm list hello
code 1 xm create /guests/hello.cfg
code 2 xm destroy
code 3 xm destroy nobody
echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
code 4 su -s /bin/sh nobody -c '/usr/local/sbin/xm list'
XENSTORED_PATH=/none code 5 xm list
code 6 xm shutdown --timeout 1 hello
ok xm destroy hello
echo exit codes are right
ok nothing_left "deaf guests"
finish
