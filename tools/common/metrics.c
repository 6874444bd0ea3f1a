// SPDX-License-Identifier: GPL-2.0-only
/*
 * metrics.c - the last run of a command, as a file for Prometheus
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "json.h"
#include "metrics.h"

/* A file of ours is much smaller. */
#define MAX_SIZE	(64 << 10)

/* The node exporter reads files that end with .prom only. */
#define SUFFIX		".tmp"

#define REPLACEMENT	"\xef\xbf\xbd"		/* U+FFFD */

#define SUCCESS	"vdi_last_success_timestamp_seconds"
#define RUN	"vdi_last_run_timestamp_seconds"

/* ----------------------------------------------------------------- labels */

/* Values of labels are UTF-8, with three characters escaped. */
static void put_value(FILE *out, const char *text)
{
	size_t size = strlen(text);

	while (size) {
		size_t length = vdi_utf8_length(text, size);

		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if (length)
			fwrite(text, 1, length, out);
		else
			fputs(REPLACEMENT, out);
		length = length ? : 1;
		text += length;
		size -= length;
	}
}

/* set="NAME",operation="backup"; the caller frees it. */
static char *make_labels(const char *set, const char *operation)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs("set=\"", out);
	put_value(out, set ? : "");
	fputs("\",operation=\"", out);
	put_value(out, operation);
	fputs("\"", out);
	return fclose(out) ? NULL : text;
}

/* ------------------------------------------------------ the previous file */

/* NULL with errno; errno 0: there is no file, or an empty one. */
static char *read_file(const char *path)
{
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;
	int fd, err;

	/* not for ever, if it is a FIFO */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		errno = errno == ENOENT ? 0 : errno;
		return NULL;
	}
	errno = fstat(fd, &st) ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
	if (!errno)
		text = malloc(MAX_SIZE + 1);
	if (text)
		n = read(fd, text, MAX_SIZE);
	err = errno;
	close(fd);
	if (n > 0) {
		text[n] = '\0';
		return text;
	}
	free(text);
	errno = n ? err : 0;
	return NULL;
}

/* What follows NAME{ on its line; NULL = there is no such line. */
static const char *find_sample(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (text) {
		if (!strncmp(text, name, length) && text[length] == '{')
			return text + length + 1;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return NULL;
}

static bool parse(struct vdi_metrics *metrics, const char *text)
{
	const char *run = find_sample(text, RUN), *success, *end;

	/* a value may contain a brace, but no newline */
	end = run ? strchr(run, '\n') : NULL;
	while (end && end > run && *end != '}')
		end--;
	if (!end || end == run)
		return false;
	metrics->labels = strndup(run, end - run);
	success = find_sample(text, SUCCESS);
	if (metrics->labels && success &&
	    !strncmp(success, metrics->labels, end - run) &&
	    success[end - run] == '}')
		metrics->success = strtoll(success + (end - run) + 1, NULL, 10);
	return metrics->labels;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

static bool is_for(const struct vdi_metrics *metrics, const char *set,
		   const char *operation)
{
	char *labels = make_labels(set, operation);
	bool same;

	if (!labels)
		return false;
	/* an unknown set: compare the part after it */
	same = set ? !strcmp(metrics->labels, labels) :
		     ends_with(metrics->labels, strstr(labels, "\",operation="));
	free(labels);
	return same;
}

static int read_previous(struct vdi_metrics *metrics, const char *set,
			 const char *operation)
{
	char *text = read_file(metrics->path);
	bool ours;

	if (!text && errno) {
		vdi_error("--metrics: cannot read %s: %s", metrics->path,
			  errno == EINVAL ? "it is not a regular file" :
			  strerror(errno));
		return EXIT_FAILED;
	}
	if (!text)
		return EXIT_OK;
	ours = parse(metrics, text) && is_for(metrics, set, operation);
	free(text);
	if (ours)
		return EXIT_OK;
	vdi_error("--metrics: %s exists, but not with metrics of vdi %s%s%s%s; choose another file, or remove it",
		  metrics->path, operation, set ? " for '" : "", set ? : "",
		  set ? "'" : "");
	return EXIT_FAILED;
}

/* ----------------------------------------------------------- the new file */

/* The name of a new file beside `path`, opened; the caller frees it. */
static char *create_beside(const char *path, int *fd)
{
	char *name;
	int err;

	if (asprintf(&name, "%s.XXXXXX" SUFFIX, path) < 0)
		return NULL;
	*fd = mkostemps(name, strlen(SUFFIX), O_CLOEXEC);
	if (*fd >= 0)
		return name;
	err = errno;
	free(name);
	errno = err;
	return NULL;
}

static int check_writable(const char *path)
{
	char *name;
	int fd;

	name = create_beside(path, &fd);
	if (!name) {
		vdi_error("--metrics: cannot write %s: %s", path,
			  strerror(errno));
		return EXIT_FAILED;
	}
	close(fd);
	unlink(name);
	free(name);
	return EXIT_OK;
}

int vdi_metrics_open(struct vdi_metrics *metrics, const char *path,
		     const char *set, const char *operation)
{
	int rc;

	*metrics = (struct vdi_metrics){ .path = path };
	if (!path)
		return EXIT_OK;
	rc = read_previous(metrics, set, operation);
	if (rc == EXIT_OK)
		rc = check_writable(path);
	/* a file that is not ours is not replaced at the end, either */
	if (rc != EXIT_OK)
		vdi_metrics_close(metrics);
	return rc;
}

static void put_sample(FILE *out, const char *name, const char *help,
		       const char *labels, double value, int digits)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n%s{%s} %.*f\n", name, help,
		name, name, labels, digits, value);
}

