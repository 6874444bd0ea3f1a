# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What selftests/check and selftests/check-debug share: sourced, in the top
# directory.  Tests of any kind are run and counted; the whole output is left
# in $log, and "total" has the last word.

# A worker's counts are its own, and added up from its file.
# shellcheck disable=SC2030,SC2031
passed=0 failed=0 skipped=0 summary=()

# begin DIRECTORY: for what is printed
begin() {
	log=$1
	mkdir -p "$log"
	rm -f "$log"/*
}

# check TEXT COMMAND...: one test, passed when COMMAND is
check() {
	local text=$1 last=$log/last.$BASHPID
	shift
	if "$@" > "$last" 2>&1; then
		printf '  %-7s %s\n' CHECK "$text"
		passed=$((passed + 1))
	else
		cat "$last"
		printf '  %-7s %s\n' FAIL "$text"
		failed=$((failed + 1))
	fi
	rm -f "$last"
}

# ktap LABEL COMMAND...: run what prints KTAP and add up what it says
ktap() {
	local label=$1 p f s
	shift
	: > "$log/$label.status"
	{
		"$@"
		echo $? > "$log/$label.status"
	} | tee "$log/$label.tap" |
		awk -v LABEL="$label" -v STATUS="$log/$label.status" -v COUNTS="$log/$label.counts" \
			-f selftests/tap.awk
	if ! read -r p f s < "$log/$label.counts"; then
		echo "  FAIL    $label: its results cannot be read"
		p=0 f=1 s=0
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	summary+=("$(printf '  %-24s %5d passed, %d failed, %d skipped' "$label" "$p" "$f" "$s")")
}

# unit DIR [VARIABLE=VALUE...]: the tests of a directory that run on any host,
# made with these variables: one program in KTAP's terms when it prints TAP,
# otherwise a single test.
unit() {
	local dir=$1 label="$*" status
	make -s --no-print-directory -n -C "$dir" check > /dev/null 2>&1 || return 0
	make -s --no-print-directory -C "$@" check > "$log/$label.out" 2>&1
	status=$?
	if ! grep -qE '^ *(not )?ok [0-9]+' "$log/$label.out"; then
		# shellcheck disable=SC2016 # for the inner shell
		check "$label: make check" sh -c 'cat "$1"; exit "$2"' sh "$log/$label.out" "$status"
		return
	fi
	ktap "$label" one_program "$label" "$status"
}

# one_program LABEL STATUS: wrap flat TAP the way selftests/run does; several
# programs' outputs in a row have several plans, of which the sum counts.
one_program() {
	local ok='ok'
	[ "$2" = 0 ] || ok='not ok'
	echo 1..1
	echo "  1..$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log/$1.out" | awk '{ n += $1 } END { print n + 0 }')"
	sed -e '/^1\.\.[1-9]/d' -e 's/^/  /' "$log/$1.out"
	echo "$ok 1 selftests: $1 # exit=$2"
	return "$(($2 != 0))"
}

# worker NAME COMMAND...: COMMAND's tests in the background, once less than JOBS workers
# are running; after all of them "workers NAME..." waits for these and counts them.
worker() {
	local name=$1
	shift
	# what is in the background does not see Ctrl-C
	trap 'trap "" TERM; kill 0; exit 130' INT TERM
	while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-1}" ] && [ -n "$(jobs -rp)" ]; do
		wait -n
	done
	(
		trap - INT TERM
		passed=0 failed=0 skipped=0 summary=()
		"$@"
		printf '%s\n' "$passed $failed $skipped" "${summary[@]}" > "$log/worker.$name"
	) &
}

workers() {
	local name p f s
	wait
	for name; do
		p=0 f=1 s=0
		if ! read -r p f s < "$log/worker.$name"; then
			echo "  FAIL    $name: its results cannot be read"
			p=0 f=1 s=0
		fi
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
		mapfile -t -O ${#summary[@]} summary < <(tail -n +2 "$log/worker.$name")
	done
}

# total: false when anything failed
total() {
	[ ${#summary[@]} -eq 0 ] || printf '%s\n' '' "${summary[@]}"
	local line="$passed passed, $failed failed"
	[ "$skipped" = 0 ] || line+=", $skipped skipped"
	echo "$line" | tee "$log/summary"
	[ "$failed" = 0 ]
}
