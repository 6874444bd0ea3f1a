#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Point-in-time recovery with vdi-pg-restore: a real server is backed up, changed, and
# restored as it was at a time, a restore point, a position and a transaction. The streams
# are files: see pg_files.sh. Needs the built tree two levels up, PostgreSQL and root; not
# the module.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-recovery.XXXXXX")
trap 'pg_stop immediate 2> /dev/null; umount "$work/small" 2> /dev/null; rm -rf "$work"' EXIT
PG_TARGET=
# shellcheck source=postgres/cluster.sh
. "$top/postgres/cluster.sh"

[ -x "$top/build/postgres/test/pg-restore-file" ] || skip_all "pg-restore-file is not built"
[ -x "$pg_bin/postgres" ] || skip_all "PostgreSQL server is missing"
[ "$(id -u)" = 0 ] || skip_all "not root"
chmod 755 "$work"

# shellcheck source=selftests/programs/pg_stream.sh
. ./pg_stream.sh
# shellcheck source=selftests/programs/pg_files.sh
. ./pg_files.sh

show() {
	[ "$bad" = 0 ] || sed 's/^/# /' "$work/restore.log"
}

command="cp \"$work/archive o'clock\"/%f \"%p\""

# recovered RESTORE-OPTIONS...: restores, starts the server, prints its rows as "1 2 ..."
# when it has ended the recovery, or has paused it.
recovered() {
	local found

	rm -rf "$work/restored"
	restore_file full -q -D "$work/restored" --restore-command "$command" "$@" || { echo "# restore failed"; bad=1; return; }
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -n "$work/restored"
	is "modes" "600 600" "$(cd "$work/restored" && stat -c %a recovery.signal postgresql.auto.conf | xargs)"
	is "owner" "$pg_user" "$(stat -c %U "$work/restored/recovery.signal")"
	# each of them would begin timeline 2 in the archive
	echo "archive_mode = off" >> "$work/restored/postgresql.conf"
	pg_data=$work/restored pg_start || { bad=1; return; }
	found=$(sql 'select string_agg(i::text, $$ $$ order by i) from t')
	state=$(sql 'select pg_is_in_recovery()')
	[ "$state" = f ] || state=$(sql 'select pg_get_wal_replay_pause_state()')
	pg_data=$work/restored pg_stop fast
	rows=$found
}

tests+=(to_a_time)
to_a_time() {
	recovered --target-time "$time" --target-action promote
	is "rows" "1 2" "$rows"
	is "in recovery" f "$state"
	show
}

tests+=(to_a_restore_point_and_pause)
to_a_restore_point_and_pause() {
	recovered --target-name "it's \\ here"
	is "rows" "1 2 3" "$rows"
	is "state" paused "$state"
	show
}

tests+=(to_a_position_and_to_a_transaction)
to_a_position_and_to_a_transaction() {
	recovered --target-lsn "$lsn" --target-action promote --target-timeline current
	is "rows" "1 2 3 4" "$rows"
	recovered --target-xid "$xid" --target-action promote
	is "rows" "1 2 3 4 5" "$rows"
	show
}

tests+=(to_the_end_of_the_archive)
to_the_end_of_the_archive() {
	recovered
	is "rows" "1 2 3 4 5 6" "$rows"
	is "in recovery" f "$state"
	recovered --target-immediate --target-action promote
	is "rows at the end of the backup" "1" "$rows"
	show
}

# The settings of the backup have another target, which the server would reject together
# with the new one, and the last line has no newline.
tests+=(target_of_the_backup_is_replaced)
target_of_the_backup_is_replaced() {
	cp -a "$pg_data/postgresql.auto.conf" "$work/auto.conf"
	printf "recovery_target_name = 'old'\nrecovery_target_action = 'shutdown'\nwork_mem = '5MB'" \
		>> "$pg_data/postgresql.auto.conf"
	# a server that is not a standby starts with these settings
	pg_start
	: > "$work/standby.signal"
	install -o "$pg_user" "$work/standby.signal" "$pg_data/standby.signal"
	backup_file full
	pg_stop fast
	cp -a "$work/auto.conf" "$pg_data/postgresql.auto.conf"
	rm "$pg_data/standby.signal"
	recovered --target-immediate --target-action promote
	is "rows" "1 2 3 4 5 6" "$rows"
	expect "other settings are kept" grep -qx "work_mem = '5MB'" "$work/restored/postgresql.auto.conf"
	show
}

