#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows how vdi serve ends when it or the client is aborted, killed or interrupted in
# any phase, and that it always thaws a database that it has frozen.
#
# shellcheck disable=SC2016,SC2317,SC2086,SC2154 # for another shell; called by their names; numbers; ours

# shellcheck source=selftests/programs/serve_client.sh
. ./serve_client.sh

tests+=(aborted_and_killed_in_every_phase)
aborted_and_killed_in_every_phase() {
	local p at

	for p in disk tape; do
		for at in $WRITE:1 $WRITE:3 $READ:1 $READ:3 $FLUSH:1 $COMPLETE:1; do
			backup 3 3 "--profile $p --complete --devices 2 --fault $at:abort" "${small[@]}" --verify
			says 'told to'
			backup 3 137 "--profile $p --complete --devices 2 --fault $at:die" "${small[@]}" --verify
			says 'client (pid'
			expect "$p $at" test $bad = 0
		done
	done
}

has_commands() { # NUMBER; the client has received so many
	[ "$(grep -c . media/log)" -ge "$1" ]
}

until_active() {
	wait_until lists active
}

# The client waits for a command. Its wait must end and report the dead server.
tests+=(killed_server)
killed_server() {
	local p

	mkfifo pipe
	for p in pipe disk tape; do
		start_client --profile $p --discard
		"$vdi" serve backup t -q < pipe 2> serve.err &
		server=$!
		exec 8> pipe
		until_active
		kill -9 $server
		wait $server 2> /dev/null
		exec 8>&-
		end_client 3
		expect "$p: the message gives the reason" grep -q "unexpected end of vdi (pid $server, server)" client.err
		is "$p: the end of the log" aborted "$(tail -n 1 media/log)"
		is "$p: remaining sets" "" "$("$vdi" ls)"
	done
}

tests+=(interrupted)
interrupted() {
	local options want

	mkfifo pipe
	for options in "--discard:0" "--complete:3" "--profile=tape --discard:0"; do
		want=${options##*:}
		start_client ${options%:*}
		"$vdi" serve backup t -q < pipe 2> serve.err &
		server=$!
		exec 8> pipe
		until_active
		kill -TERM $server
		wait $server
		is "serve" 130 $?
		exec 8>&-
		end_client "$want"
		[ "$want" = 3 ] || logged 'VDC_Discard .*-> 0'
	done
}

tests+=(interrupted_twice_while_the_client_hangs)
interrupted_twice_while_the_client_hangs() {
	start_client --profile disk --discard --fault $WRITE:3:hang
	"$vdi" serve backup t -q "${small[@]}" < "$input" 2> serve.err &
	server=$!
	wait_until has_commands 2
	kill -TERM $server
	sleep 1
	expect "it waits for the client" kill -0 $server
	kill -TERM $server
	wait $server
	is "serve" 130 $?
	kill -9 $client_pid
	wait $client_pid
}

# A restore to a pipe that is not read. Returns when the pipe is full: the next write of
# serve blocks.
stalled_restore() {
	mkfifo stalled
	exec 7<> stalled
	start_client --keep
	"$vdi" serve restore t -q "${small[@]}" > stalled 2> serve.err 7>&- &
	server=$!
	perl -e 'my $n = ""; for (1 .. 600) { ioctl(STDIN, 0x541b, $n) or die; exit 0 if unpack("i", $n) == 65536;
		select(undef, undef, undef, 0.1) } exit 1' <&7
	is "the pipe is full" 0 $?
}

# A server that does not exit is killed, which fails the test.
end_stalled() { # SERVER CLIENT
	timeout 600 tail --pid=$server -s 0.05 -f /dev/null || { echo "# serve did not exit"; kill -9 $server; }
	wait $server
	is "serve restore" "$1" $?
	exec 7>&-
	end_client "$2"
	rm stalled
}

