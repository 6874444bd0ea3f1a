#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows vdi serve as the database: every profile, media of limited capacity, and the
# backups that it refuses.
#
# shellcheck disable=SC2317,SC2086,SC2154 # called by their names; numbers; ours

# shellcheck source=selftests/programs/serve_client.sh
. ./serve_client.sh

tests+=(every_profile_with_1_2_8_devices)
every_profile_with_1_2_8_devices() {
	local p n

	input=$work.big
	for p in pipe disk tape; do
		for n in 1 2 8; do
			round_trip "--profile $p --devices $n" --profile $p -x 256K
			expect "$p, $n devices" test $bad = 0
		done
	done
	input=$work.in
}

tests+=(removable_pipes_and_disks)
removable_pipes_and_disks() {
	round_trip "--profile pipe --removable" "${small[@]}"
	round_trip "--profile disk --removable" "${small[@]}"
}

tests+=(empty_input)
empty_input() {
	local p

	input=/dev/null
	for p in pipe disk tape; do
		backup 0 0 "--profile $p --devices 3" "${small[@]}" --allow-empty
		restore 0 0 "--profile $p --devices 3" "${small[@]}"
		expect "restored data" cmp "$input" out
	done
	backup 1 3 "--profile tape --devices 3" "${small[@]}"
	says 'the input is empty'
	input=$work.in
}

tests+=(several_media)
several_media() {
	local p zone n

	input=$work.big
	for p in "pipe --removable" "disk --removable" tape; do
		for zone in 0 262144; do
			n=2
			[ $zone = 0 ] || n=1
			round_trip "--profile $p --devices $n --capacity 700000 --zone $zone" "${small[@]}"
			expect "$p, zone $zone: more than one medium" test -e media/d00.m2
			expect "$p, zone $zone" test $bad = 0
			rm -rf media
		done
	done
	input=$work.in
}

tests+=(several_media_verified)
several_media_verified() {
	input=$work.big
	backup 0 0 "--profile disk --removable --devices 2 --capacity 700000" "${small[@]}" --verify
	logged 'VDC_Load 1 .*-> 0'
	rm -rf media
	backup 0 0 "--profile tape --devices 2 --capacity 700000 --soft 4096" "${small[@]}" --verify
	restore 0 0 "--profile tape --devices 2 --soft 4096" "${small[@]}"
	expect "restored data" cmp "$input" out
	input=$work.in
}

tests+=(warning_zone_is_respected)
warning_zone_is_respected() {
	# eight buffers, and a warning zone for three chunks
	input=$work.big
	backup 0 0 "--profile tape --capacity 900000 --zone 204800 --batch 8" "${small[@]}" -c 8
	expect "no overrun" sh -c '! grep -q " -> 1129" media/log'
	logged 'VDC_Write .* -> 1100 '
	input=$work.in
}

tests+=(disk_commands)
disk_commands() {
	backup 0 0 "--profile disk --complete" "${small[@]}"
	is "first" "VDC_Write 4096 @0" "$(sed -n '1s/^0 m1 \(.*\) ->.*/\1/p' backup.log)"
	expect "header is read again" grep -q 'VDC_Read 4096 @0 -> 0 4096' backup.log
	expect "position from the end" grep -q 'VDC_SetPosition 2 @0 -> 0' backup.log
	expect "position" grep -q 'VDC_GetPosition' backup.log
	is "last three" "VDC_Flush VDC_Complete closed" "$(tail -n 3 backup.log | sed 's/^0 m1 \([A-Za-z_]*\).*/\1/' | xargs)"
	is "no read beyond the end" "" "$(restore 0 0 --profile\ disk "${small[@]}"; grep -- '-> 38' media/log)"
}

tests+=(disk_over_a_longer_file)
disk_over_a_longer_file() {
	backup 0 0 "--profile disk" "${small[@]}"
	ls -l media/d00.m1 > first
	cp media/d00.m1 kept
	head -c 500000 /dev/zero >> media/d00.m1
	start_client --keep --profile disk
	"$vdi" serve backup t -q "${small[@]}" < "$input" 2> serve.err
	is "serve backup" 0 $?
	end_client 0
	is "size" "$(stat -c %s kept)" "$(stat -c %s media/d00.m1)"
}

tests+=(simple_client)
simple_client() {
	local p

	for p in pipe disk tape; do
		round_trip "--profile $p --simple --devices 2" "${small[@]}"
		expect "$p" test $bad = 0
	done
	backup 0 0 "--profile disk --simple" "${small[@]}" --verify
	logged 'VDC_SetPosition .*-> 50'
	logged 'VDC_ClearError'
	backup 0 0 "--profile tape --simple" "${small[@]}" --verify
}

tests+=(client_holds_many_commands)
client_holds_many_commands() {
	local p

	for p in pipe disk tape "tape --stay"; do
		round_trip "--profile $p --batch 8" "${small[@]}" -c 8
		expect "$p" test $bad = 0
	done
}

tests+=(tape_stays_before_filemark)
tape_stays_before_filemark() {
	round_trip "--profile tape --stay --devices 2" "${small[@]}" --block-size 512
	backup 0 0 "--profile tape --stay" "${small[@]}" --verify
}

