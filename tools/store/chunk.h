/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * chunk.h - stores whose media are written and read in sequence, in chunks
 *
 * A chunk store holds the data of one backup. A medium is a sequence of chunks, each
 * of which is stored by itself and never changed:
 *
 *   manifest.json                        stored last: without it there is no backup
 *   data-ID/device-NN.data/00000001      chunks, at most chunk_size bytes each
 *
 * ID is a random number that is new for each run, so that two runs never write to
 * the same chunk. Chunks are collected in memory and stored by several threads per
 * medium. When a medium is read, these threads fetch the chunks ahead and check them
 * before any of their bytes are handed over.
 *
 * The memory of a medium is (transfers + 1) x chunk_size.
 *
 * How a chunk is stored and fetched is the matter of a driver: struct chunk_driver.
 */
#ifndef VDI_CHUNK_H
#define VDI_CHUNK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_MIN_SIZE		(64U << 10)
#define CHUNK_MAX_SIZE		(1U << 30)
#define CHUNK_DEFAULT_SIZE	(16U << 20)
#define CHUNK_MAX_TRANSFERS	64
#define CHUNK_MAX_COUNT		1000000		/* of a backup */
#define CHUNK_ID_SIZE		33		/* 32 hexadecimal digits and NUL */

struct chunk_options {
	uint32_t chunk_size;		/* 0 = CHUNK_DEFAULT_SIZE */
	unsigned int transfers;		/* at a time, of a medium; 0 = 2 */
	unsigned int timeout;		/* seconds of retries; 0 = 300 */
};

/* A chunk as the manifest lists it. */
struct chunk {
	uint32_t bytes;
	uint64_t xxh3;		/* XXH3, 64 bits, seed 0 */
};

struct chunk_list {
	struct chunk *chunk;
	unsigned int count;
};

bool chunk_list_add(struct chunk_list *list, uint32_t bytes, uint64_t xxh3);
/* False: no memory, and *to is empty. */
bool chunk_list_copy(struct chunk_list *to, const struct chunk_list *from);
uint64_t chunk_list_bytes(const struct chunk_list *list);
void chunk_list_free(struct chunk_list *list);

enum chunk_result {
	CHUNK_OK,
	CHUNK_FAILED,
	CHUNK_MISSING,		/* there is no object of this name */
	CHUNK_EXISTS,		/* there is one already */
	CHUNK_DAMAGED,		/* the contents are not those that were stored */
	CHUNK_UNKNOWN,		/* failed, and the object may have been stored */
	CHUNK_STOPPED		/* chunk_stop_with() or a cancellation */
};

/* --------------------------------------------------------------- the store */

struct chunk_store;

/* Is it the address of a chunk store, "s3://..."? Otherwise it is a path. */
bool chunk_is_address(const char *where);
/*
 * Open the store at an address. Nothing is transferred. NULL: see `why`, which names
 * the address.
 */
struct chunk_store *chunk_open(const char *address,
			       const struct chunk_options *options,
			       char *why, size_t size);
void chunk_close(struct chunk_store *store);
const char *chunk_address(const struct chunk_store *store);
const struct chunk_options *chunk_options(const struct chunk_store *store);
/* The cause of the last failure of a function of this section. */
const char *chunk_why(const struct chunk_store *store);
/* Polled during transfers; true stops them. NULL = never. */
void chunk_stop_with(struct chunk_store *store, bool (*stop)(void *context),
		     void *context);
bool chunk_stopped(const struct chunk_store *store);

/* A backup of its own: is there no manifest yet? Chooses the random ID. */
enum chunk_result chunk_begin(struct chunk_store *store);
/* The ID of the backup that is written or read. */
const char *chunk_id(const struct chunk_store *store);
bool chunk_set_id(struct chunk_store *store, const char *id);
bool chunk_id_is_valid(const char *id);
/*
 * Store the manifest, if there is none. CHUNK_EXISTS: of another backup.
 * CHUNK_UNKNOWN: no answer arrived, and the manifest may be stored now or later.
 */
enum chunk_result chunk_publish(struct chunk_store *store, const char *manifest,
				size_t size);
/* Fetch the manifest, of at most `most` bytes, with a NUL after the last byte. */
enum chunk_result chunk_manifest(struct chunk_store *store, size_t most,
				 char **text, size_t *size);
/* Remove the chunks of a backup without a manifest. Is not stopped. */
enum chunk_result chunk_discard(struct chunk_store *store, unsigned int *left);
/*
 * Remove the manifest, then its chunks. After CHUNK_OK nothing of the backup
 * `id` is left.
 */
enum chunk_result chunk_delete(struct chunk_store *store, const char *id);

/* Called for each name below the address, with its size; false ends the list. */
typedef bool chunk_listed(void *context, const char *name, uint64_t bytes,
			  const char *changed);
enum chunk_result chunk_walk(struct chunk_store *store, const char *prefix,
			     chunk_listed *listed, void *context);

/* ------------------------------------- other objects below the same address */

/*
 * For a place that holds several backups, with names as "NAME/manifest.json". Of a
 * single thread; the connection is kept from call to call.
 */
void chunk_keep_connection(struct chunk_store *store);
/*
 * The names directly below a prefix, which is "" or ends with "/". "NAME/" stands for
 * all names that begin with it, and has no size and time.
 */
enum chunk_result chunk_look(struct chunk_store *store, const char *prefix,
			     chunk_listed *listed, void *context);