tests+=(wrong_options_are_rejected_before_anything_is_read)
wrong_options_are_rejected_before_anything_is_read() {
	local args

	while IFS='|' read -ra args; do
		restore_file nosuchstream -q -D "$work/none" "${args[@]}"
		is "${args[*]}" 2 $?
		expect "${args[*]}: no set is joined" test ! -e "$work/streams/nosuchstream.outcome"
	done <<-'END'
	--target-time|2026-11-30 12:00:00+01
	--target-action|promote|--restore-command|cp a/%f %p
	--restore-command|cp a/%f %p|--target-time|2026-11-30 12:00:00
	--restore-command|cp a/%f %p|--target-time|2026-02-30 12:00:00Z
	--restore-command|cp a/%f %p|--target-time|yesterday
	--restore-command|cp a/%f %p|--target-time|2026-11-30 12:00:00 Europe/Berlin
	--restore-command|cp a/%f %p|--target-time|2026-11-30 12:00:00+01:
	--restore-command|cp a/%f %p|--target-time|2026-11-30 12:00:00+01|--target-name|x
	--restore-command|cp a/%f %p|--target-name|
	--restore-command|cp a/%f %p|--target-name|0123456789012345678901234567890123456789012345678901234567890123
	--restore-command|cp a/%f %p|--target-lsn|12345678
	--restore-command|cp a/%f %p|--target-xid|-5
	--restore-command|cp a/%f %p|--target-immediate|--target-action|stop
	--restore-command|cp a/%f %p|--target-immediate|--target-timeline|0
	--restore-command|cp a/%f
	--restore-command|cp a/%f %p %x
	--restore-command|cp a/%f %p %
	END
	restore_file nosuchstream -q -D "$work/none" --restore-command $'cp a/%f %p\nx'
	is "a command of two lines" 2 $?
}

# With and without threads that write the files
tests+=(same_files_with_one_device_and_with_several)
same_files_with_one_device_and_with_several() {
	local devices

	for devices in 1 2 64; do
		restore_file full -q -D "$work/restored$devices"
		is "$devices devices" 0 $?
	done
	expect "2 devices" diff -r "$work/restored1" "$work/restored2"
	expect "64 devices" diff -r "$work/restored1" "$work/restored64"
	is "owners, modes and times" "" "$(for devices in 1 2 64; do
		(cd "$work/restored$devices" && find . -type f ! -name backup_manifest -printf '%p %u %g %m %Ts\n' | sort)
	done | sort | uniq -c | grep -v '^ *3 ')"
	rm -r "$work"/restored[126]*
}

tests+=(full_disk)
full_disk() {
	local devices

	mkdir -p "$work/small"
	mount -t tmpfs -o size=8M,mode=777 none "$work/small" || { bad=1; return; }
	for devices in 1 3; do
		restore_file full -q -D "$work/small/data"
		is "$devices devices" 1 $?
		expect "names the file" grep -q "cannot write $work/small/data.partial/.*: No space left on device" "$work/restore.log"
		is "vdi restore" 1 "$(cat "$work/streams/full.outcome")"
		is "files" "" "$(ls -A "$work/small")"
	done
	umount "$work/small"
	show
}

tests+=(only_the_manifest)
only_the_manifest() {
	restore_file full -q --manifest "$work/out/manifest"
	is "vdi-pg-restore --manifest" 0 $?
	expect "the manifest" cmp "$work/full.manifest" "$work/out/manifest"
	is "mode" "600" "$(stat -c %a "$work/out/manifest")"
	is "files" manifest "$(ls "$work/out")"
	echo old > "$work/out/manifest"
	head -c -30 "$work/streams/full" > "$work/streams/cut"
	restore_file cut -q --manifest "$work/out/manifest"
	is "a stream that is cut off" 5 $?
	is "the older manifest" old "$(cat "$work/out/manifest")"
	is "files" manifest "$(ls "$work/out")"
	restore_file full -q --manifest "$work/out"
	is "a directory" 1 $?
	restore_file full -q --manifest "$work/out/x" -D "$work/y"
	is "--manifest and -D" 2 $?
	restore_file full full -q --manifest "$work/out/x"
	is "two sets" 2 $?
	show
}

pg_create <<-END || { echo "Bail out! initdb failed"; exit 1; }
	wal_level = replica
	archive_mode = on
	archive_command = 'cp "%p" "$work/archive o''clock/%f"'
END
install -d -o "$pg_user" "$work/archive o'clock" "$work/out"
pg_start || { echo "Bail out! the server does not start"; exit 1; }
sql 'create table t (i int)'
sql 'insert into t values (1)'
backup_file full || { echo "Bail out! pg_basebackup failed"; exit 1; }
sql 'insert into t values (2)'
# between two commits, whatever the clock is
time=$(sql "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"Z\"')")
sql 'insert into t values (3)'
sql "select pg_create_restore_point('it''s \\ here')" > "$work/point"
sql 'insert into t values (4)'
lsn=$(sql 'select pg_current_wal_insert_lsn()')
xid=$(sql 'insert into t values (5) returning pg_current_xact_id()')
sql 'insert into t values (6)'
sql 'select pg_switch_wal()' > "$work/switched"
until [ -n "$(sql "select 1 from pg_stat_archiver where last_archived_wal >= pg_walfile_name('$(cat "$work/switched")')")" ]; do
	sleep 0.1
done
pg_stop fast
run_tests
