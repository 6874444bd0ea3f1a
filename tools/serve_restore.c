// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_restore.c - the devices of a set, put together on standard output
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "reassemble.h"

static bool write_output(struct database *db, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n;

		if (!db_poll(db, STDOUT_FILENO, POLLOUT))
			return false;
		n = write(STDOUT_FILENO, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return db_fail(db, EXIT_FAILED,
				       "cannot write the output: %s",
				       strerror(errno));
		data += n;
		size -= n;
	}
	return true;
}

bool serve_restore(struct database *db)
{
	const uint8_t *data;
	struct restored r;
	uint32_t size;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db);
	while (ok && (ok = restored_read(&r, &data, &size)) && size)
		ok = write_output(db, data, size);
	ok = ok && restored_end(&r);
	restored_free(&r);
	return ok;
}
