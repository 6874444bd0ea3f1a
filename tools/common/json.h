/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * json.h - names, which are any bytes, in JSON, which is UTF-8
 *
 * A name that is UTF-8 is the string KEY. Of any other, KEY has U+FFFD in place of
 * each byte that is none, for people, and KEY_hex has all bytes, two digits each.
 */
#ifndef VDI_JSON_H
#define VDI_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* The length of the character at `text` in bytes; 0 = it is not UTF-8. */
size_t vdi_utf8_length(const char *text, size_t size);
bool vdi_is_utf8(const char *text, size_t size);
/* False: out of memory. */
bool vdi_json_add_name(struct json_object *object, const char *key,
		       const char *name);
/* The name, to be freed. NULL: it is missing or malformed, or out of memory. */
char *vdi_json_get_name(struct json_object *object, const char *key);

#endif /* VDI_JSON_H */
