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

/* A buffer and the command that uses it. */
struct slot {
	struct VDS_Command cmd;
	struct database *db;
	unsigned int device;
	uint8_t *buffer;
	bool busy;		/* sent, not completed */
	bool pending;		/* a write not yet known to be stored */
	bool again;		/* of which cmd.size bytes are to be sent */
	uint64_t order;		/* of a write, among those of its device */
};

/* Where a device is on its media; of layouts other than pipe. */
struct db_medium {
	uint32_t ordinal;	/* 1 is the first */
	int64_t position;	/* disk: byte of the next transfer */
	int64_t end;		/* disk: byte after the data, when reading */
	int64_t address;	/* tape: of the header block, -1 = not known */
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
	bool io_error;		/* nothing but ClearError can be sent */
	bool warned;		/* a completion said that the medium ends */
	bool refused;		/* the client knows that it cannot go on */
	struct slot control;	/* for commands on their own; one block */
	uint64_t writes;	/* number of writes, for slot.order */
	uint64_t stored;	/* order of the last that is stored, + 1 */
	struct db_medium medium;
	uint64_t total;		/* bytes of data, on all media */
	XXH3_state_t *sum;	/* of them */
};

struct database {
	/* options */
	const char *verb;
	struct vdi_names names;
	const char *instance;
	struct vdi_users from;		/* whose set; none = you and root */
	unsigned int count;		/* 0 until the client has told */
	uint32_t block_size;
	uint32_t max_transfer;
	uint32_t buffer_count;		/* 0 = some per device */
	int64_t timeout_ms;
	bool quiet;
	bool read_back;		/* compare what was written, before the end */
	bool snapshot;
	const struct layout *wanted;	/* NULL = any of the next */
	const struct layout *const *layouts;	/* that there are, up to NULL */

	struct vdi_server *server;
	struct VDConfig config;
	const struct layout *layout;	/* what the set is like */
	uint32_t direction;
	struct db_device dev[VDI_MAX_DEVICES];
	struct slot *slots;
	struct slot **list;		/* room for as many */
	struct stream_shape shape;	/* of what is written or read */
	bool id_known;			/* shape.id is */
	bool finishing;			/* no more data will be written */
	uint64_t bytes;			/* of the stream, for progress */
	struct vdi_progress progress;

	double deadline;		/* give up then; 0 = never */
	const char *deadline_text;
	bool orderly;			/* a failure is no reason to abort yet */
	bool completing;		/* Complete was sent */
	int exit_code;
	char message[1024];
};

static inline bool db_writes(const struct database *db)
{
	return db->direction & VDF_WriteMedia;
}

/*
 * Say what went wrong, once. It aborts the set with it, at once or, where the
 * client is owed an orderly end, in db_end(). Gives false.
 */
bool db_fail(struct database *db, int exit_code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool db_fail_for(struct database *db, int code, const char *doing);
/* The client completed a command with an error that ends the work. */
bool db_fail_device(struct database *db, unsigned int device,
		    const char *doing, int completion);
/* The data is damaged: "medium 1 of 'NAME' WHAT". */
bool db_fail_medium(struct database *db, unsigned int device,
		    const char *what);
/* From nothing to open devices; direction is VDF_WriteMedia or ReadMedia. */
bool db_connect(struct database *db, uint32_t direction);
/*
 * Send slot->cmd on a device, waiting for room in its queue. The completion
 * clears slot->busy and is otherwise the caller's to look at.
 */
bool db_send(struct database *db, struct slot *slot, unsigned int device,
	     int code, uint32_t size, int64_t position);
/* Let completions come; sleeps until there is one. */
bool db_step(struct database *db);
/*
 * Wait until input or output is ready, as poll(2); an abort of the set ends the
 * wait, so that a stream that stands still does not hide it.
 */
bool db_poll(struct database *db, int fd, short events);
/* Wait until nothing is outstanding, on a device or on all. */
bool db_drain_device(struct database *db, unsigned int device);
bool db_drain(struct database *db);
bool db_close_devices(struct database *db);
/* Close the set, report, release. Gives the exit code. */
int db_end(struct database *db);

/* command.c: commands on their own */

/* Any outcome will do: it is in dev[].control.cmd. */
bool db_command(struct database *db, unsigned int device, int code,
		int32_t size, int64_t position);
/* It must succeed; a warning that the medium ends is no failure. */
bool db_order(struct database *db, unsigned int device, int code,
	      int32_t size, int64_t position);
/*
 * The same for a command the client may not support: then the device is
 * cleared, *supported false, and that is all right.
 */
bool db_try(struct database *db, unsigned int device, int code, int32_t size,
	    int64_t position, bool *supported);
/* End the device's IO-ERROR, when it is in it. Nothing may be outstanding. */
bool db_clear_error(struct database *db, unsigned int device);
/* One command without data on every device at once, all with success. */
bool db_all(struct database *db, int code);
/* Complete if agreed, close: the end of every good backup. */
bool db_complete(struct database *db);
/* The same after a Flush of every device. */
bool db_finish_backup(struct database *db);
/* After a failure: leave the set in order, if the client can understand it. */
bool db_wind_down(struct database *db);

#endif /* VDI_DATABASE_H */
