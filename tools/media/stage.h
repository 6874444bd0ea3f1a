/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stage.h - what the data of a medium passes on its way to and from its store
 *
 *   writing   compress -> filter -> store	each stage pushes into the next one
 *   reading   decompress <- filter <- store	each stage pulls from the next one
 *
 * Compression and the filter, a command of the user, are optional. All stages of a
 * drive run in the thread that uses the drive; only blocks are compressed by the
 * threads of a pool, which all drives share. A stage never waits without polling for
 * a stop.
 *
 * Functions that return bool: false after a failure, with the drive in trouble, or
 * after a stop, without trouble.
 */
#ifndef VDI_STAGE_H
#define VDI_STAGE_H

#include "medium.h"

struct stage;

struct stage_ops {
	/* Writing: take the next bytes of the data. */
	bool (*push)(struct stage *s, const void *data, size_t size);
	/* Writing: pass on what was taken, as far as more data may follow. */
	bool (*flush)(struct stage *s);
	/* Writing: no more data follows; pass on everything. */
	bool (*end)(struct stage *s);
	/*
	 * Reading: the next bytes; fewer only at the end, where everything that the
	 * stage can check was found good.
	 */
	bool (*pull)(struct stage *s, void *data, size_t size, size_t *done);
	/* Release the stage alone, also in the middle of the data. */
	void (*free)(struct stage *s);
};

struct stage {
	const struct stage_ops *ops;
	struct drive *drive;
	struct stage *next;	/* NULL = the store */
};

/* NULL: the drive is in trouble. The stage does not own `next`. */
struct stage *stage_store(struct drive *d);
struct stage *stage_command(struct drive *d, const char *command,
			    struct stage *next);
struct stage *stage_compress(struct drive *d, struct compress_pool *pool,
			     struct stage *next);
struct stage *stage_decompress(struct drive *d, const struct codec *codec,
			       struct stage *next);
/* Was a stop requested, by a signal or drive_config.stop? */
bool stage_stopped(const struct stage *s);
/*
 * A stage could not use the data that it has read. Read the rest, so that the stages
 * below find out whether the data is as it was stored. False: they have a failure.
 */
bool stage_blames_itself(struct stage *s);

/* Input of a compressed frame, at most. */
#define COMPRESS_BLOCK	(2U << 20)

enum decoded { DECODED_MORE, DECODED_FRAME_END, DECODED_INVALID };

/* A format of compressed data, which is a sequence of frames with checksums. */
struct codec {
	const char *name;		/* in options and manifests */
	const char *suffix;		/* of file names, with the dot */
	int min_level, max_level, default_level;
	/* Size of the frame of `size` bytes, at most. */
	size_t (*bound)(size_t size);
	/* For one thread each. NULL: out of memory. */
	void *(*new_encoder)(int level);
	/* Make a frame. Returns its size, 0 = out of memory. */
	size_t (*encode)(void *encoder, const void *data, size_t size,
			 void *out, size_t room);
	void (*free_encoder)(void *encoder);
	void *(*new_decoder)(void);
	/*
	 * Decode some of the data; *in and *out receive how many bytes were
	 * used and made.
	 */
	enum decoded (*decode)(void *decoder, const void *data, size_t *in,
			       void *to, size_t *out);
	void (*free_decoder)(void *decoder);
};

/*
 * Looking for matches in random data takes the most time and finds nothing. Do samples
 * of the data shrink? `shrink` returns the size of one in a compressed form.
 */
#define CODEC_SAMPLE	(16U << 10)
bool codec_samples_shrink(const void *data, size_t size,
			  size_t (*shrink)(void *context, const void *sample),
			  void *context);

#endif /* VDI_STAGE_H */
