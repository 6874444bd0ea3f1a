/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve.h - the parts of vdi serve
 */
#ifndef VDI_SERVE_H
#define VDI_SERVE_H

#include "serve_stream.h"

struct freeze_options {
	const char *freeze;		/* commands; NULL = none */
	const char *thaw;
	int64_t limit_ms;		/* 0 = none */
};

/* serve_backup.c; number counts chunks */
bool serve_backup(struct database *db);
bool serve_begin_backup(struct database *db);
bool serve_send_chunk(struct database *db, struct slot *slot, uint64_t number,
		      unsigned int device, uint32_t flags, uint32_t payload);
bool serve_send_input(struct database *db, uint32_t flags, uint64_t *number);
bool serve_send_ends(struct database *db, uint32_t flags, uint64_t chunks);

/* serve_restore.c */
bool serve_restore(struct database *db);
bool serve_restore_snapshot(struct database *db);

/* serve_snapshot.c */
bool serve_backup_snapshot(struct database *db,
			   const struct freeze_options *options);

#endif /* VDI_SERVE_H */
