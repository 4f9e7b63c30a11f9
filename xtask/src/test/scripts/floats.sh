# Floating point (sums of awk) in a guest with two vcpus and in dom0 at once, on two CPUs: every sum has to be the same. Programs
# that come and go beside them make the vcpus change places; ROUNDS of ten.
. /guests/words.sh
ok sh /guests/prepare
ok hello
note
ok xm create -q /guests/ramdisk.cfg name=t vcpus=2 memory=160 maxmem=192 "extra=console=hvc0 quiet fx.name=t"
ok up t
sum='BEGIN{s=0;for(i=1;i<30000;i++)s+=1/i;printf "%.12f",s}'
want=$(awk "$sum"); [ "$want" = 10.886151658787 ] || ok false "dom0's sum is $want"
g t "echo '$sum' >/tmp/sum; for k in 1 2; do (while [ ! -e /tmp/stop ]; do [ \"\$(awk -f /tmp/sum)\" = $want ] && echo >>/tmp/good.\$k || echo >>/tmp/bad; done) & done" >/dev/null
for k in 1 2; do
	(while [ ! -e /tmp/stop ]; do s=$(awk "$sum"); [ "$s" = $want ] && echo >>/tmp/good.$k || echo "$s" >>/tmp/bad; done) &
done
for round in $(seq $ROUNDS); do
	for n in $(seq 10); do ok xm list >/dev/null; ok ls -l /sys/class >/dev/null; done
done
touch /tmp/stop; wait
[ ! -e /tmp/bad ] || ok false "wrong sums in dom0: $(head -n 5 /tmp/bad | tr '\n' ' ')"
ok g t 'touch /tmp/stop; [ ! -e /tmp/bad ] && [ -s /tmp/good.1 ] && [ -s /tmp/good.2 ]'
[ -s /tmp/good.1 ] && [ -s /tmp/good.2 ] || ok false "dom0 made no sums"
echo "$(cat /tmp/good.1 /tmp/good.2 | wc -l) sums in dom0, $(g t 'cat /tmp/good.1 /tmp/good.2 | wc -l') in the guest, all the same"
ok xm destroy t; ok gone t
ok nothing_left "the guest"
finish
