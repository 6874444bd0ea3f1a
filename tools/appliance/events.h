/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * events.h - what backup and restore report to other programs: --json, --metrics,
 * --on-success and --on-failure
 */
#ifndef VDI_EVENTS_H
#define VDI_EVENTS_H

#include "common/metrics.h"
#include "common/report.h"

struct appliance;

struct events {
	/* options */
	const char *json;	/* as of vdi_report_open() */
	const char *metrics_path;
	const char *on_success;	/* commands; NULL = none */
	const char *on_failure;

	struct vdi_report report;
	struct vdi_metrics metrics;
	struct vdi_figures figures;	/* of the last sample */
	double begun;
};

/*
 * The options are known. 0, or an exit code after a message. events_end() is required
 * in both cases.
 */
int events_begin(struct appliance *a);
/* To be called often; the report limits the number of status objects. */
void events_status(struct appliance *a, const char *phase);
/* The set is about to be closed. */
void events_last_sample(struct appliance *a);
/*
 * Everything is closed, and the exit code is `rc`. Run the command of the user, write
 * the metrics, and end the report. Returns the exit code of the program.
 */
int events_end(struct appliance *a, int rc, const char *directory);

#endif /* VDI_EVENTS_H */
