#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Incremental backups of PostgreSQL 17 or later: a full backup and increments are combined,
# and a chain that is not complete is rejected. The streams are files: see pg_files.sh;
# packaging/debian/tests/backup-restore does it through sets. Needs the built tree two levels
# up, PostgreSQL and root; not the module.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-increments.XXXXXX")
trap 'pg_stop immediate 2> /dev/null; rm -rf "$work"' EXIT
PG_TARGET=
# shellcheck source=postgres/cluster.sh
. "$top/postgres/cluster.sh"

[ -x "$top/build/postgres/test/pg-restore-file" ] || skip_all "pg-restore-file is not built"
[ -x "$pg_bin/postgres" ] || skip_all "PostgreSQL server is missing"
[ -x "$pg_bin/pg_combinebackup" ] || skip_all "$("$pg_bin/postgres" --version) has no incremental backups; 17 has"
[ "$(id -u)" = 0 ] || skip_all "not root"
chmod 755 "$work"

# shellcheck source=selftests/programs/pg_stream.sh
. ./pg_stream.sh
# shellcheck source=selftests/programs/pg_files.sh
. ./pg_files.sh

place=$work/place
restore=(-q -T "$work/tablespace=$place/ts")

after_each() {
	[ $bad = 0 ] || sed 's/^/# /' "$work/restore.log"
	rm -rf "$place"
	install -d -o "$pg_user" "$place"
}

left() {
	is "files that are left" "" "$(find "$place" -mindepth 1 -maxdepth 1)"
}

# outcomes NAME:CODE...: what vdi restore of each set would have ended with
outcomes() {
	local o

	for o; do
		is "vdi restore of ${o%:*}" "${o#*:}" "$(cat "$work/streams/${o%:*}.outcome" 2> /dev/null)"
	done
}

# contents DIR: what a server on DIR has in its tables
contents() {
	pg_data=$1 pg_start || { bad=1; return; }
	sql 'select count(*), sum(i), sum(hashtext(pad)) from plain'
	sql 'select count(*), sum(i) from elsewhere'
	pg_data=$1 pg_stop fast
}

tests+=(full_and_two_increments)
full_and_two_increments() {
	local oid

	restore_file full one two "${restore[@]}" -D "$place/data"
	is "vdi-pg-restore" 0 $?
	outcomes full:0 one:0 two:0
	is "files" "data ts" "$(cd "$place" && echo *)"
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$place/data"
	is "modes" "700 700 600" "$(cd "$place" && stat -c %a data ts data/backup_manifest | xargs)"
	is "files of other users" "" "$(find "$place" ! -user "$pg_user")"
	oid=$(ls "$place/data/pg_tblspc")
	is "link" "$place/ts" "$(readlink "$place/data/pg_tblspc/$oid")"
	is "tablespace_map" "$oid $place/ts" "$(cat "$place/data/tablespace_map")"
	is "no increments are left" "" "$(find "$place" -name 'INCREMENTAL.*')"
	mv "$work/tablespace" "$work/tablespace.away"
	is "contents" "$last" "$(contents "$place/data")"
	mv "$work/tablespace.away" "$work/tablespace"
}

tests+=(full_and_one_increment_into_existing_directories)
full_and_one_increment_into_existing_directories() {
	install -d -o "$pg_user" -m 700 "$place/data" "$place/ts"
	restore_file full one "${restore[@]}" -D "$place/data"
	is "vdi-pg-restore" 0 $?
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$place/data"
	is "contents" "$middle" "$(contents "$place/data")"
}

# without_log NAME: bytes of the stream, except the segments of the log, of 16 MiB each
without_log() {
	local segments
	segments=$(grep -aoE 'pg_wal/[0-9A-F]{24}' "$work/streams/$1" | sort -u | wc -l)
	echo $(($(stat -c %s "$work/streams/$1") - (segments << 24)))
}

tests+=(smaller_than_full)
smaller_than_full() {
	expect "an increment is smaller than the full backup" test "$(without_log one)" -lt $(($(without_log full) / 2))
	expect "each contains the log" test "$(without_log one)" -lt "$(stat -c %s "$work/streams/one")"
}

tests+=(manifest_for_the_next_increment)
manifest_for_the_next_increment() {
	restore_file two -q --manifest "$place/manifest"
	is "--manifest" 0 $?
	expect "the same" cmp "$work/two.manifest" "$place/manifest"
}

tests+=(increment_alone)
increment_alone() {
	restore_file one "${restore[@]}" -D "$place/data"
	is "vdi-pg-restore" 1 $?
	outcomes one:1
	expect "says what is needed" grep -q "of 'one' failed: it is an incremental backup, based on the one that starts at .* name the sets of the full backup" "$work/restore.log"
	left
	restore_file one two "${restore[@]}" -D "$place/data"
	is "increments without the full backup" 1 $?
	expect "names the first" grep -q "of 'one' failed: it is an incremental backup" "$work/restore.log"
	left
}

tests+=(gap_and_wrong_order)
gap_and_wrong_order() {
	restore_file full two "${restore[@]}" -D "$place/data"
	is "a gap" 1 $?
	outcomes full:0 two:1
	expect "names both" grep -q "of 'two' failed: it is based on the backup that starts at .* but 'full', .* a backup is missing between them" "$work/restore.log"
	left
	restore_file full two one "${restore[@]}" -D "$place/data"
	is "a wrong order" 1 $?
	left
	restore_file full one full "${restore[@]}" -D "$place/data"
	is "two full backups" 1 $?
	expect "names it" grep -q "of 'full' failed: it is a full backup: only increments can follow 'one'" "$work/restore.log"
	left
	restore_file full one one "${restore[@]}" -D "$place/data"
	is "the same increment twice" 1 $?
	left
}

