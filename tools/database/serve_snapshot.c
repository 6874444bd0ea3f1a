// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_snapshot.c - a backup whose data the client takes by itself, while the
 * database is frozen
 *
 * What goes through the device describes the snapshot: a chunk without payload
 * before the freeze, standard input during it.
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
	/* its completion is the client's consent */
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
	/* before anything else, good or bad: the database is waiting */
	ok = freezer_end(&freezer, db) && ok;
	/* only now does the client publish: its answer decides for both sides */
	return ok && db_complete(db);
}
