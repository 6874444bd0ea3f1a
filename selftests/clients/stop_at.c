// SPDX-License-Identifier: GPL-2.0
/*
 * stop_at.c - stops a program at a chosen call and does something meanwhile
 *
 * For LD_PRELOAD. The program is at the same point in every run, whatever the
 * speed of the host. Environment variables:
 *
 *   STOP_CALLS   names of calls, with spaces in between; by default those that
 *                make files or names durable
 *   STOP_TEXT    count only calls whose path, or path of the descriptor, has this
 *                in it, or with "=" before it is it; of ioctl(2), the request as
 *                in 0xd521
 *   STOP_NUMBER  stop at this one of the calls, from 1
 *   STOP_AFTER   set: once it has returned, otherwise before it is made
 *   STOP_CUT     directories, with spaces in between: their file systems lose what
 *                is not durable, by EXT4_IOC_SHUTDOWN
 *   STOP_MARK    file that is created then
 *   STOP_RUN     shell command that is run at last; $STOPPED is the process that
 *                waits for its end
 *   STOP_LOG     every call that counts is a line of this file
 *
 * A child that is forked before main() does this, so it keeps the rights of the
 * beginning. Children of the program are not stopped.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define DURABLE " fsync fdatasync syncfs rename renameat renameat2 link linkat "
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2
#define EXPORT __attribute__((visibility("default")))

static char calls[512], text[256], cut[4096], run[8192], mark[4096],
	    log_path[4096];
static unsigned long number, count;
static bool after;
static int helper = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void take(char *to, size_t size, const char *name)
{
	const char *value = getenv(name);

	snprintf(to, size, "%s", value ? value : "");
	unsetenv(name);
}

/* The functions of libc are those of this file. */
static void shut_down(const char *path)
{
	uint32_t flags = NO_LOG_FLUSH;
	int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_ioctl, fd, EXT4_IOC_SHUTDOWN, &flags))
		fprintf(stderr, "stop_at: %s: %s\n", path, strerror(errno));
	syscall(SYS_close, fd);
}

static void act(void)
{
	char *rest = strdup(cut), *path;

	while ((path = strsep(&rest, " "))) {
		if (*path)
			shut_down(path);
	}
	if (*mark)
		close(syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT,
			      0666));
	/* the last, since it may kill the program */
	if (*run && system(run))
		fprintf(stderr, "stop_at: failed: %s\n", run);
}

static void serve(int fd, pid_t parent)
{
	int null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
	char pid[16], byte;

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	for (int i = SIGHUP; i < SIGRTMIN; i++)
		signal(i, SIG_DFL);
	snprintf(pid, sizeof(pid), "%d", parent);
	setenv("STOPPED", pid, 1);
	while (syscall(SYS_read, fd, &byte, 1) == 1) {
		act();
		syscall(SYS_write, fd, &byte, 1);
	}
	_exit(0);
}

static void __attribute__((constructor)) begin(void)
{
	char figure[32];
	pid_t parent = getpid();
	int pair[2];

	unsetenv("LD_PRELOAD");
	if (getenv("STOP_CALLS"))
		snprintf(calls, sizeof(calls), " %s ", getenv("STOP_CALLS"));
	else
		snprintf(calls, sizeof(calls), DURABLE);
	unsetenv("STOP_CALLS");
	take(text, sizeof(text), "STOP_TEXT");
	take(cut, sizeof(cut), "STOP_CUT");
	take(run, sizeof(run), "STOP_RUN");
	take(mark, sizeof(mark), "STOP_MARK");
	take(log_path, sizeof(log_path), "STOP_LOG");
	take(figure, sizeof(figure), "STOP_AFTER");
	after = *figure;
	take(figure, sizeof(figure), "STOP_NUMBER");
	number = strtoul(figure, NULL, 10);
	if (!number)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		abort();
	/* out of the way of descriptors that the program wants */
	helper = fcntl(pair[0], F_DUPFD_CLOEXEC, 500);
	close(pair[0]);
	switch (fork()) {
	case -1:
		abort();
	case 0:
		close(helper);
		serve(pair[1], parent);
	}
	close(pair[1]);
}

static void note(const char *call, const char *path)
{
	char line[4400];
	int fd, size;

	if (!*log_path)
		return;
	fd = syscall(SYS_openat, AT_FDCWD, log_path,
		     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	size = snprintf(line, sizeof(line), "%s %s\n", call, path);
	syscall(SYS_write, fd, line, size);
	syscall(SYS_close, fd);
}

static void stop(void)
{
	char byte = 0;

	syscall(SYS_write, helper, &byte, 1);
	while (syscall(SYS_read, helper, &byte, 1) < 0 && errno == EINTR)
		;
}

static bool matches(const char *path)
{
	return *text == '=' ? !strcmp(path, text + 1) : !!strstr(path, text);
}

/* True: to stop once it has returned. */
static bool enter(const char *call, const char *path)
{
	char name[40];
	bool here = false;
	int saved = errno;

	snprintf(name, sizeof(name), " %s ", call);
	if (!strstr(calls, name) || !matches(path))
		return false;
	pthread_mutex_lock(&lock);
	note(call, path);
	here = ++count == number;
	if (here && !after)
		stop();
	pthread_mutex_unlock(&lock);
	errno = saved;
	return here && after;
}

static void leave(bool here)
{
	int saved = errno;

	if (here)
		stop();
	errno = saved;
}

static bool enter_fd(const char *call, int fd)
{
	char link[40], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	return enter(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRAP(type, name, declared, passed, entered)			\
	EXPORT type name declared					\
	{								\
		bool here = entered;					\
		type rc = REAL(name) passed;				\
									\
		leave(here);						\
		return rc;						\
	}

WRAP(int, fsync, (int fd), (fd), enter_fd("fsync", fd))
WRAP(int, fdatasync, (int fd), (fd), enter_fd("fdatasync", fd))
WRAP(int, syncfs, (int fd), (fd), enter_fd("syncfs", fd))
WRAP(int, rename, (const char *from, const char *to), (from, to),
     enter("rename", to))
WRAP(int, renameat, (int from, const char *old, int to, const char *name),
     (from, old, to, name), enter("renameat", name))
WRAP(int, renameat2, (int from, const char *old, int to, const char *name,
		      unsigned int flags), (from, old, to, name, flags),
     enter("renameat2", name))
WRAP(int, link, (const char *from, const char *to), (from, to),
     enter("link", to))
WRAP(int, linkat, (int from, const char *old, int to, const char *name,
		   int flags), (from, old, to, name, flags),
     enter("linkat", name))
WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t at),
     (fd, data, size, at), enter_fd("pread", fd))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at),
     (fd, data, size, at), enter_fd("pwrite", fd))
WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size),
     enter_fd("read", fd))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size),
     enter_fd("write", fd))

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	bool here = enter("openat", path);
	va_list args;
	mode_t mode;
	int rc;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	rc = REAL(openat)(dir, path, flags, mode);
	leave(here);
	return rc;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	char name[24];
	va_list args;
	void *arg;
	bool here;
	int rc;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	snprintf(name, sizeof(name), "%#lx", request);
	here = enter("ioctl", name);
	rc = REAL(ioctl)(fd, request, arg);
	leave(here);
	return rc;
}
