/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * age.h - ages on command lines, as in 36h or 30d
 */
#ifndef VDI_AGE_H
#define VDI_AGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VDI_AGE_RULE "a number with s, m, h, d or w, as in 36h"

/* "90m", "36h", "30d", "4w" or "0"; *seconds is not negative. */
bool vdi_parse_age(const char *text, int64_t *seconds);
/* "1 d 6 h", in the two largest units. */
void vdi_format_age(int64_t seconds, char *buf, size_t size);

#endif /* VDI_AGE_H */