tests+=(stalled_reader_does_not_delay_abort)
stalled_reader_does_not_delay_abort() {
	input=$work.big
	backup 0 0 "" "${small[@]}"
	input=$work.in
	stalled_restore
	"$vdi" abort t --message 'nobody reads'
	end_stalled 3 3
	says 'nobody reads'
	stalled_restore
	kill -TERM $server
	end_stalled 130 3
	stalled_restore
	kill -9 $client_pid
	end_stalled 3 137
}

# The client aborts, and the server reports that its input was idle.
tests+=(idle_input_is_reported)
idle_input_is_reported() {
	mkfifo pipe
	"$vdi" backup t -q --to made --idle-timeout 2 2> client.err &
	client_pid=$!
	exec 8<> pipe
	"$vdi" serve backup t -q < pipe 2> serve.err 8>&-
	is "serve backup" 3 $?
	exec 8>&-
	end_client 4
	expect "the client reports the idle time" grep -q 'no command arrived' client.err
	says 'no command arrived for 2 s; the input had delivered no data for [1-9][0-9]* s'
}

tests+=(errors_at_the_end_of_the_output)
errors_at_the_end_of_the_output() {
	local call

	command -v cc > /dev/null || { echo "# skipped: no compiler"; return; }
	backup 0 0 ""
	for call in fsync close; do
		cc -shared -fPIC -o fail.so -x c - <<-END
			#include <errno.h>
			#include <sys/syscall.h>
			#include <unistd.h>
			int $call(int fd)
			{
				if (fd != 1)
					return syscall(SYS_$call, fd);
				errno = EDQUOT;
				return -1;
			}
		END
		start_client --keep
		LD_PRELOAD=$PWD/fail.so "$vdi" serve restore t -q > out 2> serve.err
		is "serve restore" 1 $?
		end_client 3
		says 'the output: .*quota\|the output durable: .*quota'
	done
	restore 0 0 ""
}

# ------------------------------------------------------------------ snapshots

tests+=(snapshot)
snapshot() {
	local options want

	for options in "" "--prepare" "--complete --discard"; do
		rm -rf order media
		echo "label and list" > meta
		input=meta
		backup 0 0 "--profile pipe --watch frozen $options" --snapshot \
			--freeze 'touch frozen; echo freeze >> order' --thaw 'rm frozen; echo thaw >> order'
		is "hooks" "freeze thaw" "$(xargs < order)"
		expect "not frozen any more" test ! -e frozen
		is "PrepareToFreeze is sent" "$(grep -c prepare <<< "$options")" "$(grep -c PrepareToFreeze backup.log)"
		expect "header before the freeze" sh -c 'head -n 1 backup.log | grep "VDC_Write" | grep -qv watched'
		expect "snapshot while frozen" grep -q 'VDC_Snapshot .* watched' backup.log
		want="VDC_Snapshot closed"
		[[ $options != *--complete* ]] || want="VDC_Snapshot VDC_Complete closed"
		is "later commands" "$want" "$(sed -n '/VDC_Snapshot/,$ s/^\(0 m1 \)\?\([A-Za-z_]*\).*/\2/p' backup.log | xargs)"
		expect "completed after the thaw" sh -c "! grep -q 'VDC_Complete .* watched' backup.log"
		expect "metadata while frozen" grep -q 'VDC_Write .* watched' backup.log
		restore 0 0 "" --snapshot
		expect "metadata" cmp meta out
		is "MountSnapshot is the last command" "VDC_MountSnapshot closed" "$(tail -n 2 media/log | sed 's/^0 m1 \([A-Za-z_]*\).*/\1/' | xargs)"
	done
	restore 1 0 "--fault $MOUNT:1:1117" --snapshot
	says 'VDC_MountSnapshot on .t.'
	restore 1 3 ""
	says 'use --snapshot'
	input=$work.in
	backup 0 0 ""
	restore 1 3 "" --snapshot
	says 'leave out --snapshot'
}

