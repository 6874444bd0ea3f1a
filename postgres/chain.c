// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain.c - restores a full backup and its increments, and combines them
 *
 * DIR.partial has a directory for each backup, 1, 2, ..., with the files as they are in
 * the backup, those of its tablespaces in 1-OID, and the combined files in "data". The
 * devices of the last set are closed when those are durable, so that its vdi restore
 * fails if they cannot be combined.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore.h"

#define FIRST_VERSION 17	/* of PostgreSQL with incremental backups */

static struct restore *restore_of(struct unpack *u)
{
	return u->context;
}

static bool out_of_memory(struct restore *r)
{
	return db_fail(&r->db, EXIT_FAILED, "out of memory");
}

/* ------------------------------------------------------- checks of the order */

bool chain_refuse_increment(struct unpack *u)
{
	char from[LABEL_LSN_SIZE];

	if (!u->label.incremental)
		return true;
	label_format_lsn(u->label.from, from);
	return db_fail(u->db, EXIT_FAILED,
		       "it is an incremental backup, based on the one that starts at %s on timeline %u: name the sets of the full backup and of all increments, in their order",
		       from, u->label.from_timeline);
}

/* The first record: nothing of this backup was written yet. */
static bool begun(struct unpack *u)
{
	struct restore *r = restore_of(u);

	if (r->current && u->system_id != r->system_id)
		return db_fail(u->db, EXIT_FAILED,
			       "it is a backup of another cluster than '%s', with system identifier %llu instead of %llu",
			       r->set[0], (unsigned long long)u->system_id,
			       (unsigned long long)r->system_id);
	if (r->current && u->pg_version / 10000 != r->pg_version / 10000)
		return db_fail(u->db, EXIT_FAILED, "it is a backup of PostgreSQL %u, but '%s' is one of PostgreSQL %u",
			       u->pg_version / 10000, r->set[0], r->pg_version / 10000);
	if (r->current)
		return true;
	if (u->pg_version / 10000 < FIRST_VERSION)
		return db_fail(u->db, EXIT_FAILED,
			       "it is a backup of PostgreSQL %u, which has no incremental backups: name a single set",
			       u->pg_version / 10000);
	r->system_id = u->system_id;
	r->pg_version = u->pg_version;
	return combine_find(r);
}

static bool check_base(struct restore *r, const struct label *label)
{
	char from[LABEL_LSN_SIZE], last[LABEL_LSN_SIZE];

	if (label->from == r->last.start && label->from_timeline == r->last.timeline)
		return true;
	label_format_lsn(label->from, from);
	label_format_lsn(r->last.start, last);
	return db_fail(&r->db, EXIT_FAILED,
		       "it is based on the backup that starts at %s on timeline %u, but '%s', which is named before it, starts at %s on timeline %u: a backup is missing between them, or the order is wrong",
		       from, label->from_timeline, r->set[r->current - 1], last,
		       r->last.timeline);
}

static bool labelled(struct unpack *u)
{
	struct restore *r = restore_of(u);
	const struct label *label = &u->label;
	bool ok;

	if (!label->known)
		return db_fail(u->db, EXIT_DAMAGED, "its " LABEL_FILE " does not say where the backup starts");
	if (!r->current)
		ok = chain_refuse_increment(u);
	else if (!label->incremental)
		ok = db_fail(u->db, EXIT_FAILED,
			     "it is a full backup: only increments can follow '%s'",
			     r->set[r->current - 1]);
	else
		ok = check_base(r, label);
	return ok;
}

/* --------------------------------------------------------------- the backups */

static bool make_part(struct restore *r, struct unpack *u)
{
	char *path;

	if (asprintf(&path, "%s/%u", r->partial, r->current + 1) < 0)
		return out_of_memory(r);
	u->aside = path;
	return place_make(&r->db, &u->base, path, true);
}

static bool read_part(struct restore *r)
{
	struct unpack *u = &r->part;

	*u = (struct unpack){
		.db = &r->db,
		.target = r->target,
		.context = r,
		.begun = begun,
		.labelled = labelled,
		.combined = r->current == r->count - 1 ? &r->unpack : NULL,
	};
	if (!restore_join(r) ||
	    (!r->current && !place_make(&r->db, &r->work, r->partial, true)) ||
	    !make_part(r, u) || !restore_read(r, u) || !unpack_finish(u) ||
	    !unpack_sync(u))
		return false;
	r->last = u->label;
	return restore_check_interrupt(r);
}

/* The last backup was read, and its set is still open. */
static bool combine(struct restore *r)
{
	struct unpack *u = &r->unpack;
	char *path;
	bool ok;

	if (!unpack_check_mappings(u))
		return false;
	if (asprintf(&path, "%s/data", r->partial) < 0)
		return out_of_memory(r);
	ok = place_make(&r->db, &u->base, path, true);
	free(path);
	u->group_access = r->part.group_access;
	u->end_lsn = r->part.end_lsn;
	return ok && combine_run(r) && unpack_finish_combined(u) && unpack_sync(u) &&
	       restore_check_interrupt(r);
}

static void free_part(struct restore *r)
{
	unpack_free(&r->part);
	free((char *)r->part.aside);
	r->part.aside = NULL;
}

int chain_restore(struct restore *r, bool *complete)
{
	bool ok = true, last;
	int rc = EXIT_OK;

	*complete = false;
	for (r->current = 0; ok && rc == EXIT_OK && r->current < r->count; r->current++) {
		last = r->current == r->count - 1;
		restore_begin_set(r);
		ok = read_part(r) && (!last || combine(r)) && db_close_devices(&r->db);
		*complete = ok && last;
		free_part(r);
		rc = restore_end_set(r);
	}
	return rc;
}

void chain_remove(struct restore *r)
{
	unpack_remove(&r->unpack);
	if (r->work.path)
		place_remove(&r->work);
}

void chain_free(struct restore *r)
{
	if (r->work.path)
		place_free(&r->work);
	free(r->combine);
	r->combine = NULL;
}
