#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that other programs get the progress and the outcome of a backup, restore or
# verify as JSON lines of docs/events.schema.json, as metrics for Prometheus, and by a
# command: after a success, a failure, an abort and an interrupt.
#
# shellcheck disable=SC2016,SC2086,SC2317 # for another shell; numbers; run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"
python3 -c 'import jsonschema, prometheus_client.parser' 2> /dev/null ||
	skip_all "python3-jsonschema or python3-prometheus-client is not installed"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/events.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
prom=m.prom

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	is "temporary files" "" "$(find . -name '*.tmp')"
	[ $bad = 0 ] || tail -n 5 err err.serve j 2> /dev/null | sed 's/^/# /'
	rm -rf b b.* j j.* in out err* ready go pid $prom hook* fifo*
}

limited() {
	timeout 600 "$@"
}

# The questions of valid, ask and metric are answered by one process, because an interpreter
# with these modules takes seconds to start in an emulator. A question is a line of
# words with tabs between them, and \r for \n; the line "= STATUS" ends an answer.
reader='
import json, jsonschema, sys, traceback
from prometheus_client.parser import text_string_to_metric_families

schema = json.load(open(sys.argv[1]))

def read(file):
    lines = open(file).read().split("\n")
    assert lines.pop() == "", "the last line has no end"
    return [json.loads(line) for line in lines]

def valid(file):
    definitions, before, events = schema["$defs"], None, read(file)
    for e in events:
        jsonschema.validate(e, schema, cls=jsonschema.Draft202012Validator)
        unknown = set(e) - set(definitions[e["message_type"]]["properties"])
        for device in e["devices"]:
            unknown |= set(device) - set(definitions["device"]["properties"])
        assert all(k.endswith("_hex") for k in unknown), unknown
        assert ("exit_code" in e) == (e is events[-1]), e
        if before and before.get("phase") == e.get("phase"):
            assert e["seconds_elapsed"] - before["seconds_elapsed"] > 0.99, e
        before = e

def ask(file, expression):
    E = read(file)
    S = [e for e in E if e["message_type"] == "status"]
    print(eval(expression, {"E": E, "L": E[-1], "S": S}))

def metric(file, name, *labels):
    labels = dict(l.split("=", 1) for l in labels)
    for family in text_string_to_metric_families(open(file).read()):
        assert family.documentation and family.type == "gauge", family
        for s in family.samples:
            if s.name == "vdi_" + name and labels.items() <= s.labels.items():
                print("%.15g" % s.value)

for line in sys.stdin:
    question, *words = line.rstrip("\n").replace("\r", "\n").split("\t")
    status = 0
    try:
        {"valid": valid, "ask": ask, "metric": metric}[question](*words)
    except Exception:
        traceback.print_exc()
        status = 1
    print("=", status, flush=True)
'
coproc READER { exec python3 -c "$reader" "$top/docs/events.schema.json"; }
# coproc closes its own descriptors in subshells; and it is not a process of a test
exec 7<&"${READER[0]}" 8>&"${READER[1]}"
# shellcheck disable=SC2153 # coproc sets it
disown "$READER_PID"

answer() { # WORD...
	local line IFS=$'\t'
	local question="$*"

	printf '%s\n' "${question//$'\n'/$'\r'}" >&8
	while IFS= read -r line <&7; do
		[[ $line != '= '* ]] || return "${line#= }"
		printf '%s\n' "$line"
	done
	return 1
}

# valid FILE: each line is as in the schema, with the keys of the schema only, and only
# the last one has an exit code. Status objects of a phase are a second apart.
valid() { answer valid "$PWD/$1"; }

# ask FILE EXPRESSION: of the events E, the last one L, and the statuses S
ask() { answer ask "$PWD/$1" "$2"; }

# metric NAME [LABEL=VALUE...]: the value, as the client library of Prometheus reads it
metric() { answer metric "$PWD/$prom" "$@"; }

