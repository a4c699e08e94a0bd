#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill flows --watch: a terminal is drawn on in place and given back as it was, whatever ends it,
# and fits its window; without one it is block after block.
. "$(dirname "$0")/world.sh"

expect 2 "$WAYBILL" flows --watch=x
expect 2 "$WAYBILL" flows --watch 0
expect 2 "$WAYBILL" flows --watch --reset --all
expect 3 "$WAYBILL" flows --watch --instance "$name"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
policy
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay a 9001 64101
relay b 9002 64102
server
for i in 1 2 3; do
	in_cgroup app curl -sS --limit-rate 100K http://127.66.0.1:8080/data -o "$work/data$i" &
	started="$started $!"
done
wait_for "[ \$('$WAYBILL' flows --json --instance $name | grep -c original_destination) -eq 6 ]"

code=0
timeout -s INT 2 "$WAYBILL" flows --watch 0.5 --instance "$name" >"$work/out" || code=$?
[ "$code" -eq 124 ] || fail "exit $code"
[ "$(grep -c 'instance.*: 6 flows' "$work/out")" -ge 2 ] || fail "$(cat "$work/out")"
grep -q ' 0.0 new a second' "$work/out" || fail "no rate: $(cat "$work/out")"
! grep -q "$(printf '\033')" "$work/out" || fail "escapes without a terminal"
timeout -s INT 1 "$WAYBILL" flows --watch=0.2 --json --user 12345 --instance "$name" >"$work/out" || :
python3 -c 'import json, sys; assert all(json.loads(l)["flows"] == [] for l in open(sys.argv[1]))' "$work/out"
[ "$(wc -l <"$work/out")" -ge 2 ] || fail "no second block"

python3 - "$WAYBILL" "$name" "$work" <<'PYTHON'
import fcntl, os, pty, select, signal, struct, subprocess, sys, termios, time

class Terminal:
    def __init__(self, rows, *options):
        self.master, self.slave = pty.openpty()
        self.resize(rows)
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.process = subprocess.Popen(
            [sys.argv[1], "flows", "--instance", sys.argv[2], *options],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            env=dict(os.environ, TERM="xterm"),
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    def resize(self, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    def read(self, seconds):
        new, end = "", time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], rest)[0]:
                new += os.read(self.master, 65536).decode()
        self.text += new
        return new
    def frame(self, text):
        """The last whole frame of some output."""
        return text.split("\033[H")[-1].split("\033[J")[0].split("\r\n")
    def ended(self, how):
        self.read(0.3)
        assert self.process.wait(5) == 0, (how, self.process.returncode, self.text)
        self.read(0.2)
        assert self.text.endswith("\033[?7h\033[?25h\033[?1049l"), (how, self.text[-100:])
        assert self.text.startswith("\033[?1049h"), self.text[:100]
        assert termios.tcgetattr(self.slave) == self.before, how

for how in ["q", "\x03", signal.SIGTERM, signal.SIGHUP, signal.SIGINT]:
    terminal = Terminal(24, "--watch=0.3")
    text = terminal.read(1)
    frame = terminal.frame(text)
    assert "6 flows" in frame[0] and len(frame) == 9, frame
    # The youngest first: of each chain the second hop began later.
    assert "a > b" in frame[3] and "AGE" in frame[2], frame
    if isinstance(how, str):
        os.write(terminal.master, how.encode())
    else:
        terminal.process.send_signal(how)
    terminal.ended(how)

terminal = Terminal(24, "--watch=60")
terminal.read(1)
terminal.resize(6)
frame = terminal.frame(terminal.read(1))
assert len(frame) == 6, frame
terminal.resize(1)
assert len(terminal.frame(terminal.read(0.5))) == 1
terminal.resize(30)
assert len(terminal.frame(terminal.read(0.5))) == 9
# Stopped and continued, as by a shell.
os.write(terminal.master, b"\x1a")
assert terminal.read(0.5).endswith("\033[?1049l")
assert termios.tcgetattr(terminal.slave) == terminal.before
terminal.process.send_signal(signal.SIGCONT)
assert "6 flows" in terminal.read(1)
os.write(terminal.master, b"q")
terminal.ended("q after stop")

# The instance goes, and comes again.
terminal = Terminal(24, "--watch=0.3")
terminal.read(0.5)
subprocess.run([sys.argv[1], "down", "--instance", sys.argv[2]], check=True)
assert "not up any more" in terminal.read(1)
os.write(terminal.master, b"q")
terminal.ended("q after down")
PYTHON
