#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sets of the same name of several users: whose set vdi serve joins, whom it
# names, and how vdi ls, vdi top and vdi abort tell them apart.
#
# shellcheck disable=SC2317,SC2086 # called by their names; numbers

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-trust.XXXXXX")
trap 'rm -rf "$work"' EXIT

[ -c /dev/vdiset ] || skip_all "there is no /dev/vdiset"
[ -x "$root/build/tools/vdi" ] || skip_all "vdi is not built"
[ "$(id -u)" = 0 ] || skip_all "not root"

# users need not have an entry in /etc/passwd
stranger=12345
database=70
# the tree may lie in a home that is closed to others
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
	is "sets left" "" "$("$vdi" ls)"
	[ $bad = 0 ] || for f in *err; do
		[ ! -s "$f" ] || sed "s,^,# $f: ," "$f"
	done
	rm -rf "${work:?}/here/"*
}

# In the background, or in a subshell, it becomes the command.
as() { # UID COMMAND...
	local user=$1

	shift
	[ "$BASHPID" = $$ ] || exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
	setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
}

# A set that is held in the background: $holder is the process.
appliance() { # UID OPTIONS...
	local user=$1

	shift
	install -d -o "$user" -m 755 "dir$user"
	exec {ready}< <(as "$user" "$vdi" backup t --to "dir$user/b" "$@" 2>&1)
	holder=$!
	holders+=("$holder")
	# it says that it waits when the set exists
	read -r line <&"$ready"
	expect "the set of uid $user exists: $line" test "${line#*waiting}" != "$line"
}

# The end of what appliance() has started, in whatever way.
let_go() {
	local pid

	for pid in "${holders[@]}"; do
		kill -9 "$pid" 2> /dev/null
	done
	holders=()
	await_no_sets
}

await_no_sets() {
	local i

	for ((i = 0; i < 100; i++)); do
		[ -n "$("$vdi" ls)" ] || return
		sleep 0.1
	done
}

id_of() { # UID of the creator
	"$vdi" ls --json | tr -d '\n' | sed 's/"secondaries"/\n/g' |
		sed -n "s/.*\"id\": *\([0-9]*\).*\"creator\": *$1,.*/\1/p" | head -n 1
}

names_stranger() { # FILE
	expect "$1 names the stranger" grep -q "uid $stranger), who is not trusted\|uid $stranger, who is not trusted" "$1"
}

warns_once() { # FILE
	is "warnings in $1" 1 "$(grep -c '^vdi: warning: .*not trusted' "$1")"
	is "lines in $1 that are not whole" 0 "$(grep -vc '^vdi: ' "$1")"
}

serve_late() { # UID WHAT
	as "$1" "$vdi" serve "$2" t -q --timeout 0.5 < input > out 2> serve.err
	is "vdi serve $2 as uid $1" 4 $?
	names_stranger serve.err
	warns_once serve.err
}

# ------------------------------------------------------------------- strangers

tests+=(stranger_does_not_get_a_backup)
stranger_does_not_get_a_backup() {
	local mode

	head -c 100000 /dev/urandom > input
	for mode in 0600 0666; do
		appliance $stranger --mode $mode
		serve_late 0 backup
		[ $mode = 0600 ] || serve_late $database backup
		expect "the stranger has no backup ($mode)" test ! -e "dir$stranger/b"
		let_go
	done
	# only who may see the set can name it
	appliance $stranger --mode 0600
	as $database "$vdi" serve backup t -q --timeout 0.3 < input 2> serve.err
	is "vdi serve as uid $database" 4 $?
	expect "does not know of the stranger" sh -c "! grep -q $stranger serve.err"
	let_go
}

tests+=(stranger_does_not_give_a_restore)
stranger_does_not_give_a_restore() {
	local user

	head -c 100000 /dev/urandom > input
	"$vdi" backup t -q --to b &
	"$vdi" serve backup t -q < input
	wait $!
	chmod -R a+rX b
	as $stranger "$vdi" restore t -q --from b --mode 0666 2> restore.err &
	wait_for_set $stranger
	for user in 0 $database; do
		serve_late $user restore
		is "bytes that came out" 0 "$(stat -c %s out)"
	done
	kill $!
	wait $!
	is "vdi restore" 130 $?
}

