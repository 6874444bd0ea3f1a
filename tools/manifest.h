/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * manifest.h - what a backup directory holds
 */
#ifndef VDI_MANIFEST_H
#define VDI_MANIFEST_H

#include "vdi.h"

#define MANIFEST_FILE "manifest.json"

struct manifest_device {
	char *name;
	char *file;		/* name within the directory */
	uint64_t bytes;
	uint64_t xxh3;		/* XXH3, 64 bits, seed 0 */
};

struct manifest {
	char *set;
	int64_t started;	/* seconds since the epoch */
	int64_t finished;
	struct VDConfig config;
	unsigned int count;
	struct manifest_device device[VDI_MAX_DEVICES];
};

uint64_t manifest_bytes(const struct manifest *manifest);
/* Write DIR/manifest.json so that it is whole or absent, and durable. */
int manifest_write(int dir, const struct manifest *manifest);
/*
 * Read and check it. On failure *why says what is wrong (static or allocated
 * text is not the caller's to free; valid until the next call).
 */
int manifest_read(int dir, struct manifest *manifest, const char **why);
void manifest_free(struct manifest *manifest);

#endif /* VDI_MANIFEST_H */