until_is() { # COMMAND OF sh
	limited bash -c "until $1; do sleep 0.05; done" > /dev/null 2>&1 || { echo "# never: $1"; bad=1; }
}

# a command that writes some data and waits for the file "go"
held='seq 100000; echo $$ > pid; : > ready; until [ -e go ]; do sleep 0.05; done'

# runs OPTION... -- COMMAND: vdi backup with everything that reports
start() {
	env --default-signal=INT "$vdi" backup t --to b --json=j --metrics $prom \
		--on-success 'env > hook.success' --on-failure 'env > hook.failure' "$@" > out 2> err &
	backup=$!
}

# ended EXIT-CODE: and all reports agree
ended() {
	wait $backup
	is "exit code" "$1" $?
	expect "valid events" valid j
	is "exit code in the events" "$1" "$(ask j 'L["exit_code"]')"
	is "exit code in the metrics" "$1" "$(metric last_run_exit_code set=t operation=backup)"
	if [ "$1" = 0 ]; then
		is "type" summary "$(ask j 'L["message_type"]')"
		expect "command" grep -qx VDI_EXIT_CODE=0 hook.success
		expect "no other command" test ! -e hook.failure
	else
		is "type" error "$(ask j 'L["message_type"]')"
		expect "command" grep -qx "VDI_EXIT_CODE=$1" hook.failure
		expect "no other command" test ! -e hook.success
		is "message of the command" "$(ask j 'L["message"]')" "$(sed -n 's/^VDI_MESSAGE=//p' hook.failure)"
		expect "message for people" grep -qF -- "$(ask j 'L["message"]')" err
		is "files" "" "$(ls -d b b.* 2> /dev/null)"
	fi
}

tests+=(success)
success() {
	local bytes

	start -n 3 -- seq 300000
	ended 0
	expect "summary for people" grep -q "^backup of 't' is complete in b: " out
	bytes=$(ask j 'L["bytes_done"]')
	is "directory" "$(realpath b)" "$(ask j 'L["directory"]')"
	is "set" t "$(ask j 'L["set"]')"
	is "devices" "t t1 t2" "$(ask j '" ".join(d["name"] for d in L["devices"])')"
	is "bytes of the devices" "$bytes" "$(ask j 'sum(d["bytes"] for d in L["devices"])')"
	is "bytes of the files" "$bytes" "$(cat b/*.data | wc -c)"
	is "phases" "waiting transfer" "$(ask j '" ".join(dict.fromkeys(s["phase"] for s in S))')"
	is "bytes in the metrics" "$bytes" "$(metric last_run_bytes)"
	is "time of the success" "$(metric last_run_timestamp_seconds)" "$(metric last_success_timestamp_seconds)"
	is "sides" 2 "$(metric last_run_wait_seconds | wc -l)"
	expect "variables" test "$(grep -cxE "VDI_(SET=t|OPERATION=backup|DIR=$PWD/b|BYTES=$bytes|SECONDS=[0-9.]+|MESSAGE=|DEVICES=3)" hook.success)" = 7
	is "mode" 644 "$(stat -c %a $prom)"
}

tests+=(standard_output)
standard_output() {
	limited "$vdi" backup t --to b --json -- seq 300000 > j 2> err
	is "exit code" 0 $?
	expect "nothing else on standard output" valid j
	expect "summary for people" grep -q "^backup of 't' is complete in b: " err
	limited "$vdi" restore t --from b --json > j 2> err &
	limited "$vdi" serve restore t -q > out
	wait $!
	is "exit code" 0 $?
	expect "nothing else on standard output" valid j
	expect "summary for people" grep -q "^restored b: " err
	expect "data" cmp out <(seq 300000)
	limited "$vdi" verify b --json > j 2> err
	expect "nothing else on standard output" valid j
	expect "summary for people" grep -q "^verified b: " err
}

