# xenstored goes over to another program UPDATES times under load (two Debian guests at work, three writing clients, a watch), and is
# told to go over to what cannot take over. The guests notice nothing, no request fails, nothing is left.
. /guests/words.sh
. /guests/load.sh
ok sh /guests/prepare
ok hello
surroundings
note
two_guests "'/tmp/disk2.img,raw,xvda,w'"
perms=$(xenstore ls -fp /tool/kept)
before=$(links)
io_start disk; io_start two; pings; load_start
xenstore watch -n $((2 * UPDATES + 1)) /tool/watched >/tmp/watched & watch=$!
sleep 1
program() { readlink /proc/$(stored)/exe; }
for n in $(seq $UPDATES); do
	usleep $((n * 137000 % 900000))
	cp /usr/local/sbin/xenstored /tmp/xenstored-$n
	ok xenstore control live-update /tmp/xenstored-$n
	[ "$(program)" = /tmp/xenstored-$n ] || ok false "update $n: $(program)"
	rm -f /tmp/xenstored-$((n - 1))
	ok store_answers; ok xenstore write /tool/watched $n
	# A new version in the same file, by the signal of `systemctl reload`.
	cp /tmp/xenstored-$n /tmp/fresh; mv /tmp/fresh /tmp/xenstored-$n
	old=$(stored); kill $old
	ok until_ok 100 restarted stored $old; ok store_answers; ok xenstore write /tool/watched again
	ok xm list >/tmp/list; [ $(wc -l </tmp/list) = 4 ] || ok false "$(cat /tmp/list)"
done
wait $watch; [ $? = 0 ] && [ $(wc -l </tmp/watched) = $((2 * UPDATES + 1)) ] || ok false "watch: $(cat /tmp/watched)"
[ "$(xenstore ls -fp /tool/kept)" = "$perms" ] || ok false "$(xenstore ls -fp /tool/kept)"
echo "xenstored was updated $UPDATES times, and as often by a signal"

# refused PROGRAM WHY: it says so in one line, there and in its log, and goes on.
refused() {
	xenstore control live-update $1 >/tmp/said 2>&1; [ $? = 1 ] && [ $(wc -l </tmp/said) = 1 ] && grep -q "$2" /tmp/said || ok false "$1: $(cat /tmp/said)"
	cat /tmp/said; grep -q "no update: $1: $2" /var/log/xen/xenstored.log || ok false "$(tail -n 5 /var/log/xen/xenstored.log)"
	ok store_answers
}
serving=$(program); pid=$(stored)
refused /tmp/none 'No such file'
echo text >/tmp/plain; refused /tmp/plain 'it cannot be executed'
refused /bin/busybox 'it is no xenstored'
[ "$(stored)" = $pid ] || ok false "the daemon is another"
mark='ferroxen xenstored: takes over from a running one'
printf '#!/bin/sh\n# %s\nexit 3\n' "$mark" >/tmp/early; chmod 755 /tmp/early; refused /tmp/early 'it ended (exit status: 3)'
printf '#!/bin/sh\n# %s\nexec sleep 1000\n' "$mark" >/tmp/never; chmod 755 /tmp/never; refused /tmp/never 'it does not come to serve'
head -c 300000 /usr/local/sbin/xenstored >/tmp/half; printf '%s' "$mark" >>/tmp/half; chmod 755 /tmp/half; refused /tmp/half 'it'
# The version before serves, whatever became of its file.
rm $serving; old=$(stored); kill -9 $old; ok until_ok 100 restarted stored $old; ok store_answers
ok xenstore control live-update /usr/local/sbin/xenstored
[ "$(program)" = /usr/local/sbin/xenstored ] || ok false "at last: $(program)"
echo what cannot take over does not
load_end; io_end disk; io_end two; pings_end
[ "$before" = "$(links)" ] || ok false "a link went down: $before, then $(links)"
ok xm network-attach two bridge=xenbr0; ok until_ok 30 xm network-detach two 1
ok xm shutdown disk; ok xm shutdown two; ok gone disk; ok gone two
leave_surroundings; rm -f /tmp/xenstored-*
xenstore rm /tool/watched
ok nothing_left "the guests"
finish
