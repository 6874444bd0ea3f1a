// SPDX-License-Identifier: GPL-2.0-only
/*
 * statement.c - the BACKUP or RESTORE statement, and the command that sends it
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bridge.h"
#include "common/child.h"

#define STOP_SECONDS	30

/* "VIRTUAL_DEVICE='A', VIRTUAL_DEVICE='B'"; the names need no quoting. */
static void write_devices(FILE *out, const struct bridge *b)
{
	unsigned int i;

	for (i = 0; i < b->db.count; i++)
		fprintf(out, "%sVIRTUAL_DEVICE='%s'", i ? ", " : "",
			b->channel[i].sdk_name);
}

/* In brackets, in which a closing one is written twice. */
static void write_identifier(FILE *out, const char *name)
{
	putc('[', out);
	for (; *name; name++) {
		putc(*name, out);
		if (*name == ']')
			putc(']', out);
	}
	putc(']', out);
}

static void write_given(FILE *out, const struct bridge *b)
{
	const char *p = b->statement, *at;

	while ((at = strstr(p, "%D"))) {
		fwrite(p, 1, at - p, out);
		write_devices(out, b);
		p = at + 2;
	}
	fputs(p, out);
}

static void write_made(FILE *out, const struct bridge *b)
{
	fprintf(out, "%s %s ", b->backup ? "BACKUP" : "RESTORE",
		b->log ? "LOG" : "DATABASE");
	write_identifier(out, b->database);
	fprintf(out, " %s ", b->backup ? "TO" : "FROM");
	write_devices(out, b);
	if (b->with)
		fprintf(out, " WITH %s", b->with);
}

char *statement_make(const struct bridge *b)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (b->statement)
		write_given(out, b);
	else
		write_made(out, b);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static bool is_sqlcmd(const char *program)
{
	const char *slash = strrchr(program, '/');

	return !strcmp(slash ? slash + 1 : program, "sqlcmd");
}

/* The words of the command, and the statement as the last one. */
static const char **make_arguments(const struct bridge *b, const char *statement)
{
	static char *const sqlcmd[] = { "sqlcmd", NULL };
	char *const *command = b->command ? : sqlcmd;
	const char **argv;
	unsigned int n = 0;

	while (command[n])
		n++;
	argv = calloc(n + 5, sizeof(*argv));
	if (!argv)
		return NULL;
	memcpy(argv, command, n * sizeof(*argv));
	if (is_sqlcmd(argv[0])) {
		/* an exit code after errors, messages on standard error, the statement */
		argv[n++] = "-b";
		argv[n++] = "-r1";
		argv[n++] = "-Q";
	}
	argv[n] = statement;
	return argv;
}

bool statement_start(struct bridge *b)
{
	char *statement = statement_make(b);
	const char **argv = statement ? make_arguments(b, statement) : NULL;
	struct child_files files = { .in = -1 };

	if (!argv) {
		free(statement);
		return db_fail(&b->db, EXIT_FAILED, "out of memory");
	}
	b->errors = child_errors_start(&files.err);
	if (b->errors) {
		files.out = files.err;
		b->pid = child_spawn(argv[0], (char *const *)argv, &files, environ);
		close(files.err);
	}
	if (!b->errors || b->pid < 0) {
		db_fail(&b->db, EXIT_FAILED, "cannot start '%s': %s", argv[0],
			strerror(errno));
		b->pid = 0;
	}
	free(argv);
	free(statement);
	return b->pid;
}

bool statement_ended(struct bridge *b, int *status)
{
	return b->pid && child_status(b->pid, status);
}

bool statement_fail(struct bridge *b, int status)
{
	char last[512], how[64];

	child_wait(b->pid);
	b->pid = 0;
	child_errors_end(b->errors, last, sizeof(last));
	b->errors = NULL;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was killed by signal %d",
			 WTERMSIG(status));
	else if (!WEXITSTATUS(status))
		snprintf(how, sizeof(how), "ended before the transfer");
	else
		snprintf(how, sizeof(how), "ended with exit code %d",
			 WEXITSTATUS(status));
	return db_fail(&b->db, EXIT_FAILED, "the command for SQL Server %s%s%s",
		       how, *last ? "; its last messages: " : "", last);
}

static bool hurry(void *context)
{
	(void)context;
	return vdi_signal_pending() > 1;
}

void statement_stop(struct bridge *b)
{
	if (b->pid)
		child_stop(b->pid, STOP_SECONDS, hurry, NULL);
	b->pid = 0;
	if (b->errors)
		child_errors_end(b->errors, NULL, 0);
	b->errors = NULL;
}