tests+=(progress_and_waits)
progress_and_waits() {
	start -- sh -c "$held"
	until_is "[ \$(grep -c '\"transfer\"' j) -ge 3 ] && grep -q 'appliance_waited_ms\":[1-9]' j"
	: > go
	ended 0
	expect "the appliance has waited" test "$(ask j 'L["appliance_waited_seconds"] > 0')" = True
	is "waits in the metrics" "$(ask j '"%.15g" % L["appliance_waited_seconds"]')" \
		"$(metric last_run_wait_seconds side=appliance)"
	expect "bytes increase" test "$(ask j 'all(a["bytes_done"] <= b["bytes_done"] for a, b in zip(S, S[1:]))')" = True
	is "no total" False "$(ask j 'any("total_bytes" in s for s in S)')"
}

tests+=(expected_size)
expected_size() {
	start --expected-size 1G -- sh -c "$held"
	until_is "grep -q percent_done j"
	: > go
	ended 0
	is "total" "[1073741824]" "$(ask j 'sorted({s["total_bytes"] for s in S if "total_bytes" in s})')"
	expect "it is not complete" test "$(ask j 'all(s["percent_done"] < 100 for s in S if "total_bytes" in s)')" = True
}

tests+=(announced_size)
announced_size() {
	local bytes

	seq 500000 > in
	limited "$vdi" backup t -q --to b -n 2 --max-rate 2M --json=j 2> err &
	limited "$vdi" serve backup t -q < in 2> err.serve
	is "serve" 0 $?
	wait $!
	is "backup" 0 $?
	bytes=$(ask j 'L["bytes_done"]')
	# half of it by each device
	is "total" "[$((bytes / 2 * 2))]" "$(ask j 'sorted({s["total_bytes"] for s in S if "total_bytes" in s})')"
	expect "percent" test "$(ask j 'any(0 < s["percent_done"] < 100 for s in S if "total_bytes" in s)')" = True
}

tests+=(expected_size_is_exceeded)
expected_size_is_exceeded() {
	# more than the buffers of the device, so that some of it is stored
	start --expected-size 1K -- sh -c "head -c 32M /dev/zero; $held"
	until_is "grep -q '\"transfer\".*\"bytes_done\":[1-9]' j"
	: > go
	ended 0
	is "totals that are not larger" 0 "$(ask j 'sum(s["bytes_done"] >= s["total_bytes"] for s in S if "total_bytes" in s)')"
	expect "no total" test "$(ask j 'any(s["bytes_done"] > 1024 and not "total_bytes" in s for s in S)')" = True
}

tests+=(failed_command)
failed_command() {
	start -- sh -c 'echo data; echo no access >&2; exit 3'
	ended 1
	is "no success so far" 0 "$(metric last_success_timestamp_seconds)"
	expect "cause" grep -q "ended with exit code 3; its last messages: no access" j
	rm -f hook.* j
	start -- seq 1000
	ended 0
	local success
	success=$(metric last_success_timestamp_seconds)
	expect "time" test "$success" -gt 1700000000
	rm -rf hook.* j b
	start -- false
	ended 1
	is "time of the success" "$success" "$(metric last_success_timestamp_seconds)"
	expect "time of the run" test "$(metric last_run_timestamp_seconds)" -ge "$success"
}

tests+=(interrupted)
interrupted() {
	local signal

	for signal in INT TERM HUP; do
		start -n 2 -- sh -c "$held"
		until_is '[ -e ready ]'
		kill -$signal $backup
		ended 130
		rm -f hook.* j ready
	done
}

tests+=(aborted)
aborted() {
	start -- sh -c "$held"
	until_is '[ -e ready ]'
	"$vdi" abort t -m 'not now'
	ended 3
	expect "cause" grep -q 'not now' j
}

tests+=(failed_database)
failed_database() {
	start
	limited "$vdi" serve backup t -q --json -- sh -c 'seq 1000; exit 9' > j.serve 2> err.serve
	is "vdi serve" 1 $?
	ended 3
	expect "valid events of serve" valid j.serve
	is "exit code in them" 1 "$(ask j.serve 'L["exit_code"]')"
	expect "cause" grep -q "ended with exit code 9" j.serve
}