wait_for_set() { # UID
	local i

	for ((i = 0; i < 100; i++)); do
		[ -z "$(id_of "$1")" ] || return
		sleep 0.1
	done
	echo "# no set of uid $1"
	bad=1
}

tests+=(the_real_appliance_gets_it)
the_real_appliance_gets_it() {
	head -c 100000 /dev/urandom > input
	appliance $stranger --mode 0666
	"$vdi" backup t --to real --owner $database 2> backup.err &
	wait_for_set 0
	as $database "$vdi" serve backup t < input 2> serve.err
	is "vdi serve" 0 $?
	wait $!
	is "vdi backup" 0 $?
	expect "the backup is there" "$vdi" verify -q real
	expect "the stranger got nothing" test ! -e "dir$stranger/b"
	# both sides say who the other is
	expect "vdi serve says whom it joined" \
		grep -q "^vdi: joined 't' of vdi (pid [0-9]*, primary client, user root)" serve.err
	expect "vdi backup says who the database is" \
		grep -q "^vdi: the database on 't' is vdi (pid [0-9]*, server, user [^ ]*)" backup.err
	let_go
}

tests+=(from_names_whom_to_trust)
from_names_whom_to_trust() {
	local from

	head -c 100000 /dev/urandom > input
	for from in "--from $stranger" "--from nobody,$stranger" "--from nobody --from $stranger"; do
		appliance $stranger
		"$vdi" serve backup t -q $from < input 2> serve.err
		is "vdi serve $from" 0 $?
		wait "$holder"
		expect "the backup is the stranger's" test -e "dir$stranger/b/manifest.json"
		rm -rf "dir$stranger"
	done
	# it replaces the default
	appliance 0
	"$vdi" serve backup t -q --from $stranger --timeout 0.3 < input 2> serve.err
	is "vdi serve --from $stranger" 4 $?
	expect "names root" grep -q "created by root (uid 0), who is not trusted (trusted: uid $stranger)" serve.err
	let_go
	for from in no-such-user '' 0,,1 -1 4294967295 1K; do
		"$vdi" serve backup t --from "$from" < /dev/null 2> serve.err
		is "vdi serve --from '$from'" 2 $?
		expect "vdi serve --from '$from' says why" grep -q 'no such user' serve.err
	done
	[ -x "$bin/vdi-pg-restore" ] || return
	appliance $stranger --profile tape --mode 0666
	as $database "$bin/vdi-pg-restore" t -q -D "$PWD/none" --timeout 0.3 2> serve.err
	expect "vdi-pg-restore fails" test $? != 0
	let_go
	chmod 777 .
	appliance $stranger --profile tape --mode 0666
	as $database "$bin/vdi-pg-restore" t -q -D "$PWD/data" --timeout 0.3 2> serve.err
	is "vdi-pg-restore" 4 $?
	names_stranger serve.err
	as $database "$bin/vdi-pg-restore" t -q -D "$PWD/data" --from $stranger 2> serve.err
	is "vdi-pg-restore --from" 1 $?
	expect "it has joined the set" grep -q 'like tapes, not like pipes' serve.err
	let_go
}

# ------------------------------------------------------------------- ended sets

# A set of UID that is aborted and still held, by an appliance that is stopped.
ended() { # UID
	appliance "$1" --mode 0666
	kill -STOP "$holder"
	"$vdi" abort --id "$(id_of "$1")" --message 'the first'
}

tests+=(ended_set_is_waited_out)
ended_set_is_waited_out() {
	local user

	head -c 100000 /dev/urandom > input
	for user in 0 $stranger; do
		ended $user
		"$vdi" serve backup t -q --timeout 20 < input 2> serve.err &
		second=$!
		sleep 0.5
		expect "it waits (uid $user)" kill -0 "$second"
		"$vdi" backup t -q --to "real$user" 2> backup.err
		is "vdi backup (uid $user)" 0 $?
		wait "$second"
		is "vdi serve (uid $user)" 0 $?
		expect "the backup is there" "$vdi" verify -q "real$user"
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
	# also when nothing of it is left at the end; the warning says that it looked
	appliance $stranger --mode 0666
	"$vdi" serve backup t -q --timeout 10 < /dev/null 2> serve.err &
	second=$!
	for _ in $(seq 80); do
		grep -q 'warning: .*has ended: .*; another was created by uid' serve.err && break
		sleep 0.1
	done
	let_go
	wait "$second"
	is "vdi serve" 4 $?
	expect "how the last one ended" grep -q 'there is no set .*before that, .*: the first' serve.err
	# a stranger's is nothing to tell
	ended $stranger
	"$vdi" serve backup t -q --timeout 0.5 < /dev/null 2> serve.err
	is "vdi serve" 4 $?
	expect "nothing about the stranger" sh -c "! grep -q '$stranger\|the first' serve.err"
	let_go
}

