/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * appliance.h - the client of a set: one thread per device
 *
 * backup and restore differ in how they execute commands. Everything else, from
 * creating the set to reporting an abort, is common.
 */
#ifndef VDI_APPLIANCE_H
#define VDI_APPLIANCE_H

#include <getopt.h>
#include <pthread.h>

#include "events.h"
#include "media/medium.h"
#include "partner.h"

struct appliance;

/* A device and its thread. */
struct worker {
	struct appliance *appliance;
	unsigned int index;
	const char *name;
	struct vdi_client_device *device;
	pthread_t thread;
	/*
	 * Owned by backup or restore, and open before the thread starts. The
	 * lock is needed because one worker's thread, or the main thread,
	 * publishes the backup and finishes the drives of all workers.
	 */
	struct drive *drive;
	pthread_mutex_t lock;
	_Atomic uint64_t bytes;
	_Atomic uint64_t commands;
};

struct appliance_ops {
	const char *verb;	/* for messages: "backup" */
	int data;		/* the command whose bytes are counted */
	/* The configuration is known. False after appliance_fail(). */
	bool (*configured)(struct appliance *a);
	/* May this Read or Write complete asynchronously? */
	bool (*may_start)(struct worker *worker, const struct VDC_Command *cmd);
	/* Called when it has completed. False only after appliance_fail(). */
	bool (*done)(struct worker *worker, const struct VDC_Command *cmd,
		     const struct outcome *outcome);
	/*
	 * Execute any other command on the worker's thread, while no transfer
	 * is in flight. A failure is reported to the database by the completion
	 * code, and recorded with appliance_note(). False only after
	 * appliance_fail().
	 */
	bool (*execute)(struct worker *worker, const struct VDC_Command *cmd,
			struct outcome *outcome);
	/* The database has closed this device normally. */
	void (*closed)(struct worker *worker);
	/* All workers have terminated without an error. */
	bool (*finish)(struct appliance *a);
};

/* Where the data goes to, or comes from, if that is not a stored backup. */
struct pipeline {
	const char *command;	/* of each device; NULL = none */
	bool standard;		/* our standard output or input */
	char why[512];
};

struct appliance {
	const struct appliance_ops *ops;
	void *job;			/* struct backup or restore */

	/* options */
	const char *instance;		/* NULL = from the environment */
	struct vdi_names names;
	unsigned int count;
	struct VDConfig config;		/* as requested, then as configured */
	struct vdi_access access;
	int64_t timeout_ms;		/* for the database to join */
	int64_t idle_ms;		/* without any command */
	unsigned int in_flight;		/* transfers of a device */
	uint64_t max_rate;		/* bytes per second, 0 = no limit */
	enum medium_direct direct;
	struct chunk_options chunks;	/* of a store like S3 */
	bool quiet;
	uint64_t total;			/* expected bytes, 0 = unknown */
	bool estimated;			/* `total` is a guess, which may be exceeded */
	bool told;			/* by the database */

	struct partner partner;
	struct pipeline pipeline;
	struct events events;
	bool joined;			/* a database has joined the set */

	struct vdi_client *client;
	struct worker worker[VDI_MAX_DEVICES];
	double started;

	/* workers that execute a command; the set is idle if there are none */
	_Atomic unsigned int busy;

	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int running;
	bool aborting;			/* appliance_fail() was called */
	int exit_code;			/* of the first failure */
	char message[1024];		/* and its text */
};

/* Options that backup and restore share, for struct appliance_cli. */
#define APPLIANCE_OPTIONS						\
	{ "device", required_argument, NULL, 'D' },			\
	{ "instance", required_argument, NULL, 'I' },			\
	{ "owner", required_argument, NULL, 'o' },			\
	{ "group", required_argument, NULL, 'g' },			\
	{ "mode", required_argument, NULL, 'm' },			\
	{ "in-flight", required_argument, NULL, 'F' },			\
	{ "max-rate", required_argument, NULL, 'R' },			\
	{ "direct", no_argument, NULL, 'd' },				\
	{ "no-direct", no_argument, NULL, 'B' },			\
	{ "json", optional_argument, NULL, 'J' },			\
	{ "metrics", required_argument, NULL, 'M' },			\
	{ "on-success", required_argument, NULL, 'S' },			\
	{ "on-failure", required_argument, NULL, 'E' },			\
	{ "timeout", required_argument, NULL, 't' },			\
	{ "idle-timeout", required_argument, NULL, 'i' },		\
	{ "quiet", no_argument, NULL, 'q' },				\
	{ "help", no_argument, NULL, 'h' },				\
	{ NULL, 0, NULL, 0 }
