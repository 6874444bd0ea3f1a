#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Compressed and filtered backups in directories: vdi backup --compress and --filter, vdi
# restore and vdi verify --unfilter. tools/test/test_stages.c tests the stages of the data
# without the module, s3.sh those in an object store.
#
# shellcheck disable=SC2016,SC2086,SC2317 # for another shell; options; run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/compress.XXXXXX")
trap 'umount "$dir/full" 2> /dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir" || exit 1

# half of it shrinks
head -c 1500000 /dev/urandom > data
seq 300000 | head -c 1500000 >> data

# The filters of a test end with this marker, by which those that were left are found.
marker=vdi_filter_test_$$

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	is "remaining filters" "" "$(pgrep -f "[v]di_filter_test_$$")"
	[ $bad = 0 ] || tail -n 5 err 2> /dev/null | sed 's/^/# /'
	rm -rf b b.* out err ready pid fifo
}

# makes EXIT-CODE OPTION... -- COMMAND
makes() {
	local wanted=$1

	shift
	timeout 600 "$vdi" backup z --to b "$@" > out 2> err
	is "exit code of vdi backup $*" "$wanted" $?
	[ "$wanted" = 0 ] || is "files" "" "$(ls -d b* 2> /dev/null)"
}

# restores EXIT-CODE OPTION...
restores() {
	local wanted=$1

	shift
	timeout 600 "$vdi" restore z -q --from b "$@" -- cat > out 2> err
	is "exit code of vdi restore $*" "$wanted" $?
	[ "$wanted" != 0 ] || expect "the same data" cmp data out
}

verifies() { # EXIT-CODE OPTION...
	local wanted=$1

	shift
	"$vdi" verify b "$@" > out 2> err
	is "exit code of vdi verify $*" "$wanted" $?
}

says() { # TEXT
	expect "message with '$1'" grep -qF -- "$1" err
}

files() {
	(cd b && echo *)
}

key() { # KEY: number of the manifest
	sed -n "0,/\"$1\": /s/^  \"$1\": \([0-9]*\),*$/\1/p" b/manifest.json
}

tests+=(codecs)
codecs() {
	local codec suffix file

	for codec in zstd zstd:1 zstd:19 lz4 lz4:9; do
		rm -rf b
		case $codec in zstd*) suffix=zst ;; *) suffix=lz4 ;; esac
		makes 0 -n 3 --compress $codec --compress-threads 2 -- cat data
		expect "the summary" grep -qE "3 devices \(${codec%:*}, [0-9.]+ MiB stored\)" out
		is "files" "device-00.data.$suffix device-01.data.$suffix device-02.data.$suffix manifest.json" "$(files)"
		for file in b/device-*; do
			expect "the tool accepts $file" ${codec%:*} -tq $file
		done
		expect "bytes of the data" test "$(key given)" -ge 3000000
		expect "it shrinks" test "$(key bytes)" -lt 2500000
		verifies 0
		restores 0
	done
}

tests+=(plain_without_options)
plain_without_options() {
	makes 0 --compress none -- cat data
	is "files" "device-00.data manifest.json" "$(files)"
	expect "version 3" grep -q '"vdi_backup": 3' b/manifest.json
	is "stored" "$(key given)" "$(stat -c %s b/device-00.data)"
	restores 0
}

# Without vdi, zstd finds the bytes that the database has written: see vdi-stream(5).
tests+=(file_without_vdi)
file_without_vdi() {
	makes 0 --compress zstd -- cat data
	zstd -dcq b/device-00.data.zst > plain
	is "size" "$(key given)" "$(stat -c %s plain)"
	is "start" VDISTRM1 "$(head -c 8 plain)"
	rm plain
}

tests+=(list_shows_both_sizes)
list_shows_both_sizes() {
	makes 0 --compress zstd -- cat data
	mkdir place
	mv b place/b
	"$vdi" list --json place > out
	expect "given" test "$(sed -n 's/.*"given": \([0-9]*\).*/\1/p' out)" -ge 3000000
	expect "stored" test "$(sed -n 's/.*"stored": \([0-9]*\).*/\1/p' out)" -lt 2500000
	rm -rf place
}

tests+=(refused_before_the_set)
refused_before_the_set() {
	local options

	for options in '--profile disk' '--profile tape' --removable --discard --direct; do
		makes 2 --compress zstd $options -- cat data
		makes 2 --filter cat $options -- cat data
	done
	makes 2 --filter cat --snapshot-command true
	says "--filter cannot be used with --snapshot-command"
	makes 2 --compress-threads 2 -- cat data
	says "--compress-threads requires --compress"
	for options in '' zst gzip zstd:0 zstd:23 lz4:13 zstd: lz4:x none:1; do
		makes 2 --compress "$options" -- cat data
		says "invalid --compress '$options'"
	done
	makes 2 --filter '' -- cat data
	makes 2 --compress zstd --compress-threads 0 -- cat data
}

# encrypts NAME FILTER UNFILTER
encrypts() {
	rm -rf b
	makes 0 -n 2 --compress zstd --filter "$2" -- cat data
	is "files of $1" "device-00.data.zst.filtered device-01.data.zst.filtered manifest.json" "$(files)"
	expect "$1: not readable" sh -c '! zstd -tq < b/device-00.data.zst.filtered 2> /dev/null'
	verifies 0
	expect "what was verified" grep -q 'checksums of the filtered data match' out
	verifies 0 --unfilter "$3"
	expect "what was verified" grep -q '; checksums match' out
	restores 0 --unfilter "$3"
}

