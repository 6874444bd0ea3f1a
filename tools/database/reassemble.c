// SPDX-License-Identifier: GPL-2.0-only
/*
 * reassemble.c - reads a striped stream from the devices of a set
 *
 * Each device reads ahead with its share of the buffers. The pieces of a device
 * are used in order; chunk n is the next one on device n modulo the number of
 * devices. The layout finds the start and the end of the data on a medium, and
 * whether another medium follows.
 */
#include <stdlib.h>
#include <string.h>

#include "serve_media.h"
#include "reassemble.h"

static struct slot *in_ring(struct restored *r, unsigned int device,
			    unsigned int n)
{
	struct reader *reader = &r->reader[device];

	n = (reader->next + n) % reader->count;
	return &r->db->slots[reader->first + n];
}

/* Queue reads while there are free slots and data to read. */
static bool fill(struct restored *r, unsigned int device)
{
	struct reader *reader = &r->reader[device];
	const struct db_device *dev = &r->db->dev[device];
	int64_t position;
	uint32_t size;

	while (reader->sent < reader->count && !reader->ended &&
	       !dev->io_error && dev->outstanding < r->db->config.maxIODepth) {
		size = r->db->layout->next_read(r->db, device, &position);
		if (!size)
			break;
		if (!db_send(r->db, in_ring(r, device, reader->sent), device,
			     VDC_Read, size, position))
			return false;
		reader->sent++;
	}
	return true;
}

static bool start_reads(struct restored *r)
{
	struct database *db = r->db;
	unsigned int share = db->buffer_count / db->count;
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		r->reader[i].first = i * share;
		r->reader[i].count = share;
		r->reader[i].sum = XXH3_createState();
		if (!r->reader[i].sum)
			return db_fail(db, EXIT_FAILED, "out of memory");
		XXH3_64bits_reset(r->reader[i].sum);
		if (!db->layout->begin_read(db, i))
			return false;
	}
	for (i = 0; i < db->count; i++) {
		if (!fill(r, i))
			return false;
	}
	return true;
}

static bool is_end(int code)
{
	return code == ERROR_SUCCESS || code == ERROR_HANDLE_EOF ||
	       code == ERROR_NO_DATA_DETECTED ||
	       code == ERROR_FILEMARK_DETECTED;
}

static bool cut_off(struct restored *r, unsigned int device)
{
	return db_fail(r->db, EXIT_DAMAGED,
		       "the data of '%s' ends before the stream does",
		       r->db->dev[device].name);
}

/*
 * The oldest read has reached the end of the data on the medium, or there is
 * nothing more to read: check the reads after it, and what follows the data.
 */
static bool end_medium(struct restored *r, unsigned int device, int code)
{
	struct reader *reader = &r->reader[device];
	struct database *db = r->db;
	bool last;

	if (!is_end(code))
		return db_fail_device(db, device, "reading from", code);
	if (!db_drain_device(db, device))
		return false;
	reader->tally.code = code;
	reader->tally.beyond = false;
	for (; reader->sent; reader->sent--) {
		const struct slot *slot = in_ring(r, device, reader->sent - 1);

		if (reader->sent > 1 && slot->cmd.bytesTransferred)
			reader->tally.beyond = true;
	}
	reader->offset = 0;
	reader->tally.xxh3 = XXH3_64bits_digest(reader->sum);
	if (!db_clear_error(db, device) ||
	    !db->layout->end_read(db, device, &reader->tally, &last))
		return false;
	reader->tally.medium_bytes = 0;
	reader->ended = last;
	return true;
}

static bool next_medium(struct restored *r, unsigned int device)
{
	struct database *db = r->db;

	return media_load(db, device, db->dev[device].medium.ordinal + 1) &&
	       db->layout->begin_read(db, device);
}

/*
 * All data of the oldest read was used. If the read was short and reads have
 * positions, the rest must be read before the reads after it are used.
 */
static bool next_read(struct restored *r, unsigned int device)
{
	struct reader *reader = &r->reader[device];
	struct slot *slot = in_ring(r, device, 0);
	uint32_t done = slot->cmd.bytesTransferred;
	uint32_t rest = slot->cmd.size - done;

	reader->offset = 0;
	if (r->db->layout->positions && rest)
		return db_send(r->db, slot, device, VDC_Read, rest,
			       slot->cmd.inPosition + done);
	reader->next = (reader->next + 1) % reader->count;
	reader->sent--;
	return fill(r, device);
}

