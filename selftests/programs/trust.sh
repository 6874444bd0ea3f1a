#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows which set vdi serve joins if several users have sets of the same name, which
# messages it prints, and how vdi ls, vdi top and vdi abort distinguish the sets.
#
# shellcheck disable=SC2317,SC2086 # called by their names; numbers

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-trust.XXXXXX")
trap 'rm -rf "$work"' EXIT

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$root/build/tools/vdi" ] || skip_all "vdi is not built"
[ "$(id -u)" = 0 ] || skip_all "not root"

# users without an entry in /etc/passwd
untrusted=12345
database=70
# other users may have no access to the directory of the tree
bin=$work/bin
vdi=$bin/vdi
install -d -m 755 "$bin"
install -m 755 "$root/build/tools/vdi" "$bin"
[ ! -x "$root/build/postgres/vdi-pg-restore" ] ||
	install -m 755 "$root/build/postgres/vdi-pg-restore" "$bin"
chmod 755 "$work"
mkdir "$work/here"
cd "$work/here" || exit 1

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || for f in *err; do
		[ ! -s "$f" ] || sed "s,^,# $f: ," "$f"
	done
	rm -rf "${work:?}/here/"*
}

# Executes the command; to be called in the background or in a subshell.
as() { # UID COMMAND...
	local user=$1

	shift
	[ "$BASHPID" = $$ ] || exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
	setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
}

# Holds a set in the background; $holder is the process.
appliance() { # UID OPTIONS...
	local user=$1

	shift
	install -d -o "$user" -m 755 "dir$user"
	exec {ready}< <(as "$user" "$vdi" backup t --to "dir$user/b" "$@" 2>&1)
	holder=$!
	holders+=("$holder")
	# it prints that it waits once the set exists
	read -r line <&"$ready"
	expect "the set of uid $user exists: $line" test "${line#*waiting}" != "$line"
}

# Kills the process of appliance().
let_go() {
	local pid

	for pid in "${holders[@]}"; do
		kill -9 "$pid" 2> /dev/null
	done
	holders=()
	wait_until no_sets
}

id_of() { # UID of the creator
	"$vdi" ls --json | tr -d '\n' | sed 's/"secondaries"/\n/g' |
		sed -n "s/.*\"id\": *\([0-9]*\).*\"creator\": *$1,.*/\1/p" | head -n 1
}

expect_untrusted_user() { # FILE
	expect "$1 names the untrusted user" grep -q "uid $untrusted), who is not trusted\|uid $untrusted, who is not trusted" "$1"
}

expect_one_warning() { # FILE
	is "warnings in $1" 1 "$(grep -c '^vdi: warning: .*not trusted' "$1")"
	is "lines in $1 without the prefix" 0 "$(grep -vc '^vdi: ' "$1")"
}

serve_late() { # UID WHAT
	as "$1" "$vdi" serve "$2" t -q --timeout 0.5 < input > out 2> serve.err
	is "vdi serve $2 as uid $1" 4 $?
	expect_untrusted_user serve.err
	expect_one_warning serve.err
}

# ------------------------------------------------------------------- strangers

tests+=(untrusted_set_gets_no_backup)
untrusted_set_gets_no_backup() {
	local mode

	head -c 100000 /dev/urandom > input
	for mode in 0600 0666; do
		appliance $untrusted --mode $mode
		serve_late 0 backup
		[ $mode = 0600 ] || serve_late $database backup
		expect "the untrusted user has no backup ($mode)" test ! -e "dir$untrusted/b"
		let_go
	done
	# only a user who may see the set receives a message that names it
	appliance $untrusted --mode 0600
	as $database "$vdi" serve backup t -q --timeout 0.3 < input 2> serve.err
	is "vdi serve as uid $database" 4 $?
	expect "no message names the untrusted user" sh -c "! grep -q $untrusted serve.err"
	let_go
}

tests+=(untrusted_set_gives_no_restore)
untrusted_set_gives_no_restore() {
	local user

	head -c 100000 /dev/urandom > input
	"$vdi" backup t -q --to b &
	"$vdi" serve backup t -q < input
	wait $!
	chmod -R a+rX b
	as $untrusted "$vdi" restore t -q --from b --mode 0666 2> restore.err &
	wait_for_set $untrusted
	for user in 0 $database; do
		serve_late $user restore
		is "restored bytes" 0 "$(stat -c %s out)"
	done
	kill $!
	wait $!
	is "vdi restore" 130 $?
}

has_set() { # UID of the creator
	[ -n "$(id_of "$1")" ]
}

wait_for_set() { # UID
	wait_until has_set "$1"
}

