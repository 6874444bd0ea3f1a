/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * partner.h - the database's side of a set, started by vdi backup or vdi restore
 *
 * "vdi backup NAME --to DIR -- COMMAND" starts "vdi serve backup NAME -- COMMAND" once
 * the set exists. Both end together: the failure of one ends the other at once, and
 * the message and the exit code are those of the side that failed first.
 */
#ifndef VDI_PARTNER_H
#define VDI_PARTNER_H

#include <stdbool.h>
#include <sys/types.h>

struct appliance;

struct partner {
	/* options */
	char *const *command;	/* NULL = the database starts by itself */
	bool allow_empty;
	unsigned int block_size;	/* 0 = default of vdi serve */

	pid_t pid;		/* 0 = none */
	int report;		/* pipe from it; see db_end() */
};

/* The set exists. False after appliance_fail(). */
bool partner_start(struct appliance *a);
/* Has it terminated before it has joined the set? True after appliance_fail(). */
bool partner_is_gone(struct appliance *a);
/*
 * The set is closed. Wait for the end of the database's side, and take its failure
 * into account.
 */
void partner_end(struct appliance *a);

#endif /* VDI_PARTNER_H */