/* As chunk_manifest(), of any object. */
enum chunk_result chunk_fetch(struct chunk_store *store, const char *name,
			      size_t most, char **text, size_t *size);
enum chunk_result chunk_put_text(struct chunk_store *store, const char *name,
				 const char *text);
/* CHUNK_OK also if it does not exist. */
enum chunk_result chunk_remove(struct chunk_store *store, const char *name);
/* All names that begin with the prefix; *left were not removed. */
enum chunk_result chunk_remove_all(struct chunk_store *store,
				   const char *prefix, unsigned int *left);

/* ------------------------------------------------------------------- media */

/* Used by one thread at a time. */
struct chunk_medium;

/* Create a medium to be written. NULL: see `why`. */
struct chunk_medium *chunk_create(struct chunk_store *store, const char *name,
				  char *why, size_t size);
/* Open a medium to be read. The list must remain valid. */
struct chunk_medium *chunk_open_medium(struct chunk_store *store,
				       const char *name,
				       const struct chunk_list *list,
				       char *why, size_t size);
/* Copy bytes to the end of the medium. Waits while the memory is in use. */
enum chunk_result chunk_append(struct chunk_medium *m, const void *data,
			       size_t size);
/* Store all bytes that were appended, and wait until they are durable. */
enum chunk_result chunk_flush(struct chunk_medium *m);
/* The chunks of a medium that was flushed. */
const struct chunk_list *chunk_stored(const struct chunk_medium *m);
/* Read the next bytes, which have been checked; fewer only at the end. */
enum chunk_result chunk_read(struct chunk_medium *m, void *data, size_t size,
			     size_t *done);
/* The cause of the first failure. */
const char *chunk_medium_why(const struct chunk_medium *m);
/* Cancels what is being transferred, and waits for the end of the threads. */
void chunk_close_medium(struct chunk_medium *m);

/* ----------------------------------------------------------------- drivers */

#define CHUNK_WHY_SIZE	512
#define CHUNK_REMOVE_MANY	1000

/* A connection to the store, for one thread. */
struct chunk_session {
	struct chunk_store *store;
	const atomic_bool *cancel;	/* NULL = none */
	bool unstoppable;		/* for cleaning up after a stop */
	double deadline;		/* of vdi_now(); 0 = the option */
	char why[CHUNK_WHY_SIZE];	/* of the last failure */
};

/*
 * Names are relative to the address. Each function retries until the deadline, and
 * returns a result with the reason in session->why.
 */
struct chunk_driver {
	struct chunk_store *(*open)(const char *address, char *why,
				    size_t size);
	void (*close)(struct chunk_store *store);
	struct chunk_session *(*connect)(struct chunk_store *store);
	void (*disconnect)(struct chunk_session *s);
	/* Store an object durably. `only_new`: CHUNK_EXISTS if there is one. */
	enum chunk_result (*put)(struct chunk_session *s, const char *name,
				 const void *data, size_t size, bool only_new);
	/* Fetch an object of at most `room` bytes; larger ones are DAMAGED. */
	enum chunk_result (*get)(struct chunk_session *s, const char *name,
				 void *data, size_t room, size_t *size);
	/* CHUNK_OK with the size, or CHUNK_MISSING. */
	enum chunk_result (*head)(struct chunk_session *s, const char *name,
				  uint64_t *size);
	/* Removing an object that does not exist succeeds. */
	enum chunk_result (*remove)(struct chunk_session *s, const char *name);
	/*
	 * Remove at most CHUNK_REMOVE_MANY objects, in any order; *left = 0, or that many
	 * may be there. NULL = one after the other.
	 */
	enum chunk_result (*remove_many)(struct chunk_session *s,
					 char *const *names,
					 unsigned int count,
					 unsigned int *left);
	/* `shallow`: see chunk_look() */
	enum chunk_result (*list)(struct chunk_session *s, const char *prefix,
				  bool shallow, chunk_listed *listed,
				  void *context);
};

/* The common part of a store, at the start of that of a driver. */
struct chunk_store {
	const struct chunk_driver *driver;
	char *address;
	struct chunk_options options;
	char id[CHUNK_ID_SIZE];
	bool (*stop)(void *context);
	void *stop_context;
	_Atomic unsigned int chunks;	/* stored by all media together */
	bool keep_connection;
	struct chunk_session *kept;	/* for the next request; may be NULL */
	char why[CHUNK_WHY_SIZE];
};

extern const struct chunk_driver chunk_s3;
/* The same. vdi loads its plugin first; NULL: see `why`. */
const struct chunk_driver *chunk_s3_driver(char *why, size_t size);

/* Must the session end its transfer? */
bool chunk_session_stopped(const struct chunk_session *s);
/* Sleep; false if the session was stopped meanwhile. */
bool chunk_session_sleep(const struct chunk_session *s, double seconds);
/* Remove objects one after the other, until one cannot be removed. */
enum chunk_result chunk_remove_each(struct chunk_session *s, char *const *names,
				    unsigned int count, unsigned int *left);
/* Records the reason, and returns the result. */
enum chunk_result chunk_fail(struct chunk_session *s, enum chunk_result result,
			     const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "data-ID/MEDIUM/00000001"; number from 1, and 0 for the prefix of all */
void chunk_name(const struct chunk_store *store, const char *medium,
		unsigned int number, char *out, size_t size);
/* For tests: a store with another driver. Takes ownership of the store. */
void chunk_init_store(struct chunk_store *store,
		      const struct chunk_driver *driver, const char *address,
		      const struct chunk_options *options);

#endif /* VDI_CHUNK_H */
