/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * medium.h - drives and media, which store the data of a backup's devices
 *
 * A drive executes the commands of one device on the medium that is loaded. A
 * medium is a file. With removable media the drive has a changer and creates as
 * many media as needed; otherwise it has a single medium that is always loaded.
 *
 * There are three kinds of media, one for each profile of the interface:
 *
 *   pipe  bytes in sequence, nothing else
 *   disk  bytes by position
 *   tape  blocks and filemarks, in frames with checksums; see tape_format.h
 *
 * In a chunk store, a medium is not a file but a sequence of chunks, and only the
 * profile pipe without removable media is supported (chunked.c). The same is true of a
 * medium that a command of the user stores or supplies (streamed.c), and of media whose
 * data is compressed or passes a command of the user (staged.c).
 *
 * A drive is used by one thread at a time. If a command fails, its completion
 * code reports the failure to the database, and `trouble` and `why` of the drive
 * report it to the user.
 */
#ifndef VDI_MEDIUM_H
#define VDI_MEDIUM_H

#include <sys/uio.h>

#include "store/chunk.h"
#include "store/command.h"
#include "store/file.h"
#include "store/io.h"
#include "common/common.h"
#include "tape_format.h"
#include "common/xxh3.h"

/* Win32 error codes that the header of the interface does not define. */
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

/* The profile of a configuration; the database may use fewer features. */
enum medium_profile medium_profile_of(uint32_t features);

enum drive_trouble {
	DRIVE_FINE,
	DRIVE_FAILED,			/* a system error */
	DRIVE_DAMAGED			/* the data of a medium is damaged */
};

/* The result of a command. */
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
	bool summed;		/* xxh3 is that of the current contents */
	/* of the data before compression and filter; of staged media only */
	uint64_t given;
	uint64_t given_xxh3;
	bool whole;		/* pipe, reading: all was read and matches */
	bool blank;		/* nothing was written on it */
	/*
	 * Writing: of the file when it was last unloaded. Reading: of the file
	 * when the backup was opened; inode 0 = unknown.
	 */
	struct file_identity identity;
	struct chunk_list chunks;	/* in a chunk store */
};

struct medium_list {
	struct medium_file *file;
	unsigned int count;
};

/*
 * Open a file that a manifest lists, and check everything that can be checked
 * without reading it. Returns -1 with *trouble, and the reason in `why`.
 */
int medium_open_listed(int dir, const struct medium_file *file,
		       enum drive_trouble *trouble, char *why, size_t size);

bool medium_list_add(struct medium_list *list, const char *name);
/* Copies names, sizes and checksums. False: no memory, and *to is empty. */
bool medium_list_copy(struct medium_list *to, const struct medium_list *from);
uint64_t medium_list_bytes(const struct medium_list *list);
uint64_t medium_list_given(const struct medium_list *list);
void medium_list_free(struct medium_list *list);

/*
 * A checksum that is computed while a file is written or read in sequence. After
 * an access out of sequence it is broken, and the file must be read again.
 */
struct filesum {
	XXH3_state_t *state;
	uint64_t upto;		/* bytes in it */
	bool broken;
};

/* The medium in the drive. */
struct medium {
	int fd;
	int direct_fd;		/* the same file with O_DIRECT, -1 = none */
	uint64_t position;	/* pipe, disk: next byte; tape: next block */
	uint64_t end;		/* pipe, disk: highest position written */
	bool dirty;		/* written to since it was last made durable */
	bool changed;		/* written to since it was loaded */
	bool full;		/* a write was stored in part */
	struct filesum sum;
	/* end of the file; not in the sum, as the next write overwrites it */
	uint8_t tail[TAPE_FRAME_SIZE];
	size_t tail_size;
	struct tape tape;
};

/* Compression and filter, see stage.h. At least one of codec and command is set. */
struct codec;
struct compress_pool;

struct medium_stages {
	const struct codec *codec;	/* NULL = no compression */
	struct compress_pool *pool;	/* writing, with a codec */
	const char *command;		/* NULL = no filter */
};

