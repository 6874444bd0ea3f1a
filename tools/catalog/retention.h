/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * retention.h - which backups are kept
 */
#ifndef VDI_RETENTION_H
#define VDI_RETENTION_H

#include "place.h"

struct retention {
	uint64_t last;		/* whole backups of each set; 0 = no such rule */
	int64_t within;		/* seconds; -1 = no such rule */
	int64_t remains;	/* age from which remains are removed */
	const char *set;	/* backups of other sets are kept; NULL = all sets */
};

struct decision {
	bool remove;
	/* of vdi expire: it was dealt with; it is still there, though it was to be removed */
	bool handled, left;
	char reason[320];
};

/*
 * One decision for each entry of the place. A whole backup is kept if any rule keeps
 * it, if it is the last of its set, or if one that is kept is based on it. Damaged
 * backups are kept: a person decides.
 */
void retention_decide(const struct backup_place *place,
		      const struct retention *rules, int64_t now,
		      struct decision *decision);

#endif /* VDI_RETENTION_H */
