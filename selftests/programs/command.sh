#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that a command is the source of a backup, and the destination of a restore, only
# if it succeeds: vdi serve NAME -- COMMAND, and vdi backup and vdi restore with a command,
# which start the database's side themselves.
#
# shellcheck disable=SC2016,SC2086,SC2317 # for another shell; numbers; run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/command.XXXXXX")
trap 'umount "$dir/full" 2> /dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# Commands of a test end with this marker, by which those that were left are found.
marker=vdi_command_test_$$

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	is "remaining commands" "" "$(pgrep -f "[v]di_command_test_$$")"
	[ $bad = 0 ] || tail -n 5 err err.serve 2> /dev/null | sed 's/^/# /'
	rm -rf b b.* out err* ready
}

limited() {
	timeout 600 "$@"
}

# makes EXIT-CODE OPTION... -- COMMAND: vdi backup with this command
makes() {
	local wanted=$1

	shift
	limited "$vdi" backup t -q --to b "$@" > out 2> err
	is "exit code of vdi backup" "$wanted" $?
	if [ "$wanted" = 0 ]; then
		expect "the backup is good" "$vdi" verify -q b
	else
		is "files" "" "$(ls -d b* 2> /dev/null)"
		is "messages of vdi" 1 "$(grep -c '^vdi: ' err)"
	fi
}

gives_back() { # EXIT-CODE COMMAND...
	local wanted=$1

	shift
	limited "$vdi" restore t -q --from b -- "$@" > out 2> err
	is "exit code of vdi restore" "$wanted" $?
}

says() { # TEXT
	expect "stderr contains '$1'" grep -qF -- "$1" err
}

tests+=(round_trip)
round_trip() {
	local p

	for p in pipe disk tape; do
		makes 0 -n 3 --profile $p -- seq 300000
		gives_back 0 cat
		expect "$p: restored data" cmp out <(seq 300000)
		rm -rf b
	done
}

tests+=(output_and_errors_of_the_command)
output_and_errors_of_the_command() {
	makes 0 -- sh -c 'echo data; echo a warning >&2'
	is "stderr" "a warning" "$(cat err)"
	gives_back 0 sh -c 'cat; echo a notice >&2'
	is "stdout" data "$(cat out)"
	is "stderr" "a notice" "$(cat err)"
	gives_back 0 sh -c 'test -p /dev/stdin'
	limited "$vdi" restore t --from b -- cat > out 2> err
	is "exit code" 0 $?
	is "stdout, with a summary" data "$(cat out)"
	expect "the summary" grep -q '^restored b: ' err
}

tests+=(many_errors_do_not_block)
many_errors_do_not_block() {
	makes 0 -- sh -c 'seq 200000 >&2; echo data'
	is "stderr" "$(seq 200000 | md5sum)" "$(md5sum < err)"
}

tests+=(exit_code)
exit_code() {
	makes 1 -- sh -c 'seq 100000; echo first >&2; echo >&2; printf "no\033 access\n\n" >&2; exit 3'
	says "'sh' ended with exit code 3; its last messages: first; no? access"
	makes 1 -n 4 --discard -- sh -c 'seq 100000; exit 3'
	says 'exit code 3'
	makes 1 --profile tape -- sh -c 'exit 255'
	says 'exit code 255'
}

tests+=(only_the_last_lines)
only_the_last_lines() {
	makes 1 -- sh -c 'seq 5000 >&2; exit 1'
	says 'its last messages: 4998; 4999; 5000'
}

tests+=(killed_command)
killed_command() {
	makes 1 -- sh -c 'seq 100000; kill -9 $$'
	says "was killed by signal 9"
}

tests+=(missing_command)
missing_command() {
	makes 1 -- "$dir/no such command"
	says "cannot run '$dir/no such command': No such file or directory"
}

tests+=(empty_stream)
empty_stream() {
	makes 1 -- true
	says 'has written no data'
	makes 0 --allow-empty -- true
	gives_back 0 sh -c '[ $(wc -c) = 0 ]'
	rm -rf b
	limited "$vdi" backup t -q --to b 2> err &
	limited "$vdi" serve backup t -q < /dev/null 2> err.serve
	is "exit code of vdi serve" 1 $?
	expect "vdi serve refuses it" grep -q 'the input is empty' err.serve
	wait $!
	is "exit code of vdi backup" 3 $?
	is "files" "" "$(ls -d b* 2> /dev/null)"
}

tests+=(output_left_open)
output_left_open() {
	makes 1 -- sh -c "sh -c 'sleep 1000; : $marker' & echo data"
	says 'keeps its output open'
}

tests+=(stderr_left_open)
stderr_left_open() {
	makes 0 -- sh -c "sh -c 'echo last >&2; exec >&-; sleep 3; : $marker' & echo data"
	timeout 600 sh -c "while pgrep -f '[v]di_command_test_$$'; do sleep 0.1; done" > pids
	rm pids
}

tests+=(both_sides_by_hand)
both_sides_by_hand() {
	limited "$vdi" backup t -q --to b -n 2 2> err &
	limited "$vdi" serve backup t -q -- seq 100000
	is "serve backup" 0 $?
	wait $!
	is "backup" 0 $?
	limited "$vdi" restore t -q --from b 2> err &
	limited "$vdi" serve restore t -q -- cat > out
	is "serve restore" 0 $?
	wait $!
	is "restore" 0 $?
	expect "restored data" cmp out <(seq 100000)
	rm -rf b
	limited "$vdi" backup t -q --to b -n 2 2> err &
	limited "$vdi" serve backup t -q -- sh -c 'seq 1000; exit 9' 2> err.serve
	is "serve backup" 1 $?
	wait $!
	is "backup" 3 $?
	says "the command 'sh' ended with exit code 9"
	is "files" "" "$(ls -d b* 2> /dev/null)"
}

