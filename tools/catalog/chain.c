// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain.c - backups that are based on others: increments
 *
 * What a backup contains is not known here. Its manifest names the backup that it is based
 * on, and the checksum of that manifest, because another backup may get the name later.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "place.h"

/* Of a single backup, whose bases are opened one by one. */
#define MAX_DEPTH	256

static void damaged(struct place_entry *e, enum backup_state state, const char *base,
		    const char *what)
{
	char why[sizeof(e->why)];

	snprintf(why, sizeof(why), "its base %.160s %s", base, what);
	place_set_state(e, state, why);
}

/* What is wrong with a base that was found, or NULL. */
static const char *fault_of(const struct place_entry *e, const struct place_entry *base)
{
	if (!base->described && base->state == BACKUP_WHOLE)
		return "is missing";
	if (base->described && base->manifest.sum != e->manifest.base_sum)
		return "is missing: another backup has the name";
	switch (base->state) {
	case BACKUP_WHOLE:
		return NULL;
	case BACKUP_UNREADABLE:
		return "cannot be read";
	default:
		return "is damaged";
	}
}

static void judge(struct place_entry *e, const struct place_entry *base)
{
	const char *fault = base ? fault_of(e, base) : "is missing";

	if (fault)
		damaged(e, base && base->state == BACKUP_UNREADABLE ? BACKUP_UNREADABLE :
			BACKUP_DAMAGED, e->manifest.base, fault);
}

static int compare_names(const void *a, const void *b)
{
	const struct place_entry *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

bool place_find_bases(struct backup_place *p)
{
	struct place_entry **sorted = calloc(p->count + 1, sizeof(*sorted)), **found;
	size_t i;

	if (!sorted)
		return false;
	for (i = 0; i < p->count; i++)
		sorted[i] = &p->entry[i];
	qsort(sorted, p->count, sizeof(*sorted), compare_names);
	for (i = 0; i < p->count; i++) {
		struct place_entry *e = &p->entry[i], key = { .name = e->manifest.base };
		const struct place_entry *wanted = &key;

		e->base = NULL;
		if (!e->described || !key.name)
			continue;
		found = bsearch(&wanted, sorted, p->count, sizeof(*sorted), compare_names);
		if (found)
			e->base = *found;
	}
	free(sorted);
	return true;
}

/* -------------------------------------------------------- the only backup of a place */

static bool is_absent(const char *path)
{
	struct stat st;

	return !chunk_is_address(path) && stat(path, &st) && errno == ENOENT;
}

static void check_outside(struct backup_place *p, struct place_entry *e)
{
	struct backup_place other = { .dir = -1 };
	int rc = EXIT_OK;
	char *path;

	if (p->depth == MAX_DEPTH) {
		damaged(e, BACKUP_DAMAGED, e->manifest.base, "is based on too many others");
		return;
	}
	path = place_beside(p, e->manifest.base);
	if (!path) {
		place_set_state(e, BACKUP_UNREADABLE, "out of memory");
		return;
	}
	if (!is_absent(path))
		rc = place_open_depth(&other, path, p->depth + 1);
	if (rc == EXIT_OK)
		judge(e, place_only(&other));
	else
		damaged(e, BACKUP_UNREADABLE, e->manifest.base, "cannot be read");
	place_close(&other);
	free(path);
}

/* ----------------------------------------------------------------- all of a place */

/* Bases first, so that a fault is passed on. A circle of names is a fault as well. */
static void check_entry(struct backup_place *p, struct place_entry *e, size_t depth)
{
	struct place_entry *base;

	if (e->state != BACKUP_WHOLE || !e->described || !e->manifest.base || e->bases_checked)
		return;
	if (depth > p->count) {
		damaged(e, BACKUP_DAMAGED, e->manifest.base, "is based on it");
		return;
	}
	base = e->base;
	if (base)
		check_entry(p, base, depth + 1);
	e->bases_checked = true;
	if (e->state == BACKUP_WHOLE)
		judge(e, base);
}

void place_check_bases(struct backup_place *p)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		p->entry[i].bases_checked = false;
	for (i = 0; i < p->count; i++) {
		struct place_entry *e = &p->entry[i];

		if (p->only && e->state == BACKUP_WHOLE && e->described && e->manifest.base)
			check_outside(p, e);
		else if (!p->only)
			check_entry(p, e, 0);
	}
}

/* --------------------------------------------------------------- what a restore needs */

/* "A B C": the bases of a backup, the oldest first, and the backup. */
static char *describe(const struct place_entry *e)
{
	char *before, *text;
	int n;

	if (!e->base)
		return strdup(e->path);
	before = describe(e->base);
	n = before ? asprintf(&text, "%s %s", before, e->path) : -1;
	free(before);
	return n < 0 ? NULL : text;
}

char *place_chain(const char *path, const char *name)
{
	struct backup_place place;
	char *text = NULL;
	size_t i;

	if (place_open(&place, path, NULL) == EXIT_OK) {
		for (i = 0; i < place.count && !text; i++) {
			const struct place_entry *e = &place.entry[i];

			/* whole: there is no circle */
			if (!strcmp(e->name, name) && e->state == BACKUP_WHOLE)
				text = describe(e);
		}
	}
	place_close(&place);
	return text;
}