tests+=(killed_database)
killed_database() {
	start
	"$vdi" serve backup t -q -- sh -c "$held" 2> err.serve &
	until_is '[ -e ready ]'
	kill -9 $!
	ended 3
	# it has lost its parent
	kill -9 "$(cat pid)"
}

tests+=(no_database)
no_database() {
	start --timeout 1
	ended 4
	is "phases" waiting "$(ask j '" ".join(dict.fromkeys(s["phase"] for s in S))')"
}

# before the set exists
tests+=(existing_directory)
existing_directory() {
	mkdir b
	: > b/file
	start -- seq 1000
	wait $backup
	is "exit code" 1 $?
	expect "valid events" valid j
	is "message" "$(sed -n 's/^vdi: //p' err)" "$(ask j 'L["message"]')"
	is "exit code in the metrics" 1 "$(metric last_run_exit_code)"
	expect "command" grep -qx VDI_EXIT_CODE=1 hook.failure
}

tests+=(restore_and_verify)
restore_and_verify() {
	local p

	for p in pipe disk tape; do
		limited "$vdi" backup t -q --to b -n 2 --profile $p -- seq 500000
		limited "$vdi" verify -q b --json --metrics $prom > j 2> err
		is "verify" 0 $?
		expect "valid events" valid j
		is "bytes" "$(cat b/device-* | wc -c)" "$(ask j 'L["bytes_done"]')"
		is "directory" "$(realpath b)" "$(ask j 'L["directory"]')"
		is "bytes in the metrics" "$(ask j 'L["bytes_done"]')" "$(metric last_run_bytes set=t operation=verify)"
		is "no waits" "" "$(metric last_run_wait_seconds)"
		rm -f $prom j
		limited "$vdi" restore t -q --from b --json=j --metrics $prom --on-success 'env > hook' -- cat > out 2> err
		is "restore" 0 $?
		expect "data" cmp out <(seq 500000)
		expect "valid events" valid j
		is "verified first" "$([ $p = pipe ] && echo 0 || echo 1)" \
			"$(ask j 'int(any(s["phase"] == "verify" for s in S))')"
		is "total" "$([ $p = tape ] && echo 0 || echo 1)" \
			"$(ask j 'int(all("total_bytes" in s for s in S if s["phase"] == "transfer"))')"
		is "operation" 0 "$(metric last_run_exit_code operation=restore)"
		expect "variables" test "$(grep -cxE "VDI_(OPERATION=restore|DIR=$PWD/b|EXIT_CODE=0)" hook)" = 3
		rm -rf b $prom hook j
	done
}

tests+=(damaged_backup)
damaged_backup() {
	limited "$vdi" backup t -q --to b -- seq 500000
	limited "$vdi" verify -q b --metrics $prom
	is "verify" 0 $?
	printf x | dd of=b/device-00.data bs=1 seek=100000 conv=notrunc status=none
	limited "$vdi" verify -q b --json --metrics $prom > j 2> err
	is "verify" 5 $?
	expect "valid events" valid j
	is "exit code" 5 "$(ask j 'L["exit_code"]')"
	is "exit code in the metrics" 5 "$(metric last_run_exit_code set=t)"
	expect "the success is kept" test "$(metric last_success_timestamp_seconds)" -gt 0
	limited "$vdi" restore t -q --from b --json=j --on-failure 'env > hook.failure' -- cat > out 2> err
	is "restore" 5 $?
	expect "valid events" valid j
	expect "command" grep -qx VDI_EXIT_CODE=5 hook.failure
	rm b/manifest.json
	limited "$vdi" verify -q b --json --metrics $prom > j 2> err
	is "verify without a manifest" 5 $?
	expect "valid events" valid j
	is "the set of the run before" 5 "$(metric last_run_exit_code set=t)"
}

