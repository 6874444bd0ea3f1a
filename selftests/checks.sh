# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# checks.sh - functions of selftests/check and selftests/check-debug. To be sourced in
# the top directory. They run and count tests of any kind; the complete output is in
# $log, and "total" prints the summary.

# A worker has its own counters, which are added up from its file.
# shellcheck disable=SC2030,SC2031,SC2034

# Scripts that test programs more than the kernel, and take most of the time: each on one
# of the kernels only. Debian's databases have run on the oldest one for longest.
about_programs='backup.sh catalog.sh command.sh compress.sh crash.sh events.sh examples.sh info.sh manuals.sh'
about_programs+=' matrix.sh media.sh profiles.sh s3.sh sdk.sh serve.sh serve_ends.sh serve_errors.sh sink.sh tools.sh'
about_databases='bacula.sh mariadb.sh mssql.sh nightly.sh postgres.sh postgres_incremental.sh postgres_recovery.sh'
about_databases+=' postgres_restore.sh snapshot.sh'

passed=0 failed=0 skipped=0 summary=()

# begin DIRECTORY: where the output goes
begin() {
	log=$1
	mkdir -p "$log"
	rm -f "$log"/*
}

# check TEXT COMMAND...: one test, which passes if COMMAND succeeds
check() {
	local text=$1 last=$log/last.$BASHPID since=$SECONDS
	shift
	if "$@" > "$last" 2>&1; then
		printf '  %-7s %s (%d s)\n' CHECK "$text" $((SECONDS - since))
		passed=$((passed + 1))
	else
		cat "$last"
		printf '  %-7s %s\n' FAIL "$text"
		failed=$((failed + 1))
	fi
	rm -f "$last"
}

# ktap LABEL COMMAND...: runs a command that prints KTAP, and adds up its results
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
		echo "  FAIL    $label: no results"
		p=0 f=1 s=0
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	summary+=("$(printf '  %-24s %5d passed, %d failed, %d skipped' "$label" "$p" "$f" "$s")")
}

# unit DIR [VARIABLE=VALUE...]: the tests of a directory that run on any host, made with
# these variables. If they print TAP they count as one program of KTAP, otherwise as a
# single test.
unit() {
	local dir=$1 label="$*" status since=$SECONDS
	make -s --no-print-directory -n -C "$dir" check > /dev/null 2>&1 || return 0
	make -s --no-print-directory -C "$@" check > "$log/$label.out" 2>&1
	status=$?
	if ! grep -qE '^ *(not )?ok [0-9]+' "$log/$label.out"; then
		# shellcheck disable=SC2016 # for the inner shell
		check "$label: make check" sh -c 'cat "$1"; exit "$2"' sh "$log/$label.out" "$status"
		return
	fi
	ktap "$label" one_program "$label" "$status" $((SECONDS - since))
}

# one_program LABEL STATUS [SECONDS]: wraps flat TAP as selftests/run does. The outputs of
# several programs have several plans, which are added up.
one_program() {
	local ok='ok'
	[ "$2" = 0 ] || ok='not ok'
	echo 1..1
	echo "  1..$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log/$1.out" | awk '{ n += $1 } END { print n + 0 }')"
	sed -e '/^1\.\.[1-9]/d' -e 's/^/  /' "$log/$1.out"
	[ -z "${3:-}" ] || echo "# $1: $3 s"
	echo "$ok 1 selftests: $1 # exit=$2"
	return "$(($2 != 0))"
}

# worker NAME COMMAND...: runs the tests of COMMAND in the background, once fewer than
# JOBS workers are running. Finally "workers NAME..." waits for them and adds the counts.
worker() {
	local name=$1
	shift
	# background jobs do not receive Ctrl-C
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
			echo "  FAIL    $name: no results"
			p=0 f=1 s=0
		fi
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
		mapfile -t -O ${#summary[@]} summary < <(tail -n +2 "$log/worker.$name")
	done
}

# total: prints the summary; fails if a test has failed
total() {
	[ ${#summary[@]} -eq 0 ] || printf '%s\n' '' "${summary[@]}"
	local line="$passed passed, $failed failed"
	[ "$skipped" = 0 ] || line+=", $skipped skipped"
	echo "$line" | tee "$log/summary"
	[ "$failed" = 0 ]
}