tests+=(encryption)
encryption() {
	echo secret > passphrase
	echo other > wrong
	encrypts openssl 'openssl enc -aes-256-cbc -pbkdf2 -pass file:passphrase' \
		'openssl enc -d -aes-256-cbc -pbkdf2 -pass file:passphrase'
	expect "the command is not stored" sh -c '! grep -q pbkdf2 b/manifest.json'
	if command -v gpg > /dev/null; then
		mkdir -m 700 gpg
		export GNUPGHOME=$dir/gpg
		encrypts gpg 'gpg -q --batch --pinentry-mode loopback --passphrase-file passphrase -c' \
			'gpg -q --batch --pinentry-mode loopback --passphrase-file passphrase -d'
		restores 1 --unfilter 'gpg -q --batch --pinentry-mode loopback --passphrase-file wrong -d'
		expect "nothing is handed over" test ! -s out
		says "--unfilter"
		expect "the command is not shown" sh -c '! grep -q loopback err'
		gpgconf --kill all
	fi
	if command -v age > /dev/null; then
		age-keygen -o key 2> /dev/null
		encrypts age "age -r $(age-keygen -y key)" 'age -d -i key'
	fi
}

tests+=(filter_alone)
filter_alone() {
	makes 0 --filter 'gzip -1' -- cat data
	is "files" "device-00.data.filtered manifest.json" "$(files)"
	is "bytes that gzip finds" "$(key given)" "$(gzip -dc < b/device-00.data.filtered | wc -c)"
	restores 2
	says "--unfilter is required"
	restores 0 --unfilter 'gzip -d'
	restores 1 --unfilter 'gzip -d; echo the reason >&2; exit 3'
	says "ended with exit code 3: the reason"
	expect "the last byte is kept back" test "$(stat -c %s out)" -lt 3000000
	rm -rf b
	makes 0 -- cat data
	restores 2 --unfilter cat
	says "was not stored with --filter"
}

tests+=(failing_filter)
failing_filter() {
	makes 1 --filter 'cat; echo the reason >&2; exit 9' -- cat data
	says "ended with exit code 9: the reason"
	makes 1 --compress lz4 --filter 'head -c 5' -- cat data
	says "did not read all of its input"
	makes 1 --filter 'cat > /dev/null; kill -9 $$' -- cat data
	says "was killed by signal 9"
	makes 1 --filter "/nonexistent $marker" -- cat data
	says "exit code 127"
}

# starts OPTION...: a backup that waits for more data, and its filter has started
starts() {
	mkfifo fifo ready
	timeout 600 "$vdi" backup z -q --to b "$@" --filter "echo \$\$ > ready; cat; : $marker" \
		-- cat fifo > out 2> err &
	backup=$!
	exec 8> fifo
	head -c 1000000 data >&8
	read -r filter < ready
}

tests+=(filter_is_killed)
filter_is_killed() {
	starts --compress zstd
	kill -9 "$filter"
	head -c 1000000 data >&8
	exec 8>&-
	wait $backup
	is "exit code" 1 $?
	says "was killed by signal 9"
	is "files" "" "$(ls -d b* 2> /dev/null)"
}

tests+=(interrupted)
interrupted() {
	starts --compress zstd
	kill -INT $backup
	wait $backup
	is "exit code" 130 $?
	exec 8>&-
	is "files" "" "$(ls -d b* 2> /dev/null)"
}

tests+=(aborted)
aborted() {
	starts --compress lz4
	expect "vdi abort" "$vdi" abort z
	wait $backup
	is "exit code" 3 $?
	exec 8>&-
	is "files" "" "$(ls -d b* 2> /dev/null)"
}

# flips FILE OFFSET
flips() {
	local byte

	byte=$(od -An -tu1 -j "$2" -N1 "$1")
	printf '%b' "\\0$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null
}

tests+=(damage)
damage() {
	local codec at size file

	for codec in zstd lz4; do
		rm -rf b
		makes 0 --compress $codec -- cat data
		file=$(echo b/device-00.*)
		size=$(stat -c %s "$file")
		for at in 0 $((size / 2)) $((size - 1)); do
			flips "$file" "$at"
			verifies 5
			restores 5
			expect "the last byte is kept back" test "$(stat -c %s out)" -lt 3000000
			flips "$file" "$at"
		done
		restores 0
		truncate -s $((size - 1)) "$file"
		verifies 5
		restores 5
	done
	rm -rf b
	makes 0 --filter cat -- cat data
	flips b/device-00.data.filtered 1000
	verifies 5
	verifies 5 --unfilter cat
	restores 5 --unfilter cat
}

tests+=(disk_is_full)
disk_is_full() {
	mkdir full
	mount -t tmpfs -o size=1m none full || return
	timeout 600 "$vdi" backup z -q --to full/b --compress zstd -- cat data > out 2> err
	is "exit code" 1 $?
	says "No space left on device"
	is "files" "" "$(ls full)"
	umount full
	rmdir full
}

# A stream that ends before the first byte.
tests+=(empty)
empty() {
	makes 0 --allow-empty --compress zstd -- true
	expect "the tool accepts the file" zstd -tq b/device-00.data.zst
	verifies 0
	timeout 600 "$vdi" restore z -q --from b -- cat > out 2> err
	is "exit code of vdi restore" 0 $?
	is "bytes" 0 "$(stat -c %s out)"
}

run_tests
