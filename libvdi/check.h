/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check.h - what the other side may write into an entry */
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
	uint32_t features;
};

static inline bool vdi_command_has_data(uint32_t code)
{
	return code == VDC_Read || code == VDC_Write;
}

/*
 * What is wrong with code, size and buffer of a command, as far as it can be
 * seen without the area; NULL = nothing.
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
 * Is it a transfer, as nearly all commands are, with which that finds nothing
 * wrong, if it has a buffer? max_transfer is positive as an int32_t.
 */
static inline bool vdi_command_is_plain(const struct vdiset_command *cmd,
					const struct vdi_ring_limits *limits)
{
	return vdi_command_has_data(cmd->code) &&
	       (uint32_t)cmd->size <= limits->max_transfer;
}

/* How many bytes may be completed? */
static inline uint32_t vdi_command_max_bytes(uint32_t code, int32_t size)
{
	return vdi_command_has_data(code) ? (uint32_t)size : UINT32_MAX;
}

/* The same of all of a command that was received. @cmd is the private copy. */
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

/* The same for a completion of a command with this code and size. */
static inline const char *
vdi_completion_check(const struct vdiset_completion *done, uint32_t command,
		     int32_t size)
{
	if (done->reserved)
		return "completion with a reserved field set";
	if (vdi_command_has_data(command) && done->bytes > (uint64_t)size)
		return "completion of more bytes than were asked for";
	if (done->bytes > UINT32_MAX)
		return "completion with an impossible number of bytes";
	return NULL;
}

/*
 * Does this completion put the device into IO-ERROR? Both sides must come to
 * the same answer, see client_device.c. 1100 with everything stored is a warning.
 */
static inline bool vdi_completion_is_error(uint32_t command, int32_t size,
					   uint32_t code, uint64_t bytes)
{
	if (code == ERROR_END_OF_MEDIA)
		return vdi_command_has_data(command) && bytes < (uint64_t)size;
	return code != ERROR_SUCCESS;
}

/*
 * Is the device in IO-ERROR after a completion with an error, or of ClearError,
 * if it was @before?
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
