// SPDX-License-Identifier: GPL-2.0-only
/*
 * backup_base.c - the backup that a new one is based on
 */
#include <stdlib.h>
#include <string.h>

#include "backup.h"
#include "catalog/place.h"

/* ROOT/NAME, or the youngest one of the set. NULL after a message. */
static char *choose(const struct appliance *a)
{
	const struct backup *b = a->job;
	size_t length = strlen(b->into);
	char *path;
	int rc;

	if (!strcmp(b->based_on, "latest"))
		return place_latest(b->into, a->names.set, &rc);
	while (length > 1 && b->into[length - 1] == '/')
		length--;
	if (asprintf(&path, "%.*s/%s", (int)length, b->into, b->based_on) >= 0)
		return path;
	vdi_error("out of memory");
	return NULL;
}

/*
 * A shared lock of its directory makes vdi expire keep it. It must be whole now: nothing can
 * be restored from an increment of a damaged backup.
 */
bool backup_base_open(struct appliance *a)
{
	struct backup *b = a->job;
	const struct place_entry *e = NULL;
	struct backup_place place;
	bool whole;

	b->base.dir = -1;
	if (!b->based_on)
		return true;
	b->base_path = choose(a);
	if (!b->base_path || source_open(&b->base, b->base_path) != EXIT_OK)
		return false;
	if (place_open(&place, b->base_path, NULL) == EXIT_OK)
		e = place_only(&place);
	whole = e && e->state == BACKUP_WHOLE;
	if (e && !whole)
		vdi_error("cannot back up on the base of %s: it is %s: %s", b->base_path,
			  place_state_name(e->state), e->why);
	place_close(&place);
	return whole;
}

/* An object store has no locks. The name may be that of another backup now. */
bool backup_base_check(struct appliance *a)
{
	struct backup *b = a->job;
	struct source now = { .dir = -1 };
	bool same;

	if (!b->based_on)
		return true;
	same = source_open(&now, b->base_path) == EXIT_OK &&
	       now.manifest.sum == b->base.manifest.sum;
	source_close(&now);
	if (!same)
		appliance_fail(a, EXIT_FAILED, "%s, on which the backup is based, was removed meanwhile",
			       b->base_path);
	return same;
}

void backup_base_close(struct backup *b)
{
	if (b->base_path)
		source_close(&b->base);
	free(b->base_path);
	b->base_path = NULL;
}
