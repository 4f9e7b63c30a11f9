# Xen's daemons, in the order that works: store, dom0's entry in it, consoles. Above: RELEASE, whether there are tools of ours
# (OURS) and of Debian's (DEBIANS), and whose daemons run (DAEMONS=ferroxen|debian|oxenstored).
theirs=/usr/lib/xen-$RELEASE/bin
[ -z "$DEBIANS" ] || export PATH="$theirs:$PATH:/usr/sbin" LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu
[ -z "$OURS" ] || export PATH="/usr/local/sbin:$PATH"
mkdir -p /run/xen /run/xenstored /var/lib/xenstored /var/log/xen/console /var/lib/xen /var/lock
[ -e /var/run ] || ln -s /run /var/run
# Their hotplug scripts look at their lock by it; without udev nobody makes it.
[ -e /bin/bash ] || [ ! -e /usr/bin/bash ] || ln -s /usr/bin/bash /bin/bash
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
rm -f /run/xenstored.pid /run/xenconsoled.pid
case "$DAEMONS" in
ferroxen)
	/usr/local/sbin/xenstored --supervise --pid-file /run/xenstored.pid 2>>/var/log/xen/xenstored.log &
	n=0
	while [ ! -e /run/xenstored.pid ] && [ $n -lt 100 ]; do n=$((n + 1)); usleep 100000; done
	;;
oxenstored) $theirs/oxenstored ;;
*) $theirs/xenstored --pid-file /run/xenstored.pid ;;
esac
# Whose tools there are, not whose daemon it is.
if [ -n "$OURS" ]; then /usr/local/sbin/xm init-dom0; else $theirs/xen-init-dom0; fi
case "$DAEMONS" in
ferroxen) /usr/local/sbin/xenconsoled --supervise --pid-file /run/xenconsoled.pid 2>>/var/log/xen/xenconsoled.log & ;;
*) $theirs/xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=/var/log/xen/console ;;
esac
