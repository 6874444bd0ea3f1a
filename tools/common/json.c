// SPDX-License-Identifier: GPL-2.0-only
/*
 * json.c - names, which are byte strings, in JSON, which is UTF-8
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define REPLACEMENT	"\xef\xbf\xbd"		/* U+FFFD */

size_t vdi_utf8_length(const char *text, size_t size)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *c = (const unsigned char *)text;
	size_t length, i;
	uint32_t code;

	if (!size)
		return 0;
	if (*c < 0x80)
		return 1;
	length = *c >= 0xf0 ? 4 : *c >= 0xe0 ? 3 : 2;
	if (*c < 0xc0 || *c >= 0xf8 || length > size)
		return 0;
	code = *c & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c[i] & 0x3f);
	}
	/* overlong, a surrogate, or beyond the last code point */
	if (code < least[length] || (code >= 0xd800 && code < 0xe000) ||
	    code > 0x10ffff)
		return 0;
	return length;
}

bool vdi_is_utf8(const char *text, size_t size)
{
	while (size) {
		size_t length = vdi_utf8_length(text, size);

		if (!length)
			return false;
		text += length;
		size -= length;
	}
	return true;
}

/* Printable form; the caller frees it. */
static char *readable(const char *name, size_t size)
{
	char *out = malloc(size * strlen(REPLACEMENT) + 1), *at = out;

	if (!out)
		return NULL;
	while (size) {
		size_t length = vdi_utf8_length(name, size);

		if (length) {
			at = mempcpy(at, name, length);
		} else {
			at = mempcpy(at, REPLACEMENT, strlen(REPLACEMENT));
			length = 1;
		}
		name += length;
		size -= length;
	}
	*at = '\0';
	return out;
}

static char *to_hex(const char *name, size_t size)
{
	char *out = malloc(2 * size + 1);
	size_t i;

	for (i = 0; out && i < size; i++)
		sprintf(out + 2 * i, "%02x", (unsigned char)name[i]);
	return out;
}

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? at - digits : -1;
}

/* NUL bytes are rejected. The caller frees the result. */
static char *from_hex(const char *hex)
{
	size_t i, length = strlen(hex);
	char *out = length % 2 ? NULL : calloc(1, length / 2 + 1);

	for (i = 0; out && i < length; i += 2) {
		int high = digit(hex[i]), low = digit(hex[i + 1]);

		if (high < 0 || low < 0 || !(high | low)) {
			free(out);
			return NULL;
		}
		out[i / 2] = high << 4 | low;
	}
	return out;
}

static bool add(struct json_object *object, const char *key, const char *text)
{
	struct json_object *value = text ? json_object_new_string(text) : NULL;

	return value && !json_object_object_add(object, key, value);
}

static void hex_key(const char *key, char *out, size_t size)
{
	snprintf(out, size, "%s_hex", key);
}

bool vdi_json_add_name(struct json_object *object, const char *key,
		       const char *name)
{
	char other[64], *text, *hex;
	size_t size = strlen(name);
	bool ok;

	if (vdi_is_utf8(name, size))
		return add(object, key, name);
	hex_key(key, other, sizeof(other));
	text = readable(name, size);
	hex = to_hex(name, size);
	ok = add(object, key, text) && add(object, other, hex);
	free(text);
	free(hex);
	return ok;
}

static const char *get(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) !=
	    (size_t)json_object_get_string_len(value))
		return NULL;
	return json_object_get_string(value);
}

char *vdi_json_get_name(struct json_object *object, const char *key)
{
	const char *text = get(object, key), *hex;
	char other[64];

	hex_key(key, other, sizeof(other));
	if (!text)
		return NULL;
	if (!json_object_object_get_ex(object, other, NULL))
		return strdup(text);
	hex = get(object, other);
	return hex ? from_hex(hex) : NULL;
}
