// SPDX-License-Identifier: GPL-2.0-only
/*
 * hook.c - commands of the user, run at the request of the database
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/child.h"
#include "hook.h"

#define TICK_US		20000	/* interval of checks for its termination */
#define PATIENCE	5	/* seconds from SIGTERM to SIGKILL */

char *hook_directory(const char *path)
{
	char *copy = strdup(path), *last = strdup(path);
	char *parent = copy ? realpath(dirname(copy), NULL) : NULL;
	char *out = NULL;

	if (parent && last &&
	    asprintf(&out, "%s/%s", strcmp(parent, "/") ? parent : "",
		     basename(last)) < 0)
		out = NULL;
	free(parent);
	free(last);
	free(copy);
	return out;
}

/* The shell runs the command; -1 with errno. */
static pid_t start(struct worker *worker, int code, const char *command,
		   const char *directory)
{
	struct child_variables own = { 0 };

	child_variable(&own, "VDI_SET=%s", worker->appliance->names.set);
	child_variable(&own, "VDI_DEVICE=%s", worker->name);
	child_variable(&own, "VDI_DIR=%s", directory);
	child_variable(&own, "VDI_COMMAND=%s", vdi_command_name(code));
	return child_start_with(command, &own);
}

/* A second signal, if the first one has aborted the set. */
static bool hurry(void *signals)
{
	return vdi_signal_pending() > *(unsigned int *)signals;
}

static void stop(pid_t pid)
{
	unsigned int signals = vdi_signal_pending() ? 1 : 0;

	child_stop(pid, PATIENCE, hurry, &signals);
}

/* False: stopped because the set was aborted. */
static bool wait_for(struct appliance *a, pid_t pid, int *status)
{
	while (!child_ended(pid)) {
		if (appliance_aborted(a)) {
			stop(pid);
			return false;
		}
		usleep(TICK_US);
	}
	*status = child_wait(pid);
	return true;
}

static bool check_status(struct worker *worker, int code, const char *command,
		  int status)
{
	struct appliance *a = worker->appliance;
	const char *why = vdi_command_name(code);

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFEXITED(status))
		appliance_note(a, EXIT_FAILED,
			       "the command for %s ended with exit code %d: %s",
			       why, WEXITSTATUS(status), command);
	else
		appliance_note(a, EXIT_FAILED,
			       "the command for %s was killed by signal %d: %s",
			       why, WTERMSIG(status), command);
	return false;
}

bool hook_run(struct worker *worker, int code, const char *command,
	      const char *directory)
{
	struct appliance *a = worker->appliance;
	bool ended;
	int status;
	pid_t pid;

	pid = start(worker, code, command, directory);
	if (pid < 0) {
		appliance_note(a, EXIT_FAILED, "cannot run /bin/sh: %s",
			       strerror(errno));
		return false;
	}
	ended = wait_for(a, pid, &status);
	/* after an abort, the next call on the set reports the cause */
	return ended && check_status(worker, code, command, status);
}