# The client confirms a snapshot with the completion of Complete.
tests+=(unpublished_snapshot_is_reported)
unpublished_snapshot_is_reported() {
	"$vdi" backup t -q --to made --snapshot-command 'mkdir -p "$VDI_DIR/occupied"' 2> client.err &
	client_pid=$!
	"$vdi" serve backup t -q --snapshot --thaw 'touch thawed' < "$input" 2> serve.err
	is "serve backup" 3 $?
	end_client 1
	says 'cannot rename to'
	expect "thawed" test -e thawed
	expect "nothing is published" test ! -e made/manifest.json
	# the same with success
	"$vdi" backup t -q --to good --snapshot-command 'touch taken' 2> client.err &
	client_pid=$!
	"$vdi" serve backup t -q --snapshot --thaw 'test -e taken && touch thawed' < "$input" 2> serve.err
	is "serve backup" 0 $?
	end_client 0
	expect "published" test -e good/manifest.json
	# thawed, but the client refuses
	frozen_backup 1 0 "--complete --fault $COMPLETE:1:1117" true
	expect "thawed" test -e thawed
	# not thawed, so Complete is not sent
	backup 1 3 "--complete" --snapshot --freeze true --thaw 'exit 9'
	expect "no Complete" sh -c '! grep -q VDC_Complete backup.log'
}

tests+=(snapshot_with_much_metadata)
snapshot_with_much_metadata() {
	input=$work.big
	backup 0 0 "" --snapshot "${small[@]}"
	restore 0 0 "" --snapshot "${small[@]}"
	expect "metadata" cmp "$input" out
	input=$work.in
}

frozen_backup() { # SERVER CLIENT "CLIENT OPTIONS" FREEZE OPTIONS...
	local server=$1 theirs=$2 options=$3 freeze=$4

	shift 4
	rm -f thawed
	backup "$server" "$theirs" "$options" --snapshot --freeze "$freeze" --thaw 'touch thawed' "$@"
}

tests+=(thawed_after_each_failure)
thawed_after_each_failure() {
	local fault

	for fault in $WRITE:2:112 $SNAPSHOT:1:995 $SNAPSHOT:1:1117; do
		frozen_backup 1 0 "--fault $fault" true
		expect "$fault: thawed" test -e thawed
	done
	for fault in $WRITE:2 $SNAPSHOT:1; do
		frozen_backup 3 3 "--fault $fault:abort" true
		expect "$fault: thawed" test -e thawed
		frozen_backup 3 137 "--fault $fault:die" true
		expect "$fault: thawed" test -e thawed
	done
	frozen_backup 1 3 "" 'exit 7'
	expect "failed freeze: thawed" test -e thawed
	says 'freeze command failed with exit code 7'
	frozen_backup 1 0 "--discard" 'exit 7'
	logged 'VDC_Discard'
	# no freeze, so no thaw
	frozen_backup 1 0 "--prepare --fault $PREPARE:1:1117" true
	expect "not thawed" test ! -e thawed
}

tests+=(failed_thaw_is_reported)
failed_thaw_is_reported() {
	backup 1 3 "" --snapshot --freeze true --thaw 'exit 9'
	says 'exit code 9'
	says 'may still be frozen'
}

tests+=(frozen_for_too_long)
frozen_for_too_long() {
	frozen_backup 4 3 "" 'sleep 30' --freeze-limit 0.5
	expect "thawed" test -e thawed
	says 'too long'
	start_client --fault $SNAPSHOT:1:hang
	rm -f thawed
	"$vdi" serve backup t -q --snapshot --thaw 'touch thawed' --freeze-limit 0.5 < "$input" 2> serve.err
	is "serve backup" 4 $?
	expect "thawed" test -e thawed
	kill -9 $client_pid
	wait $client_pid
}

wait_for_file() { # FILE
	wait_until test -e "$1"
}

# The server in a new session, as from a terminal, ended while frozen.
ended_while_frozen() { # SIGNAL
	start_client --fault $SNAPSHOT:1:hang
	rm -f thawed
	setsid "$vdi" serve backup t -q --snapshot --freeze 'touch frozen' --thaw 'mv frozen thawed' \
		< "$input" 2> serve.err &
	server=$!
	wait_until test -e frozen
	wait_until has_commands 3
	# the client does not log the snapshot, in which it hangs
	sleep 0.3
	expect "frozen" test -e frozen
	kill "-$1" $server
	wait $server
	is "serve" "$2" $?
	wait_for_file thawed
	expect "thawed after SIG$1" test -e thawed
	kill -9 $client_pid
	wait $client_pid
}

