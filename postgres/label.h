/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * label.h - what backup_label says about the place of a backup in a chain
 */
#ifndef VDISET_LABEL_H
#define VDISET_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#define LABEL_FILE "backup_label"
#define LABEL_MAX_SIZE 16384

struct label {
	bool known;		/* the fields of the start are valid */
	uint64_t start;		/* START WAL LOCATION */
	uint32_t timeline;	/* START TIMELINE */
	bool incremental;
	/* the start of the backup that it is based on; 0 = invalid */
	uint64_t from;
	uint32_t from_timeline;
};

/* `text` ends with a NUL. Fields that are missing or invalid are 0. */
void label_parse(const char *text, struct label *label);
#define LABEL_LSN_SIZE 18
/* "1/4A0000D8" */
void label_format_lsn(uint64_t lsn, char buf[LABEL_LSN_SIZE]);

#endif /* VDISET_LABEL_H */
