/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * medium.h - drives and media: where the devices of a backup keep their data
 *
 * A drive executes the commands of one device on the medium that is in it. A
 * medium is a file. Where media are removable the drive has a changer, and
 * there are as many as it takes; otherwise there is one, which stays.
 *
 * Three kinds of media, one for each profile of the interface:
 *
 *   pipe  bytes in sequence, nothing else
 *   disk  bytes by position
 *   tape  blocks and filemarks, in frames with checksums; see tape_format.h
 *
 * A drive belongs to one thread at a time. What it is told to do may fail; then
 * the completion code says so to the database, and trouble and why to people.
 */
#ifndef VDI_MEDIUM_H
#define VDI_MEDIUM_H

#include <sys/uio.h>

#include "store/file.h"
#include "store/io.h"
#include "common/common.h"
#include "tape_format.h"
#include "common/xxh3.h"

/* Win32 codes that the interface's header does not bring. */
#define ERROR_INVALID_PARAMETER		87L
#define ERROR_NEGATIVE_SEEK		131L
#define ERROR_INVALID_BLOCK_LENGTH	1106L

#define MEDIUM_MAX_COUNT	9999	/* media of one device */

enum medium_profile {
	MEDIUM_PIPE,
	MEDIUM_DISK,
	MEDIUM_TAPE
};

/* "pipe", "disk", "tape" */
const char *medium_profile_name(enum medium_profile profile);
bool medium_profile_parse(const char *text, enum medium_profile *out);
/* The VDF_* bits of a profile. */
uint32_t medium_profile_features(enum medium_profile profile, bool removable);

/* The profile that a database has settled for, which may be less. */
enum medium_profile medium_profile_of(uint32_t features);

enum drive_trouble {
	DRIVE_FINE,
	DRIVE_FAILED,			/* the system refused something */
	DRIVE_DAMAGED			/* a medium is not what was written */
};

/* What came of a command. */
struct outcome {
	int code;		/* Win32 completion code */
	uint32_t bytes;
	int64_t position;	/* of GetPosition and SetPosition */
};

/* A medium as the manifest lists it. */
struct medium_file {
	char *name;		/* within the directory */
	uint64_t bytes;
	uint64_t xxh3;		/* XXH3, 64 bits, seed 0 */
	bool summed;		/* xxh3 is that of the file as it is */
	bool whole;		/* pipe, reading: all was read, and is right */
	bool blank;		/* nothing was written on it */
	/*
	 * Writing: the file, as it was when it was last taken from the drive.
	 * Reading: as it was when the backup was opened; inode 0 = not known.
	 */
	struct file_identity identity;
};

struct medium_list {
	struct medium_file *file;
	unsigned int count;
};

/*
 * Open a file that a manifest lists, and check all that can be checked without
 * reading it. -1: *trouble, and `why` says what is wrong with the file.
 */
int medium_open_listed(int dir, const struct medium_file *file,
		       enum drive_trouble *trouble, char *why, size_t size);

bool medium_list_add(struct medium_list *list, const char *name);
/* Names, sizes and checksums. False: no memory, and *to is empty. */
bool medium_list_copy(struct medium_list *to, const struct medium_list *from);
uint64_t medium_list_bytes(const struct medium_list *list);
void medium_list_free(struct medium_list *list);

/*
 * A checksum of a file that is made while the file is written or read in
 * sequence. Where it was not, it is broken, and the file must be read again.
 */
struct filesum {
	XXH3_state_t *state;
	uint64_t upto;		/* bytes in it */
	bool broken;
};

/* The medium in the drive. */
struct medium {
	int fd;
	int direct_fd;		/* the same with O_DIRECT, -1 = none */
	uint64_t position;	/* pipe, disk: next byte; tape: next block */
	uint64_t end;		/* pipe, disk: behind the furthest byte */
	bool dirty;		/* written to since it was last made durable */
	bool changed;		/* written to since it was put in the drive */
	bool full;		/* a write was cut short */
	struct filesum sum;
	/* end of the file that is not in the sum, as it will be overwritten */
	uint8_t tail[TAPE_FRAME_SIZE];
	size_t tail_size;
	struct tape tape;
};