tests+=(verify)
verify() {
	local p

	for p in disk tape; do
		backup 0 0 "--profile $p --devices 3 --complete" "${small[@]}" --verify
		restore 0 0 "--profile $p --devices 3" "${small[@]}"
		expect "$p: restored data" cmp "$input" out
	done
}

tests+=(instance)
instance() {
	start_client --profile disk --instance prod
	"$vdi" serve backup t -q --timeout 0.5 < "$input" 2> serve.err
	is "without the instance" 4 $?
	"$vdi" serve backup t -q --instance prod < "$input" 2> serve.err
	is "serve backup" 0 $?
	end_client 0
	start_client --profile disk --instance prod
	_VIRTUAL_SERVER_NAME_=prod "$vdi" serve backup t -q < "$input" 2> serve.err
	is "serve backup, by the environment" 0 $?
	end_client 0
}

# ------------------------------------------------------------------- errors

tests+=(wrong_profile)
wrong_profile() {
	backup 1 9 "--profile tape" --profile disk
	says 'like tapes, not like disks'
	backup 1 9 "--profile pipe" --read-back
	says 'cannot be read again'
	backup 1 9 "--profile pipe --devices 2" --snapshot
	says 'one device like a pipe; this set has 2'
	backup 1 9 "--profile disk" --snapshot
	says 'like disks'
	if [ -x "$root/build/postgres/vdi-pg-restore" ]; then
		start_client --profile tape
		"$root/build/postgres/vdi-pg-restore" t -q -D "$work/data" --owner nobody 2> serve.err
		is "vdi-pg-restore" 1 $?
		says 'like tapes, not like pipes'
		end_client 9
	fi
}

tests+=(usage_errors)
usage_errors() {
	local args

	for args in 'backup t --profile cd' 'restore t --read-back' 'backup t --read-back --profile pipe' \
		'backup t --freeze true' 'backup t --snapshot --freeze true' 'restore t --snapshot --thaw true' \
		'backup t --snapshot --verify' 'backup t --snapshot --profile tape' 'backup t --freeze-limit 3' \
		'backup t --snapshot --freeze-limit x' 'backup t --instance'; do
			"$vdi" serve $args > /dev/null 2> serve.err < /dev/null
		is "vdi serve $args" 2 $?
		expect "vdi serve $args says why" test -s serve.err
	done
}

# vdi serve detects corrupted data when it reads back, with both profiles.
tests+=(verify_finds_corruption)
verify_finds_corruption() {
	local p fault

	for p in disk tape; do
		for fault in $WRITE:2:flip $WRITE:3:lost $READ:3:flip; do
			backup 5 3 "--profile $p --complete --fault $fault" "${small[@]}" --verify
			expect "$p $fault: no Complete" sh -c '! grep -q VDC_Complete backup.log'
			expect "$p $fault" test $bad = 0
		done
	done
	backup 5 3 "--profile disk --fault $READ:1:flip" "${small[@]}"
	says 'header'
}

tests+=(restore_finds_corruption)
restore_finds_corruption() {
	local p

	for p in pipe disk tape; do
		backup 0 0 "--profile $p" "${small[@]}"
		restore 5 3 "--profile $p --fault $READ:3:flip" "${small[@]}"
		expect "$p" test $bad = 0
	done
}

tests+=(restore_truncated_data)
restore_truncated_data() {
	local p

	for p in pipe disk tape; do
		backup 0 0 "--profile $p" "${small[@]}"
		truncate -s -100000 media/d00.m1
		restore 5 3 "--profile $p" "${small[@]}"
		expect "$p" test $bad = 0
	done
}

tests+=(restore_unfinished_data)
restore_unfinished_data() {
	local p

	for p in pipe disk tape; do
		# no Flush is sent
		backup 1 0 "--profile $p --fault $WRITE:4:112" "${small[@]}"
		restore 5 3 "--profile $p" "${small[@]}"
		expect "$p" test $bad = 0
	done
}

tests+=(media_mixed_up)
media_mixed_up() {
	local p

	input=$work.big
	for p in "disk --removable" tape; do
		backup 0 0 "--profile $p --capacity 700000" "${small[@]}"
		mv media/d00.m2 other
		cp media/d00.m1 media/d00.m2
		restore 5 3 "--profile $p" "${small[@]}"
		says 'holds number 1'
		rm media/d00.m2
		restore 1 0 "--profile $p" "${small[@]}"
		says NO_MEDIA
		backup 0 0 "--profile $p --capacity 700000" "${small[@]}"
		mv other media/d00.m2
		restore 5 3 "--profile $p" "${small[@]}"
		says 'another backup'
	done
	input=$work.in
}

tests+=(devices_mixed_up)
devices_mixed_up() {
	local p

	for p in disk tape; do
		backup 0 0 "--profile $p --devices 2" "${small[@]}"
		mv media/d00.m1 other
		mv media/d01.m1 media/d00.m1
		mv other media/d01.m1
		restore 5 3 "--profile $p --devices 2" "${small[@]}"
		says 'another device'
		backup 0 0 "--profile $p" "${small[@]}"
		restore "$([ $p = disk ] && echo 1 || echo 5)" 3 "--profile $p" "${small[@]}" -b 512
		says '--block-size'
	done
	backup 0 0 "--profile tape --soft 512" "${small[@]}"
	restore 1 3 "--profile tape" "${small[@]}"
	says 'filemarks of 512'
}

run_tests
