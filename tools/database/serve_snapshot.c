// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_snapshot.c - a backup by a snapshot that the client takes while the
 * database is frozen
 *
 * The device carries only the description of the snapshot: a chunk without payload
 * before the freeze, and standard input during the freeze.
 */
#include "freeze.h"
#include "serve_media.h"

static bool write_header(struct database *db)
{
	struct slot *slot = media_slot(db);

	return slot && serve_send_chunk(db, slot, 0, 0, STREAM_SNAPSHOT, 0) &&
	       media_slot(db);
}

static bool take_snapshot(struct database *db, struct freezer *freezer)
{
	uint64_t chunks = 1;

	if (!write_header(db))
		return false;
	/* the client consents by completing the command */
	if ((db->config.features & VDF_SnapshotPrepare) &&
	    !db_order(db, 0, VDC_PrepareToFreeze, 0, 0))
		return false;
	return freezer_freeze(freezer, db) &&
	       serve_send_input(db, STREAM_SNAPSHOT, &chunks) &&
	       serve_send_ends(db, STREAM_SNAPSHOT, chunks) &&
	       media_end_write(db) &&
	       db_order(db, 0, VDC_Snapshot, 0, 0);
}

bool serve_backup_snapshot(struct database *db,
			   const struct freeze_options *options)
{
	struct freezer freezer;
	bool ok;

	ok = freezer_start(&freezer, db, options) && serve_begin_backup(db) &&
	     take_snapshot(db, &freezer);
	/* thaw first, in any case: the database is frozen */
	ok = freezer_end(&freezer, db) && ok;
	/* the client publishes now; its completion decides for both sides */
	return ok && db_complete(db);
}