tests+=(command_that_does_not_read)
command_that_does_not_read() {
	makes 0 -- seq 300000
	gives_back 1 head -c 10
	says "'head' ended with exit code 0 before it had read the whole stream"
	gives_back 1 sh -c 'exec <&-; sleep 1000; : '$marker
	says "has closed its input before it had read the whole stream"
	gives_back 1 sh -c 'cat > /dev/null; exit 7'
	says "'sh' ended with exit code 7 after it had read the whole stream"
	gives_back 1 "$dir/none"
	says "cannot run '$dir/none'"
}

# the command must not take the end of its input for the end of the stream
tests+=(damaged_backup)
damaged_backup() {
	makes 0 -n 2 -- seq 500000
	printf x | dd of=b/device-01.data bs=1 seek=1000000 conv=notrunc status=none
	gives_back 5 sh -c 'cat > /dev/null; echo the whole stream'
	says 'device-01.data is damaged'
	is "output of the command" "" "$(cat out)"
}

start() { # COMMAND OF sh
	"$vdi" backup t -q --to b -- sh -c "$1; : $marker" > out 2> err &
	backup=$!
	timeout 600 sh -c 'until [ -e ready ]; do sleep 0.05; done' || bad=1
	serve=$(pgrep -P $backup)
}

ends() { # EXIT-CODE
	wait $backup 2> /dev/null
	is "exit code of vdi backup" "$1" $?
	timeout 600 sh -c "while pgrep -f '[v]di_command_test_$$'; do sleep 0.1; done" > /dev/null || bad=1
}

tests+=(interrupted)
interrupted() {
	start 'echo data; : > ready; sleep 1000'
	kill -TERM $backup
	ends 130
	is "files" "" "$(ls -d b* 2> /dev/null)"
	says 'interrupted'
}

tests+=(aborted)
aborted() {
	start 'trap "" TERM; echo data; : > ready; sleep 1000'
	"$vdi" abort t -m 'not now'
	ends 3
	is "files" "" "$(ls -d b* 2> /dev/null)"
	says 'not now'
	is "messages of vdi" 1 "$(grep -c '^vdi: ' err)"
}

tests+=(killed_backup)
killed_backup() {
	start 'echo data; : > ready; sleep 1000'
	kill -9 $backup
	ends 137
	expect "it is no backup" test ! -e b
}

tests+=(killed_serve)
killed_serve() {
	start 'echo data; : > ready; sleep 1000'
	kill -9 "$serve"
	ends 1
	says 'was killed by signal 9'
	is "files" "" "$(ls -d b* 2> /dev/null)"
}

tests+=(stopped_command_of_a_restore)
stopped_command_of_a_restore() {
	makes 0 -- seq 300000
	"$vdi" restore t -q --from b -- sh -c "dd bs=1 count=1 status=none; : > ready; kill -STOP \$\$; : $marker" > out 2> err &
	backup=$!
	timeout 600 sh -c 'until [ -e ready ]; do sleep 0.05; done' || bad=1
	"$vdi" abort t
	ends 3
}

# the whole stream was accepted: the message blames no stalled output
tests+=(aborted_while_the_command_works)
aborted_while_the_command_works() {
	makes 0 -- seq 300000
	"$vdi" restore t -q --from b 2> err &
	backup=$!
	"$vdi" serve restore t -q -- sh -c "cat > /dev/null; : > ready; sleep 1000; : $marker" 2> err.serve &
	serve=$!
	timeout 600 sh -c 'until [ -e ready ]; do sleep 0.05; done' || bad=1
	sleep 2
	"$vdi" abort t
	wait $serve
	is "vdi serve" 3 $?
	expect "no word about the output" sh -c '! grep -q "had accepted" err.serve'
	ends 3
}

tests+=(full_disk)
full_disk() {
	mkdir full
	mount -t tmpfs -o size=1m none full || return
	limited "$vdi" backup t -q --to full/b -- sh -c "seq 1000000; sleep 1000; : $marker" > out 2> err
	is "exit code of vdi backup" 1 $?
	says 'No space left on device'
	is "messages of vdi" 1 "$(grep -c '^vdi: ' err)"
	is "files" "" "$(ls full)"
	umount full
}

# a backup of another database is no stream of vdi serve
tests+=(backup_of_another_database)
backup_of_another_database() {
	limited "$vdi" backup t -q --to b 2> err &
	limited "$top/build/tools/test/server" t 1 0:w 0:f 0:c > server.out
	wait $!
	is "backup" 0 $?
	gives_back 5 sh -c 'cat > /dev/null; echo the whole stream'
	is "output of the command" "" "$(cat out)"
	is "messages of vdi" 1 "$(grep -c '^vdi: ' err)"
}

tests+=(wrong_usage)
wrong_usage() {
	local args

	for args in 'backup t --to b --' 'restore t --from b --' 'serve backup t --' \
		'backup --to b -- true' 'backup t --to b true' 'backup t u --to b -- true' \
		'backup t --to b --allow-empty' 'serve restore t --allow-empty' \
		'backup t --to b --snapshot-command true -- true' 'serve backup t --report-fd 77'; do
		limited "$vdi" $args < /dev/null > /dev/null 2> err
		is "vdi $args" 2 $?
		expect "vdi $args: a message" grep -q '^vdi: ' err
	done
}

run_tests
