/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verify.h - read stored backups and check them against their manifests
 */
#ifndef VDI_VERIFY_H
#define VDI_VERIFY_H

#include "source.h"

#define VERIFY_MAX_JOBS	64

struct vdi_report;

struct verify_options {
	const char *set;		/* of a place: only this set; NULL = all */
	unsigned int jobs;		/* devices at a time; 0 = processors */
	const char *unfilter;		/* undoes the filter; NULL = none */
	bool quiet;			/* no progress, no summaries of a place */
	struct vdi_report *report;	/* for the progress; NULL = none */
};

/* Read and check all files of a backup. 0, or an exit code after a message. */
int verify_backup(struct source *s, const struct verify_options *options);
/*
 * The same for all backups in a directory, with a message for each failure. The exit code
 * is the highest of all; *bytes is the sum of those that were found good.
 */
int verify_place(const char *path, const struct verify_options *options,
		 uint64_t *bytes);

#endif /* VDI_VERIFY_H */
