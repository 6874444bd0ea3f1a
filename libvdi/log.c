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

#define LINE_SIZE	1024

int vdi_log_level;
static bool level_is_set;		/* by the program */
static vdi_log_fn *log_fn;
static void *log_data;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void read_environment(void)
{
	const char *text = secure_getenv("VDI_DEBUG");
	int level = 0;

	if (text && *text)
		level = *text >= '0' && *text <= '9' ? atoi(text) : 1;
	pthread_mutex_lock(&lock);
	if (!level_is_set)
		__atomic_store_n(&vdi_log_level, level, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
}

/* Called for each new object. */
void vdi_log_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_environment);
}

void vdi_set_log(vdi_log_fn *fn, void *data, int level)
{
	pthread_mutex_lock(&lock);
	level_is_set = true;
	log_fn = fn;
	log_data = data;
	__atomic_store_n(&vdi_log_level, level, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
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
	char line[LINE_SIZE];
	vdi_log_fn *fn;
	va_list args;
	void *data;
	int len = 0;

	if (*name)
		len = snprintf(line, sizeof(line), "%s: ", name);
	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - len, format, args);
	va_end(args);
	pthread_mutex_lock(&lock);
	fn = log_fn;
	data = log_data;
	pthread_mutex_unlock(&lock);
	if (fn)
		fn(data, line);
	else
		print(line);
}