tests+=(both_sides)
both_sides() {
	local p bytes read_back=--quiet

	seq 500000 > in
	for p in pipe disk; do
		limited "$vdi" backup t -q --to b -n 2 --profile $p --json=j 2> err &
		limited "$vdi" serve backup t -q --json $read_back < in > j.serve 2> err.serve
		is "serve" 0 $?
		wait $!
		is "backup" 0 $?
		expect "valid events" valid j
		expect "valid events of serve" valid j.serve
		bytes=$(ask j 'L["bytes_done"]')
		is "the same bytes" "$bytes" "$(ask j.serve 'L["bytes_done"]')"
		expect "the size is known" test "$(ask j.serve 'all("total_bytes" in s for s in S if s["phase"] == "transfer")')" = True
		[ $p = disk ] || is "the size" "$bytes" "$(ask j.serve 'S[-1]["total_bytes"]')"
		is "read back" "$([ $p = pipe ] && echo 0 || echo 1)" \
			"$(ask j.serve 'int(any(s["phase"] == "read-back" for s in S))')"
		limited "$vdi" restore t -q --from b 2> err &
		limited "$vdi" serve restore t -q --json=j > out 2> err.serve
		is "serve restore" 0 $?
		wait $!
		expect "valid events" valid j
		expect "data" cmp in out
		rm -rf b j j.serve
		read_back=--read-back
	done
}

tests+=(reader_that_ends)
reader_that_ends() {
	limited "$vdi" backup t -q --to b --json -- seq 300000 2> err | true
	is "exit code" 0 ${PIPESTATUS[0]}
	expect "the backup is good" "$vdi" verify -q b
}

# a full pipe delays neither the backup nor an interrupt, only the last object
tests+=(reader_that_does_not_read)
reader_that_does_not_read() {
	mkfifo fifo
	exec 9<> fifo
	dd if=/dev/zero of=fifo bs=4096 oflag=nonblock status=none 2> /dev/null
	"$vdi" backup t -q --to b --json=fifo -- seq 300000 2> err &
	backup=$!
	until_is '[ -e b/manifest.json ] && [ -z "$('"$vdi"' ls)" ]'
	cat <&9 > fifo.out &
	reader=$!
	wait $backup
	is "exit code" 0 $?
	until_is 'grep -aq summary fifo.out'
	kill $reader
	wait $reader
	tr -d '\0' < fifo.out > j
	expect "valid events" valid j
	rm -rf b
	dd if=/dev/zero of=fifo bs=4096 oflag=nonblock status=none 2> /dev/null
	"$vdi" backup t -q --to b --json=fifo -- seq 300000 2> err &
	backup=$!
	# all is done but the report; only then a signal ends the wait for the reader
	until_is '[ -e b/manifest.json ] && [ -z "$('"$vdi"' ls)" ] && ! pgrep -P '$backup
	until_is "! kill -TERM $backup"
	wait $backup
	is "exit code" 0 $?
	exec 9>&-
}

tests+=(full_disk_of_the_events)
full_disk_of_the_events() {
	limited "$vdi" backup t -q --to b --json=/dev/full -- seq 1000 2> err
	is "exit code" 0 $?
	is "warnings" 1 "$(grep -c 'warning: --json: cannot write: No space left' err)"
}

tests+=(failed_on_success)
failed_on_success() {
	limited "$vdi" backup t --to b --json --metrics $prom --on-success 'ls -d b*; exit 4' -- seq 1000 > j 2> err
	is "exit code" 1 $?
	expect "valid events" valid j
	is "type" error "$(ask j 'L["message_type"]')"
	is "exit code in the metrics" 1 "$(metric last_run_exit_code)"
	expect "message" grep -q "^vdi: the backup is complete, but the command of --on-success ended with exit code 4" err
	is "files while it runs" b "$(grep -x 'b.*' err | grep -v ^backup)"
	expect "the backup is good" "$vdi" verify -q b
}

tests+=(failed_on_failure)
failed_on_failure() {
	limited "$vdi" backup t -q --to b --json --on-failure 'kill -9 $$' -- sh -c 'echo x; exit 3' > j 2> err
	is "exit code" 1 $?
	expect "valid events" valid j
	expect "first failure" grep -q 'exit code 3' j
	expect "message" grep -q "^vdi: the command of --on-failure was killed by signal 9" err
}

