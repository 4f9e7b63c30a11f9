# The names that Debian's tools have as well. Theirs are kept beside them, as NAME.debian.
shared="/usr/sbin/xl /usr/sbin/xentop /usr/bin/xenstore"
for name in ls read write rm list exists chmod watch control; do
	shared="$shared /usr/bin/xenstore-$name"
done
