#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill doctor: a healthy instance has neither warning nor error; each thing that is broken is
# found, with its mend; the exit code says which it was.
. "$(dirname "$0")/world.sh"

# doctor CODE: what it finds, a finding a line, in $work/out, and as JSON in $work/json.
doctor() {
	expect "$1" "$WAYBILL" doctor --json --instance "$name"
	cp "$work/out" "$work/json"
	expect "$1" "$WAYBILL" doctor --instance "$name"
	python3 - "$work/json" "$work/out" "$1" <<-'PYTHON' || fail "$(cat "$work/out")"
	import json, sys
	d = json.load(open(sys.argv[1]))
	lines = open(sys.argv[2]).read().splitlines()
	assert len(lines) == len(d["findings"])
	assert [l.split()[0] for l in lines] == [f["severity"] for f in d["findings"]]
	bad = [f for f in d["findings"] if f["severity"] in ("warning", "error")]
	assert d["healthy"] == (sys.argv[3] == "0") == (not bad)
	PYTHON
}

found() {
	grep -qE "$1" "$work/out" || fail "not found: $1 in
$(cat "$work/out")"
}

doctor 3
found '^error +instance: .*not up'
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
doctor 0
found '^note +policy: none is applied'
found '^ok +cgroup2: mounted on '
policy
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
doctor 1
found '^warning +service a: nobody listens on port 9001: connections are refused \(start it\)'
relay a 9001 64101
relay b 9002 64102
doctor 0
found '^ok +service a: process [0-9]+ listens, and is the service'
found '^ok +links: the programs of all 1[0-9] run'
found '^ok +cgroups: all'
found '^ok +flows: none is older'

# A flow of an earlier policy is a note.
server
in_cgroup app curl -sS --limit-rate 100K http://127.66.0.1:8080/data -o "$work/data" &
started="$started $!"
wait_for "'$WAYBILL' flows --instance $name | grep -q 'a > b'"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
doctor 0
found '^note +flows: 2 connections are open .*--before-policy'

# A listener of somebody else, and one outside of the instance's cgroup.
sed 's/tcp: 9001/tcp: 9005/; s/tcp: 9002/tcp: 40001/' "$work/policy.yaml" >"$work/other.yaml"
in_cgroup c python3 -m http.server --bind 127.0.0.1 9005 >/dev/null 2>&1 &
started="$started $!"
python3 -m http.server --bind 127.0.0.1 40001 >/dev/null 2>&1 &
started="$started $!"
wait_for "[ \$(ss -Hltn 'sport = 9005 or sport = 40001' | wc -l) -eq 2 ]"
expect 0 "$WAYBILL" apply "$work/other.yaml" --instance "$name"
doctor 1
found "^warning +service a: process .*$cgroup/c, listens, and is not the service"
found '^warning +service a: nobody listens on port 9005 for IPv6'
found '^warning +service b: process .*outside of .*counts as down'
found '^warning +service b: the kernel may give port 40001 '
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
doctor 0

# A service's cgroup was removed and made again: the policy and the option hooks are of the old one.
echo 1 >"$mount$cgroup/b/cgroup.kill"
wait_for "rmdir $mount$cgroup/b 2>/dev/null"
mkdir "$mount$cgroup/b"
doctor 1
found '^warning +cgroups: the policy holds cgroup [0-9]+, which was removed; it may be that of .*b.*apply the policy again'
found '^warning +option hooks: cgroup [0-9]+, on which they sat, was removed: .*apply the policy again'
found "^ok +option hooks: they sit on $cgroup/a$"
found '^warning +service b: nobody listens on port 9002'
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay b 9002 64102
doctor 0

# An application's file was replaced, as an upgrade does it.
cp /bin/true "$work/application"
sed "s|^\( *\)action: redirect|&\n\1except: { original_application: $work/application }|" \
	"$work/policy.yaml" >"$work/application.yaml"
expect 0 "$WAYBILL" apply "$work/application.yaml" --instance "$name"
doctor 0
found '^ok +applications: all'
cp /bin/true "$work/fresh"
mv "$work/fresh" "$work/application"
doctor 1
found '^warning +applications: .*/application is not the file .*apply the policy again'
expect 0 "$WAYBILL" apply "$work/application.yaml" --instance "$name"
doctor 0
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"

# A program of somebody else: one of ours will do, that is another instance's.
bpftool=$(command -v bpftool || echo /usr/sbin/bpftool)
if [ -x "$bpftool" ]; then
	mkdir "$mount$cgroup/c/other"
	expect 0 "$WAYBILL" down --instance "$name"
	expect 0 "$WAYBILL" up --instance "$name-2" --cgroup "$cgroup/c/other"
	expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/b"
	other="pinned /sys/fs/bpf/waybill/$name-2/programs/get"
	# shellcheck disable=SC2086
	"$bpftool" cgroup attach "$mount$cgroup/b" getsockopt $other multi
	doctor 0
	found '^note +hook getsockopt: program [0-9]+ "waybill_get" of somebody else'
	# shellcheck disable=SC2086
	"$bpftool" cgroup detach "$mount$cgroup/b" getsockopt $other
	expect 0 "$WAYBILL" down --instance "$name-2"
	expect 0 "$WAYBILL" down --instance "$name"
	rmdir "$mount$cgroup/c/other"
	expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
	expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
fi

# A link that is gone.
rm "/sys/fs/bpf/waybill/$name/links/bound6"
doctor 1
found '^error +link bound6: it is not pinned.*waybill up, which makes it again'
expect 0 "$WAYBILL" up --instance "$name"
doctor 0

# The hooks of datagrams have to be there once a policy redirects some.
sed -e 's/tcp: 9001/tcp: 9001, udp: 9001/' -e '0,/protocol: tcp/s//protocol: [ tcp, udp ]/' \
	"$work/policy.yaml" >"$work/datagrams.yaml"
expect 0 "$WAYBILL" apply "$work/datagrams.yaml" --instance "$name"
rm "/sys/fs/bpf/waybill/$name/links/release"
doctor 1
found '^error +link release: it is not pinned'
expect 0 "$WAYBILL" apply "$work/datagrams.yaml" --instance "$name"
"$WAYBILL" doctor --instance "$name" >"$work/out" || :
found '^ok +links: the programs of all 2[0-9] run'
expect 0 "$WAYBILL" down --instance "$name"

# The instance's own cgroup is gone.
mkdir "$mount$cgroup/c/below"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/c/below"
doctor 0
rmdir "$mount$cgroup/c/below"
doctor 1
found '^error +link connect4: the cgroup .* was removed'
