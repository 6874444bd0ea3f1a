/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * source.h - a backup to read from, for vdi restore and vdi verify
 */
#ifndef VDI_SOURCE_H
#define VDI_SOURCE_H

#include "manifest.h"

struct source {
	const char *path;
	int dir;
	struct manifest manifest;
};

/* See that all of it is there. 0 or an exit code, with a message. */
int source_open(struct source *s, const char *path);
/* What the drive of a device is like, to read its media. */
void source_drive_config(const struct source *s, unsigned int device,
			 struct drive_config *config);
/* A copy of the list of a device's media. False: no memory. */
bool source_media(const struct source *s, unsigned int device,
		  struct medium_list *list);
/* Read everything once. 0 or an exit code, with a message. */
int source_verify(struct source *s, bool quiet);
/* "verified DIR: ..."; checked = all checksums were seen to match */
void source_print(const struct source *s, const char *what, uint64_t bytes,
		  double seconds, bool checked);
void source_close(struct source *s);

#endif /* VDI_SOURCE_H */
