// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a command needs no system call while both sides are busy. The calls are
 * counted with ptrace(2), which does not depend on the kernel's configuration.
 */
#define _GNU_SOURCE
#include <sys/ptrace.h>
#include <sys/wait.h>
#include "traffic.h"
#include "harness.h"

FIXTURE(syscalls) {
	int unused;
};

FIXTURE_VARIANT(syscalls) {
	struct vd_traffic t;
	unsigned int per_1000;	/* limit, set-up and end included */
};

FIXTURE_VARIANT_ADD(syscalls, spinning) {
	.t = {
		.devices = 1, .depth = 32, .inflight = 16, .commands = 100000,
		.bytes = 256, .spins = 10000000, .set_pinned = true,
	},
	.per_1000 = 20,
};
/* A short spin must suffice, because the wake-up protocol batches entries as well. */
FIXTURE_VARIANT_ADD(syscalls, short_spin) {
	.t = {
		.devices = 1, .depth = 32, .inflight = 32, .commands = 100000,
		.bytes = 256, .spins = 5000, .set_pinned = true,
	},
	.per_1000 = 100,
};

FIXTURE_SETUP(syscalls)
{
}

FIXTURE_TEARDOWN(syscalls)
{
}

#define TRACE_OPTIONS	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | \
			 PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
			 PTRACE_O_EXITKILL)

/* Number of system calls of @pid and its children until it exits, or -1. */
static long count_syscalls(pid_t pid, int *status)
{
	long stops = 0;
	pid_t who;
	int st;

	if (waitpid(pid, &st, 0) != pid || !WIFSTOPPED(st) ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, TRACE_OPTIONS) ||
	    ptrace(PTRACE_SYSCALL, pid, 0, 0))
		return -1;
	while ((who = waitpid(-1, &st, __WALL)) > 0) {
		long sig = 0;

		if (WIFEXITED(st) || WIFSIGNALED(st)) {
			if (who == pid) {
				*status = st;
				return stops / 2;
			}
			continue;
		}
		if (WSTOPSIG(st) == (SIGTRAP | 0x80))
			stops++;
		else if (WSTOPSIG(st) != SIGTRAP && WSTOPSIG(st) != SIGSTOP)
			sig = WSTOPSIG(st);
		ptrace(PTRACE_SYSCALL, who, 0, sig);
	}
	return -1;
}

TEST_F(syscalls, per_command)
{
	struct vd_run *run = vd_shared(sizeof(*run));
	int status = -1;
	long calls;
	pid_t pid;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two processors");
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(-vd_traffic_run(&variant->t, run));
	}
	calls = count_syscalls(pid, &status);
	ASSERT_LT(0, calls);
	ASSERT_EQ(0, status);
	TH_LOG("%ld system calls for %u commands, %lld ms", calls,
	       variant->t.commands, (long long)(run->ns / MS));
	EXPECT_EQ(run->server_total, run->client_total);
	EXPECT_GE(variant->t.commands / 1000 * variant->per_1000, calls);
}

TEST_HARNESS_MAIN