tests+=(other_cluster)
other_cluster() {
	local at

	at=$(grep -abo -m 1 '' "$work/streams/one" | head -n 1 | cut -d: -f 1)
	cp "$work/streams/one" "$work/streams/other"
	# the system identifier in the first record
	printf '\001\002' | dd of="$work/streams/other" bs=1 seek=$((at + 24)) conv=notrunc status=none
	restore_file full other "${restore[@]}" -D "$place/data"
	is "vdi-pg-restore" 1 $?
	expect "says so" grep -q "of 'other' failed: it is a backup of another cluster than 'full'" "$work/restore.log"
	left
}

tests+=(tablespace_without_a_place)
tablespace_without_a_place() {
	restore_file full one -q -D "$place/data"
	is "no -T" 1 $?
	expect "says what to do" grep -q "tablespace at $work/tablespace: use -T" "$work/restore.log"
	left
	restore_file full one "${restore[@]}" -T "/no/such=$place/x" -D "$place/data"
	is "-T that matches nothing" 1 $?
	outcomes one:1
	left
}

tests+=(no_program)
no_program() {
	install -d "$place/bin"
	restore_file full one "${restore[@]}" -D "$place/data" --pg-bindir "$place/bin"
	is "no pg_combinebackup" 1 $?
	expect "says so" grep -q "of 'full' failed: there is no pg_combinebackup of PostgreSQL .* in $place/bin: .*--pg-bindir" "$work/restore.log"
	printf '#!/bin/sh\necho "pg_combinebackup (PostgreSQL) 16.1"\n' > "$place/bin/pg_combinebackup"
	chmod 755 "$place/bin/pg_combinebackup"
	restore_file full one "${restore[@]}" -D "$place/data" --pg-bindir "$place/bin"
	is "another version" 1 $?
	expect "says which" grep -q "pg_combinebackup is of PostgreSQL 16" "$work/restore.log"
	rm -r "${place:?}/bin"
	left
}

# A program that reports the version of the server and then does what $1 says
fake_program() {
	install -d -m 755 "$place/bin"
	{
		echo '#!/bin/bash'
		echo "[ \"\$1\" != --version ] || exec $pg_bin/pg_combinebackup --version"
		echo "$1"
	} > "$place/bin/pg_combinebackup"
	chmod 755 "$place/bin/pg_combinebackup"
}

tests+=(program_that_fails)
program_that_fails() {
	fake_program "echo 'error: the disk is on fire' >&2; exit 1"
	restore_file full one "${restore[@]}" -D "$place/data" --pg-bindir "$place/bin"
	is "vdi-pg-restore" 1 $?
	outcomes full:0 one:1
	expect "its message" grep -q "of 'one' failed: the backups cannot be combined: error: the disk is on fire" "$work/restore.log"
	rm -r "${place:?}/bin"
	left
}

tests+=(interrupted_while_combining)
interrupted_while_combining() {
	local program parent

	fake_program "echo \$\$ \$PPID > $place/started; exec sleep 1000"
	restore_file full one "${restore[@]}" -D "$place/data" --pg-bindir "$place/bin" &
	until [ -s "$place/started" ]; do
		kill -0 $! 2> /dev/null || break
		pause 0.1
	done
	read -r program parent < "$place/started"
	# bash has made it ignore SIGINT
	kill -TERM "$parent"
	wait $!
	is "vdi-pg-restore" 130 $?
	expect "the program was stopped" test ! -d "/proc/$program"
	rm -r "${place:?}/bin" "$place/started"
	left
}

tests+=(recovery_settings)
recovery_settings() {
	restore_file full one two "${restore[@]}" -D "$place/data" --restore-command 'cp /no/such/%f %p' --target-immediate --target-action promote
	is "vdi-pg-restore" 0 $?
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$place/data"
	is "modes" "600 600" "$(cd "$place/data" && stat -c %a recovery.signal postgresql.auto.conf | xargs)"
	mv "$work/tablespace" "$work/tablespace.away"
	is "contents" "$last" "$(contents "$place/data")"
	mv "$work/tablespace.away" "$work/tablespace"
}

state() {
	sql 'select count(*), sum(i), sum(hashtext(pad)) from plain'
	sql 'select count(*), sum(i) from elsewhere'
}

pg_create <<-END || { echo "Bail out! initdb failed"; exit 1; }
	summarize_wal = on
	autovacuum = off
END
pg_start || { echo "Bail out! the server does not start"; exit 1; }
install -d -o "$pg_user" -m 700 "$work/tablespace" "$place"
sql "create tablespace ts location '$work/tablespace'"
sql "create table plain as select i, repeat('x', 500) as pad from generate_series(1, 40000) i"
sql 'create table elsewhere (i int) tablespace ts'
sql 'insert into elsewhere select generate_series(1, 20000)'
backup_file full || { echo "Bail out! no backup"; exit 1; }
sql "update plain set pad = 'one' where i % 5000 = 0"
sql 'insert into elsewhere values (-1)'
backup_file one --incremental "$work/full.manifest" || { echo "Bail out! no increment"; exit 1; }
middle=$(state)
sql "update plain set pad = 'two' where i % 7000 = 0"
sql 'insert into elsewhere values (-2)'
sql 'create table more as select generate_series(1, 1000) i'
backup_file two --incremental "$work/one.manifest" || { echo "Bail out! no increment"; exit 1; }
last=$(state)
pg_stop fast
run_tests
