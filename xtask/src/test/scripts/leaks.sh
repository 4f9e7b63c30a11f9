# Everything that `xm counts` counts is left behind on purpose, one after the other: each count has to see it.
. /guests/words.sh
ok sh /guests/prepare
ok hello
note
count() { xm counts | awk -v name=$1 '$1 == name {print $2}'; }
# leak COUNT MAKE UNDO: what MAKE leaves behind shows, and is gone after UNDO.
leak() {
	before=$(count $1); sh -c "$2" >/dev/null 2>&1 || ok false "cannot leave behind $1: $2"
	until_ok 50 sh -c "[ \$(xm counts | awk '\$1 == \"$1\" {print \$2}') != $before ]" || ok false "$1: nobody sees it"
	until_ok 3 is_noted && ok false "$1: $2 is no difference"
	sh -c "$3" >/dev/null 2>&1; until_ok 100 is_noted || ok false "$1: $(diff /tmp/noted /tmp/now)"
}
leak xenstore-nodes 'xenstore-write /leak 1' 'xenstore-rm /leak'
leak loop-devices 'losetup /dev/loop7 /guests/disk.img' 'losetup -d /dev/loop7'
leak interfaces 'ip link add leak type bridge' 'ip link del leak'
leak processes 'sleep 1000 & echo $! >/tmp/pid' 'kill $(cat /tmp/pid)'
# Whoever is connected to the store costs it a file.
leak daemons-files 'xenstore watch /leak & echo $! >/tmp/pid' 'kill $(cat /tmp/pid)'
leak configurations 'echo >/run/ferroxen/domains/999.json' 'rm /run/ferroxen/domains/999.json'
for count in domains frames event-channels grants xenstore-nodes daemons-files configurations; do
	leak $count 'xm create -q -p -e /guests/hello.cfg' 'xm destroy hello'
done
# A guest whose network card and disk are in use has mapped grants and backends.
ok xm create -q /guests/disk.cfg
ok up disk
for count in grants-mapped backends interfaces loop-devices processes; do
	[ "$(awk -v name=$count '$1 == name {print $2}' /tmp/noted)" -lt $(count $count) ] || ok false "$count: a guest is not seen"
done
ok xm destroy disk
ok nothing_left "what was left behind"
finish
