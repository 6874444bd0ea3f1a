// SPDX-License-Identifier: GPL-2.0-only
/*
 * child.c - shell commands of the user: start, wait, stop the process group
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "common.h"

/* Time for a killed process to terminate. */
#define KILL_SECONDS	5

pid_t child_start(const char *command, char *const *environment)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	pid_t pid = -1;
	int rc;

	sigemptyset(&none);
	vdi_signals_of_child(&defaults);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
				 POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
					 O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	rc = posix_spawn(&pid, "/bin/sh", &files, &attributes, argv,
			 environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	errno = rc;
	return rc ? -1 : pid;
}

bool child_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG) ||
	       info.si_pid;
}

int child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

static void tick(void)
{
	const struct timespec time = { .tv_nsec = 20000000 };

	nanosleep(&time, NULL);
}

/* Reap the terminated children of the group. True if no child is left. */
static bool reap(pid_t group)
{
	pid_t pid;

	do
		pid = waitpid(-group, NULL, WNOHANG);
	while (pid > 0);
	return pid < 0;
}

/*
 * No process is reaped before the last signal, so that the number of the group
 * cannot be reused meanwhile.
 */
bool child_stop(pid_t pid, double patience, bool (*hurry)(void *argument),
		void *argument)
{
	double until = vdi_now() + patience;

	kill(-pid, SIGTERM);
	while (!child_ended(pid) && vdi_now() < until && !hurry(argument))
		tick();
	kill(-pid, SIGKILL);
	until = vdi_now() + KILL_SECONDS;
	while (!reap(pid)) {
		if (vdi_now() > until)
			return false;
		tick();
	}
	return true;
}
