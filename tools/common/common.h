/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * common.h - exit codes, messages, options, names and signals, for all folders
 */
#ifndef VDI_COMMON_H
#define VDI_COMMON_H

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libvdi.h>

/* Exit codes, documented in vdi(1). */
enum vdi_exit {
	EXIT_OK = 0,
	EXIT_FAILED = 1,	/* input, output or system error */
	EXIT_USAGE = 2,
	EXIT_ABORTED = 3,	/* by the other side or another process */
	EXIT_TIMED_OUT = 4,	/* the other side did not join or respond */
	EXIT_DAMAGED = 5,	/* a backup is incomplete or damaged */
	EXIT_NO_MODULE = 6,	/* /dev/vdiset is not available */
	EXIT_TOO_OLD = 7,	/* there is no whole backup that is young enough */
	EXIT_INTERRUPTED = 130	/* SIGINT, SIGTERM or SIGHUP */
};

/* common.c */
/* The program name at the start of messages; default "vdi". */
void vdi_set_program(const char *name);
const char *vdi_program(void);
/* To be called first: no file opened later gets descriptor 0, 1 or 2. */
void vdi_occupy_standard_files(void);
void vdi_error(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
/* The text of the first vdi_error() that is not a warning, or an empty string. */
void vdi_first_error(char *buf, size_t size);
/* "invalid WHAT 'ARGUMENT': must be RULE". Returns EXIT_USAGE. */
int vdi_invalid(const char *what, const char *argument, const char *rule);
bool vdi_parse_size(const char *text, uint64_t min, uint64_t max,
		    uint64_t *out);
/* A rate limit, in bytes per second. */
bool vdi_parse_rate(const char *text, uint64_t *rate);
#define VDI_RATE_RULE "1K or more, in bytes per second, as in 200M"
bool vdi_parse_seconds(const char *text, int64_t *out);
void vdi_format_bytes(uint64_t bytes, char *buf, size_t size);
void vdi_format_duration(double seconds, char *buf, size_t size);
/* Seconds of CLOCK_MONOTONIC, for all time-outs and durations. */
double vdi_now(void);
/* A condition for vdi_cond_wait(), on CLOCK_MONOTONIC. */
void vdi_cond_init(pthread_cond_t *cond);
/* Wait once, with `lock` held; may wake up spuriously. */
void vdi_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
		   unsigned int milliseconds);
int vdi_exit_for(int code);
/*
 * The exit code of a side whose set was aborted. The abort of vdi and of
 * vdi-pg-restore has the exit code of that side as its code: a backup that one side of
 * a restore found damaged is damaged for the other side as well.
 */
int vdi_exit_for_abort(const struct vdi_abort_info *info, bool restoring);

/*
 * End the arguments before "--"; *command receives those after it, or NULL if there
 * is no "--". False after a message: nothing follows it.
 */
bool vdi_split_command(int *argc, char **argv, char *const **command);

/* Users named on the command line. */
struct vdi_users {
	unsigned int count;
	uid_t uid[VDI_MAX_TRUSTED_USERS];
};
/* A user by name or number. */
bool vdi_parse_user(const char *text, uid_t *uid);
/* Add "root,backup,70" to the list; false after an error message. */
bool vdi_users_add(struct vdi_users *users, const char *list);
/* The name of a user, or the number if the user has no name. */
void vdi_user_text(uid_t uid, char *buf, size_t size);

/* Device names: that of the set, then NAME1, NAME2, ... or those of --device. */
struct vdi_names {
	const char *set;
	unsigned int given;		/* with --device */
	const char *given_name[VDI_MAX_DEVICES];
	char *made[VDI_MAX_DEVICES];
};
bool vdi_names_add(struct vdi_names *names, const char *name);
const char *vdi_names_get(struct vdi_names *names, unsigned int index);
void vdi_names_free(struct vdi_names *names);

/* Start a thread; signals are handled by the main thread only. 0 or errno. */
int vdi_thread_start(pthread_t *thread, void *(*run)(void *argument),
		     void *argument);

/* SIGINT, SIGTERM and SIGHUP are recorded by a handler, and polled for. */
void vdi_catch_signals(void);
/* The signals that a command of the user gets with their default action. */
void vdi_signals_of_child(sigset_t *defaults);
int vdi_signal_received(void);
/*
 * Where a second signal has a stronger effect than the first, the code that a
 * signal interrupts takes it. vdi_signal_take() returns the number of a signal
 * that was not taken yet, or 0; vdi_signal_pending() counts such signals.
 */
int vdi_signal_take(void);
unsigned int vdi_signal_pending(void);

/* abort_text.c */
/*
 * As vdi_abort_describe(); an abort by an observer names the user and the command:
 * "aborted by root with vdi abort (pid 17): text".
 */
void vdi_abort_text(const struct vdi_abort_info *info, char *buf, size_t size);
/* The text of an abort by vdi abort if the user specifies none. */
void vdi_abort_default(uid_t uid, char *buf, size_t size);

/* ready.c */
/* Report to systemd that the set exists, if this process is a service with Type=notify. */
void vdi_notify_ready(void);

/* progress.c */
/* A throughput: the moving average of the last seconds, so that a stall shows. */
struct vdi_throughput {
	double last;		/* time of the last update */
	uint64_t last_bytes;
	double rate;		/* bytes per second */
};
void vdi_throughput_start(struct vdi_throughput *pace, double now, uint64_t bytes);
void vdi_throughput_update(struct vdi_throughput *pace, double now, uint64_t bytes);
/* Seconds until `total` bytes are reached at this rate; -1 = unknown. */
double vdi_throughput_left(const struct vdi_throughput *pace, uint64_t bytes, uint64_t total);
/* 0 to 100, and 100 only if nothing is left. */
int vdi_percent(uint64_t bytes, uint64_t total);

struct vdi_progress {
	bool shown;
	bool printed;
	double start;
	struct vdi_throughput pace;
};
void vdi_progress_start(struct vdi_progress *progress, bool quiet);
/* The time left is shown if `total` is not 0. */
void vdi_progress_show(struct vdi_progress *progress, const char *what,
		       uint64_t bytes, uint64_t total);
void vdi_progress_end(struct vdi_progress *progress);
/*
 * "2 devices, 5.0 MiB in 0.3 s, 16.7 MiB/s", for all lines that end a transfer. Both
 * sides of a set count the same bytes: those of Write or Read commands, as completed.
 * `media` follows the devices and may be empty.
 */
void vdi_format_transfer(unsigned int devices, const char *media, uint64_t bytes,
			 double seconds, char *buf, size_t size);

#endif /* VDI_COMMON_H */