# ------------------------------------------------------------------ equal names

tests+=(ls_tells_them_apart)
ls_tells_them_apart() {
	appliance 0
	appliance $stranger
	"$vdi" ls > out
	expect "root's" grep -Eq '^t +created +root +0/1 ' out
	expect "the stranger's" grep -Eq "^t +created +$stranger +0/1 " out
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
	appliance $stranger
	mine=$(id_of 0)
	theirs=$(id_of $stranger)
	"$vdi" abort t 2> abort.err
	is "vdi abort t" 2 $?
	expect "lists root's" grep -q -e "--id $mine is root:t, created" abort.err
	expect "lists the stranger's" grep -q -e "--id $theirs is $stranger:t, created" abort.err
	is "sets" 2 "$("$vdi" ls | grep -c '^t ')"
	"$vdi" abort $database:t 2> abort.err
	is "vdi abort of another user's" 1 $?
	"$vdi" abort $stranger:t
	is "vdi abort $stranger:t" 0 $?
	wait_gone "$theirs"
	is "left" "$mine" "$(id_of 0)"
	"$vdi" abort t
	is "vdi abort t, now that there is one" 0 $?
	let_go
	appliance 0
	appliance $stranger
	"$vdi" abort --id "$(id_of $stranger)"
	is "vdi abort --id" 0 $?
	# not even visible: it makes no difference
	as $database "$vdi" abort t 2> abort.err
	is "vdi abort as uid $database" 1 $?
	let_go
}

wait_gone() { # ID
	local i

	for ((i = 0; i < 100; i++)); do
		"$vdi" ls --json | grep -q "\"id\": *$1," || return
		sleep 0.1
	done
}

tests+=(names_with_a_colon)
names_with_a_colon() {
	"$vdi" backup root:t -q --to b 2> backup.err &
	wait_for_set 0
	"$vdi" abort root:t
	is "vdi abort root:t" 0 $?
	wait
	# a stranger's set of such a name is not taken for root's t, nor the reverse
	"$vdi" backup t -q --to b 2> backup.err &
	wait_for_set 0
	install -d -o $stranger dir
	as $stranger "$vdi" backup root:t -q --to dir/b 2> stranger.err &
	wait_for_set $stranger
	"$vdi" abort root:t 2> abort.err
	is "vdi abort root:t, of two" 2 $?
	expect "lists both" test "$(grep -c -e '--id' abort.err)" = 2
	"$vdi" abort root:root:t 2> abort.err
	is "vdi abort root:root:t" 1 $?
	"$vdi" abort $stranger:root:t
	is "vdi abort $stranger:root:t" 0 $?
	"$vdi" abort t
	is "vdi abort t" 0 $?
	wait
}

tests+=(top_tells_them_apart)
top_tells_them_apart() {
	appliance 0
	appliance $stranger
	"$vdi" top -n 1 > out
	expect "root's" grep -q '^root:t ' out
	expect "the stranger's" grep -q "^$stranger:t " out
	"$vdi" top t -n 1 > out 2> top.err
	is "vdi top t" 2 $?
	expect "lists them" grep -q -e "--id .* is $stranger:t, created" top.err
	"$vdi" top $stranger:t -n 1 > out
	is "vdi top $stranger:t" 0 $?
	expect "one is shown" test "$(grep -c '^t ' out)" = 1
	"$vdi" top --id "$(id_of 0)" -n 1 > out
	is "vdi top --id" 0 $?
	expect "one is shown" test "$(grep -c '^t ' out)" = 1
	"$vdi" top --id 0 -n 1 > out 2> top.err
	is "vdi top --id 0" 2 $?
	"$vdi" top t --id 1 -n 1 > out 2> top.err
	is "vdi top t --id 1" 2 $?
	let_go
}

run_tests
