/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.h - events of a command for other programs, as JSON lines; vdi-events(5)
 *
 * A report is information, and never the cause of a failure or of a delay. A reader
 * that does not read loses status objects. The last object, which has the exit code,
 * is waited for.
 */
#ifndef VDI_REPORT_H
#define VDI_REPORT_H

#include <json-c/json.h>
#include <stdio.h>

#include "common.h"
#include "figures.h"

struct vdi_report {
	int fd;			/* -1 = no report is wanted, or nothing reads it */
	bool on_stdout;		/* also when nothing is written any more */
	const char *operation;	/* "backup" */
	const char *set;	/* NULL = unknown */
	const char *directory;	/* NULL = none */
	const char *phase;	/* of the last status */
	double started;
	double last;		/* time of the last status; 0 = none */
	uint64_t last_bytes;
	struct vdi_throughput pace;
	char *pending;		/* what is left of a line that was begun */
	size_t pending_size;
};

/* How a command has ended. */
struct vdi_report_end {
	int exit_code;
	const char *message;	/* of an error */
	double seconds;		/* of the transfer */
	const struct vdi_figures *figures;	/* NULL = none */
};

/*
 * `file` is the argument of --json: NULL = not given, "" = standard output. SIGPIPE
 * must be ignored. 0, or an exit code after a message.
 */
int vdi_report_open(struct vdi_report *report, const char *file,
		    const char *operation);
/* For summaries: standard output, unless the report is there. */
FILE *vdi_report_text(const struct vdi_report *report);
/* Is it time for the next status? True at once when the phase has changed. */
bool vdi_report_due(const struct vdi_report *report, const char *phase);
void vdi_report_status(struct vdi_report *report, const char *phase,
		       const struct vdi_figures *figures);
/*
 * Write any object as a line, and release it. `required`: wait for the reader, up to
 * the next signal.
 */
void vdi_report_object(struct vdi_report *report, struct json_object *object,
		       bool required);
/* Write the summary or the error, and close the report. */
void vdi_report_end(struct vdi_report *report,
		    const struct vdi_report_end *end);

#endif /* VDI_REPORT_H */