extern const struct codec codec_zstd;
extern const struct codec codec_lz4;
/* "zstd", "lz4"; NULL = unknown */
const struct codec *codec_find(const char *name);
const char *codec_name(const struct codec *codec);
int codec_max_level(const struct codec *codec);

#define COMPRESS_MAX_THREADS	256
/*
 * Threads that compress the blocks of `media` media; level 0 = the default, threads 0 =
 * one for each processor. Each medium uses memory for (2 x threads / media, rounded up,
 * + 1) blocks and their frames, of 2 MiB each. NULL with errno.
 */
struct compress_pool *compress_pool_open(const struct codec *codec, int level,
					 unsigned int threads,
					 unsigned int media);
/* All drives are closed. NULL is allowed. */
void compress_pool_close(struct compress_pool *pool);

enum medium_direct {
	DIRECT_AUTO,			/* O_DIRECT where it is supported */
	DIRECT_NEVER,
	DIRECT_ALWAYS			/* fail without O_DIRECT */
};

struct drive_config {
	enum medium_profile profile;
	unsigned int device;		/* index */
	bool writing;			/* a backup; otherwise read only */
	uint32_t features;		/* as configured */
	uint32_t block_size;
	uint32_t soft_mark_size;	/* 0 = hard filemarks */
	uint32_t eom_warning;		/* size of the warning zone */
	uint64_t capacity;		/* of data on a medium; 0 = no limit */
	uint64_t family;		/* tape, writing: the same on all media */
	unsigned int in_flight;		/* transfers; 0 = 1. Pipe and disk */
	enum medium_direct direct;	/* pipe and disk */
	struct chunk_store *chunks;	/* NULL = files of a directory */
	struct command *command;	/* stores or supplies the data; NULL = none */
	const struct medium_stages *stages;	/* NULL = stored as given */
	/* polled during long reads; true stops them. NULL = never */
	bool (*stop)(void *context);
	void *stop_context;
};

/* A Read or Write in flight, on a pipe or a disk. */
struct transfer {
	const struct VDC_Command *cmd;
	struct outcome out;		/* if it succeeds */
	bool write, read;		/* neither: only an outcome */
	bool summed;
	uint64_t at;			/* in the file */
	uint32_t size;			/* bytes to move */
	uint64_t position, end;		/* of the medium before the transfer */
	struct io_request part[2];
	unsigned int parts;
};

struct drive {
	struct drive_config config;
	const struct medium_ops *ops;
	int dir;			/* owned by the caller */
	struct medium_list media;
	unsigned int ordinal;		/* last loaded, from 1 */
	bool loaded;
	bool fresh;			/* not used since open or Discard */
	bool new_names;			/* in the directory since the last sync */
	bool finished;			/* by drive_finish(): no more writes */
	struct medium medium;
	struct chunk_medium *chunked;	/* the medium in a chunk store */
	struct staged *staged;		/* the stages of the medium */
	/* queue of transfers, and their engine; NULL = not created yet */
	struct io *io;
	struct transfer *transfer;
	unsigned int depth;
	unsigned int first;
	unsigned int under_way;
	bool failed_transfer;		/* the transfers after it fail as well */
	enum drive_trouble trouble;	/* the first one is kept */
	int trouble_code;		/* its completion code */
	char why[512];			/* its text */
};

/*
 * Open a drive for media in directory dir. Writing: the first medium is created.
 * Reading: *media is the list of the manifest. The drive takes ownership of it,
 * even on failure. False: see drive->why. A drive with a command has no list, and takes
 * ownership of the command.
 */
bool drive_open(struct drive *drive, const struct drive_config *config,
		int dir, struct medium_list *media);
/*
 * Execute a command while no transfer is in flight. The caller handles the
 * commands for snapshots and VDC_Complete.
 */
void drive_execute(struct drive *drive, const struct VDC_Command *cmd,
		   struct outcome *outcome);
