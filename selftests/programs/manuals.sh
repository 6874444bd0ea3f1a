#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# usage: manuals.sh [TEST...]
#
# The examples of the manual pages, as they stand there: each paragraph of a section
# EXAMPLES is run by a shell. The test makes what they name, in the machine: /srv, /backup,
# keys, a bucket, and the other side of the set.

# shellcheck disable=SC2317 # run_tests calls them
# shellcheck disable=SC2016,SC2034 # of inner shells; used by tap.sh

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
# shellcheck source=selftests/stores/gateway.sh
. "$top/selftests/stores/gateway.sh"

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -d /run/vdiset-vm ] || skip_all "it changes /srv and /backup, so it runs in vm/run only"

dir=$(mktemp -d /tmp/manuals.XXXXXX)
trap 'gateway_stop; umount -l /srv 2> /dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
ip link set lo up 2> /dev/null
install -m 755 "$top/build/tools/vdi" /usr/local/bin/vdi
install -D -m 644 -t /usr/local/lib/vdi "$top"/build/tools/vdi-*.so
chmod 755 "$dir"
chmod 666 /dev/vdiset

# What cannot run here, and why
declare -A left_out=(
	['ssh host']='there is no other host'
	['pg_dump']='needs a database; postgres.sh has one'
	['vdi-mssql']='needs SQL Server; mssql.sh has a substitute'
)

# --------------------------------------------------------------- preparation

reset() {
	umount /srv 2> /dev/null
	rm -rf /backup /srv /tmp/srv "$dir/cwd" /root/key /root/key.pub
	mkdir -p /backup /srv/www/img "$dir/cwd"
	head -c 300000 /dev/urandom > /srv/www/img/logo
	seq 20000 > /srv/www/index
	seq 300000 > "$dir/cwd/dump"
	seq 500000 > "$dir/cwd/image"
	[ -s /etc/fstab ] || echo '# none' > /etc/fstab
	chmod 777 /backup "$dir/cwd"
}

bucket() {
	[ -z "$gateway" ] || return 0
	gateway_start && gateway_environment "$gateway_access" "$gateway_secret" &&
		s3_request PUT backups
}

make_key() {
	age-keygen -o /root/key 2> /dev/null && age-keygen -y /root/key > /root/key.pub
}

# A file system that can be frozen, with the same files
freezable() {
	modprobe -q loop
	modprobe -q ext4
	cp -a /srv "$dir/srv" && truncate -s 32M "$dir/image" && mkfs.ext4 -qF "$dir/image" &&
		mount -o loop "$dir/image" /srv && cp -a "$dir/srv/." /srv
}

# prepare PAGE TEXT: a failure prints what is missing
prepare() {
	case $2 in *s3://*)
		bucket || { echo 'no object store'; return 1; } ;;
	esac
	case $2 in *'age -'*)
		make_key || { echo 'age is missing'; return 1; } ;;
	esac
	case $2 in *fsfreeze*)
		freezable || { echo 'no file system that can be frozen'; return 1; } ;;
	esac
	backup_to_read "$2" || echo 'a backup to be read failed'
}

# The backup that an example reads
backup_to_read() {
	case $1 in
	*--unfilter*)
		vdi backup www -q --to /backup/www --compress zstd --filter 'age -R /root/key.pub' -- tar c /srv ;;
	*'verify s3://'*)
		vdi verify -q s3://backups/www/monday 2> /dev/null ||
			vdi backup www -q --to s3://backups/www/monday -- tar c /srv ;;
	*'restore www'*) vdi backup www -q --to /backup/www -- tar c /srv ;;
	*'vdi backup'*|*'serve backup'*) ;;
	*'verify /backup/tonight'*|*'restore nightly --from /backup/tonight'*)
		vdi backup nightly -q --to /backup/tonight -- tar c /srv ;;
	*/backup*) vdi backup nightly -q --into /backup -- tar c /srv ;;
	*'serve restore'*) vdi backup nightly -q --to /backup/tonight -- tar c /srv ;;
	esac 2> "$dir/err" || { sed 's/^/# /' "$dir/err"; return 1; }
}