/* Called once for every read, when all of its data was used. */
static void count_read(struct restored *r, unsigned int device,
		       const struct slot *slot)
{
	struct reader *reader = &r->reader[device];

	reader->tally.medium_bytes += slot->cmd.bytesTransferred;
	reader->tally.total += slot->cmd.bytesTransferred;
	XXH3_64bits_update(reader->sum, slot->buffer,
			   slot->cmd.bytesTransferred);
}

/*
 * The oldest read with unused data, or NULL at the end of the medium. False after
 * db_fail().
 */
static bool get_read(struct restored *r, unsigned int device,
		     struct slot **out, int *code)
{
	struct reader *reader = &r->reader[device];

	for (;;) {
		struct slot *slot = in_ring(r, device, 0);

		*out = NULL;
		*code = ERROR_SUCCESS;
		if (!reader->sent && !fill(r, device))
			return false;
		if (!reader->sent)
			return true;
		while (slot->busy) {
			if (!db_step(r->db))
				return false;
		}
		*out = slot;
		if (slot->cmd.bytesTransferred > reader->offset)
			return true;
		/* the code that ended the data; an empty read ends it as well */
		*code = slot->cmd.completionCode;
		if (*code == ERROR_SUCCESS && !slot->cmd.bytesTransferred)
			*code = ERROR_HANDLE_EOF;
		if (*code != ERROR_SUCCESS) {
			*out = NULL;
			return true;
		}
		if (!next_read(r, device))
			return false;
	}
}

/* Mark data as used. The read is counted when all of its data was used. */
static void use(struct restored *r, unsigned int device, uint32_t bytes)
{
	struct reader *reader = &r->reader[device];
	const struct slot *slot = in_ring(r, device, 0);

	reader->offset += bytes;
	if (reader->offset == slot->cmd.bytesTransferred)
		count_read(r, device, slot);
}

/* Unused data of the device; waits until there is some. */
static bool peek(struct restored *r, unsigned int device, const uint8_t **data,
		 uint32_t *length)
{
	struct reader *reader = &r->reader[device];
	struct slot *slot;
	int code;

	for (;;) {
		if (reader->ended)
			return cut_off(r, device);
		if (!get_read(r, device, &slot, &code))
			return false;
		if (slot) {
			*data = slot->buffer + reader->offset;
			*length = slot->cmd.bytesTransferred - reader->offset;
			return true;
		}
		if (!end_medium(r, device, code))
			return false;
		if (reader->ended)
			continue;
		if (!next_medium(r, device) || !fill(r, device))
			return false;
	}
}

static bool skip(struct restored *r, unsigned int device, uint64_t bytes)
{
	const uint8_t *data;
	uint32_t length;

	while (bytes) {
		if (!peek(r, device, &data, &length))
			return false;
		if (length > bytes)
			length = bytes;
		use(r, device, length);
		bytes -= length;
	}
	return true;
}

static bool wrong(struct restored *r, unsigned int device, const char *what)
{
	return db_fail(r->db, EXIT_DAMAGED, "the data of '%s' %s",
		       r->db->dev[device].name, what);
}

static bool wrong_kind(struct restored *r, unsigned int device)
{
	return db_fail(r->db, EXIT_FAILED, r->db->snapshot ?
		       "'%s' holds a backup that is not a snapshot: leave out --snapshot" :
		       "'%s' holds the description of a snapshot: use --snapshot",
		       r->db->dev[device].name);
}

/* Blocks are never split, so a header is contiguous. */
static bool get_header(struct restored *r, unsigned int device,
		       uint64_t number, struct stream_header *header)
{
	const uint8_t *data;
	uint32_t length;

	if (!peek(r, device, &data, &length))
		return false;
	if (length < sizeof(*header))
		return wrong(r, device, "is truncated within a block");
	memcpy(header, data, sizeof(*header));
	if (le64toh(header->magic) != STREAM_MAGIC)
		return wrong(r, device, "was not written by vdi serve");
	if (le64toh(header->header_xxh3) !=
	    XXH3_64bits(header, offsetof(struct stream_header, header_xxh3)))
		return wrong(r, device, "has a damaged header");
	if (le32toh(header->device) != device ||
	    le32toh(header->devices) != r->db->count)
		return wrong(r, device,
			     "belongs to another device: check the order and the number of devices");
	if (!r->db->id_known) {
		r->db->shape.id = le64toh(header->id);
		r->db->id_known = true;
	}
	if (le64toh(header->id) != r->db->shape.id)
		return wrong(r, device, "belongs to another stream");
	if (!(le32toh(header->flags) & STREAM_SNAPSHOT) != !r->db->snapshot)
		return wrong_kind(r, device);
	if (le64toh(header->number) != number)
		return wrong(r, device, "lacks a part of the stream");
	return skip(r, device, le32toh(header->block_size));
}

