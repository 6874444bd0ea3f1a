// SPDX-License-Identifier: GPL-2.0-only
/*
 * common.c - errors, numbers, names and signals of the subcommands
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

static const char *program = "vdi";

void vdi_set_program(const char *name)
{
	program = name;
}

const char *vdi_program(void)
{
	return program;
}

/*
 * If a standard descriptor is closed at start, the next file that is opened, for
 * example a set, would get its number. /dev/null takes the number instead, opened
 * so that reading stdin or writing stdout fails as on a closed descriptor, while
 * messages are discarded.
 */
void vdi_occupy_standard_files(void)
{
	static const int flags[] = { O_WRONLY, O_RDONLY, O_WRONLY };
	int fd;

	/* open(2) returns the lowest free number */
	for (fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", flags[fd]);
	}
}

static pthread_mutex_t first_error_lock = PTHREAD_MUTEX_INITIALIZER;
static char first_error[2048];

static bool is_warning(const char *text)
{
	return !strncmp(text, "warning:", 8);
}

static void record_error(const char *text)
{
	if (is_warning(text))
		return;
	pthread_mutex_lock(&first_error_lock);
	if (!*first_error)
		snprintf(first_error, sizeof(first_error), "%s", text);
	pthread_mutex_unlock(&first_error_lock);
}

void vdi_first_error(char *buf, size_t size)
{
	pthread_mutex_lock(&first_error_lock);
	snprintf(buf, size, "%s", first_error);
	pthread_mutex_unlock(&first_error_lock);
}

/* Is stderr the journal of systemd, which reads priorities? See sd-daemon(3). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

/* One write(2) per line, so that lines of several processes do not mix. */
void vdi_error(const char *format, ...)
{
	char text[2048], line[4096];
	const char *priority = "";
	size_t used, at = 0;
	va_list args;
	ssize_t n;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	record_error(text);
	if (stderr_is_journal())
		priority = is_warning(text) ? "<4>" : "<3>";
	snprintf(line, sizeof(line) - 1, "%s%s: %s", priority, program, text);
	used = strlen(line);
	line[used++] = '\n';
	while (at < used) {
		n = write(STDERR_FILENO, line + at, used - at);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0)
			at += n;
	}
}

int vdi_invalid(const char *what, const char *argument, const char *rule)
{
	vdi_error("invalid %s '%s': must be %s", what, argument, rule);
	return EXIT_USAGE;
}

bool vdi_split_command(int *argc, char **argv, char *const **command)
{
	int i;

	*command = NULL;
	for (i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		if (i + 1 == *argc) {
			vdi_error("no command follows '--'");
			return false;
		}
		*command = argv + i + 1;
		argv[i] = NULL;
		*argc = i;
		break;
	}
	return true;
}

bool vdi_parse_user(const char *text, uid_t *uid)
{
	const struct passwd *pw = getpwnam(text);
	unsigned long long value;
	char *end;

	if (pw) {
		*uid = pw->pw_uid;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || value >= (uid_t)-1)
		return false;
	*uid = value;
	return true;
}

bool vdi_users_add(struct vdi_users *users, const char *list)
{
	char *copy = strdup(list), *rest = copy, *name;
	bool ok = copy;

	if (!copy)
		vdi_error("out of memory");
	while (ok && (name = strsep(&rest, ","))) {
		ok = false;
		if (users->count == VDI_MAX_TRUSTED_USERS)
			vdi_error("too many users: at most %d can be named",
				  VDI_MAX_TRUSTED_USERS);
		else if (!vdi_parse_user(name, &users->uid[users->count]))
			vdi_error("no such user: '%s'", name);
		else
			ok = ++users->count;
	}
	free(copy);
	return ok;
}

void vdi_user_text(uid_t uid, char *buf, size_t size)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(buf, size, "%s", pw->pw_name);
	else
		snprintf(buf, size, "%lu", (unsigned long)uid);
}

/* A number of bytes, with the suffix K, M, G or T for powers of 1024. */
bool vdi_parse_size(const char *text, uint64_t min, uint64_t max,
		    uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		const char *unit = strchr(units, *end & ~0x20);

		if (!unit)
			return false;
		shift = 10 * (unit - units + 1);
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || value > UINT64_MAX >> shift)
		return false;
	value <<= shift;
	if (value < min || value > max)
		return false;
	*out = value;
	return true;
}