/*
 * Several transfers at a time. drive_start() starts a Read or a Write and does
 * not wait for it; false: use drive_execute() for this command. drive_submit()
 * submits the started transfers to the kernel in one call. drive_next() returns
 * completed transfers in the order in which they were started. Until then cmd
 * and its buffer must remain valid.
 */
bool drive_start(struct drive *drive, const struct VDC_Command *cmd);
bool drive_under_way(const struct drive *drive);
/* Must the oldest transfer complete before another is started? */
bool drive_full(struct drive *drive);
void drive_submit(struct drive *drive);
/* False: no transfer is in flight, or the oldest is not complete. */
bool drive_next(struct drive *drive, const struct VDC_Command **cmd,
		struct outcome *outcome);
/*
 * Wait for the oldest transfer; one must be in flight. Unless fd is negative,
 * also wait for fd to have one of the poll(2) events, an error or a hang-up.
 * May return early.
 */
void drive_wait(struct drive *drive, int fd, short events);
/*
 * An error or a hang-up of fd lets a command that waits for a command of the user look
 * at drive_config.stop at once.
 */
void drive_watch(struct drive *drive, int fd);
/* Did a wait report an error or a hang-up of its fd? */
bool drive_hung_up(const struct drive *drive);
/*
 * Cancel all transfers, without outcomes. On return the kernel uses no memory of
 * a command; to be called before that memory is unmapped.
 */
void drive_stop(struct drive *drive);
/*
 * Finish writing. Blank media at the end are removed, the others become durable,
 * and drive->media receives their sizes and checksums. False without trouble:
 * stopped by drive_config.stop.
 */
bool drive_finish(struct drive *drive);
void drive_close(struct drive *drive);
/* The bytes that the database has written to the media, or will read from them. */
uint64_t drive_data_bytes(const struct drive *drive);

/* Called for each piece that was read, with its size; false stops the check. */
typedef bool medium_tick(void *context, uint64_t bytes);
/*
 * Read all media of a device and compare them with their sizes and checksums.
 * False: see drive->trouble, which is DRIVE_FINE if tick stopped the check. The
 * drive must not be open.
 */
bool drive_verify(struct drive *drive, const struct drive_config *config,
		  int dir, struct medium_list *media, medium_tick *tick,
		  void *context);

/* ------------------------------- interface of drive.c and the kinds of media */

struct medium_ops {
	/* The file is open; it is empty, or as seal() left it. */
	bool (*begin)(struct drive *d, bool empty);
	void (*execute)(struct drive *d, const struct VDC_Command *cmd,
			struct outcome *out);
	/*
	 * Plan the Read or Write t->cmd: fill in the transfer and its outcome,
	 * and update the medium as if it had succeeded. NULL: execute() does
	 * Read and Write.
	 */
	void (*transfer)(struct drive *d, struct transfer *t);
	/* The data of a Read has arrived. False: the drive is in trouble. */
	bool (*fetched)(struct drive *d, const struct transfer *t);
	/* Set the end of the file to the end of the data. */
	bool (*seal)(struct drive *d);
	/* Was nothing written on the medium? */
	bool (*blank)(struct drive *d);
	/* Read the whole file d->medium.fd. */
	bool (*check)(struct drive *d, medium_tick *tick, void *context);
	void (*release)(struct drive *d);
};

extern const struct medium_ops pipe_ops;
extern const struct medium_ops disk_ops;
extern const struct medium_ops tape_ops;

/*
 * chunked.c: the counterparts of functions of drive.c for a chunk store, which are
 * called with the medium in the list.
 */
extern const struct medium_ops chunked_ops;
bool chunked_create(struct drive *d);
bool chunked_open(struct drive *d);
bool chunked_flush(struct drive *d);
bool chunked_finish(struct drive *d);
void chunked_close(struct drive *d);
/* Write or read the next bytes, with their checksum. */
bool chunked_append(struct drive *d, const void *data, size_t size);
bool chunked_fetch(struct drive *d, void *data, size_t size, size_t *done);
/* Reads the medium to its end, and so checks it. */
bool chunked_verify(struct drive *d, medium_tick *tick, void *context);