tests+=(interrupted_while_frozen)
interrupted_while_frozen() { ended_while_frozen TERM 130; }

tests+=(killed_while_frozen)
killed_while_frozen() { ended_while_frozen KILL 137; }

# Starts a server whose input stays open: frozen until the end of the input.
start_frozen() { # OPTIONS...
	rm -rf frozen thawed tried pipe media
	mkfifo pipe
	start_client
	"$vdi" serve backup t -q --snapshot --freeze 'echo $PPID > frozen.new; mv frozen.new frozen' "$@" \
		< pipe 2> serve.err &
	server=$!
	exec 8> pipe
	wait_for_file frozen
	expect "frozen" test -e frozen
	helper=$(cat frozen)
}

end_frozen() { # SERVER CLIENT
	exec 8>&-
	timeout 600 tail --pid=$server -s 0.05 -f /dev/null || { echo "# serve did not exit"; kill -9 $server; }
	wait $server
	is "serve" "$1" $?
	expect "thawed" test -e thawed
	end_client "$2"
}

# The helper thaws; the server reports it after SIGCONT.
tests+=(stopped_while_frozen)
stopped_while_frozen() {
	start_frozen --thaw 'touch thawed' --freeze-limit 3
	kill -STOP $server
	wait_for_file thawed
	expect "thawed by the helper" test -e thawed
	kill -CONT $server
	end_frozen 4 3
	says 'frozen for too long'
}

tests+=(stopped_while_freezing)
stopped_while_freezing() {
	rm -f freezing thawed
	start_client
	"$vdi" serve backup t -q --snapshot --freeze 'touch freezing; sleep 60' --thaw 'touch thawed' \
		--freeze-limit 2 < "$input" 2> serve.err &
	server=$!
	wait_for_file freezing
	kill -STOP $server
	wait_for_file thawed
	expect "thawed by the helper" test -e thawed
	kill -CONT $server
	wait $server
	is "serve" 4 $?
	end_client 3
}

tests+=(helper_killed_while_frozen)
helper_killed_while_frozen() {
	start_frozen --thaw 'touch thawed'
	kill -KILL "$helper"
	end_frozen 0 0
	says 'starting another'
	# the server enforces the limit as well
	start_frozen --thaw 'touch thawed' --freeze-limit 2
	kill -KILL "$helper"
	wait_for_file thawed
	expect "thawed before the end of the input" test -e thawed
	end_frozen 4 3
}

# The freeze command of a killed helper must have ended before the thaw.
tests+=(helper_killed_while_freezing)
helper_killed_while_freezing() {
	rm -f freezing thawed
	start_client
	"$vdi" serve backup t -q --snapshot --thaw '! kill -0 $(cat freezing) && touch thawed' \
		--freeze 'echo $PPID > helper; echo $$ > freezing.new; mv freezing.new freezing; sleep 60' \
		< "$input" 2> serve.err &
	server=$!
	wait_for_file freezing
	kill -KILL "$(cat helper)"
	wait $server
	is "serve" 1 $?
	expect "thawed after the freeze command had ended" test -e thawed
	end_client 3
}

tests+=(helper_stopped)
helper_stopped() {
	start_frozen --thaw 'touch thawed'
	kill -STOP "$helper"
	end_frozen 0 0
}

tests+=(helper_killed_while_thawing)
helper_killed_while_thawing() {
	start_frozen --thaw '[ -e tried ] || { echo $$ > tried; sleep 60; }; touch thawed'
	exec 8>&-
	wait_for_file tried
	kill -KILL "$helper"
	end_frozen 0 0
}

