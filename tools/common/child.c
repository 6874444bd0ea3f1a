// SPDX-License-Identifier: GPL-2.0-only
/*
 * child.c - commands of the user: start, wait, stop the process group
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "common.h"

/* Time for a killed process to terminate. */
#define KILL_SECONDS	5

pid_t child_spawn(const char *program, char *const *argv,
		  const struct child_files *child_files,
		  char *const *environment)
{
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
	if (child_files->in >= 0)
		posix_spawn_file_actions_adddup2(&files, child_files->in,
						 STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&files, STDIN_FILENO,
						 "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, child_files->out,
					 STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, child_files->err,
					 STDERR_FILENO);
	rc = posix_spawnp(&pid, program, &files, &attributes, argv,
			  environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	errno = rc;
	return rc ? -1 : pid;
}

pid_t child_start(const char *command, char *const *environment)
{
	static const struct child_files files = {
		.in = -1, .out = STDERR_FILENO, .err = STDERR_FILENO
	};
	char *argv[] = { "sh", "-c", (char *)command, NULL };

	return child_spawn("/bin/sh", argv, &files, environment);
}

void child_variable(struct child_variables *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (v->count < CHILD_VARIABLES &&
	    vasprintf(&v->variable[v->count], format, args) >= 0)
		v->count++;
	else
		v->failed = true;
	va_end(args);
}

static bool is_replaced(const char *variable, const struct child_variables *v)
{
	size_t i, name;

	for (i = 0; i < v->count; i++) {
		name = strcspn(v->variable[i], "=") + 1;
		if (!strncmp(variable, v->variable[i], name))
			return true;
	}
	return false;
}

char **child_variables_environment(const struct child_variables *v)
{
	size_t existing = 0, i, n = v->count;
	char **all;

	while (environ[existing])
		existing++;
	all = v->failed ? NULL : calloc(existing + n + 1, sizeof(*all));
	if (!all) {
		errno = ENOMEM;
		return NULL;
	}
	memcpy(all, v->variable, n * sizeof(*all));
	for (i = 0; i < existing; i++) {
		if (!is_replaced(environ[i], v))
			all[n++] = environ[i];
	}
	return all;
}

void child_variables_free(struct child_variables *v)
{
	while (v->count)
		free(v->variable[--v->count]);
}

pid_t child_start_with(const char *command, struct child_variables *v)
{
	char **all = child_variables_environment(v);
	pid_t pid = all ? child_start(command, all) : -1;
	int err = errno;

	free(all);
	child_variables_free(v);
	errno = err;
	return pid;
}

int child_input_rest(int pipe)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pipe);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

bool child_input_is_unread(int rest)
{
	int unread = 0;

	return rest >= 0 && !ioctl(rest, FIONREAD, &unread) && unread;
}

bool child_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG) ||
	       info.si_pid;
}

bool child_status(pid_t pid, int *status)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG) ||
	    !info.si_pid)
		return false;
	*status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) :
					       W_EXITCODE(0, info.si_status);
	return true;
}

bool child_is_left(pid_t pid)
{
	siginfo_t info;

	return pid > 0 &&
	       !waitid(P_PGID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
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
