// SPDX-License-Identifier: GPL-2.0-only
/*
 * records.c - reads the records of a stream; see records.h
 */
#include <endian.h>
#include <string.h>

#include "records.h"
#include "unpack.h"

bool unpack_damaged(struct unpack *u, const char *what)
{
	return db_fail(u->db, EXIT_DAMAGED, "the stream %s", what);
}

/* Have at least one byte available. */
static bool fill(struct unpack *u)
{
	struct records *r = &u->records;

	if (r->size)
		return true;
	if (!restored_read(&r->restored, &r->data, &r->size))
		return false;
	return r->size || unpack_damaged(u, "ends before the end of the backup");
}

bool records_get(struct unpack *u, void *to, size_t length)
{
	struct records *r = &u->records;

	while (length) {
		size_t part;

		if (!fill(u))
			return false;
		part = length < r->size ? length : r->size;
		memcpy(to, r->data, part);
		to = (char *)to + part;
		length -= part;
		r->data += part;
		r->size -= part;
	}
	return true;
}

bool records_next(struct unpack *u, uint32_t *type, uint64_t *length)
{
	struct record_header header;

	if (!records_get(u, &header, sizeof(header)))
		return false;
	if (le32toh(header.magic) != RECORD_MAGIC)
		return unpack_damaged(u, "is not a PostgreSQL backup");
	*type = le32toh(header.type);
	*length = le64toh(header.length);
	return true;
}

/* The next piece of data of an archive or the manifest; size 0: end. */
bool records_data(struct unpack *u, uint32_t end, const uint8_t **data,
		  uint32_t *size)
{
	struct records *r = &u->records;
	uint64_t length;
	uint32_t type;

	*size = 0;
	while (!r->left) {
		if (!records_next(u, &type, &length))
			return false;
		if (type == end) {
			r->archive_ended = true;
			return !length ||
			       unpack_damaged(u, "has records out of order");
		}
		if (type != RECORD_DATA)
			return unpack_damaged(u, "has records out of order");
		r->left = length;
	}
	if (!fill(u))
		return false;
	*data = r->data;
	*size = r->size < r->left ? r->size : r->left;
	r->data += *size;
	r->size -= *size;
	r->left -= *size;
	return true;
}
