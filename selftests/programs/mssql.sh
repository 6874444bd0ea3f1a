#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi-mssql hands backups and restores over between SQL Server's library and a
# set, and passes every failure on in both directions. SQL Server and its library are not
# here: the library is our libsqlvdi.so, and vdi serve takes the place of the server, so the
# test shows nothing about Microsoft's library.
#
# shellcheck disable=SC2086,SC2317,SC2012 # numbers; run_tests calls them; plain names

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi
bridge=$top/build/mssql/vdi-mssql
library=$top/build/libvdi/libsqlvdi.so
# for the library's own libvdi
export LD_LIBRARY_PATH=$top/build/libvdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$bridge" ] || skip_all "vdi-mssql is not built"
[ -e "$library" ] || skip_all "libsqlvdi is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/mssql.XXXXXX")
trap 'umount "$dir/full" 2> /dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export vdi dir
seq 400000 > data

# In the place of sqlcmd and SQL Server: does what the statement, the last argument, says.
# AFTER is a command that runs at the end.
mkdir fake
cat > fake/sqlcmd <<'EOF'
#!/bin/bash
printf '%s\n' "$@" > "$dir/arguments"
statement=${!#}
devices=()
for name in $(grep -o "VIRTUAL_DEVICE='[^']*'" <<< "$statement" | cut -d\' -f2); do
	devices+=(--device "$name")
done
case $statement in
BACKUP*) "$vdi" serve backup "${devices[1]}" "${devices[@]}" -q < "$dir/data" || exit ;;
RESTORE*) "$vdi" serve restore "${devices[1]}" "${devices[@]}" -q > "$dir/out" || exit ;;
esac
eval "${AFTER:-:}"
EOF
chmod +x fake/sqlcmd
PATH=$dir/fake:$PATH

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	is "remaining processes" "" "$(pgrep -x vdi; pgrep -x vdi-mssql; pgrep -x sqlcmd)"
	[ $bad = 0 ] || tail -n 5 err.* 2> /dev/null | sed 's/^/# /'
	rm -rf b b.* out err.* arguments
}

limited() {
	timeout 600 "$@"
}

# Starts vdi backup or vdi restore as job $appliance.
appliance() { # OPTION...
	limited "$vdi" "$@" -q > out.appliance 2> err.appliance &
	appliance=$!
}

run_bridge() { # backup|restore [OPTION...]
	limited "$bridge" "$1" t --library "$library" --database x -q "${@:2}" 2> err.bridge
}

# The exit codes of vdi-mssql, which has ended with $1, and of the appliance.
both() { # GOT WANTED WANTED-APPLIANCE
	is "vdi-mssql" "$2" "$1"
	wait $appliance
	is "the appliance" "$3" $?
}

no_backup() {
	is "files" "" "$(ls -d b* full/b* 2> /dev/null)"
}

says() { # TEXT
	expect "vdi-mssql says '$1'" grep -qF -- "$1" err.bridge
}

round_trip() { # OPTION...
	appliance backup t --to b "$@"
	run_bridge backup
	both $? 0 0
	expect "$*: vdi verify" "$vdi" verify -q b
	appliance restore t --from b
	run_bridge restore
	both $? 0 0
	expect "$*: the data" cmp data out
	rm -rf b
}

tests+=(pipes)
pipes() {
	round_trip
	round_trip -n 5
}

tests+=(disks)
disks() {
	round_trip --profile disk -n 3
	round_trip --profile disk --removable --capacity 1M
}

tests+=(tapes)
tapes() {
	round_trip --profile tape -n 2
	round_trip --profile tape --capacity 1M --discard
	round_trip --profile tape --capacity 1M --soft-filemarks 4096
}

tests+=(statements)
statements() {
	local name

	appliance backup t --to b -n 2
	run_bridge backup --database 'a]b' --log --with 'COPY_ONLY, STATS = 10'
	both $? 0 0
	name=$(grep -oE -m 1 '[0-9a-f-]{36}' arguments | head -n 1)
	is "arguments" "-b -r1 -Q BACKUP LOG [a]]b] TO VIRTUAL_DEVICE='$name', VIRTUAL_DEVICE='$name-1' WITH COPY_ONLY, STATS = 10" \
		"$(paste -sd ' ' arguments)"
	appliance restore t --from b
	limited "$bridge" restore t --library "$library" -q \
		--statement 'RESTORE DATABASE y FROM %D WITH REPLACE' -- sqlcmd -S host 2> err.bridge
	both $? 0 0
	expect "the given statement" grep -q "^RESTORE DATABASE y FROM VIRTUAL_DEVICE='.*-1' WITH REPLACE$" arguments
	is "arguments before it" "-S host -b -r1 -Q" "$(head -n -1 arguments | paste -sd ' ')"
}

