/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * manifest.h - what a backup directory holds
 */
#ifndef VDI_MANIFEST_H
#define VDI_MANIFEST_H

#include "media/medium.h"

#define MANIFEST_FILE "manifest.json"

struct manifest_device {
	char *name;
	struct medium_list media;	/* in the order of their numbers */
};

struct manifest {
	char *set;
	int64_t started;	/* seconds since the epoch, by the host's clock */
	int64_t finished;
	int64_t duration_ms;	/* whatever was done to that clock meanwhile */
	enum medium_profile profile;
	bool removable;
	bool snapshot;		/* the data is elsewhere: see vdi(1) */
	struct VDConfig config;
	unsigned int count;
	struct manifest_device device[VDI_MAX_DEVICES];
};

uint64_t manifest_bytes(const struct manifest *manifest);
/*
 * Write DIR/manifest.json so that it is whole or absent, and durable. *id, unless
 * it is NULL, receives the identity of the file.
 */
int manifest_write(int dir, const struct manifest *manifest,
		   struct file_identity *id);
/*
 * Read and check it. EXIT_OK, EXIT_DAMAGED when it is not there or no good,
 * EXIT_FAILED when the system refuses; then *why says what is wrong (static
 * text, valid until the next call).
 */
int manifest_read(int dir, struct manifest *manifest, const char **why);
void manifest_free(struct manifest *manifest);

#endif /* VDI_MANIFEST_H */
