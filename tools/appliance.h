/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * appliance.h - the client of a set: one thread per device
 *
 * backup and restore differ in what they do with a command; everything else,
 * from creating the set to telling who aborted it, is here.
 */
#ifndef VDI_APPLIANCE_H
#define VDI_APPLIANCE_H

#include <pthread.h>

#include "vdi.h"

struct appliance;

/* A device and its thread. */
struct lane {
	struct appliance *appliance;
	unsigned int index;
	const char *name;
	struct vdi_client_device *device;
	pthread_t thread;
	_Atomic uint64_t bytes;
	_Atomic uint64_t commands;
};

/* What came of a command. */
struct outcome {
	int code;		/* Win32 completion code */
	uint32_t bytes;
};

struct appliance_ops {
	const char *verb;	/* for people: "backup" */
	/* The configuration is known. False after appliance_fail(). */
	bool (*configured)(struct appliance *a);
	/* Execute a command on the lane's thread. False after a failure. */
	bool (*execute)(struct lane *lane, const struct VDC_Command *cmd,
			struct outcome *outcome);
	/* The database has closed this device in order. */
	bool (*closed)(struct lane *lane);
	/* All lanes have ended well. */
	bool (*finish)(struct appliance *a);
};

struct appliance {
	const struct appliance_ops *ops;
	void *job;			/* of backup or restore */

	/* options */
	struct vdi_names names;
	unsigned int count;
	struct VDConfig config;		/* as asked for, then as fixed */
	struct vdi_access access;
	int64_t timeout_ms;		/* for the database to come */
	int64_t idle_ms;		/* without any command */
	bool quiet;
	uint64_t total;			/* bytes to come, 0 = not known */

	struct vdi_client *client;
	struct lane lane[VDI_MAX_DEVICES];
	double started;

	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int running;
	int exit_code;			/* of the first failure */
	char message[512];		/* and its text */
};

/* Options that backup and restore share; see appliance_option(). */
#define APPLIANCE_OPTIONS						\
	{ "device", required_argument, NULL, 'D' },			\
	{ "owner", required_argument, NULL, 'o' },			\
	{ "group", required_argument, NULL, 'g' },			\
	{ "mode", required_argument, NULL, 'm' },			\
	{ "timeout", required_argument, NULL, 't' },			\
	{ "idle-timeout", required_argument, NULL, 'i' },		\
	{ "quiet", no_argument, NULL, 'q' },				\
	{ "help", no_argument, NULL, 'h' }
#define APPLIANCE_SHORT "D:o:g:m:t:i:qh"
#define APPLIANCE_HELP \
"      --device NAME     name of the next device; may be repeated. The first must\n" \
"                        be the set's; the default is NAME, NAME1, NAME2, ...\n" \
"  -o, --owner USER      user the set belongs to (default: you)\n" \
"  -g, --group GROUP     group the set belongs to; implies --mode 0660\n" \
"  -m, --mode MODE       who may see (r) and join (w) the set (default 0600)\n" \
"  -t, --timeout SEC     how long to wait for the database (default 300, 0 = for ever)\n" \
"  -i, --idle-timeout SEC  abort when no command comes for so long (default: never)\n" \
"  -q, --quiet           no progress, no summary\n" \
"  -h, --help            this text\n"

void appliance_init(struct appliance *a, const struct appliance_ops *ops);
/* 0 = taken, else the exit code (EXIT_OK + 1 never; -1 = not ours). */
int appliance_option(struct appliance *a, int option, const char *argument);
/* Check what was given together; 0 or an exit code. */
int appliance_check(struct appliance *a);
/* Do the work; gives the exit code. */
int appliance_run(struct appliance *a);
/*
 * The first failure is what the user is told; it aborts the set, with the text
 * for the other side.
 */
void appliance_fail(struct appliance *a, int exit_code, const char *format,
		    ...) __attribute__((format(printf, 3, 4)));
uint64_t appliance_bytes(struct appliance *a);

#endif /* VDI_APPLIANCE_H */
