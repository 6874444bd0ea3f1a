#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that a backup into commands of the user succeeds only if all of them have read
# everything and have ended with 0, that a command never sees the end of a backup that
# has failed, and that a restore from commands ends only with their success. Backs up
# into restic and borg if they are installed.
#
# shellcheck disable=SC2016,SC2086,SC2317 # for another shell; numbers; run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/sink.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
head -c 5000000 /dev/urandom > data

# Commands of a test have this marker, by which those that were left are found.
marker=vdi_sink_test_$$

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	is "remaining commands" "" "$(pgrep -f "[v]di_sink_test_$$")"
	[ $bad = 0 ] || tail -n 5 err 2> /dev/null | sed 's/^/# /'
	rm -rf got* out err back repo fifo ready event.json
}

# backup EXIT-CODE OPTION... [-- COMMAND]
backup() {
	local wanted=$1

	shift
	timeout 600 "$vdi" backup s "$@" > out 2> err
	is "exit code of vdi backup" "$wanted" $?
}

# restore EXIT-CODE OPTION... [-- COMMAND]
restore() {
	local wanted=$1

	shift
	timeout 600 "$vdi" restore s "$@" > back 2> err
	is "exit code of vdi restore" "$wanted" $?
}

says() { # TEXT
	expect "stderr contains '$1'" grep -qF -- "$1" err
}

wait_for() { # FILE
	until [ -s "$1" ]; do pause 0.1; done
}

# A sink that stores its part under the final name when its input has ended.
store=": $marker; "'cat > "got.part$VDI_DEVICE_INDEX" && mv "got.part$VDI_DEVICE_INDEX" "got$VDI_DEVICE_INDEX"'

tests+=(round_trip)
round_trip() {
	local n

	for n in 1 3; do
		backup 0 --to-command "$store" -n $n -- cat data
		expect "summary" grep -q "^backup of 's' is complete, received by $n command" out
		is "files" $n "$(find . -name 'got[0-9]' | wc -l)"
		restore 0 --from-command 'cat "got$VDI_DEVICE_INDEX"' -n $n -- cat
		expect "restored data" cmp data back
		says "restored 's' from $n command"
		rm -f got*
	done
}

tests+=(environment_of_commands)
environment_of_commands() {
	local line='echo "$VDI_SET $VDI_DEVICE $VDI_DEVICE_INDEX $VDI_DEVICES $VDI_OPERATION" >> got.env'

	backup 0 -n 2 --device s --device other --to-command "$line; $store; echo words" -- cat data
	is "backup" "s other 1 2 backup
s s 0 2 backup" "$(sort got.env)"
	is "output of the commands" 2 "$(grep -c '^words$' err)"
	rm got.env
	restore 0 -n 2 --device s --device other --from-command "$line"'; cat "got$VDI_DEVICE_INDEX"' -- cat
	is "restore" "s other 1 2 restore
s s 0 2 restore" "$(sort got.env)"
	expect "restored data" cmp data back
}

tests+=(command_fails_after_reading_everything)
command_fails_after_reading_everything() {
	backup 1 --to-command 'cat > /dev/null; echo the cause >&2; exit 1' -- cat data
	says "the command of device 's' ended with exit code 1; its last messages: the cause"
	says "no backup was made: do not use what 1 command received"
}

tests+=(command_ends_without_reading)
command_ends_without_reading() {
	backup 1 --to-command 'exit 0' -- cat data
	says "the command of device 's' ended with exit code 0 before it had read all data"
	backup 1 --to-command 'head -c 100 > /dev/null; exit 0' -- echo few
	says "the command of device 's' ended with exit code 0 before it had read all data"
	backup 1 --to-command 'head -c 2000000 > /dev/null' -- cat data
	says "before it had read all data"
	backup 1 --to-command "exec <&-; : $marker; sleep 1000" -- cat data
	says "the command of device 's' closed its input before it had read all data"
}

tests+=(command_is_not_found)
command_is_not_found() {
	backup 1 --to-command no_such_program -- cat data
	says "ended with exit code 127"
	says "not found"
}

