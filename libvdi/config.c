// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * config.c - rules of VDConfig: valid feature sets and ranges
 *
 * The kernel passes most of the configuration on without a check, so each side
 * checks what comes from the other. The checks return NULL, or what is wrong.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libvdi.h>

#include "config.h"

#define MIN_BLOCK	512U
#define MAX_BLOCK	65536U
#define TRANSFER_UNIT	65536U
#define MAX_TRANSFER	(4U << 20)

/* Features of a positioning profile. */
#define PROFILE_BITS	(VDF_LikeTape | VDF_RandomAccess)
/* Features that a client may add to any profile. */
#define EXTRA_BITS	(VDF_Discard | VDF_SnapshotPrepare | \
			 VDF_EnumFrozenFiles | VDF_VSSWriter | \
			 VDF_RequestComplete)

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/*
 * Pipe and disk may be removable, tape is; other combinations are not defined.
 */
static bool legal_profile(uint32_t features)
{
	switch (features & PROFILE_BITS) {
	case VDF_LikePipe:
	case VDF_LikePipe | VDF_Removable:
	case VDF_LikeDisk:
	case VDF_LikeDisk | VDF_Removable:
	case VDF_LikeTape:
		return true;
	default:
		return false;
	}
}

/* The fields in words, for the message about one of them. */
void vdi_config_describe(const struct vdiset_config *config,
			 char buf[VDI_CONFIG_TEXT])
{
	snprintf(buf, VDI_CONFIG_TEXT, "deviceCount %u, features 0x%x, "
		 "alignment %u, blockSize %u, maxIODepth %u, maxTransferSize "
		 "%u, bufferAreaSize %llu", config->device_count,
		 config->features, config->alignment, config->block_size,
		 config->max_io_depth, config->max_transfer_size,
		 (unsigned long long)config->buffer_area_size);
}

static const char *check_common(const struct vdiset_config *config)
{
	if (!config->device_count || config->device_count > VDISET_MAX_DEVICES)
		return "deviceCount is not in 1 to 64";
	if (!legal_profile(config->features))
		return "features are not those of a pipe, tape or disk";
	if (config->alignment && !power_of_two(config->alignment))
		return "alignment is not a power of two";
	if (config->alignment > MAX_BLOCK)
		return "alignment is above 64 KiB";
	return NULL;
}

/* Check the client's fields, as passed to Create or as found by the server. */
const char *vdi_config_check_request(const struct vdiset_config *config)
{
	if (config->features & ~(PROFILE_BITS | EXTRA_BITS))
		return "features has bits that only the server may set";
	if (config->block_size || config->max_io_depth ||
	    config->max_transfer_size || config->buffer_area_size)
		return "blockSize, maxIODepth, maxTransferSize and "
		       "bufferAreaSize are set by the server and must be 0";
	return check_common(config);
}

static const char *check_transfer(uint32_t block_size, uint32_t alignment,
				  uint32_t max_transfer)
{
	if (!power_of_two(block_size) || block_size < MIN_BLOCK ||
	    block_size > MAX_BLOCK)
		return "blockSize is not a power of two from 512 to 65536";
	if (!power_of_two(alignment) || alignment < block_size ||
	    alignment > MAX_BLOCK)
		return "alignment is not a power of two from blockSize to 65536";
	if (!max_transfer || max_transfer % TRANSFER_UNIT ||
	    max_transfer > MAX_TRANSFER)
		return "maxTransferSize is not a multiple of 64 KiB up to 4 MiB";
	return NULL;
}

/*
 * Fill in defaults, check, and raise the alignment to what the client requires.
 */
const char *vdi_config_fix(const struct vdiset_config *request,
			   struct vdiset_configure *wish)
{
	uint32_t own = wish->features & ~VDI_SERVER_FEATURES;
	const char *wrong;

	if (own & ~request->features)
		return "features has bits that the client did not request";
	if (!legal_profile(own))
		return "features are not those of a pipe, tape or disk";
	if (!(wish->features & (VDF_WriteMedia | VDF_ReadMedia)))
		return "features has neither VDF_WriteMedia nor VDF_ReadMedia";
	if ((wish->features & VDF_CompleteEnabled) &&
	    !(request->features & VDF_RequestComplete))
		return "CompleteEnabled without the client's RequestComplete";
	if (!wish->block_size)
		wish->block_size = MIN_BLOCK;
	if (!wish->alignment)
		wish->alignment = wish->block_size;
	if (!wish->max_transfer_size)
		wish->max_transfer_size = TRANSFER_UNIT;

	wrong = check_transfer(wish->block_size, wish->alignment,
			       wish->max_transfer_size);
	if (!wrong && wish->alignment < request->alignment)
		wish->alignment = request->alignment;
	return wrong;
}

/* Check the final configuration, as found by a client. */
const char *vdi_config_check_fixed(const struct vdiset_config *config)
{
	uint32_t known = PROFILE_BITS | EXTRA_BITS | VDI_SERVER_FEATURES;
	const char *wrong;

	if (config->features & ~known)
		return "features has unknown bits";
	wrong = check_common(config);
	if (wrong)
		return wrong;
	return check_transfer(config->block_size, config->alignment,
			      config->max_transfer_size);
}

void vdi_config_to_kernel(const struct VDConfig *from,
			  struct vdiset_config *to)
{
	memset(to, 0, sizeof(*to));
	to->device_count = from->deviceCount;
	to->features = from->features;
	to->prefix_zone_size = from->prefixZoneSize;
	to->alignment = from->alignment;
	to->soft_file_mark_block_size = from->softFileMarkBlockSize;
	to->eom_warning_size = from->EOMWarningSize;
	to->server_timeout = from->serverTimeOut;
	to->block_size = from->blockSize;
	to->max_io_depth = from->maxIODepth;
	to->max_transfer_size = from->maxTransferSize;
	to->buffer_area_size = from->bufferAreaSize;
}

void vdi_config_from_kernel(const struct vdiset_config *from,
			    struct VDConfig *to)
{
	to->deviceCount = from->device_count;
	to->features = from->features;
	to->prefixZoneSize = from->prefix_zone_size;
	to->alignment = from->alignment;
	to->softFileMarkBlockSize = from->soft_file_mark_block_size;
	to->EOMWarningSize = from->eom_warning_size;
	to->serverTimeOut = from->server_timeout;
	to->blockSize = from->block_size;
	to->maxIODepth = from->max_io_depth;
	to->maxTransferSize = from->max_transfer_size;
	to->bufferAreaSize = from->buffer_area_size > UINT32_MAX ?
			     UINT32_MAX : from->buffer_area_size;
}
