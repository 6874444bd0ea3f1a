// SPDX-License-Identifier: GPL-2.0-only
/*
 * chunked.c - a medium like a pipe in a chunk store
 *
 * Commands are executed one after the other. A Write copies the data to the memory of
 * the store and completes at once, unless that memory is in use; a Flush waits until
 * all of it is stored. A failure of a transfer is reported by the next command.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "medium.h"

#define PIECE	(1U << 20)	/* size of a read by a check */

/* A failure of the store, with its text. A stop is no trouble; see drive_finish(). */
static bool check(struct drive *d, enum chunk_result result)
{
	if (result == CHUNK_OK)
		return true;
	if (result == CHUNK_STOPPED || d->trouble != DRIVE_FINE)
		return false;
	d->trouble = result == CHUNK_MISSING || result == CHUNK_DAMAGED ?
		     DRIVE_DAMAGED : DRIVE_FAILED;
	d->trouble_code = ERROR_IO_DEVICE;
	snprintf(d->why, sizeof(d->why), "%s", chunk_medium_why(d->chunked));
	return false;
}

static bool opened(struct drive *d, const char *why)
{
	struct medium *m = &d->medium;

	d->loaded = d->chunked;
	m->position = 0;
	m->end = d->config.writing ? 0 : drive_current_file(d)->bytes;
	filesum_begin(&m->sum, 0);
	if (d->loaded)
		return true;
	d->trouble = DRIVE_FAILED;
	d->trouble_code = ERROR_IO_DEVICE;
	snprintf(d->why, sizeof(d->why), "%s", why);
	return false;
}

bool chunked_create(struct drive *d)
{
	char why[256] = "";

	d->chunked = chunk_create(d->config.chunks, drive_medium_name(d), why,
				  sizeof(why));
	return opened(d, why);
}

bool chunked_open(struct drive *d)
{
	char why[256] = "";

	d->chunked = chunk_open_medium(d->config.chunks, drive_medium_name(d),
				       &drive_current_file(d)->chunks, why,
				       sizeof(why));
	return opened(d, why);
}

bool chunked_flush(struct drive *d)
{
	return check(d, chunk_flush(d->chunked));
}

bool chunked_finish(struct drive *d)
{
	struct medium_file *file = drive_current_file(d);

	if (d->trouble != DRIVE_FINE || !d->loaded || !chunked_flush(d))
		return false;
	if (!chunk_list_copy(&file->chunks, chunk_stored(d->chunked))) {
		drive_failed(d, "list the chunks of", ENOMEM);
		return false;
	}
	file->bytes = d->medium.end;
	file->xxh3 = filesum_digest(&d->medium.sum, NULL, 0);
	file->summed = true;
	chunked_close(d);
	d->loaded = false;
	return true;
}

void chunked_close(struct drive *d)
{
	chunk_close_medium(d->chunked);
	d->chunked = NULL;
}

/* ------------------------------------------------------------------ commands */

bool chunked_append(struct drive *d, const void *data, size_t size)
{
	struct medium *m = &d->medium;

	if (!check(d, chunk_append(d->chunked, data, size)))
		return false;
	filesum_add(&m->sum, m->end, data, size);
	m->end += size;
	return true;
}

/*
 * The checksum of each chunk has been checked. That of the whole medium shows that no
 * chunk is missing from the list, so the last byte waits for it.
 */
static bool check_end(struct drive *d)
{
	struct medium_file *file = drive_current_file(d);

	file->whole = filesum_digest(&d->medium.sum, NULL, 0) == file->xxh3;
	if (!file->whole)
		drive_damaged(d, "its checksum does not match");
	return file->whole;
}

bool chunked_fetch(struct drive *d, void *data, size_t size, size_t *done)
{
	struct medium *m = &d->medium;

	if (!check(d, chunk_read(d->chunked, data, size, done)))
		return false;
	filesum_add(&m->sum, m->position, data, *done);
	m->position += *done;
	if (m->position < m->end && *done == size)
		return true;
	if (m->position != m->end) {
		drive_damaged(d, "it has %llu bytes, not %llu",
			      (unsigned long long)m->position,
			      (unsigned long long)m->end);
		return false;
	}
	return check_end(d);
}

static void chunked_execute(struct drive *d, const struct VDC_Command *cmd,
			    struct outcome *out)
{
	static const struct sequence sequence = { chunked_append, chunked_fetch };

	sequence_execute(d, &sequence, cmd, out);
}

bool chunked_verify(struct drive *d, medium_tick *tick, void *context)
{
	uint8_t *data = malloc(PIECE);
	bool good = data;
	size_t done = 1;

	if (!data)
		drive_failed(d, "read", ENOMEM);
	while (good && done) {
		good = chunked_fetch(d, data, PIECE, &done);
		if (good && done)
			good = !drive_stopped(d) && tick(context, done);
	}
	free(data);
	return good;
}

const struct medium_ops chunked_ops = {
	.execute = chunked_execute,
	.release = medium_release_bytes,
};
