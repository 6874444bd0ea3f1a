// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3_plugin.c - vdi: the S3 driver, with libcurl, is a plugin
 */
#include <stdio.h>

#include "chunk.h"
#include "common/plugin.h"

const struct chunk_driver *chunk_s3_driver(char *why, size_t size)
{
	const struct chunk_driver *driver;
	char text[256];

	driver = vdi_plugin("s3", "chunk_s3", text, sizeof(text));
	if (!driver)
		snprintf(why, size, "cannot load the driver of object stores: %s",
			 text);
	return driver;
}
