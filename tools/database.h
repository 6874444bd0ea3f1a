/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * database.h - the server of a set, with a single thread, for vdi serve
 */
#ifndef VDI_DATABASE_H
#define VDI_DATABASE_H

#include "vdi.h"

struct database;

/* A buffer and the command that uses it. */
struct slot {
	struct VDS_Command cmd;
	struct database *db;
	unsigned int device;
	uint8_t *buffer;
	bool busy;		/* sent, not completed */
};

struct database {
	/* options */
	const char *verb;
	struct vdi_names names;
	unsigned int count;		/* 0 until the client has told */
	uint32_t block_size;
	uint32_t max_transfer;
	uint32_t buffer_count;		/* 0 = some per device */
	int64_t timeout_ms;
	bool quiet;

	struct vdi_server *server;
	struct VDConfig config;
	struct vdi_server_device *device[VDI_MAX_DEVICES];
	unsigned int outstanding[VDI_MAX_DEVICES];
	bool ended[VDI_MAX_DEVICES];	/* a read met the end of the data */
	struct slot *slots;
	uint64_t bytes;			/* of the stream, for progress */
	struct vdi_progress progress;
	int exit_code;
	char message[512];
};

/* Say what went wrong, once, and abort the set with it. Gives false. */
bool db_fail(struct database *db, int exit_code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool db_fail_for(struct database *db, int code, const char *doing);
/* From nothing to open devices; direction is VDF_WriteMedia or ReadMedia. */
bool db_connect(struct database *db, uint32_t direction);
/*
 * Send slot->cmd on a device, waiting for room in its queue. The completion
 * clears slot->busy and is otherwise the caller's to look at.
 */
bool db_send(struct database *db, struct slot *slot, unsigned int device,
	     int code, uint32_t size);
/* Let completions come; sleeps until there is one. */
bool db_step(struct database *db);
/*
 * Wait until input or output is ready, as poll(2); an abort of the set ends the
 * wait, so that a stream that stands still does not hide it.
 */
bool db_poll(struct database *db, int fd, short events);
/* Wait until nothing is outstanding. */
bool db_drain(struct database *db);
/* One command without data on every device, all completed with success. */
bool db_all(struct database *db, int code);
bool db_close_devices(struct database *db);
/* Close the set, report, release. Gives the exit code. */
int db_end(struct database *db);

/* serve_backup.c, serve_restore.c */
bool serve_backup(struct database *db);
bool serve_restore(struct database *db);

#endif /* VDI_DATABASE_H */