# The others get no end of their input.
tests+=(one_of_several_fails)
one_of_several_fails() {
	backup 1 -n 3 --to-command 'if [ $VDI_DEVICE_INDEX = 1 ]; then head -c 500000 > /dev/null; exit 9; fi; '"$store" -- cat data
	says "the command of device 's1' ended with exit code 9"
	is "files" "" "$(find . -name 'got[0-9]')"
	is "messages of a failure" 1 "$(grep -c 'backup of .s. failed' err)"
}

tests+=(command_is_killed)
command_is_killed() {
	backup 1 --to-command 'head -c 500000 > /dev/null; kill -9 $$' -- cat data
	says "the command of device 's' was killed by signal 9"
}

tests+=(database_fails)
database_fails() {
	backup 1 -n 2 --to-command "$store" -- sh -c 'cat data; echo the cause >&2; exit 5'
	says "the cause"
	is "files" "" "$(find . -name 'got[0-9]')"
}

# The pipe is full, and the worker waits for it.
tests+=(abort_while_a_command_does_not_read)
abort_while_a_command_does_not_read() {
	local pid

	"$vdi" backup s -q --to-command "head -c 1500000 > /dev/null; echo > ready; : $marker; sleep 1000; $store" \
		-- cat data > out 2> err &
	pid=$!
	wait_for ready
	"$vdi" abort s --message 'the test ends it'
	wait $pid
	is "exit code" 3 $?
	says "the test ends it"
	is "files" "" "$(find . -name 'got[0-9]')"
}

tests+=(interrupted)
interrupted() {
	local pid

	mkfifo fifo
	"$vdi" backup s -n 2 --to-command "$store" -- cat fifo > out 2> err &
	pid=$!
	exec 8> fifo
	cat data >&8
	until [ -s got.part0 ] && [ -s got.part1 ]; do pause 0.1; done
	# bash starts such jobs with SIGINT ignored
	kill -TERM $pid
	wait $pid
	is "exit code" 130 $?
	exec 8>&-
	is "files" "" "$(find . -name 'got[0-9]')"
}

# The guards end the commands; a normal end of the input would make got0.
tests+=(vdi_is_killed)
vdi_is_killed() {
	local pid

	mkfifo fifo
	"$vdi" backup s --to-command "$store" -- cat fifo > out 2> err &
	pid=$!
	exec 8> fifo
	cat data >&8
	wait_for got.part0
	kill -KILL $pid
	wait $pid 2> /dev/null
	exec 8>&-
	while pgrep -f "[v]di_sink_test_$$" > /dev/null; do pause 0.1; done
	is "files" "" "$(find . -name 'got[0-9]')"
	until [ -z "$("$vdi" ls)" ]; do pause 0.1; done
}

tests+=(restore_from_a_failing_command)
restore_from_a_failing_command() {
	backup 0 --to-command "$store" -- cat data
	restore 1 --from-command 'cat got0; echo the cause >&2; exit 4' -- sh -c 'cat > back2; echo > got.end'
	says "the command of device 's' ended with exit code 4; its last messages: the cause"
	expect "the database saw no end" test ! -e got.end
	restore 1 --from-command 'head -c 1000000 got0; kill -9 $$' -- cat
	says "was killed by signal 9"
	restore 5 --from-command 'head -c 1000000 got0' -- cat
	restore 1 --from-command ": $marker; sleep 1000 & cat got0" -- cat
	says "keeps its output open"
	rm -f back2
}

tests+=(standard_output_and_input)
standard_output_and_input() {
	timeout 600 "$vdi" backup s --to - -- cat data 2> err | cat > got
	is "exit codes" "0 0" "${PIPESTATUS[*]}"
	says "backup of 's' is complete, received by standard output"
	# shellcheck disable=SC2002 # a pipe
	cat got | timeout 600 "$vdi" restore s --from - -- cat > back 2> err
	is "exit codes" "0 0" "${PIPESTATUS[*]}"
	expect "restored data" cmp data back
	says "restored 's' from standard input"
	timeout 600 "$vdi" backup s -q --to - -- cat data > got 2> err
	is "exit code with a file" 0 $?
	timeout 600 "$vdi" restore s -q --from - -- cat < got > back
	is "exit code of a restore from a file" 0 $?
	expect "restored data" cmp data back
	timeout 600 "$vdi" backup s -q --to - -- cat data 2> err | head -c 100 > /dev/null
	is "exit code of a reader that ends" 1 "${PIPESTATUS[0]}"
	says "cannot write to standard output: Broken pipe"
	timeout 600 "$vdi" backup s -q --to - -- cat data > /dev/full 2> err
	is "exit code with a full disk" 1 $?
	says "cannot write to standard output: No space left on device"
	timeout 600 "$vdi" backup s -q --to - -- sh -c 'cat data; exit 3' 2> err > got
	is "exit code of a database that fails" 1 $?
}

