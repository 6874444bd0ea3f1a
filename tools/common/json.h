/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * json.h - names, which are byte strings, in JSON, which is UTF-8
 *
 * A name that is valid UTF-8 is stored as the string KEY. Otherwise KEY has U+FFFD
 * for each invalid byte, and KEY_hex has all bytes as hexadecimal digits.
 */
#ifndef VDI_JSON_H
#define VDI_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* Length of the character at `text` in bytes; 0 = not valid UTF-8. */
size_t vdi_utf8_length(const char *text, size_t size);
bool vdi_is_utf8(const char *text, size_t size);
/* False: out of memory. */
bool vdi_json_add_name(struct json_object *object, const char *key,
		       const char *name);
/* Returns a name that the caller frees. NULL: missing, malformed or no memory. */
char *vdi_json_get_name(struct json_object *object, const char *key);

#endif /* VDI_JSON_H */
