// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_backup.c - the stream, striped over the devices of a set
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "serve_media.h"
#include "reassemble.h"
#include "serve.h"

bool serve_send_chunk(struct database *db, struct slot *slot, uint64_t number,
		      unsigned int device, uint32_t flags, uint32_t payload)
{
	uint32_t size = stream_finish_chunk(&db->shape, slot->buffer, number,
					    device, flags, payload);

	return media_write(db, slot, device, size);
}

bool serve_send_input(struct database *db, uint32_t flags, uint64_t *number)
{
	uint32_t room = db->max_transfer - db->block_size;
	uint32_t length = room;

	if (!serve_open_stream(db))
		return false;
	for (; length == room; (*number)++) {
		struct slot *slot = media_slot(db);

		if (!slot || !serve_read(db, slot->buffer + db->block_size,
					  room, &length))
			return false;
		if (!length)
			break;
		if (!serve_send_chunk(db, slot, *number, *number % db->count,
				      flags, length))
			return false;
		db->bytes += length;
	}
	return serve_check_input(db);
}

bool serve_send_ends(struct database *db, uint32_t flags, uint64_t chunks)
{
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		struct slot *slot = media_slot(db);

		if (!slot || !serve_send_chunk(db, slot, chunks, i,
					       flags | STREAM_END, 0))
			return false;
	}
	return true;
}

/* Bytes of all writes of a pipe; on other media it is a few blocks more. */
static uint64_t expected_transfer(const struct database *db)
{
	uint64_t room = db->max_transfer - db->block_size;
	uint64_t size = serve_input_size(db), chunks = (size + room - 1) / room;
	uint64_t padding = -(size % room) & (db->block_size - 1);

	/* the description of a snapshot is written later */
	if (!size || db->snapshot)
		return 0;
	/* each device has an end chunk */
	return size + padding + (chunks + db->count) * db->block_size;
}

bool serve_begin_backup(struct database *db)
{
	if (!db_connect(db, VDF_WriteMedia))
		return false;
	if (getrandom(&db->shape.id, sizeof(db->shape.id), 0) !=
	    sizeof(db->shape.id))
		return db_fail(db, EXIT_FAILED, "cannot get random numbers: %s",
			       strerror(errno));
	db->id_known = true;
	db->total = expected_transfer(db);
	db_expect(db, db->total);
	vdi_progress_start(&db->progress, db->quiet);
	return media_begin_write(db);
}

/* Compare sizes and checksums of the data with what was written. */
static bool compare(struct database *db, const struct restored *r,
		    uint64_t written)
{
	unsigned int i;

	if (db->bytes != written)
		return db_fail(db, EXIT_DAMAGED,
			       "%ju bytes were written, but %ju were read back",
			       (uintmax_t)written, (uintmax_t)db->bytes);
	for (i = 0; i < db->count; i++) {
		if (r->reader[i].tally.xxh3 !=
		    XXH3_64bits_digest(db->dev[i].sum))
			return db_fail_medium(db, i,
					      "does not hold the data that was written");
	}
	return true;
}

/* Read everything back, from the first medium of each device. */
static bool read_back(struct database *db)
{
	uint64_t written = db->bytes, moved = db->moved;
	const char *verb = db->verb;
	const uint8_t *data;
	struct restored r;
	uint32_t size;
	bool ok;

	db->verb = "read-back";
	db->bytes = 0;
	db->counted = VDC_Read;
	db->moved = 0;
	db->total = moved;
	ok = restored_again(&r, db);
	while (ok && (ok = restored_read(&r, &data, &size)) && size)
		;
	ok = ok && restored_check_end(&r) && compare(db, &r, written);
	restored_free(&r);
	db->counted = VDC_Write;
	db->moved = moved;
	if (ok)
		db->verb = verb;
	return ok;
}

static bool leave(struct database *db)
{
	unsigned int i;

	for (i = 0; db->layout->leave && i < db->count; i++) {
		if (!db->layout->leave(db, i))
			return false;
	}
	return true;
}

bool serve_backup(struct database *db)
{
	uint64_t chunks = 0;

	return serve_begin_backup(db) &&
	       serve_send_input(db, 0, &chunks) &&
	       serve_send_ends(db, 0, chunks) &&
	       media_end_write(db) &&
	       (!db->read_back || read_back(db)) &&
	       leave(db) &&
	       db_finish_backup(db);
}
