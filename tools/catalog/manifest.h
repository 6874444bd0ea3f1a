/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * manifest.h - the description of a backup directory
 */
#ifndef VDI_MANIFEST_H
#define VDI_MANIFEST_H

#include "media/medium.h"

#define MANIFEST_FILE "manifest.json"
#define MANIFEST_MAX_SIZE	(256U << 20)	/* larger than any real manifest */

struct manifest_device {
	char *name;
	struct medium_list media;	/* in the order of their numbers */
};

struct manifest {
	char *set;
	/* seconds since the epoch, by the host's clock; -1 = not in the manifest */
	int64_t started;
	int64_t finished;
	int64_t duration_ms;	/* of a monotonic clock; -1 as above */
	int64_t given;		/* bytes of the database's Writes; -1 as above */
	enum medium_profile profile;
	bool removable;
	bool snapshot;		/* the data is in a snapshot: see vdi-backup(1) */
	/* the data is in a chunk store: the ID of its chunks; "" = in files */
	char id[CHUNK_ID_SIZE];
	uint32_t chunk_size;
	/* the data was compressed, or passed a command: see medium_stages */
	const struct codec *codec;	/* NULL = not compressed */
	bool filtered;
	/*
	 * The backup is useless without another one: its name in the same place, and the
	 * checksum of its manifest. NULL = it is complete in itself
	 */
	char *base;
	uint64_t base_sum;
	uint64_t sum;		/* of this manifest, as it was read */
	struct VDConfig config;
	unsigned int count;
	struct manifest_device device[VDI_MAX_DEVICES];
};

/* What is stored. */
uint64_t manifest_bytes(const struct manifest *manifest);
/* What a restore hands over; of a tape, the same as above. */
uint64_t manifest_data_bytes(const struct manifest *manifest);
bool manifest_is_staged(const struct manifest *manifest);
/* The text of a manifest, which the caller frees. NULL with errno. */
char *manifest_text(const struct manifest *manifest);
/*
 * Read and check the text of a manifest, which ends with a NUL. EXIT_OK, or EXIT_DAMAGED
 * with the cause in *why (static text).
 */
int manifest_parse(const char *text, size_t size, struct manifest *manifest,
		   const char **why);
/*
 * Write manifest.json to the directory, atomically and durably. Unless it is NULL,
 * *id receives the identity of the file.
 */
int manifest_write(int dir, const struct manifest *manifest,
		   struct file_identity *id);
/*
 * Read and check the manifest. EXIT_OK; EXIT_DAMAGED if it is missing or invalid,
 * or EXIT_FAILED after a system error, with the cause in *why (static text, valid
 * until the next call).
 */
int manifest_read(int dir, struct manifest *manifest, const char **why);
void manifest_free(struct manifest *manifest);

#endif /* VDI_MANIFEST_H */