tests+=(trusted_set_is_preferred)
trusted_set_is_preferred() {
	head -c 100000 /dev/urandom > input
	appliance $untrusted --mode 0666
	"$vdi" backup t --to real --owner $database 2> backup.err &
	wait_for_set 0
	as $database "$vdi" serve backup t < input 2> serve.err
	is "vdi serve" 0 $?
	wait $!
	is "vdi backup" 0 $?
	expect "the backup exists" "$vdi" verify -q real
	expect "the untrusted user has no backup" test ! -e "dir$untrusted/b"
	# both sides print the identity of the other
	expect "vdi serve prints the identity of the client" \
		grep -q "^vdi: joined 't' of vdi (pid [0-9]*, primary client, user root)" serve.err
	expect "vdi backup prints the identity of the database" \
		grep -q "^vdi: the database on 't' is vdi (pid [0-9]*, server, user [^ ]*)" backup.err
	let_go
}

tests+=(from_replaces_trusted_users)
from_replaces_trusted_users() {
	local from

	head -c 100000 /dev/urandom > input
	for from in "--from $untrusted" "--from nobody,$untrusted" "--from nobody --from $untrusted"; do
		appliance $untrusted
		"$vdi" serve backup t -q $from < input 2> serve.err
		is "vdi serve $from" 0 $?
		wait "$holder"
		expect "the other user's backup exists" test -e "dir$untrusted/b/manifest.json"
		rm -rf "dir$untrusted"
	done
	# --from replaces the default
	appliance 0
	"$vdi" serve backup t -q --from $untrusted --timeout 0.3 < input 2> serve.err
	is "vdi serve --from $untrusted" 4 $?
	expect "the message names root" grep -q "created by root (uid 0), who is not trusted (trusted: uid $untrusted)" serve.err
	let_go
	for from in no-such-user '' 0,,1 -1 4294967295 1K; do
		"$vdi" serve backup t --from "$from" < /dev/null 2> serve.err
		is "vdi serve --from '$from'" 2 $?
		expect "vdi serve --from '$from' says why" grep -q 'no such user' serve.err
	done
	[ -x "$bin/vdi-pg-restore" ] || return
	appliance $untrusted --profile tape --mode 0666
	as $database "$bin/vdi-pg-restore" t -q -D "$PWD/none" --timeout 0.3 2> serve.err
	expect "vdi-pg-restore fails" test $? != 0
	let_go
	chmod 777 .
	appliance $untrusted --profile tape --mode 0666
	as $database "$bin/vdi-pg-restore" t -q -D "$PWD/data" --timeout 0.3 2> serve.err
	is "vdi-pg-restore" 4 $?
	expect_untrusted_user serve.err
	as $database "$bin/vdi-pg-restore" t -q -D "$PWD/data" --from $untrusted 2> serve.err
	is "vdi-pg-restore --from" 1 $?
	expect "it joined the set" grep -q 'like tapes, not like pipes' serve.err
	let_go
}

# ------------------------------------------------------------------- ended sets

# A set of UID that is aborted but still held, because its process is stopped
ended() { # UID
	appliance "$1" --mode 0666
	kill -STOP "$holder"
	"$vdi" abort --id "$(id_of "$1")" --message 'the first'
}

tests+=(ended_set_is_skipped)
ended_set_is_skipped() {
	local user

	head -c 100000 /dev/urandom > input
	for user in 0 $untrusted; do
		ended $user
		"$vdi" serve backup t -q --timeout 20 < input 2> serve.err &
		second=$!
		sleep 0.5
		expect "it waits (uid $user)" kill -0 "$second"
		"$vdi" backup t -q --to "real$user" 2> backup.err
		is "vdi backup (uid $user)" 0 $?
		wait "$second"
		is "vdi serve (uid $user)" 0 $?
		expect "the backup exists" "$vdi" verify -q "real$user"
		let_go
	done
}

tests+=(ended_set_is_explained)
ended_set_is_explained() {
	ended 0
	"$vdi" serve backup t -q --timeout 0.5 < /dev/null 2> serve.err
	is "vdi serve" 4 $?
	expect "that none came" grep -q 'no backup program has created the set within 0.5 s' serve.err
	expect "how the last one ended" grep -q 'aborted by vdi (pid [0-9]*, observer): the first' serve.err
	is "lines" 1 "$(wc -l < serve.err)"
	# also if the set is gone when serve times out; the warning was printed before
	appliance $untrusted --mode 0666
	"$vdi" serve backup t -q --timeout 10 < /dev/null 2> serve.err &
	second=$!
	wait_until grep -q 'warning: .*has ended: .*; another was created by uid' serve.err
	let_go
	wait "$second"
	is "vdi serve" 4 $?
	expect "the message says how the last set ended" grep -q 'there is no set .*before that, .*: the first' serve.err
	# a set of another user that is not trusted is not reported
	ended $untrusted
	"$vdi" serve backup t -q --timeout 0.5 < /dev/null 2> serve.err
	is "vdi serve" 4 $?
	expect "no message names the untrusted user" sh -c "! grep -q '$untrusted\|the first' serve.err"
	let_go
}

