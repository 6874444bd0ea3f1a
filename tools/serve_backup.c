// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_backup.c - standard input, striped over the devices of a set
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "database.h"
#include "stream.h"

/* As much as fits, less only at the end of the input. */
static bool read_input(struct database *db, uint8_t *data, size_t size,
		       uint32_t *length)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n;

		if (!db_poll(db, STDIN_FILENO, POLLIN))
			return false;
		n = read(STDIN_FILENO, data + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return db_fail(db, EXIT_FAILED,
				       "cannot read the input: %s",
				       strerror(errno));
		if (n == 0)
			break;
		done += n;
	}
	*length = done;
	return true;
}

/* A free buffer. What was done with it before must have gone well. */
static struct slot *get_slot(struct database *db)
{
	uint32_t i;

	for (;;) {
		for (i = 0; i < db->buffer_count; i++) {
			struct slot *slot = &db->slots[i];

			if (slot->busy)
				continue;
			if (slot->cmd.completionCode == ERROR_SUCCESS &&
			    slot->cmd.bytesTransferred ==
			    (uint32_t)slot->cmd.size)
				return slot;
			db_fail(db, EXIT_FAILED, "writing to '%s': %s",
				vdi_names_get(&db->names, slot->device),
				vdi_completion_name(slot->cmd.completionCode));
			return NULL;
		}
		if (!db_step(db))
			return NULL;
	}
}

static bool send_chunk(struct database *db, struct slot *slot,
		       const struct stream_shape *shape, uint64_t number,
		       unsigned int device, uint32_t flags, uint32_t payload)
{
	uint32_t size = stream_finish_chunk(shape, slot->buffer, number,
					    device, flags, payload);

	return db_send(db, slot, device, VDC_Write, size);
}

static bool send_stream(struct database *db, const struct stream_shape *shape,
			uint64_t *chunks)
{
	uint32_t room = db->max_transfer - db->block_size;
	uint32_t length = room;
	uint64_t number;

	for (number = 0; length == room; number++) {
		struct slot *slot = get_slot(db);

		if (!slot || !read_input(db, slot->buffer + db->block_size,
					 room, &length))
			return false;
		if (!length)
			break;
		if (!send_chunk(db, slot, shape, number, number % db->count, 0,
				length))
			return false;
		db->bytes += length;
	}
	*chunks = number;
	return true;
}

static bool send_ends(struct database *db, const struct stream_shape *shape,
		      uint64_t chunks)
{
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		struct slot *slot = get_slot(db);

		if (!slot || !send_chunk(db, slot, shape, chunks, i, STREAM_END, 0))
			return false;
	}
	return true;
}

static bool all_written(struct database *db)
{
	uint32_t i;

	if (!db_drain(db))
		return false;
	for (i = 0; i < db->buffer_count; i++) {
		const struct slot *slot = &db->slots[i];

		if (slot->cmd.completionCode != ERROR_SUCCESS)
			return db_fail(db, EXIT_FAILED, "writing to '%s': %s",
				       vdi_names_get(&db->names, slot->device),
				       vdi_completion_name(slot->cmd.completionCode));
	}
	return true;
}

bool serve_backup(struct database *db)
{
	struct stream_shape shape = { .block_size = db->block_size };
	uint64_t chunks;

	if (getrandom(&shape.id, sizeof(shape.id), 0) != sizeof(shape.id))
		return db_fail(db, EXIT_FAILED, "no random numbers: %s",
			       strerror(errno));
	if (!db_connect(db, VDF_WriteMedia))
		return false;
	shape.devices = db->count;
	vdi_progress_start(&db->progress, db->quiet);
	if (!send_stream(db, &shape, &chunks) ||
	    !send_ends(db, &shape, chunks) ||
	    !all_written(db) || !db_all(db, VDC_Flush))
		return false;
	if ((db->config.features & VDF_CompleteEnabled) &&
	    !db_all(db, VDC_Complete))
		return false;
	return db_close_devices(db);
}
