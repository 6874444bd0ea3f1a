/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * source.h - a stored backup, for vdi restore and vdi verify
 */
#ifndef VDI_SOURCE_H
#define VDI_SOURCE_H

#include <stdio.h>

#include "manifest.h"
#include "common/report.h"

struct source {
	const char *path;
	int dir;
	struct chunk_store *chunks;	/* NULL = in the directory */
	struct manifest manifest;
	struct medium_stages stages;	/* see source_unfilter() */
};

/* Open a backup, check its files. 0, or an exit code after a message. */
int source_open(struct source *s, const char *path);
/* source_chunks.c: the same for an address; options may be NULL */
int source_open_chunks(struct source *s, const char *path,
		       const struct chunk_options *options);
/*
 * The command that undoes the filter of the backup; NULL = none. Without it only the
 * checksums of what is stored can be checked. No effect on other backups.
 */
void source_unfilter(struct source *s, const char *command);
/* The configuration of a drive that reads the media of a device. */
void source_drive_config(const struct source *s, unsigned int device,
			 struct drive_config *config);
/* Copy the list of media of a device. False: out of memory. */
bool source_media(const struct source *s, unsigned int device,
		  struct medium_list *list);
/* "verified DIR: ..."; checked = all checksums were found to match */
void source_print(FILE *out, const struct source *s, const char *what,
		  uint64_t bytes, double seconds, bool checked);
void source_close(struct source *s);

#endif /* VDI_SOURCE_H */