/* streamed.c: the same for a command of the user */
extern const struct medium_ops streamed_ops;
bool streamed_flush(struct drive *d);
bool streamed_finish(struct drive *d);
/* The worker has terminated: kill the command if this is a failure. */
void streamed_stop(struct drive *d);

/* staged.c: the same for media with stages, on top of a file or of chunks */
extern const struct medium_ops staged_ops;
/* "device-00.data.zst"; stages may be NULL */
void staged_file_name(const struct medium_stages *stages, unsigned int device,
		      char *out, size_t size);
bool staged_open(struct drive *d);
bool staged_flush(struct drive *d);
/* Writing: all data was given. */
bool staged_end(struct drive *d);
void staged_close(struct drive *d);
bool staged_verify(struct drive *d, medium_tick *tick, void *context);

/* sequence.c; the functions return false after a failure or a stop */
struct sequence {
	bool (*append)(struct drive *d, const void *data, size_t size);
	/* Fewer bytes than `size` only at the end. */
	bool (*fetch)(struct drive *d, void *data, size_t size, size_t *done);
};
void sequence_execute(struct drive *d, const struct sequence *s,
		      const struct VDC_Command *cmd, struct outcome *out);

/* medium.c; false: the drive is in trouble, and so reports the outcome */
struct medium_file *drive_current_file(const struct drive *d);
const char *drive_medium_name(const struct drive *d);
void drive_failed(struct drive *d, const char *doing, int error);
void drive_trouble(struct drive *d, enum drive_trouble trouble,
		   const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void drive_damaged(struct drive *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The file of the medium was replaced or changed by another program. */
void drive_replaced(struct drive *d);
void filesum_begin(struct filesum *sum, uint64_t upto);
void filesum_add(struct filesum *sum, uint64_t offset, const void *data,
		 size_t size);
/* The checksum, including a tail that is not in the sum. */
uint64_t filesum_digest(const struct filesum *sum, const void *tail,
			size_t size);
/* transfer.c; false: the drive is in trouble */
bool transfer_open_direct(struct drive *d);
void transfer_close_direct(struct drive *d);
/* Start a transfer; false if it cannot be started now. */
bool transfer_begin(struct drive *d, const struct VDC_Command *cmd);
/* Start a transfer and wait for it. */
void transfer_alone(struct drive *d, const struct VDC_Command *cmd,
		    struct outcome *out);
/* Write all of iov at offset; changes iov. */
bool medium_write(struct drive *d, uint64_t offset, struct iovec *iov,
		  int count);
/* Returns fewer than size bytes only at the end of the file; -1 = trouble. */
ssize_t medium_read(struct drive *d, uint64_t offset, void *data, size_t size);
/* Read exactly size bytes; otherwise the medium is damaged. */
bool medium_read_all(struct drive *d, uint64_t offset, void *data,
		     size_t size);
bool medium_truncate(struct drive *d, uint64_t size);
/* Does drive_config.stop request a stop? */
bool drive_stopped(const struct drive *d);
/* Bytes beyond the capacity, reserved for the data that ends a medium. */
uint64_t medium_reserve(const struct drive *d);
/*
 * How many of `size` bytes fit on a medium that holds `used` bytes, in whole
 * blocks. A write of a single block may use the reserve.
 */
uint32_t medium_room(const struct drive *d, uint64_t used, uint32_t size);
/* Completion code of a write that stored `stored` bytes and ends at `used`. */
int medium_write_code(struct drive *d, uint64_t used, uint32_t size,
		      uint32_t stored);
/* Pipe and disk: plan a Write or a Read at a position, for transfer() */
void medium_store(struct drive *d, uint64_t at, struct transfer *t);
void medium_fetch(struct drive *d, uint64_t at, struct transfer *t);
/* Pipe and disk: functions of medium_ops */
bool medium_check_bytes(struct drive *d, medium_tick *tick, void *context);
bool medium_seal_bytes(struct drive *d);
bool medium_blank_bytes(struct drive *d);
void medium_release_bytes(struct drive *d);

#endif /* VDI_MEDIUM_H */
