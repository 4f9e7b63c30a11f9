# Words for tests on a Debian host with Debian's tools; $ABOVE says which hypervisor has to be below, xen or ferroxen.
export LC_ALL=C
bad=0
# ok COMMAND …: it has to succeed.
ok() { "$@" || { echo "WRONG: $*"; bad=1; }; }
# until_ok FIFTHS COMMAND … (of a second, and what the command takes).
until_ok() { n=$1; shift; while [ $n -gt 0 ]; do "$@" >/dev/null 2>&1 && return 0; n=$((n - 1)); sleep 0.2; done; return 1; }
log() { echo /var/log/xen/console/guest-$1.log; }
# typed COMMAND MARK KEYS MARK KEYS …: a command on a terminal, whose output is printed; once it has shown a mark, keys are
# typed; an Enter that nothing follows is typed again. Exits as the command does, or with 99.
typed() { python3 /tmp/typed.py "$@"; }
cat >/tmp/typed.py <<'X'
import os, pty, select, sys, time
steps = sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", "stty rows 30 cols 100; exec " + sys.argv[1]])
seen, last, typed = "", "", time.time()
begin = typed
while True:
    if steps and steps[0] in seen:
        time.sleep(1)
        last, typed, seen = steps[1].encode().decode("unicode_escape"), time.time(), ""
        os.write(fd, last.encode())
        begin, steps = typed, steps[2:]
    if time.time() > begin + 240:
        print("\nno", steps[:1])
        sys.exit(99)
    if last == "\n" and time.time() > typed + 15:
        typed = time.time()
        os.write(fd, b"\n")
    if select.select([fd], [], [], 1)[0]:
        try:
            text = os.read(fd, 4096).decode(errors="replace")
        except OSError:
            text = ""
        if not text:
            break
        seen += text
        sys.stdout.write(text.replace("\r", ""))
        sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
X
ours=0; xl info | grep -q '^xen_extra.*ferroxen' && ours=1
case $ABOVE$ours in ferroxen1 | xen0) ;; *) ok false "this is not on $ABOVE" ;; esac
mkdir -p /var/log/xen/console
echo 'XENCONSOLED_ARGS="--log=guest"' >>/etc/default/xen; ok service xen restart
ok sh /guests/prepare 2>/dev/null
