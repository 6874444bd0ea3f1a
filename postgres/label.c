// SPDX-License-Identifier: GPL-2.0-only
/*
 * label.c - what backup_label says about the place of a backup in a chain
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "label.h"
#include "recovery.h"

/* The rest of the line that begins with `key`, up to a blank. False: there is none. */
static bool find(const char *text, const char *key, char *value, size_t size)
{
	size_t length = strlen(key);

	while (*text && strncmp(text, key, length)) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	if (!*text)
		return false;
	snprintf(value, size, "%.*s", (int)strcspn(text + length, "\n "), text + length);
	return true;
}

static uint64_t find_lsn(const char *text, const char *key)
{
	char value[32];
	uint64_t lsn;

	if (!find(text, key, value, sizeof(value)) || !recovery_parse_lsn(value, &lsn))
		return 0;
	return lsn;
}

static uint32_t find_timeline(const char *text, const char *key)
{
	unsigned long long number;
	char value[32], *end;

	if (!find(text, key, value, sizeof(value)) || *value < '1' || *value > '9')
		return 0;
	number = strtoull(value, &end, 10);
	return *end || number > UINT32_MAX ? 0 : number;
}

void label_parse(const char *text, struct label *label)
{
	char value[32];

	*label = (struct label){
		.start = find_lsn(text, "START WAL LOCATION: "),
		.timeline = find_timeline(text, "START TIMELINE: "),
		.incremental = find(text, "INCREMENTAL FROM ", value, sizeof(value)),
		.from = find_lsn(text, "INCREMENTAL FROM LSN: "),
		.from_timeline = find_timeline(text, "INCREMENTAL FROM TLI: "),
	};
	label->known = label->start && label->timeline;
}

void label_format_lsn(uint64_t lsn, char buf[LABEL_LSN_SIZE])
{
	snprintf(buf, LABEL_LSN_SIZE, "%X/%X", (unsigned int)(lsn >> 32), (unsigned int)lsn);
}