# ------------------------------------------------------------------ equal names

tests+=(ls_distinguishes_users)
ls_distinguishes_users() {
	appliance 0
	appliance $untrusted
	"$vdi" ls > out
	expect "root's" grep -Eq '^t +created +root +0/1 ' out
	expect "the set of the untrusted user" grep -Eq "^t +created +$untrusted +0/1 " out
	expect "no column that says nothing new" sh -c '! grep -q CREATOR out'
	is "lines that do not fit in 80 columns" 0 "$(grep -Ec '.{81}' out)"
	let_go
	appliance 0 --owner $database
	"$vdi" ls > out
	expect "a column for the creator" grep -Eq '^NAME +STATE +OWNER +CREATOR +DEVICES ' out
	expect "owner and creator" grep -Eq "^t +created +[a-z]*(70)? +root +0/1 " out
	is "lines that do not fit in 80 columns" 0 "$(grep -Ec '.{81}' out)"
	"$vdi" ls --json > json
	expect "JSON: owner" grep -q "\"uid\": *$database" json
	expect "JSON: creator" grep -q '"creator": *0' json
	let_go
}

tests+=(abort_of_one_of_two)
abort_of_one_of_two() {
	local mine theirs

	appliance 0
	appliance $untrusted
	mine=$(id_of 0)
	theirs=$(id_of $untrusted)
	"$vdi" abort t 2> abort.err
	is "vdi abort t" 2 $?
	expect "lists root's set" grep -q -e "--id $mine is root:t, created" abort.err
	expect "lists the other user's set" grep -q -e "--id $theirs is $untrusted:t, created" abort.err
	is "sets" 2 "$("$vdi" ls | grep -c '^t ')"
	"$vdi" abort $database:t 2> abort.err
	is "vdi abort of another user's set" 1 $?
	"$vdi" abort $untrusted:t
	is "vdi abort $untrusted:t" 0 $?
	wait_until gone "$theirs"
	is "left" "$mine" "$(id_of 0)"
	"$vdi" abort t
	is "vdi abort t, with one set left" 0 $?
	let_go
	appliance 0
	appliance $untrusted
	"$vdi" abort --id "$(id_of $untrusted)"
	is "vdi abort --id" 0 $?
	# the result is the same if the set is not visible
	as $database "$vdi" abort t 2> abort.err
	is "vdi abort as uid $database" 1 $?
	let_go
}

gone() { # ID
	! "$vdi" ls --json | grep -q "\"id\": *$1,"
}

tests+=(names_with_a_colon)
names_with_a_colon() {
	"$vdi" backup root:t -q --to b 2> backup.err &
	wait_for_set 0
	"$vdi" abort root:t
	is "vdi abort root:t" 0 $?
	wait
	# another user's set of the name "root:t" is not confused with root's t
	"$vdi" backup t -q --to b 2> backup.err &
	wait_for_set 0
	install -d -o $untrusted dir
	as $untrusted "$vdi" backup root:t -q --to dir/b 2> untrusted.err &
	wait_for_set $untrusted
	"$vdi" abort root:t 2> abort.err
	is "vdi abort root:t, of two" 2 $?
	expect "lists both" test "$(grep -c -e '--id' abort.err)" = 2
	"$vdi" abort root:root:t 2> abort.err
	is "vdi abort root:root:t" 1 $?
	"$vdi" abort $untrusted:root:t
	is "vdi abort $untrusted:root:t" 0 $?
	"$vdi" abort t
	is "vdi abort t" 0 $?
	wait
}

tests+=(top_distinguishes_users)
top_distinguishes_users() {
	appliance 0
	appliance $untrusted
	"$vdi" top -n 1 > out
	expect "root's" grep -q '^root:t ' out
	expect "the set of the untrusted user" grep -q "^$untrusted:t " out
	"$vdi" top t -n 1 > out 2> top.err
	is "vdi top t" 2 $?
	expect "lists the sets" grep -q -e "--id .* is $untrusted:t, created" top.err
	"$vdi" top $untrusted:t -n 1 > out
	is "vdi top $untrusted:t" 0 $?
	expect "one set is shown" test "$(grep -c '^t ' out)" = 1
	"$vdi" top --id "$(id_of 0)" -n 1 > out
	is "vdi top --id" 0 $?
	expect "one set is shown" test "$(grep -c '^t ' out)" = 1
	"$vdi" top --id 0 -n 1 > out 2> top.err
	is "vdi top --id 0" 2 $?
	"$vdi" top t --id 1 -n 1 > out 2> top.err
	is "vdi top t --id 1" 2 $?
	let_go
}

run_tests