/* All data of the current chunk was used: check it, skip its padding. */
static bool end_chunk(struct restored *r)
{
	uint64_t payload = le64toh(r->header.payload);
	uint32_t block_size = le32toh(r->header.block_size);

	if (XXH3_64bits_digest(r->sum) != le64toh(r->header.payload_xxh3))
		return wrong(r, r->device,
			     "is damaged: its checksum does not match");
	r->in_chunk = false;
	r->number++;
	return skip(r, r->device, -payload & (uint64_t)(block_size - 1));
}

/* Every device must end here, with the same number of chunks. */
static bool check_ends(struct restored *r)
{
	struct stream_header header;
	unsigned int i;

	for (i = 0; i < r->db->count; i++) {
		if (i == r->device)
			continue;
		if (!get_header(r, i, r->number, &header))
			return false;
		if (!(le32toh(header.flags) & STREAM_END))
			return wrong(r, i, "continues after the end of the stream");
	}
	return true;
}

static bool begin_chunk(struct restored *r)
{
	r->device = r->number % r->db->count;
	if (!get_header(r, r->device, r->number, &r->header))
		return false;
	if (le32toh(r->header.flags) & STREAM_END) {
		r->ended = true;
		return check_ends(r);
	}
	r->left = le64toh(r->header.payload);
	r->in_chunk = true;
	XXH3_64bits_reset(r->sum);
	return true;
}

static void take_piece(struct restored *r)
{
	if (!r->piece_size)
		return;
	XXH3_64bits_update(r->sum, r->piece, r->piece_size);
	use(r, r->device, r->piece_size);
	r->left -= r->piece_size;
	r->db->bytes += r->piece_size;
	r->piece_size = 0;
}

bool restored_read(struct restored *r, const uint8_t **data, uint32_t *size)
{
	*size = 0;
	take_piece(r);
	for (;;) {
		if (r->in_chunk && !r->left && !end_chunk(r))
			return false;
		if (r->in_chunk)
			break;
		if (r->ended)
			return true;
		if (!begin_chunk(r))
			return false;
	}
	if (!peek(r, r->device, &r->piece, &r->piece_size))
		return false;
	if (r->piece_size > r->left)
		r->piece_size = r->left;
	*data = r->piece;
	*size = r->piece_size;
	return true;
}

bool restored_again(struct restored *r, struct database *db)
{
	unsigned int i;

	*r = (struct restored){ .db = db };
	r->sum = XXH3_createState();
	if (!r->sum)
		return db_fail(db, EXIT_FAILED, "out of memory");
	for (i = 0; i < db->count; i++) {
		/* after writing to a single medium, it is still loaded */
		if (db_writes(db) && db->dev[i].medium.ordinal == 1)
			continue;
		if (db->layout->media && !media_load(db, i, 1))
			return false;
	}
	return start_reads(r);
}

bool restored_begin(struct restored *r, struct database *db)
{
	*r = (struct restored){ 0 };
	return db_connect(db, VDF_ReadMedia) && restored_again(r, db);
}

/* The end of the medium must follow. */
static bool check_end(struct restored *r, unsigned int device)
{
	struct reader *reader = &r->reader[device];
	struct slot *slot;
	int code;

	if (reader->ended)
		return true;
	if (!get_read(r, device, &slot, &code))
		return false;
	if (!slot && !end_medium(r, device, code))
		return false;
	return reader->ended || wrong(r, device, "continues after the end of the stream");
}

bool restored_check_end(struct restored *r)
{
	unsigned int i;

	for (i = 0; r->db->layout->media && i < r->db->count; i++) {
		if (!check_end(r, i))
			return false;
	}
	return db_drain(r->db);
}

bool restored_end(struct restored *r)
{
	return restored_check_end(r) && db_close_devices(r->db);
}

void restored_free(struct restored *r)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++) {
		XXH3_freeState(r->reader[i].sum);
		r->reader[i].sum = NULL;
	}
	XXH3_freeState(r->sum);
	r->sum = NULL;
}