tests+=(interrupted_on_success)
interrupted_on_success() {
	"$vdi" backup t -q --to b --json=j --on-success 'echo $$ > pid; : > ready; sleep 1000' -- seq 1000 2> err &
	until_is '[ -e ready ]'
	kill -TERM $!
	wait $!
	is "exit code" 130 $?
	expect "valid events" valid j
	is "exit code in the events" 130 "$(ask j 'L["exit_code"]')"
	expect "the command was stopped" sh -c '! kill -0 "$(cat pid)" 2> /dev/null'
	expect "the backup is good" "$vdi" verify -q b
}

# the first interrupt ends the backup, not the command that reports it
tests+=(interrupted_on_failure)
interrupted_on_failure() {
	"$vdi" backup t -q --to b --on-failure ': > ready; until [ -e go ]; do sleep 0.05; done; : > hook' 2> err &
	until_is '[ -n "$('"$vdi"' ls)" ]'
	kill -TERM $!
	until_is '[ -e ready ]'
	: > go
	wait $!
	is "exit code" 130 $?
	expect "the command has ended" test -e hook
}

tests+=(names)
names() {
	local set=$'a"b\nc\xff' inode

	limited "$vdi" backup "$set" -q --to b --json --metrics $prom -- seq 1000 > j 2> err
	is "exit code" 0 $?
	expect "valid events" valid j
	is "bytes of the name" "$(printf %s "$set" | od -An -tx1 | tr -d ' \n')" "$(ask j 'L["set_hex"]')"
	is "label" 0 "$(metric last_run_exit_code $'set=a"b\nc\xef\xbf\xbd')"
	inode=$(stat -c %i $prom)
	rm -rf b
	limited "$vdi" backup "$set" -q --to b --metrics $prom -- seq 1000 2> err
	expect "another file" test "$(stat -c %i $prom)" != "$inode"
}

tests+=(unwritable)
unwritable() {
	local option

	for option in --metrics=/none/m.prom --metrics="$dir" --json=/none/j --json="$dir"; do
		limited "$vdi" backup t --to b $option --on-failure 'env > hook.failure' -- sh -c ': > ready' 2> err
		is "$option" 1 $?
		expect "$option: named" grep -qF -- "${option#*=}" err
		expect "$option: nothing was started" test ! -e ready
		expect "$option: command" grep -qx VDI_EXIT_CODE=1 hook.failure
		is "$option: files" "" "$(ls -d b* 2> /dev/null)"
		rm -f hook.failure
	done
	limited "$vdi" backup other -q --to b --metrics $prom -- seq 1000
	rm -rf b
	limited "$vdi" backup t -q --to b --metrics $prom -- seq 1000 2> err
	is "metrics of another set" 1 $?
	is "they are kept" 0 "$(metric last_run_exit_code set=other)"
	expect "no backup" test ! -e b
}

# the directory of the metrics is lost while the backup runs
tests+=(metrics_lost)
metrics_lost() {
	mkdir hooks
	limited "$vdi" backup t -q --to b --json --metrics hooks/m.prom -- sh -c 'seq 1000; rmdir hooks' > j 2> err
	is "exit code" 1 $?
	expect "valid events" valid j
	expect "message" grep -q 'the backup is complete, but hooks/m.prom cannot be written' j
	expect "the backup is good" "$vdi" verify -q b
}

tests+=(wrong_usage)
wrong_usage() {
	local args

	for args in 'backup t --to b --json=' 'backup t --to b --metrics' 'serve restore t --json' \
		'restore t --from b --json -- cat' 'serve restore t --json -- cat' 'verify b --json='; do
		limited "$vdi" $args < /dev/null > out 2> err
		is "vdi $args" 2 $?
		is "vdi $args: standard output" "" "$(cat out)"
	done
}

run_tests
