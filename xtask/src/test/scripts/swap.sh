# Debian's xl with our daemons: a Debian guest with a disk and a network card, a disk comes and goes, each daemon and whoever
# starts it again is killed once, and the guest notices nothing. The short form of xl.sh and daemons.sh.
export PATH="$(echo /usr/lib/xen-4.*/bin):/usr/bin:$PATH"
. /guests/words.sh
ok xen-init-dom0
ok sh /guests/prepare
truncate -s 4M /tmp/b.img
used() { xl info | grep '^free_memory'; lsevtchn 0 | wc -l; }
used >/tmp/before
ok xl create -q /guests/disk.cfg; ok up disk
ok ping -q -c 2 -w 30 192.168.77.2
stored() { xl list disk; }
answers() { [ "$(g disk "echo I am \$(hostname)")" = "I am disk" ]; }
for daemon in 'xenstored .*--kept' 'xenstored .*--\(supervise\|adopt\)' 'xenconsoled .*--supervised' 'xenconsoled .*--supervise\( \|$\)'; do
	pid=$(ps | grep -v grep | grep "$daemon" | awk '{print $1; exit}')
	kill -9 $pid && echo "killed $daemon" || ok false "$daemon is not there: $(ps)"
	ok until_ok 100 stored; ok until_ok 100 answers
done
ok xl block-attach disk 'vdev=xvdb,access=rw,target=/tmp/b.img'
ok g disk 'for n in $(seq 100); do [ -b /dev/xvdb ] && break; usleep 100000; done; dd if=/dev/zero of=/dev/xvdb bs=64k count=8 conv=fsync 2>/dev/null'
ok xl block-detach disk xvdb
ok ping -q -c 2 -w 30 192.168.77.2
xl list
ok xl shutdown -w disk; ok gone disk
left() { used >/tmp/after; cmp -s /tmp/before /tmp/after; }
until_ok 100 left && echo nothing is left || ok false "$(diff /tmp/before /tmp/after)"
finish
