/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check.h - validation of entries that the other side has written
 *
 * Each entry is validated once, where it is copied out of the ring: commands by
 * the client (accept() and fetch_plain() in client_commands.c), completions by
 * the server (settle() in server_device.c). The server also checks a command
 * before it sends it, so that its client does not abort the set because of it.
 */
#ifndef VDI_CHECK_H
#define VDI_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vdiset.h>
#include <vditypes.h>

struct vdi_ring_limits {
	uint32_t depth;
	uint32_t max_transfer;
	uint32_t part_block;	/* no size of a transfer has these bits */
	uint32_t features;
};

static inline bool vdi_command_has_data(uint32_t code)
{
	return code == VDC_Read || code == VDC_Write;
}

/*
 * What is wrong with code, size and buffer of a command, as far as the area is
 * not needed to see it; NULL if nothing.
 */
static inline const char *
vdi_command_check_kind(const struct vdiset_command *cmd,
		       const struct vdi_ring_limits *limits)
{
	if (vdi_command_has_data(cmd->code)) {
		if (cmd->size < 0)
			return "transfer of negative size";
		if ((uint32_t)cmd->size > limits->max_transfer)
			return "transfer larger than maxTransferSize";
		if ((uint32_t)cmd->size & limits->part_block)
			return "transfer that is not a multiple of blockSize";
		if (cmd->buffer == VDISET_NO_BUFFER && cmd->size)
			return "transfer without a buffer";
		return NULL;
	}
	if (cmd->code == VDC_Complete &&
	    !(limits->features & VDF_CompleteEnabled))
		return "VDC_Complete without VDF_CompleteEnabled";
	if (cmd->buffer != VDISET_NO_BUFFER && cmd->size < 0)
		return "command with a buffer of negative size";
	return NULL;
}

/*
 * Is this a transfer, as nearly all commands are, with a size that
 * vdi_command_check_kind() accepts, provided that it has a buffer? max_transfer
 * is positive as an int32_t.
 */
static inline bool vdi_command_is_plain(const struct vdiset_command *cmd,
					const struct vdi_ring_limits *limits)
{
	return vdi_command_has_data(cmd->code) &&
	       (uint32_t)cmd->size <= limits->max_transfer &&
	       !((uint32_t)cmd->size & limits->part_block);
}

/* Largest number of bytes that a completion may report. */
static inline uint32_t vdi_command_max_bytes(uint32_t code, int32_t size)
{
	return vdi_command_has_data(code) ? (uint32_t)size : UINT32_MAX;
}

/*
 * What is wrong with a received command; NULL if nothing. @cmd is a private
 * copy.
 */
static inline const char *
vdi_command_check(const struct vdiset_command *cmd,
		  const struct vdi_ring_limits *limits)
{
	if (cmd->tag >= limits->depth)
		return "command with a tag beyond the depth";
	if (cmd->reserved)
		return "command with a reserved field set";
	return vdi_command_check_kind(cmd, limits);
}

/* What is wrong with a completion of a command of this code and size. */
static inline const char *
vdi_completion_check(const struct vdiset_completion *done, uint32_t command,
		     int32_t size)
{
	if (done->reserved)
		return "completion with a reserved field set";
	if (vdi_command_has_data(command) && done->bytes > (uint64_t)size)
		return "completion of more bytes than requested";
	if (done->bytes > UINT32_MAX)
		return "completion with an impossible number of bytes";
	return NULL;
}

/*
 * Does this completion put the device into IO-ERROR? Both sides must decide
 * alike, see client_commands.c. 1100 is a warning if everything was stored.
 */
static inline bool vdi_completion_is_error(uint32_t command, int32_t size,
					   uint32_t code, uint64_t bytes)
{
	if (code == ERROR_END_OF_MEDIA)
		return vdi_command_has_data(command) && bytes < (uint64_t)size;
	return code != ERROR_SUCCESS;
}

/*
 * The IO-ERROR state after a completion that reports an error, or of
 * ClearError; @before is the state before.
 */
static inline bool vdi_io_error_after(bool before, uint32_t command,
				      int32_t size, uint32_t code,
				      uint64_t bytes)
{
	if (vdi_completion_is_error(command, size, code, bytes))
		return true;
	return before && command != VDC_ClearError;
}

#endif /* VDI_CHECK_H */
