// SPDX-License-Identifier: GPL-2.0-only
/*
 * age.c - ages on command lines, as in 36h or 30d
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "age.h"

#define MAX_AGE (INT64_C(1000) * 366 * 86400)

static const struct {
	char letter;
	int64_t seconds;
} units[] = {
	{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 },
};

#define NUNITS (sizeof(units) / sizeof(units[0]))

/* A number without a unit is ambiguous, except 0. */
bool vdi_parse_age(const char *text, int64_t *seconds)
{
	unsigned long long value;
	char *end;
	size_t i;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || value > MAX_AGE)
		return false;
	if (!*end && !value) {
		*seconds = 0;
		return true;
	}
	for (i = 0; i < NUNITS; i++) {
		if (*end != units[i].letter || end[1])
			continue;
		*seconds = value * units[i].seconds;
		return *seconds <= MAX_AGE;
	}
	return false;
}

void vdi_format_age(int64_t s, char *buf, size_t size)
{
	if (s < 60)
		snprintf(buf, size, "%lld s", (long long)s);
	else if (s < 3600)
		snprintf(buf, size, "%lld min %lld s", (long long)s / 60,
			 (long long)s % 60);
	else if (s < 86400)
		snprintf(buf, size, "%lld h %lld min", (long long)s / 3600,
			 (long long)s / 60 % 60);
	else
		snprintf(buf, size, "%lld d %lld h", (long long)s / 86400,
			 (long long)s / 3600 % 24);
}
