// SPDX-License-Identifier: GPL-2.0-only
/*
 * command_guard.c - the process that kills a command if vdi terminates without doing so
 *
 * When a process is killed, the kernel closes its end of the pipe. The command would see
 * a normal end of its input, and keep a part of a backup as a whole one. The guard holds
 * another descriptor of that end until the command is dead.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "command_parts.h"
#include "common/child.h"

#define PATIENCE	5	/* seconds from SIGTERM to SIGKILL */
#define TICK_NS		100000000
#define TICKS		(PATIENCE * (1000000000 / TICK_NS))

static void kill_group(pid_t group)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	int n;

	kill(-group, SIGTERM);
	for (n = 0; n < TICKS && !kill(-group, 0); n++)
		nanosleep(&tick, NULL);
	kill(-group, SIGKILL);
}

/*
 * Other threads may exist, so only functions that are safe in signal handlers are
 * called. Only two descriptors stay open: those of other commands must not.
 */
static void guard(int life, int input, pid_t group)
{
	ssize_t n;
	char byte;

	setsid();
	if (dup2(life, STDIN_FILENO) < 0 ||
	    dup2(input >= 0 ? input : life, STDOUT_FILENO) < 0)
		_exit(1);
	close_range(STDERR_FILENO, ~0U, 0);
	do
		n = read(STDIN_FILENO, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		kill_group(group);
	_exit(0);
}

int guard_start(struct guard *g, pid_t group, int input)
{
	sigset_t all, old;
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC))
		return errno;
	/* only SIGKILL ends the guard early */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	g->pid = fork();
	err = errno;
	if (!g->pid)
		guard(fds[0], input, group);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fds[0]);
	g->life = fds[1];
	if (g->pid > 0)
		return 0;
	g->pid = 0;
	close(fds[1]);
	return err;
}

void guard_end(struct guard *g)
{
	ssize_t n;

	if (!g->pid)
		return;
	/* EPIPE: it was killed */
	do
		n = write(g->life, "", 1);
	while (n < 0 && errno == EINTR);
	close(g->life);
	child_wait(g->pid);
	g->pid = 0;
}
