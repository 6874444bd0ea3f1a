/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recovery.h - the recovery settings of a restored data directory
 */
#ifndef VDISET_RECOVERY_H
#define VDISET_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECOVERY_TIME_SIZE 64

struct recovery {
	const char *restore_command;	/* NULL = the settings stay as they are */
	/* at most one target; NULL = none */
	const char *time;
	const char *name;
	const char *lsn;
	const char *xid;
	bool immediate;
	const char *action;
	const char *timeline;
	/* filled in by recovery_check() */
	char time_value[RECOVERY_TIME_SIZE];
	uint64_t lsn_value;
};

/*
 * Check the options, which may come from anyone. EXIT_OK, or EXIT_USAGE after a
 * message.
 */
int recovery_check(struct recovery *recovery);
static inline bool recovery_wanted(const struct recovery *recovery)
{
	return recovery->restore_command;
}
/* "A/B" in hexadecimal */
bool recovery_parse_lsn(const char *text, uint64_t *lsn);
/* The lines for postgresql.auto.conf, which the caller frees. NULL: out of memory. */
char *recovery_text(const struct recovery *recovery);

#endif /* VDISET_RECOVERY_H */
