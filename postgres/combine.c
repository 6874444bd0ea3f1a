// SPDX-License-Identifier: GPL-2.0-only
/*
 * combine.c - runs pg_combinebackup, which knows the format of increments
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/child_errors.h"
#include "restore.h"

#define PROGRAM "pg_combinebackup"

/* The program is stopped when a signal was received. */
#define POLL_NS		50000000L
#define STOP_SECONDS	10

/* ----------------------------------------------------------- finding the program */

static size_t read_some(int fd, char *text, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while (done < size - 1) {
		n = read(fd, text + done, size - 1 - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
	text[done] = '\0';
	return done;
}

/* The major version that a program reports; 0 = it does not run. */
static unsigned int version_of(const char *program)
{
	char *argv[] = { (char *)program, "--version", NULL };
	struct child_files files = { .in = -1, .err = STDERR_FILENO };
	char text[256], *number;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return 0;
	files.out = fds[1];
	pid = child_spawn(program, argv, &files, environ);
	close(fds[1]);
	read_some(fds[0], text, sizeof(text));
	close(fds[0]);
	if (pid < 0)
		return 0;
	status = child_wait(pid);
	number = strstr(text, "PostgreSQL) ");
	if (!number || !WIFEXITED(status) || WEXITSTATUS(status))
		return 0;
	return strtoul(number + strlen("PostgreSQL) "), NULL, 10);
}

/* Has the program the version? Then it is remembered. The path is freed otherwise. */
static bool take(struct restore *r, char *path, unsigned int major, unsigned int *found)
{
	unsigned int version = version_of(path);

	if (version)
		*found = version;
	if (version == major) {
		r->combine = path;
		return true;
	}
	free(path);
	return false;
}

static char *candidate(const struct restore *r, unsigned int major, unsigned int number)
{
	char *path = NULL;
	int rc = -1;

	if (r->bindir)
		rc = number ? -1 : asprintf(&path, "%s/" PROGRAM, r->bindir);
	else if (number == 0)
		rc = asprintf(&path, "/usr/lib/postgresql/%u/bin/" PROGRAM, major);
	else if (number == 1)
		rc = asprintf(&path, "/usr/pgsql-%u/bin/" PROGRAM, major);
	else if (number == 2)
		rc = asprintf(&path, PROGRAM);
	return rc < 0 ? NULL : path;
}

bool combine_find(struct restore *r)
{
	unsigned int major = r->pg_version / 10000, found = 0, i;
	char *path;

	for (i = 0; (path = candidate(r, major, i)); i++) {
		if (take(r, path, major, &found))
			return true;
	}
	if (found)
		return db_fail(&r->db, EXIT_FAILED,
			       "it is a backup of PostgreSQL %u, but " PROGRAM " is of PostgreSQL %u: install the programs of the server, or use --pg-bindir",
			       major, found);
	return db_fail(&r->db, EXIT_FAILED,
		       "there is no " PROGRAM " of PostgreSQL %u%s%s: install the programs of the server, or use --pg-bindir",
		       major, r->bindir ? " in " : "", r->bindir ? : "");
}

/* --------------------------------------------------------------- its arguments */

struct arguments {
	char **list;
	size_t count;
	bool failed;			/* out of memory */
};

static void add(struct arguments *a, char *text)
{
	char **list = text ? reallocarray(a->list, a->count + 2, sizeof(*list)) : NULL;

	if (!list) {
		free(text);
		a->failed = true;
		return;
	}
	a->list = list;
	list[a->count++] = text;
	list[a->count] = NULL;
}

/* In -T, "=" in a path is written "\=". */
static void put_path(FILE *file, const char *path)
{
	for (; *path; path++) {
		if (*path == '=')
			fputc('\\', file);
		fputc(*path, file);
	}
}

/* The links of the last backup lead to the directories beside it. */
static void add_mapping(struct arguments *a, const struct tablespace *from,
			const struct tablespace *to)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file) {
		a->failed = true;
		return;
	}
	put_path(file, from->place.path);
	fputc('=', file);
	put_path(file, to->place.path);
	if (fclose(file)) {
		free(text);
		text = NULL;
	}
	add(a, strdup("-T"));
	add(a, text);
}

static void add_backups(struct arguments *a, const struct restore *r)
{
	unsigned int i;
	char *path;

	for (i = 1; i <= r->count; i++) {
		if (asprintf(&path, "%s/%u", r->partial, i) < 0)
			path = NULL;
		add(a, path);
	}
}

static void make_arguments(struct arguments *a, const struct restore *r)
{
	int i;

	add(a, strdup(r->combine));
	/* unpack_sync() does it, with descriptors that were open before */
	add(a, strdup("--no-sync"));
	add(a, strdup("-o"));
	add(a, strdup(r->unpack.base.path));
	for (i = 0; i < r->unpack.tablespaces; i++)
		add_mapping(a, &r->part.tablespace[i], &r->unpack.tablespace[i]);
	add_backups(a, r);
}

static void free_arguments(struct arguments *a)
{
	size_t i;

	for (i = 0; i < a->count; i++)
		free(a->list[i]);
	free(a->list);
}

/* -------------------------------------------------------------- running it */

/* A second Ctrl-C does not wait for the program to remove its files: they are removed here. */
static bool hurry(void *argument)
{
	(void)argument;
	return vdi_signal_pending();
}

/* False after db_fail(), and then the program was stopped. */
static bool wait_for(struct restore *r, pid_t pid, int *status)
{
	const struct timespec tick = { .tv_nsec = POLL_NS };

	while (!child_ended(pid)) {
		if (!restore_check_interrupt(r)) {
			child_stop(pid, STOP_SECONDS, hurry, NULL);
			return false;
		}
		nanosleep(&tick, NULL);
	}
	*status = child_wait(pid);
	return true;
}

static bool start(struct restore *r, char *const *argv)
{
	struct child_files files = { .in = -1, .out = STDERR_FILENO };
	struct child_errors *errors = child_errors_start(&files.err);
	char why[512] = "";
	int status = 0, saved;
	bool ended = false;
	pid_t pid = -1;

	if (!errors)
		return db_fail(&r->db, EXIT_FAILED, "cannot run " PROGRAM ": %s", strerror(errno));
	pid = child_spawn(r->combine, argv, &files, environ);
	saved = errno;
	close(files.err);
	if (pid >= 0)
		ended = wait_for(r, pid, &status);
	child_errors_end(errors, why, sizeof(why));
	if (pid < 0)
		return db_fail(&r->db, EXIT_FAILED, "cannot run %s: %s", r->combine,
			       strerror(saved));
	if (!ended)
		return false;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	return db_fail(&r->db, EXIT_FAILED, "the backups cannot be combined: %s",
		       *why ? why : PROGRAM " has failed");
}

bool combine_run(struct restore *r)
{
	struct arguments a = { .list = NULL };
	bool ok;

	if (!r->options.quiet)
		fprintf(stderr, "%s: combining %u backups\n", vdi_program(), r->count);
	make_arguments(&a, r);
	ok = a.failed ? db_fail(&r->db, EXIT_FAILED, "out of memory") : start(r, a.list);
	free_arguments(&a);
	return ok;
}