tests+=(thaw_is_retried)
thaw_is_retried() {
	start_frozen --thaw '[ -e tried ] || { touch tried; kill -KILL $$; }; touch thawed'
	end_frozen 0 0
	says 'killed by signal 9; trying again'

	command -v cc > /dev/null || { echo "# skipped: no compiler"; return; }
	cc -shared -fPIC -o fail.so -x c - <<-END
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <errno.h>
		#include <spawn.h>
		#include <unistd.h>
		int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files,
				const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
		{
			__typeof__(&posix_spawnp) real = dlsym(RTLD_NEXT, "posix_spawnp");

			if (!unlink("frozen.first"))
				return EAGAIN;
			return real(pid, path, files, attributes, argv, envp);
		}
	END
	start_client
	LD_PRELOAD=$PWD/fail.so "$vdi" serve backup t -q --snapshot --freeze 'touch frozen.first' \
		--thaw 'touch thawed.second' < "$input" 2> serve.err
	is "serve" 0 $?
	says 'cannot start the thaw command'
	expect "thawed" test -e thawed.second
	end_client 0
}

# After SIGKILL the freeze command may still freeze: the thaw must come after it, and no
# process that could freeze may remain.
tests+=(killed_while_freezing)
killed_while_freezing() {
	local freeze

	# a command that SIGTERM ends, one that ignores it, and one whose child ignores it
	for freeze in 'sleep 2; touch frozen' \
			'trap "" TERM; sleep 2; touch frozen' \
			'(trap "" TERM; sleep 2; touch frozen) & wait'; do
		rm -f freezing frozen thawed
		start_client
		"$vdi" serve backup t -q --snapshot --freeze "touch freezing; $freeze" \
			--thaw 'rm -f frozen; touch thawed' < "$input" 2> serve.err &
		server=$!
		wait_for_file freezing
		sleep 0.5
		kill -9 $server
		wait $server 2> /dev/null
		end_client 3
		wait_for_file thawed
		expect "$freeze: thawed" test -e thawed
		sleep 3
		expect "$freeze: not frozen after that" test ! -e frozen
	done
}

# A second signal arrives during the cleanup after the first.
tests+=(interrupted_twice_while_freezing)
interrupted_twice_while_freezing() {
	local from

	start_client --discard
	"$vdi" serve backup t -q --snapshot --freeze 'trap "" TERM; touch freezing; sleep 60' \
		--thaw 'touch thawed' < "$input" 2> serve.err &
	server=$!
	wait_for_file freezing
	from=$SECONDS
	kill -TERM $server
	sleep 1
	expect "the command is not killed at once" test ! -e thawed
	kill -TERM $server
	wait $server
	is "serve" 130 $?
	expect "less than 10 seconds" test $((SECONDS - from)) -lt 10
	expect "thawed" test -e thawed
	end_client 3
	expect "aborted at once" sh -c '! grep -q VDC_Discard media/log'
}

tests+=(interrupted_while_thawing)
interrupted_while_thawing() {
	start_client
	"$vdi" serve backup t -q --snapshot --freeze true --thaw 'touch thawing; sleep 3; touch thawed' \
		< "$input" 2> serve.err &
	server=$!
	wait_for_file thawing
	kill -TERM $server
	wait $server
	is "serve" 130 $?
	says 'may still be frozen'
	wait_for_file thawed
	expect "thawed nevertheless" test -e thawed
	end_client 3
}

tests+=(without_standard_input)
without_standard_input() {
	start_client
	timeout 600 "$vdi" serve backup t -q --snapshot --freeze 'touch frozen' --thaw 'mv frozen thawed' \
		2> serve.err <&-
	is "serve" 1 $?
	says 'cannot read the input'
	expect "thawed" test -e thawed
	end_client 3
}

tests+=(interrupted_while_freezing)
interrupted_while_freezing() {
	start_client
	"$vdi" serve backup t -q --snapshot --freeze 'touch freezing; sleep 60' --thaw 'touch thawed' \
		< "$input" 2> serve.err &
	server=$!
	wait_for_file freezing
	kill -TERM $server
	wait $server
	is "serve" 130 $?
	expect "thawed" test -e thawed
	end_client 3
}

run_tests
