// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_restore.c - the devices of a set, put together on standard output
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "reassemble.h"
#include "serve.h"

bool serve_output(struct database *db, const uint8_t *data, size_t size)
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

static bool put_out(struct restored *r)
{
	const uint8_t *data;
	uint32_t size;

	do {
		if (!restored_read(r, &data, &size) ||
		    !serve_output(r->db, data, size))
			return false;
	} while (size);
	return true;
}

bool serve_restore(struct database *db)
{
	struct restored r;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db) && put_out(&r) && restored_end(&r);
	restored_free(&r);
	return ok;
}

/*
 * What the database wrote beside the snapshot comes first, all of it; then the
 * client is to put the files in place.
 */
bool serve_restore_snapshot(struct database *db)
{
	struct restored r;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db) && put_out(&r) && restored_check_end(&r);
	restored_free(&r);
	/* the read that had the end may have said so */
	return ok && db_clear_error(db, 0) &&
	       db_order(db, 0, VDC_MountSnapshot, 0, 0) &&
	       db_close_devices(db);
}
