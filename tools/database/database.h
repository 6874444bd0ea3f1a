/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * database.h - the server of a set, with a single thread, for vdi serve
 */
#ifndef VDI_DATABASE_H
#define VDI_DATABASE_H

#include "stream.h"
#include "common/common.h"
#include "common/xxh3.h"

struct database;
struct layout;
struct serve_events;
struct serve_stream;

/* A buffer and the command that uses it. */
struct slot {
	struct VDS_Command cmd;
	struct database *db;
	unsigned int device;
	uint8_t *buffer;
	bool busy;		/* sent, not completed */
	bool pending;		/* a write whose result was not processed yet */
	bool again;		/* cmd.size bytes must be sent again */
	uint64_t order;		/* number of a write among those of its device */
};

/* The loaded medium of a device, and the position on it; not for pipes. */
struct db_medium {
	uint32_t ordinal;	/* 1 is the first */
	int64_t position;	/* disk: byte of the next transfer */
	int64_t end;		/* disk: byte after the data, when reading */
	int64_t address;	/* tape: of the header block, -1 = unknown */
	int64_t data_address;	/* tape: of the first block of data */
	uint64_t bytes;		/* of data on this medium */
	uint64_t written[3];	/* checksums, by enum descriptor_type */
};

/* A device of the set. */
struct db_device {
	struct vdi_server_device *handle;
	const char *name;
	unsigned int outstanding;
	uint64_t writing;	/* bytes of outstanding writes */
	bool io_error;		/* only ClearError is accepted */
	bool warned;		/* a completion warned of the end of the medium */
	bool refused;		/* the client has reported an error */
	struct slot control;	/* for single commands; one block */
	uint64_t writes;	/* number of writes, for slot.order */
	uint64_t stored;	/* order of the last stored write, + 1 */
	struct db_medium medium;
	uint64_t total;		/* bytes of data, on all media */
	XXH3_state_t *sum;	/* of that data */
};

struct database {
	/* options */
	const char *verb;
	struct vdi_names names;
	const char *instance;
	struct vdi_users from;		/* trusted creators; none = caller and root */
	unsigned int count;		/* 0 until the set is joined, unless required */
	uint32_t block_size;
	uint32_t max_transfer;
	uint32_t buffer_count;		/* 0 = four per device */
	int64_t timeout_ms;
	bool quiet;
	bool read_back;		/* compare what was written, before the end */
	bool snapshot;
	const struct layout *wanted;	/* required; NULL = any of `layouts` */
	const struct layout *const *layouts;	/* supported ones, up to NULL */

	struct vdi_server *server;
	struct VDConfig config;
	const struct layout *layout;	/* of the set */
	uint32_t direction;
	struct db_device dev[VDI_MAX_DEVICES];
	struct slot *slots;
	struct slot **list;		/* scratch, as many entries */
	struct stream_shape shape;	/* of the stream */
	bool id_known;			/* shape.id is valid */
	bool finishing;			/* no more data will be written */
	uint64_t bytes;			/* of the stream */
	int counted;			/* VDC_Write or VDC_Read */
	uint64_t moved;			/* bytes of these commands, as completed */
	uint64_t total;			/* expected, about; 0 = unknown */
	double started;			/* when the set was joined and configured */
	struct vdi_progress progress;

	struct serve_events *events;	/* of vdi serve */
	/* called in all waits, at least every 200 ms; NULL = none */
	void (*tick)(struct database *db);
	struct serve_stream *stream;	/* of vdi serve */
	int stream_fd;			/* to report long waits for it; -1 = none */
	/* called while db_poll() waits; false after db_fail() */
	bool (*watch)(struct database *db);

	double deadline;		/* fail at this time; 0 = never */
	const char *deadline_text;
	bool orderly;			/* end an error without an abort, if possible */
	bool completing;		/* VDC_Complete was sent */
	int exit_code;
	bool by_client;			/* the client has caused the failure */
	char message[1024];
	/*
	 * Receives a line "command PID" when a command was started, and the outcome
	 * instead of stderr; see db_end(). 0 = none
	 */
	int report_fd;
};

static inline bool db_writes(const struct database *db)
{
	return db->direction & VDF_WriteMedia;
}

/*
 * Record a failure; only the first one counts. The set is aborted with the text:
 * immediately, or in db_end() if an orderly end is tried first. Returns false.
 */
bool db_fail(struct database *db, int exit_code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool db_fail_for(struct database *db, int code, const char *doing);
/* The client completed a command with a fatal error. */
bool db_fail_device(struct database *db, unsigned int device,
		    const char *doing, int completion);
/* The data is damaged: "medium 1 of 'NAME' WHAT". */
bool db_fail_medium(struct database *db, unsigned int device,
		    const char *what);
/* Join the set, as soon as the client has created it; db_connect() does it as well. */
bool db_join(struct database *db);
/* Join and configure the set, open devices. VDF_WriteMedia or ReadMedia. */
bool db_connect(struct database *db, uint32_t direction);
/* Then: tell the client how much all devices will transfer, each about the same. */
void db_expect(struct database *db, uint64_t bytes);
/*
 * Send a command on a device, after waiting for room in its queue. The completion
 * clears slot->busy; the caller checks the result.
 */
bool db_send(struct database *db, struct slot *slot, unsigned int device,
	     int code, uint32_t size, int64_t position);
/* Wait for completions and run their routines. */
bool db_step(struct database *db);
/*
 * Wait until input or output is ready, as poll(2). An abort of the set ends the
 * wait, so it is noticed even while the stream is blocked.
 */
bool db_poll(struct database *db, int fd, short events);
/* Wait until no command is outstanding, on a device or on all. */
bool db_drain_device(struct database *db, unsigned int device);
bool db_drain(struct database *db);
bool db_close_devices(struct database *db);
/*
 * Close the set, report failures, release. Returns the exit code. The report is one
 * line: the exit code, "client" or "server" for the side that has failed first, and
 * the message.
 */
int db_end(struct database *db);

/* command.c: single commands, which are waited for */

/* With any result, which is in dev[].control.cmd. */
bool db_command(struct database *db, unsigned int device, int code,
		int32_t size, int64_t position);
/* It must succeed; a warning of the end of the medium is a success. */
bool db_order(struct database *db, unsigned int device, int code,
	      int32_t size, int64_t position);
/*
 * The same for a command that the client may not support. Then the error of the
 * device is cleared, *supported is false, and the call succeeds.
 */
bool db_try(struct database *db, unsigned int device, int code, int32_t size,
	    int64_t position, bool *supported);
/* Clear an IO-ERROR of the device. No command may be outstanding. */
bool db_clear_error(struct database *db, unsigned int device);
/* Send a command without data on all devices; all must succeed. */
bool db_all(struct database *db, int code);
/* VDC_Complete if it is enabled, then close the devices. */
bool db_complete(struct database *db);
/* Flush every device, then the same. */
bool db_finish_backup(struct database *db);
/* After a failure: end without an abort, if the client takes it as failure. */
bool db_wind_down(struct database *db);

#endif /* VDI_DATABASE_H */
