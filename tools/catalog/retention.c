// SPDX-License-Identifier: GPL-2.0-only
/*
 * retention.c - which backups are kept
 */
#include <stdio.h>
#include <string.h>

#include "common/age.h"
#include "retention.h"

static void decide(struct decision *d, bool remove, const char *reason)
{
	d->remove = remove;
	snprintf(d->reason, sizeof(d->reason), "%s", reason);
}

/* `nth` counts the usable backups of the set from the youngest one, 1. */
static void decide_whole(const struct place_entry *e, uint64_t nth,
			 const struct retention *rules, int64_t now,
			 struct decision *d)
{
	int64_t age = now - e->manifest.finished;

	if (nth == 1)
		decide(d, false, "youngest whole backup of the set");
	else if (nth <= rules->last)
		snprintf(d->reason, sizeof(d->reason), "one of the last %llu",
			 (unsigned long long)rules->last);
	else if (rules->within >= 0 && age <= rules->within)
		decide(d, false, "young enough");
	else
		decide(d, true, "no rule keeps it");
}

static void decide_remains(const struct place_entry *e,
			   const struct retention *rules, int64_t now,
			   struct decision *d)
{
	char age[32];

	d->remove = now - e->changed >= rules->remains;
	vdi_format_age(rules->remains, age, sizeof(age));
	if (e->guessed)
		snprintf(d->reason, sizeof(d->reason),
			 d->remove ? "interrupted, as its last chunk was stored at least %s ago" :
			 "being written, or interrupted: its last chunk was stored less than %s ago",
			 age);
	else
		snprintf(d->reason, sizeof(d->reason), "%s, %s %s ago", e->why,
			 d->remove ? "at least" : "less than", age);
}

static void decide_other(const struct place_entry *e,
			 const struct retention *rules, int64_t now,
			 struct decision *d)
{
	if (e->guessed) {
		decide_remains(e, rules, now, d);
		return;
	}
	switch (e->state) {
	case BACKUP_EXPIRED:
		decide(d, true, e->why);
		break;
	case BACKUP_REMAINS:
	case BACKUP_LOCK:
		decide_remains(e, rules, now, d);
		break;
	default:
		snprintf(d->reason, sizeof(d->reason), "%s: %s",
			 place_state_name(e->state), e->why);
	}
}

static bool is_of_another_set(const struct place_entry *e, const struct retention *rules)
{
	return rules->set && e->described && strcmp(e->manifest.set, rules->set);
}

/*
 * Keep what this backup is based on. A damaged backup may be repaired, so it keeps its bases
 * as well. Where a base is kept already, so are those below.
 */
static void keep_bases(const struct backup_place *p, size_t i, struct decision *decision)
{
	const struct place_entry *e = &p->entry[i];
	const struct place_entry *base = e->base;

	while (base && decision[base - p->entry].remove) {
		struct decision *d = &decision[base - p->entry];

		d->remove = false;
		snprintf(d->reason, sizeof(d->reason), "%.200s, which is kept, is based on it",
			 p->entry[i].name);
		base = base->base;
	}
}

void retention_decide(const struct backup_place *place,
		      const struct retention *rules, int64_t now,
		      struct decision *decision)
{
	const struct place_entry *previous = NULL;
	uint64_t nth = 0;
	size_t i;

	/* entries are sorted by set and time: the youngest is the last */
	for (i = place->count; i--;) {
		const struct place_entry *e = &place->entry[i];
		struct decision *d = &decision[i];

		if (!previous || !place_same_set(previous, e))
			nth = 0;
		previous = e;
		*d = (struct decision){ .remove = false };
		if (e->state != BACKUP_WHOLE)
			decide_other(e, rules, now, d);
		else if (e->manifest.finished < 0)
			decide(d, false, "its manifest has no date");
		else if (place_in_future(e, now))
			decide(d, false, "dated in the future");
		else
			decide_whole(e, ++nth, rules, now, d);
		if (d->remove && is_of_another_set(e, rules))
			decide(d, false, "of another set");
	}
	for (i = 0; i < place->count; i++) {
		if (!decision[i].remove)
			keep_bases(place, i, decision);
	}
}
