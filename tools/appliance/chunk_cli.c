// SPDX-License-Identifier: GPL-2.0-only
/*
 * chunk_cli.c - the options of backup and restore for chunk stores
 */
#include "appliance.h"

int chunk_cli_transfers(struct appliance *a, const char *name, const char *argument)
{
	uint64_t number;

	if (!vdi_parse_size(argument, 1, CHUNK_MAX_TRANSFERS, &number))
		return vdi_invalid(name, argument, "1 to 64");
	a->chunks.transfers = number;
	return EXIT_OK;
}

int chunk_cli_size(struct appliance *a, const char *argument)
{
	uint64_t number;

	if (!vdi_parse_size(argument, CHUNK_MIN_SIZE, CHUNK_MAX_SIZE, &number))
		return vdi_invalid("--chunk-size", argument, "64K to 1G");
	a->chunks.chunk_size = number;
	return EXIT_OK;
}

int chunk_cli_timeout(struct appliance *a, const char *argument)
{
	int64_t milliseconds;

	if (!vdi_parse_seconds(argument, &milliseconds) || milliseconds < 1000 ||
	    milliseconds / 1000 > 1000000)
		return vdi_invalid("--store-timeout", argument, "1 or more, in seconds");
	a->chunks.timeout = milliseconds / 1000;
	return EXIT_OK;
}

int chunk_cli_check(const struct appliance *a, const char *where)
{
	bool any = a->chunks.transfers || a->chunks.chunk_size || a->chunks.timeout;

	if (any && !chunk_is_address(where))
		vdi_error("--uploads, --downloads, --chunk-size and --store-timeout require an address s3://BUCKET/PREFIX, not '%s'",
			  where);
	else if (chunk_is_address(where) && a->direct == DIRECT_ALWAYS)
		vdi_error("--direct cannot be used with %s", where);
	else
		return EXIT_OK;
	return EXIT_USAGE;
}