tests+=(wrong_usage)
wrong_usage() {
	local options

	for options in '--profile disk' '--profile tape' --removable --discard --direct '--uploads 2' '--snapshot-command x' '--into .'; do
		# shellcheck disable=SC2086 # words
		backup 2 --to-command cat $options -- cat data
	done
	backup 2 --to - -n 2 -- cat data
	says "a single device is required: use --to-command"
	backup 2 --to - --json -- cat data
	backup 2 --to-command '' -- cat data
	for options in '--latest' '--no-verify' '--downloads 2' '--mount-command x' '--from .'; do
		# shellcheck disable=SC2086 # words
		restore 2 --from-command cat $options -- cat
	done
	restore 2 --from . -n 2 -- cat
	script -qec "$vdi backup s --to - -- cat data" /dev/null > out
	is "exit code with a terminal" 2 $?
	expect "message" grep -q 'standard output is a terminal' out
}

tests+=(events_and_metrics)
events_and_metrics() {
	backup 0 --to-command "$store" --json=event.json --metrics got.prom \
		--on-success 'echo "dir=<$VDI_DIR> $VDI_OPERATION $VDI_EXIT_CODE" > got.hook' -- cat data
	is "command" "dir=<> backup 0" "$(cat got.hook)"
	expect "JSON" grep -q '"message_type":"summary".*"directory":"".*"exit_code":0' event.json
	expect "metrics" grep -q '^vdi.*last_success.*set="s"' got.prom
	restore 1 --from-command 'exit 1' --json=event.json \
		--on-failure 'echo "dir=<$VDI_DIR> $VDI_OPERATION $VDI_EXIT_CODE" > got.hook' -- cat
	is "command" "dir=<> restore 1" "$(cat got.hook)"
	expect "JSON" grep -q '"message_type":"error".*"directory":""' event.json
}

if command -v restic > /dev/null; then
	tests+=(restic_stores_and_restores)
fi
restic_stores_and_restores() {
	export RESTIC_PASSWORD=word RESTIC_REPOSITORY=$dir/repo RESTIC_CACHE_DIR=$dir/repo.cache

	restic init -q
	backup 0 -n 2 --to-command 'restic backup -q --stdin --stdin-filename "$VDI_DEVICE"' -- cat data
	is "snapshots" 2 "$(restic snapshots -q --json | grep -o '"short_id"' | wc -l)"
	restore 0 -n 2 --from-command 'restic dump -q --path "/$VDI_DEVICE" latest "$VDI_DEVICE"' -- cat
	expect "restored data" cmp data back
	backup 1 -n 2 --to-command 'restic backup -q --stdin --stdin-filename "$VDI_DEVICE"' -- sh -c 'cat data; exit 1'
	is "snapshots after a failure" 2 "$(restic snapshots -q --no-lock --json | grep -o '"short_id"' | wc -l)"
	expect "check" restic check -q --no-lock
	RESTIC_PASSWORD=wrong backup 1 --to-command 'restic backup -q --stdin' -- cat data
	says "wrong password"
	rm -rf repo.cache
}

if command -v borg > /dev/null; then
	tests+=(borg_stores_and_restores)
fi
borg_stores_and_restores() {
	export BORG_BASE_DIR=$dir/repo.base BORG_REPO=$dir/repo BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

	borg init -e none > /dev/null 2>&1
	backup 0 --to-command 'borg create "::$VDI_DEVICE" -' -- cat data
	is "archives" s "$(borg list --short)"
	restore 0 --from-command 'borg extract --stdout "::$VDI_DEVICE"' -- cat
	expect "restored data" cmp data back
	backup 1 --to-command 'borg create ::second -' -- sh -c 'cat data; exit 1'
	borg break-lock
	is "archives after a failure" s "$(borg list --short)"
	backup 1 --to-command 'borg create "::$VDI_DEVICE" -' -- cat data
	says "already exists"
	rm -rf repo.base
}

run_tests
