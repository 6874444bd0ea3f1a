/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * metrics.h - the last run of a command, as a file for Prometheus; see vdi-events(5)
 *
 * The file is read by the textfile collector of the node exporter, at any time, so it
 * is replaced as a whole. It belongs to one set and one operation.
 */
#ifndef VDI_METRICS_H
#define VDI_METRICS_H

#include <stdbool.h>
#include <stdint.h>

struct vdi_metrics {
	const char *path;	/* NULL = none is wanted */
	char *labels;		/* of the previous file; NULL = there is none */
	int64_t success;	/* from there: time of the last success; 0 = none */
};

struct vdi_metrics_run {
	const char *set;	/* NULL = unknown */
	const char *operation;
	int64_t ended;		/* seconds since the epoch */
	double seconds;
	uint64_t bytes;
	bool waits_known;
	double database_waited;	/* seconds */
	double appliance_waited;
	int exit_code;
};

/*
 * Read the previous file, and check that a new one can be written. A file that was not
 * written for this operation, and for this set if it is not NULL, is not replaced.
 * path = NULL: no file is wanted. 0, or an exit code after a message.
 */
int vdi_metrics_open(struct vdi_metrics *metrics, const char *path,
		     const char *set, const char *operation);
/* Replace the file, unless metrics_open() has failed. False after a message. */
bool vdi_metrics_write(struct vdi_metrics *metrics,
		       const struct vdi_metrics_run *run);
void vdi_metrics_close(struct vdi_metrics *metrics);

#endif /* VDI_METRICS_H */
