// SPDX-License-Identifier: GPL-2.0-only
/*
 * reassemble.c - a striped stream, put together again piece by piece
 *
 * Each device is read ahead by its share of the buffers; the pieces arrive in
 * order per device, and chunk n is the next on device n modulo their number.
 */
#include <stdlib.h>
#include <string.h>

#include "reassemble.h"

static struct slot *oldest(struct restored *r, unsigned int device)
{
	struct reader *reader = &r->reader[device];

	return &r->db->slots[reader->first + reader->next];
}

static bool start_reads(struct restored *r)
{
	struct database *db = r->db;
	unsigned int share = db->buffer_count / db->count;
	unsigned int i, j;

	for (i = 0; i < db->count; i++) {
		r->reader[i].first = i * share;
		r->reader[i].count = share;
	}
	for (j = 0; j < share; j++) {
		for (i = 0; i < db->count; i++) {
			if (!db_send(db, &db->slots[i * share + j], i, VDC_Read,
				     db->max_transfer))
				return false;
		}
	}
	return true;
}

static bool is_end(int code)
{
	return code == ERROR_HANDLE_EOF || code == ERROR_NO_DATA_DETECTED;
}

/* The oldest read is used up: send it again, turn to the next. */
static bool next_read(struct restored *r, unsigned int device)
{
	struct reader *reader = &r->reader[device];
	struct slot *slot = oldest(r, device);

	reader->next = (reader->next + 1) % reader->count;
	reader->offset = 0;
	if (r->db->ended[device])
		return true;
	return db_send(r->db, slot, device, VDC_Read, r->db->max_transfer);
}

static bool cut_off(struct restored *r, unsigned int device)
{
	return db_fail(r->db, EXIT_DAMAGED,
		       "the data of '%s' ends before the stream does",
		       vdi_names_get(&r->db->names, device));
}

/* What there is of the device's data, waiting for some. */
static bool peek(struct restored *r, unsigned int device, const uint8_t **data,
		 uint32_t *length)
{
	struct reader *reader = &r->reader[device];

	for (;;) {
		struct slot *slot = oldest(r, device);
		int code;

		while (slot->busy) {
			if (!db_step(r->db))
				return false;
		}
		code = slot->cmd.completionCode;
		if (code != ERROR_SUCCESS && !is_end(code)) {
			if (r->db->ended[device])
				return cut_off(r, device);
			return db_fail(r->db, EXIT_FAILED,
				       "reading from '%s': %s",
				       vdi_names_get(&r->db->names, device),
				       vdi_completion_name(code));
		}
		*data = slot->buffer + reader->offset;
		*length = slot->cmd.bytesTransferred - reader->offset;
		if (*length)
			return true;
		if (is_end(code))
			return cut_off(r, device);
		if (!next_read(r, device))
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
		r->reader[device].offset += length;
		bytes -= length;
	}
	return true;
}

static bool wrong(struct restored *r, unsigned int device, const char *what)
{
	return db_fail(r->db, EXIT_DAMAGED, "the data of '%s' %s",
		       vdi_names_get(&r->db->names, device), what);
}

/* Blocks are never split, so a header lies in one piece. */
static bool get_header(struct restored *r, unsigned int device,
		       uint64_t number, struct stream_header *header)
{
	const uint8_t *data;
	uint32_t length;

	if (!peek(r, device, &data, &length))
		return false;
	if (length < sizeof(*header))
		return wrong(r, device, "is cut off within a block");
	memcpy(header, data, sizeof(*header));
	if (le64toh(header->magic) != STREAM_MAGIC)
		return wrong(r, device, "was not written by vdi serve");
	if (le64toh(header->header_xxh3) !=
	    XXH3_64bits(header, offsetof(struct stream_header, header_xxh3)))
		return wrong(r, device, "has a damaged header");
	if (le32toh(header->device) != device ||
	    le32toh(header->devices) != r->db->count)
		return wrong(r, device,
			     "belongs to another device: check order and number of devices");
	if (!r->id_known) {
		r->id = le64toh(header->id);
		r->id_known = true;
	}
	if (le64toh(header->id) != r->id)
		return wrong(r, device, "belongs to another stream");
	if (le64toh(header->number) != number)
		return wrong(r, device, "lacks a piece");
	return skip(r, device, le32toh(header->block_size));
}

/* The chunk at hand is used up: check it, go past its padding. */
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

/* Every device must end here, with the same count. */
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
			return wrong(r, i, "goes on after the end");
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
	r->reader[r->device].offset += r->piece_size;
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

bool restored_begin(struct restored *r, struct database *db)
{
	*r = (struct restored){ .db = db };
	r->sum = XXH3_createState();
	if (!r->sum)
		return db_fail(db, EXIT_FAILED, "out of memory");
	return db_connect(db, VDF_ReadMedia) && start_reads(r);
}

bool restored_end(struct restored *r)
{
	return db_drain(r->db) && db_close_devices(r->db);
}

void restored_free(struct restored *r)
{
	XXH3_freeState(r->sum);
	r->sum = NULL;
}
