# CYCLES guests one after the other, ATONCE at once, ATTACHES of a console; then what is in use is as before.
. /guests/words.sh
ok hello
note
for n in $(seq $CYCLES); do ok hello; done
ok nothing_left "$CYCLES cycles"
for n in $(seq $ATONCE); do ok xm create -q -p /guests/hello.cfg name=h$n memory=16; done
[ $(xm list | wc -l) = $((ATONCE + 2)) ] || ok false "not all are there"
for n in $(seq $ATONCE); do ok xm unpause h$n; done
for n in $(seq $ATONCE); do ok gone h$n; done
ok nothing_left "$ATONCE at once"
ok xm create -q -p /guests/hello.cfg
# Ctrl-] leaves it.
attach() { printf '\035' | timeout 20 xm console hello >/dev/null; }
for n in $(seq $ATTACHES); do ok attach; done
ok xm destroy hello
ok nothing_left "$ATTACHES attaches"
finish
