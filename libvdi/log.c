// SPDX-License-Identifier: LGPL-2.1-or-later
/* log.c - lines for people about what the library does */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <libvdi.h>

#include "log.h"
#include "names.h"

#define LINE_SIZE	1024

/* Where lines go. Never freed, since another thread may be about to use it. */
struct sink {
	vdi_log_fn *fn;
	void *data;
	struct sink *before;
};

int vdi_log_level;
static struct sink *sink;		/* NULL = standard error */
static struct sink *all_sinks;

static void read_environment(void)
{
	const char *text = secure_getenv("VDI_DEBUG");
	int level = 0;

	if (text && *text)
		level = *text >= '0' && *text <= '9' ? atoi(text) : 1;
	__atomic_store_n(&vdi_log_level, level, __ATOMIC_RELAXED);
}

/* Called for each new object. */
void vdi_log_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_environment);
}

/* Without locks: a child of a process with threads may log, too. */
void vdi_set_log(vdi_log_fn *fn, void *data, int level)
{
	struct sink *new = NULL;

	vdi_log_init();
	if (fn) {
		new = malloc(sizeof(*new));
		if (!new)
			return;
		new->fn = fn;
		new->data = data;
		new->before = __atomic_exchange_n(&all_sinks, new,
						  __ATOMIC_RELAXED);
	}
	__atomic_store_n(&sink, new, __ATOMIC_RELEASE);
	__atomic_store_n(&vdi_log_level, level, __ATOMIC_RELAXED);
}

/* One write(2), so that lines of several threads and processes stay whole. */
static void print(const char *line)
{
	char text[LINE_SIZE + 64];
	struct timespec now;
	struct tm tm;
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	len = snprintf(text, sizeof(text), "libvdi: %02d:%02d:%02d.%06ld [%ld] "
		       "%s\n", tm.tm_hour, tm.tm_min, tm.tm_sec,
		       now.tv_nsec / 1000, (long)syscall(SYS_gettid), line);
	if (write(STDERR_FILENO, text, len) < 0)
		return;
}

/* Log a line about the set, or device, @name. Called if vdi_log_on(). */
void vdi_log(const char *name, const char *format, ...)
{
	const struct sink *to = __atomic_load_n(&sink, __ATOMIC_ACQUIRE);
	char line[LINE_SIZE];
	va_list args;
	int len = 0;

	if (*name)
		len = snprintf(line, sizeof(line), "%s: ", name);
	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - len, format, args);
	va_end(args);
	vdi_clean_text(line);
	if (to)
		to->fn(to->data, line);
	else
		print(line);
}