enum medium_direct {
	DIRECT_AUTO,			/* O_DIRECT where that is possible */
	DIRECT_NEVER,
	DIRECT_ALWAYS			/* or nothing */
};

struct drive_config {
	enum medium_profile profile;
	unsigned int device;		/* index */
	bool writing;			/* a backup; otherwise read only */
	uint32_t features;		/* as fixed */
	uint32_t block_size;
	uint32_t soft_mark_size;	/* 0 = hard filemarks */
	uint32_t eom_warning;		/* size of the zone */
	uint64_t capacity;		/* of data on a medium; 0 = no limit */
	uint64_t family;		/* tape, writing: common to the media */
	unsigned int in_flight;		/* transfers; 0 = 1. Pipe and disk */
	enum medium_direct direct;	/* pipe and disk */
	/* asked while much is read at once; true ends that. NULL = never */
	bool (*stop)(void *context);
	void *stop_context;
};

/* A Read or Write that is under way, on a pipe or a disk. */
struct transfer {
	const struct VDC_Command *cmd;
	struct outcome out;		/* when it succeeds */
	bool write, read;		/* neither: there is only an outcome */
	bool summed;
	uint64_t at;			/* in the file */
	uint32_t size;			/* bytes to move */
	uint64_t position, end;		/* of the medium, before */
	struct io_request part[2];
	unsigned int parts;
};

struct drive {
	struct drive_config config;
	const struct medium_ops *ops;
	int dir;			/* the caller's */
	struct medium_list media;
	unsigned int ordinal;		/* last loaded, from 1 */
	bool loaded;
	bool fresh;			/* nobody used it since the beginning */
	bool new_names;			/* in the directory since the last sync */
	bool finished;			/* by drive_finish(): nothing more */
	struct medium medium;
	/* transfers: a queue, and what carries them out; NULL = not yet */
	struct io *io;
	struct transfer *transfer;
	unsigned int depth;
	unsigned int first;
	unsigned int under_way;
	bool failed_transfer;		/* so do those behind it */
	enum drive_trouble trouble;	/* the first; stays */
	int trouble_code;		/* its completion code */
	char why[256];			/* its text */
};

/*
 * A drive for media in directory dir. Writing: the first medium is created.
 * Reading: *media is what the manifest lists; the drive takes it over, also
 * when this fails. False: see drive->why.
 */
bool drive_open(struct drive *drive, const struct drive_config *config,
		int dir, struct medium_list *media);
/*
 * Execute a command, while nothing is under way; those of snapshots and
 * Complete are the caller's.
 */
void drive_execute(struct drive *drive, const struct VDC_Command *cmd,
		   struct outcome *outcome);
/*
 * Several at a time. drive_start() begins a Read or a Write and leaves it under
 * way; false: the command is for drive_execute(). What was started is handed to
 * the system by drive_submit(), in one go, and given back by drive_next() in
 * the same order, when it is done. Until then cmd and its buffer must stay.
 */
bool drive_start(struct drive *drive, const struct VDC_Command *cmd);
bool drive_under_way(const struct drive *drive);
/* Is no further one to be started before the next is done? */
bool drive_full(struct drive *drive);
void drive_submit(struct drive *drive);
/* False: none is under way, or the next is not done. */
bool drive_next(struct drive *drive, const struct VDC_Command **cmd,
		struct outcome *outcome);
/*
 * Something is under way: wait for the next, or, unless fd is negative, until
 * fd has one of the poll(2) events, an error or a hang-up. May return early.
 */
void drive_wait(struct drive *drive, int fd, short events);
/* Did a wait meet an error or a hang-up of its fd? */
bool drive_hung_up(const struct drive *drive);
/*
 * What is under way ends, without an outcome; afterwards no memory of a command
 * is in use any more. Before such memory is unmapped.
 */
void drive_stop(struct drive *drive);
/*
 * Writing: all is written. Media that nobody wrote on are taken away, the
 * others are durable and drive->media tells sizes and checksums. False without
 * trouble: drive_config.stop has ended it.
 */
bool drive_finish(struct drive *drive);
void drive_close(struct drive *drive);