tests+=(statement_fails_at_once)
statement_fails_at_once() {
	appliance backup t --to b
	run_bridge backup -- sh -c 'echo "Login failed." >&2; exit 7'
	both $? 1 3
	says "the command for SQL Server ended with exit code 7; its last messages: Login failed."
	no_backup
	appliance backup t --to b
	run_bridge backup -- no-such-command
	both $? 1 3
	says "cannot start 'no-such-command': No such file or directory"
}

# The backup was published when SQL Server had completed it.
tests+=(statement_fails_at_the_end)
statement_fails_at_the_end() {
	appliance backup t --to b
	AFTER='exit 3' run_bridge backup
	is "vdi-mssql" 1 $?
	says "ended with exit code 3"
	wait $appliance
	expect "vdi backup fails" test $? != 0
	expect "vdi backup says what b is" grep -qF \
		'b holds the complete backup, but the database may count it as failed' err.appliance
	appliance restore t --from b
	AFTER='kill -9 $$' run_bridge restore
	is "vdi-mssql" 1 $?
	says "was killed by signal 9"
	wait $appliance
	expect "vdi restore fails" test $? != 0
}

# Starts a slow backup, and waits until data arrives.
slow_backup() {
	appliance backup t --to b --max-rate 200K
	limited "$bridge" backup t --library "$library" --database x -q 2> err.bridge &
	job=$!
	wait_until test -s b.partial/device-00.data
}

# Both sides fail, whatever their exit codes are.
both_fail() {
	wait $job
	expect "vdi-mssql fails" test $? != 0
	wait $appliance
	expect "the appliance fails" test $? != 0
	no_backup
}

tests+=(killed_server)
killed_server() {
	slow_backup
	pkill -9 -f '^[^ ]*vdi serve'
	both_fail
	says "the command for SQL Server ended with exit code 137"
}

tests+=(killed_appliance)
killed_appliance() {
	slow_backup
	pkill -9 -f '^[^ ]*vdi backup'
	wait $job
	is "vdi-mssql" 3 $?
	wait $appliance
	is "files" "b.partial b.partial.lock" "$(echo b*)"
}

tests+=(killed_bridge)
killed_bridge() {
	slow_backup
	pkill -9 -x vdi-mssql
	both_fail
	while pgrep -x sqlcmd > /dev/null; do sleep 0.1; done
}

tests+=(aborted_set)
aborted_set() {
	slow_backup
	"$vdi" abort t -m "stop it"
	both_fail
	says "stop it"
}

tests+=(interrupted)
interrupted() {
	slow_backup
	pkill -INT -x vdi-mssql
	wait $job
	is "vdi-mssql" 130 $?
	wait $appliance
	is "the appliance" 3 $?
	no_backup
}

tests+=(disk_full)
disk_full() {
	mkdir -p full
	expect "a full disk" mount -t tmpfs -o size=1M none full
	appliance backup t --to full/b
	run_bridge backup
	is "vdi-mssql" 1 $?
	wait $appliance
	is "vdi backup" 1 $?
	no_backup
	umount full
}

tests+=(wrong_direction)
wrong_direction() {
	appliance backup t --to b
	run_bridge backup --statement "RESTORE DATABASE x FROM %D" 2> /dev/null
	is "--statement beside --database" 2 $?
	limited "$bridge" backup t --library "$library" -q \
		--statement "RESTORE DATABASE x FROM %D" 2> err.bridge
	is "vdi-mssql" 1 $?
	says "SQL Server wants to restore: the statement is not a BACKUP"
	wait $appliance
	expect "vdi backup fails" test $? != 0
	no_backup
}

tests+=(libraries)
libraries() {
	limited "$bridge" backup t --library ./none.so --database x 2> err.bridge
	is "exit code" 1 $?
	says "cannot load the library"
	says "--library names another one"
	limited "$bridge" backup t --library "$top/build/libvdi/libvdi.so" --database x 2> err.bridge
	is "exit code" 1 $?
	says "is not a libsqlvdi.so: it does not have _ZN22ClientVirtualDeviceSetC1Ev"
	limited "$bridge" backup t --library "$library" --database x -t 1 2> err.bridge
	is "exit code without a set" 4 $?
}

tests+=(trace)
trace() {
	local word

	appliance backup t --to b
	run_bridge backup --trace
	both $? 0 0
	for word in 'Create("' GetConfiguration OpenDevice 'GetCommand(' 'CompleteCommand(' 'Close() = 0$'; do
		expect "a line with $word" grep -q "^libsqlvdi: .*$word" err.bridge
	done
}

run_tests