bool vdi_parse_rate(const char *text, uint64_t *rate)
{
	return vdi_parse_size(text, 1024, INT64_MAX, rate);
}

/* Seconds, with a fraction. *out is in milliseconds, rounded up. */
bool vdi_parse_seconds(const char *text, int64_t *out)
{
	double value;
	char *end;

	errno = 0;
	value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= 0) || value > 1e9)
		return false;
	*out = (int64_t)ceil(value * 1000);
	return true;
}

void vdi_format_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = bytes;
	unsigned int i = 0;

	while (value >= 1024 && i < 4) {
		value /= 1024;
		i++;
	}
	snprintf(buf, size, i ? "%.1f %s" : "%.0f %s", value, units[i]);
}

void vdi_format_duration(double seconds, char *buf, size_t size)
{
	uint64_t s = seconds;

	if (s < 60)
		snprintf(buf, size, "%.1f s", seconds);
	else if (s < 86400)
		snprintf(buf, size, "%02u:%02u:%02u", (unsigned int)(s / 3600),
			 (unsigned int)(s / 60 % 60), (unsigned int)(s % 60));
	else
		snprintf(buf, size, "%.1f d", seconds / 86400);
}

double vdi_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

void vdi_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

void vdi_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
		   unsigned int milliseconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(cond, lock, &until);
}

int vdi_thread_start(pthread_t *thread, void *(*run)(void *argument),
		     void *argument)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* The exit code for an error VD_E_*. */
int vdi_exit_for(int code)
{
	switch (code) {
	case VD_E_ABORT:
		return EXIT_ABORTED;
	case VD_E_TIMEOUT:
		return EXIT_TIMED_OUT;
	default:
		return EXIT_FAILED;
	}
}

int vdi_exit_for_abort(const struct vdi_abort_info *info, bool restoring)
{
	if (restoring && info->reason == VDI_REASON_SIGNAL &&
	    info->role != VDI_ROLE_OBSERVER && info->code == EXIT_DAMAGED)
		return EXIT_DAMAGED;
	return EXIT_ABORTED;
}

bool vdi_names_add(struct vdi_names *names, const char *name)
{
	if (names->given == VDI_MAX_DEVICES)
		return false;
	names->given_name[names->given++] = name;
	return true;
}

/*
 * The first device always has the name of the set. The callers check that the
 * first --device is that name.
 */
const char *vdi_names_get(struct vdi_names *names, unsigned int index)
{
	if (index == 0)
		return names->set;
	if (index < names->given)
		return names->given_name[index];
	if (!names->made[index] &&
	    asprintf(&names->made[index], "%s%u", names->set, index) < 0)
		names->made[index] = NULL;
	return names->made[index];
}

void vdi_names_free(struct vdi_names *names)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++) {
		free(names->made[i]);
		names->made[i] = NULL;
	}
}

static sigset_t ignored;	/* at the start of the program */
static _Atomic int received;
static _Atomic unsigned int arrived;	/* number of signals */
static unsigned int taken;		/* by vdi_signal_take() */

static void note_signal(int number)
{
	received = number;
	arrived++;
}

/*
 * No SA_RESTART: a signal must interrupt waits, which then check
 * vdi_signal_received(). A signal that was ignored when the program was started,
 * for example by nohup(1), remains ignored.
 */
void vdi_catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = note_signal };
	size_t i;

	sigemptyset(&action.sa_mask);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;

		if (!sigaction(numbers[i], NULL, &old) &&
		    old.sa_handler == SIG_IGN)
			sigaddset(&ignored, numbers[i]);
		else
			sigaction(numbers[i], &action, NULL);
	}
	/* a closed pipe is reported by write(2) */
	signal(SIGPIPE, SIG_IGN);
	/* and so is a limit on the size of files */
	signal(SIGXFSZ, SIG_IGN);
	/* the parent may have set SIG_IGN, with which children are not reaped */
	signal(SIGCHLD, SIG_DFL);
}

void vdi_signals_of_child(sigset_t *defaults)
{
	int i;

	sigfillset(defaults);
	for (i = 1; i < NSIG; i++) {
		if (sigismember(&ignored, i) == 1)
			sigdelset(defaults, i);
	}
}

int vdi_signal_received(void)
{
	return received;
}

unsigned int vdi_signal_pending(void)
{
	return arrived - taken;
}

int vdi_signal_take(void)
{
	if (!vdi_signal_pending())
		return 0;
	taken++;
	return received;
}