/* Called for each piece read, with its size; false ends the work. */
typedef bool medium_tick(void *context, uint64_t bytes);
/*
 * Read all media of a device from beginning to end and compare with sizes and
 * checksums. False: drive->trouble, or DRIVE_FINE when tick ended it. The drive
 * needs no drive_open().
 */
bool drive_verify(struct drive *drive, const struct drive_config *config,
		  int dir, struct medium_list *media, medium_tick *tick,
		  void *context);

/* ------------------------------------ between drive.c and the three media */

struct medium_ops {
	/* The file is open and empty, or what it was when it was sealed. */
	bool (*begin)(struct drive *d, bool empty);
	void (*execute)(struct drive *d, const struct VDC_Command *cmd,
			struct outcome *out);
	/*
	 * A Read or Write, of which cmd is set: what is to be done, and its
	 * outcome. The medium is then as if it were done. NULL: by execute.
	 */
	void (*transfer)(struct drive *d, struct transfer *t);
	/* The bytes of a Read are there. False: the drive is in trouble. */
	bool (*fetched)(struct drive *d, const struct transfer *t);
	/* Make the file end where the data does. */
	bool (*seal)(struct drive *d);
	/* Nothing was written on it. */
	bool (*blank)(struct drive *d);
	/* Read the file d->medium.fd from one end to the other. */
	bool (*check)(struct drive *d, medium_tick *tick, void *context);
	void (*release)(struct drive *d);
};

extern const struct medium_ops pipe_ops;
extern const struct medium_ops disk_ops;
extern const struct medium_ops tape_ops;

/* medium.c; false: the drive is in trouble and outcome, if any, says so */
const char *drive_medium_name(const struct drive *d);
void drive_failed(struct drive *d, const char *doing, int error);
void drive_damaged(struct drive *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The name of the medium stands for another file, or one that was changed. */
void drive_replaced(struct drive *d);
void filesum_begin(struct filesum *sum, uint64_t upto);
void filesum_add(struct filesum *sum, uint64_t offset, const void *data,
		 size_t size);
/* With a tail that is not in the sum. */
uint64_t filesum_digest(const struct filesum *sum, const void *tail,
			size_t size);
/* transfer.c; false: the drive is in trouble */
bool transfer_open_direct(struct drive *d);
void transfer_close_direct(struct drive *d);
/* The above without these conditions: see there. */
bool transfer_begin(struct drive *d, const struct VDC_Command *cmd);
/* One that is begun and waited for. */
void transfer_alone(struct drive *d, const struct VDC_Command *cmd,
		    struct outcome *out);
/* All of it, at offset; changes iov. */
bool medium_write(struct drive *d, uint64_t offset, struct iovec *iov,
		  int count);
/* Fewer than size bytes at the end of the file only; -1 = trouble. */
ssize_t medium_read(struct drive *d, uint64_t offset, void *data, size_t size);
/* All of it, or the medium is damaged. */
bool medium_read_all(struct drive *d, uint64_t offset, void *data,
		     size_t size);
bool medium_truncate(struct drive *d, uint64_t size);
/* Has drive_config.stop asked for an end? */
bool drive_stopped(const struct drive *d);
/* Beyond the capacity, for what ends a medium. */
uint64_t medium_reserve(const struct drive *d);
/*
 * How many of `size` bytes fit on a medium that holds `used`: whole blocks. A
 * single block may use the reserve.
 */
uint32_t medium_room(const struct drive *d, uint64_t used, uint32_t size);
/* The code for a write of which `stored` bytes were stored, up to `used`. */
int medium_write_code(struct drive *d, uint64_t used, uint32_t size,
		      uint32_t stored);
/* Pipe and disk: Write at, Read from, a position, for medium_ops.transfer */
void medium_store(struct drive *d, uint64_t at, struct transfer *t);
void medium_fetch(struct drive *d, uint64_t at, struct transfer *t);
/* Pipe and disk: medium_ops.check */
bool medium_check_bytes(struct drive *d, medium_tick *tick, void *context);
bool medium_seal_bytes(struct drive *d);
bool medium_blank_bytes(struct drive *d);
void medium_release_bytes(struct drive *d);

#endif /* VDI_MEDIUM_H */