#define APPLIANCE_SHORT "D:o:g:m:t:i:qh"
#define APPLIANCE_HELP \
"      --device NAME     name of the next device; may be repeated. The first is the\n" \
"                        name of the set (default NAME, NAME1, NAME2, ...)\n" \
"      --instance NAME   instance of the database (default: see vdi-backup(1))\n" \
"  -o, --owner USER      owner of the set (default: you)\n" \
"  -g, --group GROUP     group of the set; implies --mode 0660\n" \
"  -m, --mode MODE       permissions: r to see the set, w to join it (default 0600)\n" \
"      --in-flight N     concurrent reads or writes per device, 1 to 64 (default 8)\n" \
"      --max-rate RATE   limit of all devices together in bytes per second, as 200M;\n" \
"                        'vdi throttle' changes it at any time (default: none)\n" \
"      --direct          use O_DIRECT; fail where it is not supported\n" \
"      --no-direct       use the page cache (default: O_DIRECT where supported)\n" \
"      --json[=FILE]     progress and outcome as JSON lines on standard output, or in\n" \
"                        FILE; see vdi-events(5)\n" \
"      --metrics FILE    write the outcome to FILE for Prometheus; see vdi-events(5)\n" \
"      --on-success CMD  run CMD at the end; if CMD fails, the exit code is 1\n" \
"      --on-failure CMD  run CMD at the end if this command has failed\n" \
"  -t, --timeout SEC     time to wait for the database (default 300, 0 = no limit)\n" \
"  -i, --idle-timeout SEC  abort if no command arrives for this time (default 3600,\n" \
"                        0 = never)\n" \
"  -q, --quiet           no progress, no summary\n" \
"  -h, --help            show this help\n"

/* The command line of backup or restore. */
struct appliance_cli {
	const char *usage;
	const struct option *options;	/* ends with APPLIANCE_OPTIONS */
	const char *short_options;
	/* Parse an option of the command. 0, or an exit code after a message. */
	int (*take)(struct appliance *a, int option, const char *argument);
};

void appliance_init(struct appliance *a, const struct appliance_ops *ops);
/* 0 or an exit code; --help ends the program. */
int appliance_parse(struct appliance *a, int argc, char **argv,
		    const struct appliance_cli *cli);
/* Check combinations of options; 0 or an exit code. */
int appliance_check(struct appliance *a);
/*
 * Run the set from creation to close, between events_begin() and events_end().
 * Returns the exit code.
 */
int appliance_run(struct appliance *a);
/*
 * Record a failure; the first one is reported to the user. appliance_fail() also
 * aborts the set, with the text for the other side. After appliance_note() the
 * database receives a completion code and decides how to continue, but the
 * command fails in any case.
 */
void appliance_fail(struct appliance *a, int exit_code, const char *format,
		    ...) __attribute__((format(printf, 3, 4)));
void appliance_note(struct appliance *a, int exit_code, const char *format,
		    ...) __attribute__((format(printf, 3, 4)));
/* The other side has reported the cause of the failure, which replaces ours. */
void appliance_replace_failure(struct appliance *a, int exit_code,
			       const char *message);
/* A call on the set returned `code`: find the cause, and fail. */
void appliance_fail_for(struct appliance *a, int code, const char *doing);
/* Was a signal received? If so, this is a failure. */
bool appliance_interrupted(struct appliance *a);
/* Was a signal received, or the set aborted? context is the appliance. */
bool appliance_stopped(void *context);
/* Commands executed so far. */
uint64_t appliance_commands(struct appliance *a);
/* Is the set aborted? */
bool appliance_aborted(struct appliance *a);
uint64_t appliance_bytes(struct appliance *a);
/* The expected bytes, after this many; 0 = unknown. */
uint64_t appliance_total(const struct appliance *a, uint64_t bytes);
/* Stop transfers from and to a chunk store when the appliance is stopped. */
void appliance_chunks(struct appliance *a, struct chunk_store *store,
		      struct drive_config *config);
/* chunk_cli.c: parse one of its options, and check them; 0 or an exit code */
int chunk_cli_transfers(struct appliance *a, const char *name,
			const char *argument);
int chunk_cli_size(struct appliance *a, const char *argument);
int chunk_cli_timeout(struct appliance *a, const char *argument);
int chunk_cli_check(const struct appliance *a, const char *where);
/* pipeline.c */
bool pipeline_used(const struct appliance *a);
/* Check the options; 0 or an exit code. */
int pipeline_check(struct appliance *a);
/* Start the command of a device. False after appliance_fail(). */
bool pipeline_open(struct appliance *a, unsigned int device,
		   struct drive_config *config);
/* Has anything failed, or was it stopped? context is the appliance. */
bool pipeline_stopped(void *context);
/* "2 commands", "standard output" */
void pipeline_describe(const struct appliance *a, char *buf, size_t size);
/* Options of drives from the command line. */
void appliance_drive_options(const struct appliance *a,
			     struct drive_config *config);
/* worker.c: execute the commands of a device until it is closed. */
void worker_serve(struct worker *worker);

#endif /* VDI_APPLIANCE_H */
