#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi top and vdi ls -v report which side limits a set, and that the
# tracepoints record the events of a set.
#
# shellcheck disable=SC2317 # called by their names

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
tracing=/sys/kernel/tracing
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-observe.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

after_each() {
	exec {input}>&- 2> /dev/null
	[ ! -d $tracing/events/vdiset ] || echo 0 > $tracing/events/vdiset/enable
	is "remaining sets" "" "$("$vdi" ls)"
	rm -rf "${work:?}"/*
}

prints() { # PATTERN COMMAND...; sets out
	local pattern=$1
	shift

	out=$("$@" 2>&1)
	grep -qE "$pattern" <<< "$out"
}

# eventually TEXT PATTERN COMMAND...: repeats COMMAND until its output matches
eventually() {
	local text=$1 pattern=$2 out
	shift 2

	! wait_until prints "$pattern" "$@" || return 0
	echo "# $text: '$*' did not print '$pattern'; the last output:"
	sed 's/^/# /' <<< "$out"
	bad=1
	return 1
}

# Starts a set "t" of two devices whose database reads the FIFO $input. $appliance and
# $database are the processes.
idle_set() {
	mkfifo in
	"$vdi" backup t -q --to b --devices 2 2> backup.err &
	appliance=$!
	"$vdi" serve backup t -q --allow-empty < in 2> serve.err &
	database=$!
	exec {input}> in
	eventually "the set moves" '^t +active' "$vdi" ls
}

finish() {
	exec {input}>&-
	wait "$database"
	is "serve" 0 $?
	wait "$appliance"
	is "backup" 0 $?
}

samples() { "$vdi" top t --count 2 --interval 0.5; }

tests+=(top_idle_database)
top_idle_database() {
	idle_set
	eventually "idle database" '^t .* idle$' samples
	eventually "one line a device" '^  1 ' samples
	finish
}

# A database that a rate limit holds back looks like a slow one: neither is called slow.
tests+=(top_limited_by_database)
top_limited_by_database() {
	local feeder

	idle_set
	while head -c 64K /dev/zero 2> /dev/null; do sleep 0.02; done >&"$input" &
	feeder=$!
	eventually "limited" '^t .* database$' samples
	is "calls it slow" "" "$(samples | grep slow)"
	kill $feeder
	wait $feeder 2> /dev/null
	finish
}

tests+=(top_limited_by_appliance)
top_limited_by_appliance() {
	idle_set
	kill -STOP "$appliance"
	head -c 64M /dev/zero >&"$input" &
	eventually "limited" '^t .* appliance$' samples
	eventually "for ls, too" 'waited' "$vdi" ls -v
	kill -CONT "$appliance"
	wait $!
	finish
}

# Two sets, one with a name that is wider than its column
tests+=(top_fits_80_columns)
top_fits_80_columns() {
	local long=a_set_whose_name_is_longer_than_its_column

	"$vdi" backup $long -q --to c --devices 2 2> /dev/null &
	idle_set
	eventually "both sets" '^2 sets ' "$vdi" top -n 1
	"$vdi" top -n 2 -i 0.1 > out
	is "lines of more than 79 columns" "" "$(grep -E '.{80}' out)"
	expect "long name" grep -qx $long out
	head -c 4M /dev/zero >&"$input"
	eventually "total and elapsed time" '^t +[0-9.]+ s +4\.[0-9] MiB ' "$vdi" top t -n 1
	eventually "total of all sets" '^2 sets +4\.[0-9] MiB ' "$vdi" top -n 1
	"$vdi" abort $long
	finish
}

tests+=(top_ends)
top_ends() {
	local top

	expect "no set" grep -q 'no sets are in use' <("$vdi" top -n 1)
	"$vdi" top nobody -n 1 2> err
	is "an unknown set" 1 $?
	expect "the message names the set" grep -q nobody err
	"$vdi" top -n 0 2> err
	is "--count 0" 2 $?
	"$vdi" top -i 0 2> err
	is "--interval 0" 2 $?
	idle_set
	"$vdi" top t -i 0.05 > out &
	top=$!
	eventually "more than one sample" '^([2-9]|[1-9][0-9]+)$' grep -c 'SET, DEVICES' out
	kill -TERM $top
	wait $top
	finish
}

# event PATTERN: a line of the trace
event() {
	grep -qE "$1" trace && return
	echo "# no event '$1' in"
	sed "s/^/# /" trace
	bad=1
}

tests+=(tracepoints)
tracepoints() {
	local id server

	[ -d $tracing/events ] || mount -t tracefs none $tracing 2> /dev/null
	if [ ! -d $tracing/events/vdiset ]; then
		echo "# skipped: no tracing"
		return
	fi
	: > $tracing/trace
	echo 1 > $tracing/events/vdiset/enable
	idle_set
	id=$("$vdi" ls --json | sed -n 's/.*"id": *\([0-9]*\).*/\1/p' | head -n 1)
	server=$database
	head -c 8M /dev/zero >&"$input"
	finish
	rm -rf in b
	idle_set
	"$vdi" abort t --message "enough"
	exec {input}>&-
	wait
	echo 0 > $tracing/events/vdiset/enable
	cat $tracing/trace > trace
	expect "an identity" test -n "$id"
	event "vdiset_create: set=$id devices=2 .*name=t$"
	event "vdiset_state: set=$id from=created to=connected"
	event "vdiset_state: set=$id from=initializing to=active"
	event "vdiset_state: set=$id .*to=terminated"
	event "vdiset_party: set=$id role=server pid=$server joins"
	event "vdiset_party: set=$id role=primary pid=[0-9]+ leaves"
	event "vdiset_area: set=$id bytes=[1-9][0-9]* error=0"
	event "vdiset_device_open: set=$id device=0 side=server"
	event "vdiset_device_open: set=$id device=1 side=client"
	event "vdiset_device_close: set=$id device=1"
	event "vdiset_kick: set=$id device=[01] side=server"
	event "vdiset_wait: set=$id device=[01] side=client waited_ns=[1-9][0-9]* error=0"
	event "vdiset_free: set=$id state=terminated"
	event "vdiset_abort: set=$((id + 1)) reason=[a-z-]+ role=[a-z]+ pid=[0-9]+"
	event "vdiset_free: set=$((id + 1)) state=aborted"
}

# perf and trace-cmd print an event according to its format only. They cannot resolve
# symbols of the module, and they evaluate nested conditions wrongly.
tests+=(trace_formats)
trace_formats() {
	[ -d $tracing/events/vdiset ] || { echo "# skipped: no tracing"; return; }
	expect "formats without names or conditions" \
		test -z "$(sed -n '/^print fmt/s/"[^"]*"//gp' $tracing/events/vdiset/*/format |
			grep -E 'VDISET_|\?')"
}

tests+=(trace_of_odd_names)
trace_of_odd_names() {
	[ -d $tracing/events/vdiset ] || { echo "# skipped: no tracing"; return; }
	: > $tracing/trace
	echo 1 > $tracing/events/vdiset/vdiset_create/enable
	"$vdi" backup $'a\nb' -q --timeout 0.1 --to b 2> /dev/null
	echo 0 > $tracing/events/vdiset/enable
	cat $tracing/trace > trace
	event 'vdiset_create: .* name=a\?b$'
}

run_tests
