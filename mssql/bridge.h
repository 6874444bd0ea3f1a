/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bridge.h - vdi-mssql: a client of SQL Server's library and a server of a vdiset
 */
#ifndef VDI_MSSQL_BRIDGE_H
#define VDI_MSSQL_BRIDGE_H

#include <pthread.h>

#include "common/child_errors.h"
#include "database/database.h"
#include "sdk.h"

/* Commands of a device that are handed over at a time; SQL Server may allow fewer. */
#define MAX_DEPTH	16

/* A command of SQL Server, and the same command of the vdiset. */
struct job {
	struct channel *channel;
	struct VDC_Command *from;	/* SQL Server's, which names the command to the SDK */
	struct VDC_Command copy;	/* read once: *from may be in shared memory */
	struct VDS_Command to;		/* the vdiset's */
	uint8_t *buffer;		/* in the vdiset's area */
	bool done;			/* under channel.lock */
};

/* A device of both sets. Its thread is the only one that calls the SDK's device. */
struct channel {
	struct bridge *bridge;
	const char *name;		/* in the vdiset */
	char sdk_name[64];
	struct sdk_device *sdk;
	struct vdi_server_device *device;
	pthread_t thread;
	struct job job[MAX_DEPTH];	/* a ring, in the order of the commands */
	unsigned int first, count;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	_Atomic uint64_t bytes;
	/* valid when the thread has ended */
	int end;			/* VD_E_CLOSE, or what ended it early */
};

struct bridge {
	/* options */
	const char *library;
	const char *database;
	const char *with;
	const char *statement;
	bool log;
	bool trace;
	bool backup;
	char *const *command;

	/*
	 * The vdiset's side. Only the main thread records failures in it; the threads of
	 * the devices and the completion agent do not use it.
	 */
	struct database db;
	struct sdk_set *sdk;
	struct VDConfig sql;		/* as SQL Server has configured the set */
	unsigned int depth;
	uint32_t transfer;		/* bytes of a buffer */
	struct channel channel[VDI_MAX_DEVICES];
	pthread_t agent;
	bool agent_runs;
	bool created;			/* the SDK's set */

	pid_t pid;			/* of the command, 0 = not started or reaped */
	struct child_errors *errors;

	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int running;		/* threads of devices */
	bool sql_aborted;		/* a device was not closed normally */
};

/* channel.c: hand over the commands of a device, until it is closed or aborted. */
void *channel_main(void *channel);

/* statement.c */
/* The statement for SQL Server; the caller frees it. NULL: out of memory. */
char *statement_make(const struct bridge *b);
/* Start the command with the statement. False after db_fail(). */
bool statement_start(struct bridge *b);
/* Has the command ended? After that, b->pid is 0. */
bool statement_ended(struct bridge *b, int *status);
/* A failure of the command, with its last messages. False. */
bool statement_fail(struct bridge *b, int status);
/* Stop the command, if it still runs. */
void statement_stop(struct bridge *b);

/* options.c: 0 or an exit code; --help ends the program. */
int options_parse(struct bridge *b, int argc, char **argv);

#endif /* VDI_MSSQL_BRIDGE_H */
