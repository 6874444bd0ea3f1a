/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve_events.h - what vdi serve reports to other programs: --json
 */
#ifndef VDI_SERVE_EVENTS_H
#define VDI_SERVE_EVENTS_H

#include "common/report.h"
#include "database.h"

struct serve_events {
	const char *json;		/* as of vdi_report_open() */
	struct vdi_report report;
	struct vdi_figures figures;	/* of the last sample */
};

/* SIGPIPE is ignored. 0, or an exit code after a message. */
int serve_events_begin(struct serve_events *events, struct database *db);
/* The set is about to be closed. */
void serve_events_last_sample(struct database *db);
/* Everything is closed, and the exit code is `rc`. */
void serve_events_end(struct database *db, int rc, double seconds);

#endif /* VDI_SERVE_EVENTS_H */