static void put_waits(FILE *out, const char *labels,
		      const struct vdi_metrics_run *run)
{
	static const char name[] = "vdi_last_run_wait_seconds";

	if (!run->waits_known)
		return;
	fprintf(out, "# HELP %s Time that this side waited for the other, all devices added up.\n"
		"# TYPE %s gauge\n"
		"%s{%s,side=\"database\"} %.3f\n"
		"%s{%s,side=\"appliance\"} %.3f\n",
		name, name, name, labels, run->database_waited, name, labels,
		run->appliance_waited);
}

static void put_all(FILE *out, const char *labels, int64_t success,
		    const struct vdi_metrics_run *run)
{
	put_sample(out, SUCCESS,
		   "End of the last run with exit code 0; 0 = there was none.",
		   labels, success, 0);
	put_sample(out, RUN, "End of the last run.", labels, run->ended, 0);
	put_sample(out, "vdi_last_run_exit_code",
		   "Exit code of the last run; see vdi(1).", labels,
		   run->exit_code, 0);
	put_sample(out, "vdi_last_run_duration_seconds",
		   "Duration of the transfer in the last run.", labels,
		   run->seconds, 3);
	put_sample(out, "vdi_last_run_bytes",
		   "Bytes that the last run has transferred.", labels,
		   run->bytes, 0);
	put_waits(out, labels, run);
}

/* 0 or errno. Renaming makes the file visible, so it is durable before that. */
static int put_file(int fd, const char *labels, int64_t success,
		    const struct vdi_metrics_run *run)
{
	FILE *out = fdopen(fd, "w");
	int err = 0;

	if (!out) {
		err = errno;
		close(fd);
		return err;
	}
	put_all(out, labels, success, run);
	/* read by another user, whatever the umask is */
	if (fflush(out) || fchmod(fd, 0644) || fsync(fd))
		err = errno;
	if (fclose(out) && !err)
		err = errno;
	return err;
}

static int replace(const struct vdi_metrics *metrics, const char *labels,
		   const struct vdi_metrics_run *run)
{
	bool same = metrics->labels && !strcmp(metrics->labels, labels);
	int64_t success = same ? metrics->success : 0;
	char *name;
	int fd, err;

	if (run->exit_code == EXIT_OK)
		success = run->ended;
	name = create_beside(metrics->path, &fd);
	if (!name)
		return errno;
	err = put_file(fd, labels, success, run);
	if (!err && rename(name, metrics->path))
		err = errno;
	if (err)
		unlink(name);
	free(name);
	return err;
}

bool vdi_metrics_write(struct vdi_metrics *metrics,
		       const struct vdi_metrics_run *run)
{
	char *labels;
	int err;

	if (!metrics->path)
		return true;
	/* the set of an unreadable backup is that of the run before */
	labels = !run->set && metrics->labels ? strdup(metrics->labels) :
			make_labels(run->set, run->operation);
	err = labels ? replace(metrics, labels, run) : ENOMEM;
	free(labels);
	if (err)
		vdi_error("--metrics: cannot write %s: %s", metrics->path,
			  strerror(err));
	return !err;
}

void vdi_metrics_close(struct vdi_metrics *metrics)
{
	free(metrics->labels);
	*metrics = (struct vdi_metrics){ .path = NULL };
}
