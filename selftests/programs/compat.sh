#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests of the module as 32-bit programs, which make each request through the kernel's
# compatible system calls. They are built if there is a compiler (gcc-i686-linux-gnu).

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh

programs=(ioctl roles names lifecycle devices mmap data wait poll abort death held_exit fd_ownership access)

[ -x compat/ioctl ] || skip_all "no 32-bit programs are built: gcc-i686-linux-gnu is missing"
"./compat/ioctl" --help > /dev/null 2>&1
[ $? -lt 126 ] || skip_all "this machine does not execute 32-bit programs"

# the output of a program that fails is printed
program() {
	local out status
	out=$("./compat/$1" 2>&1)
	status=$?
	[ "$status" = 0 ] || printf '%s\n' "$out" | sed 's/^/# /'
	is "exit status of $1" 0 "$status"
	is "a test of $1 has run" 0 "$(grep -q '^ok [0-9]*' <<< "$out"; echo $?)"
}

for name in "${programs[@]}"; do
	eval "program_$name() { program $name; }"
	tests+=("program_$name")
done

run_tests
