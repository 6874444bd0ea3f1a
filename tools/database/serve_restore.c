// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_restore.c - the stream of a set, reassembled
 */
#include "reassemble.h"
#include "serve.h"

static bool put_out(struct restored *r)
{
	const uint8_t *data;
	uint32_t size;

	if (!serve_open_stream(r->db))
		return false;
	do {
		if (!restored_read(r, &data, &size) ||
		    !serve_write(r->db, data, size))
			return false;
	} while (size);
	return restored_check_end(r) && serve_end_output(r->db);
}

bool serve_restore(struct database *db)
{
	struct restored r;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db) && put_out(&r) &&
	     db_close_devices(db);
	restored_free(&r);
	return ok;
}

/*
 * Read the whole description of the snapshot first; then the client restores the
 * files.
 */
bool serve_restore_snapshot(struct database *db)
{
	struct restored r;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db) && put_out(&r);
	restored_free(&r);
	/* the last read may have reported the end of the data as an error */
	return ok && db_clear_error(db, 0) &&
	       db_order(db, 0, VDC_MountSnapshot, 0, 0) &&
	       db_close_devices(db);
}