# other_side PAGE TEXT: of the set, for examples that have only one
other_side() {
	case $1:$2 in
	vdi-serve.1:*'serve backup nightly'*) vdi backup nightly -q --to /backup/tonight ;;
	vdi-serve.1:*'serve restore nightly'*) vdi restore nightly -q --from /backup/tonight ;;
	vdi-serve.1:*'serve backup disk'*) vdi backup disk -q --profile disk --to /backup/disk ;;
	vdi-serve.1:*'serve backup snap'*)
		vdi backup snap -q --to /backup/snap --snapshot-command 'cp -a /srv "$VDI_DIR.snapshot"' ;;
	vdi-observe.1:*abort*)
		vdi backup nightly -q --to /backup/tonight -- sleep 100000
		[ $? = 3 ]	# aborted
		;;
	esac
}

# The set of vdi-observe.1 exists when the example begins.
wait_for_set() {
	until vdi ls --json | grep -q '"state": *"active"'; do sleep 0.2; done
}

# ------------------------------------------------------------------ examples

# examples PAGE: the paragraphs, each followed by a NUL
examples() {
	awk '
	/^\.Sh/ { section = $2 == "EXAMPLES" }
	/^\.Ed/ || (inside && /^$/) { if (text != "") printf "%s%c", text, 0; text = "" }
	/^\.Ed/ { inside = 0 }
	inside && !/^$/ { text = text $0 "\n" }
	section && /^\.Bd -literal/ { inside = 1 }' "$top/man/$1" |
		sed -z -e 's/\\e/\\/g' -e 's/\\-/-/g'
}

reason_to_leave_out() { # TEXT
	local text
	for text in "${!left_out[@]}"; do
		[[ $1 != *"$text"* ]] || { echo "${left_out[$text]}"; return; }
	done
	return 1
}

check_restored() { # TEXT
	case $1 in
	*'tar x -C /tmp'*) expect "the restored files" diff -r /srv /tmp/srv ;;
	*'tar x'*) expect "the restored files" diff -r /srv "$dir/cwd/srv" ;;
	esac
}

run_example() { # PAGE TEXT
	local side
	other_side "$1" "$2" > "$dir/side" 2>&1 &
	side=$!
	case $1:$2 in vdi-observe.1:*abort*) wait_for_set ;; esac
	(cd "$dir/cwd" && timeout 1200 bash -eo pipefail -c "$2"'
		for job in $(jobs -p); do wait "$job"; done') > "$dir/out" 2> "$dir/err"
	is "exit status" 0 $?
	[ "$bad" = 0 ] || pkill -P "$side"
	wait "$side"
	is "exit status of the other side" 0 $?
	check_restored "$2"
	[ "$bad" = 0 ] || { printf '%s\n' "$2"; cat "$dir/err" "$dir/side"; } | sed 's/^/# /'
}

example() { # PAGE TEXT
	local why
	if why=$(reason_to_leave_out "$2"); then
		printf '# left out, %s: %s\n' "$why" "${2%%$'\n'*}"
		return
	fi
	reset
	prepare "$1" "$2" > "$dir/missing"
	expect "everything is there: $(tail -n 1 "$dir/missing")" test ! -s "$dir/missing"
	[ "$bad" != 0 ] || run_example "$1" "$2"
}

texts=()
for page in "$top"/man/vdi*.1; do
	page=${page##*/} number=0
	while IFS= read -r -d '' text; do
		number=$((number + 1))
		name=${page//[.-]/_}_$number
		texts+=("$text")
		eval "$name() { example $page \"\${texts[$((${#texts[@]} - 1))]}\"; }"
		tests+=("$name")
	done < <(examples "$page")
done

# The extraction may have found nothing.
tests+=(all_pages_have_examples)
all_pages_have_examples() {
	local page
	for page in vdi.1 vdi-backup.1 vdi-list.1 vdi-mssql.1 vdi-observe.1 vdi-restore.1 vdi-serve.1; do
		expect "examples of $page" test "$(examples "$page" | tr -dc '\0' | wc -c)" -ge 2
	done
}

[ $# -eq 0 ] || tests=("$@")
run_tests
