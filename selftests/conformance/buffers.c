// SPDX-License-Identifier: GPL-2.0
/*
 * buffers.c - the shared buffers (section 8)
 */
#include <stdio.h>
#include <string.h>

#include "conformance.h"

RULE("8", no_copy, "each side reads the data in place: no copy is made")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	OK(send_it(&p, &s, VDC_Write, buffer, 64 * KIB));
	cmd = got(&p, VDC_Write);
	TRUE(cmd->buffer != buffer);
	memset(cmd->buffer, 0x42, 64 * KIB);
	EQ(buffer[0], 0x42);
	buffer[65535] = 0x43;
	EQ(cmd->buffer[65535], 0x43);
	complete(&p, cmd, 0, 64 * KIB, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("8", zeroed, "a new buffer contains zeros, no data of another set")
{
	struct pair p = { .asked = { .prefixZoneSize = 512 } };
	uint8_t *buffer;
	uint32_t i;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	for (i = 0; i < 64 * KIB + 512; i++)
		EQ(buffer[(int)i - 512], 0);
	pair_down(&p);
}

static void check_alignment(uint32_t client, uint32_t server, uint32_t want,
			    uint32_t prefix)
{
	struct pair p = {
		.asked = { .alignment = client, .prefixZoneSize = prefix },
		.alignment = server, .buffer_size = 5120, .buffer_count = 5,
	};
	struct VDC_Command *cmd;
	uint8_t *buffer;
	struct sent s;
	int i;

	pair_up(&p, ACTIVE);
	EQ(p.config.alignment, want);
	for (i = 0; i < 5; i++) {
		buffer = buffer_of(&p, 5120);
		EQ((uintptr_t)buffer % want, 0);
		OK(send_it(&p, &s, VDC_Write, buffer, 5120));
		cmd = got(&p, VDC_Write);
		EQ((uintptr_t)cmd->buffer % want, 0);
		complete(&p, cmd, 0, 5120, 0);
		settle(&p, &s);
	}
	pair_down(&p);
}

RULE("8", alignment, "the data part is aligned on both sides: to the larger of the client's and the server's alignment, up to 64 KiB")
{
	check_alignment(0, 0, 512, 0);
	check_alignment(1024, 0, 1024, 0);
	check_alignment(0, 4096, 4096, 0);
	check_alignment(8192, 1024, 8192, 0);
	check_alignment(64 * KIB, 0, 64 * KIB, 0);
}

RULE("8", prefix_alignment, "the alignment applies to the data part, not to the prefix zone")
{
	check_alignment(0, 0, 512, 1);
	check_alignment(4096, 0, 4096, 100);
	check_alignment(64 * KIB, 0, 64 * KIB, 4096);
}

RULE("8", prefix_zone, "the prefix zone ends where the data part begins; it belongs to the client, and the server never sees its contents")
{
	struct pair p = { .asked = { .prefixZoneSize = 200 },
			  .buffer_count = 2, .buffer_size = 4 * KIB };
	struct VDC_Command *cmd;
	uint8_t *a, *b;
	struct sent s;
	uint32_t i;

	pair_up(&p, ACTIVE);
	a = buffer_of(&p, 4 * KIB);
	b = buffer_of(&p, 4 * KIB);
	memset(a, 1, 4 * KIB);
	memset(b, 2, 4 * KIB);
	OK(send_it(&p, &s, VDC_Write, a, 4 * KIB));
	cmd = got(&p, VDC_Write);
	memset(cmd->buffer - 200, 0xff, 200);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	OK(send_it(&p, &s, VDC_Write, b, 4 * KIB));
	cmd = got(&p, VDC_Write);
	memset(cmd->buffer - 200, 0xff, 200);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	for (i = 0; i < 4 * KIB; i++) {
		EQ(a[i], 1);
		EQ(b[i], 2);
	}
	pair_down(&p);
}

RULE("8", size_without_prefix, "sizes are those of the data part")
{
	struct pair p = { .asked = { .prefixZoneSize = 64 * KIB },
			  .buffer_count = 4 };
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 4; i++)
		buffer_of(&p, 64 * KIB);
	TRUE(p.config.bufferAreaSize >= 4 * 128 * KIB);
	pair_down(&p);
}

RULE("8", buffers_of_any_device, "a buffer may be used with any device of the set")
{
	struct pair p = { .asked = { .deviceCount = 2 }, .buffer_count = 1 };
	struct VDC_Command *cmd;
	unsigned int count, i;
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	for (i = 0; i < 2; i++) {
		prepare(&s, VDC_Write, buffer, 64 * KIB);
		OK(vdi_server_send_command(p.sdev[i], &s.cmd));
		OK(vdi_client_get_command(p.cdev[i], WAIT, &cmd));
		OK(vdi_client_complete_command(p.cdev[i], cmd, 0, 64 * KIB,
					       0));
		OK(vdi_server_run_completions(p.server, WAIT, &count));
		EQ(s.routines, 1);
	}
	pair_down(&p);
}

RULE("8", mixed_sizes, "one area has buffers of several sizes, allocated and freed in any order")
{
	static const uint32_t sizes[] = { 512, 64 * KIB, 4 * KIB, 20000 };
	struct pair p = { 0 };
	uint8_t *buffer[4][8];
	int i, j, round;

	pair_up(&p, CONFIGURABLE);
	for (i = 0; i < 4; i++)
		OK(vdi_server_request_buffers(p.server, sizes[i], 0, 8));
	pair_up(&p, ACTIVE);
	for (round = 0; round < 3; round++) {
		for (j = 0; j < 8; j++) {
			for (i = 0; i < 4; i++) {
				buffer[i][j] = buffer_of(&p, sizes[i]);
				memset(buffer[i][j], i * 8 + j, sizes[i]);
			}
		}
		for (i = 3; i >= 0; i--) {
			for (j = 0; j < 8; j++) {
				EQ(buffer[i][j][0], i * 8 + j);
				EQ(buffer[i][j][sizes[i] - 1], i * 8 + j);
				OK(vdi_server_free_buffer(p.server,
							  buffer[i][j],
							  sizes[i]));
			}
		}
	}
	pair_down(&p);
}

RULE("8", stricter_alignment, "a single buffer may be allocated with a stricter alignment")
{
	struct pair p = { .buffer_count = 8 };
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	OK(vdi_server_allocate_buffer(p.server, &buffer, 4 * KIB, 32 * KIB));
	EQ((uintptr_t)buffer % (32 * KIB), 0);
	pair_down(&p);
}

RULE("8", growth, "an attached client can use buffers that were added after EndConfiguration")
{
	struct pair p = { .buffer_count = 1 };
	struct VDC_Command *cmd;
	uint8_t *buffer;
	struct sent s;
	int i, j;

	pair_up(&p, ACTIVE);
	for (i = 1; i < 6; i++) {
		OK(vdi_server_request_buffers(p.server, 64 * KIB * i, 0, 3));
		for (j = 0; j < 3; j++) {
			OK(vdi_server_allocate_buffer(p.server, &buffer,
						      64 * KIB * i, 0));
			memset(buffer, 16 * i + j, 64 * KIB * i);
			OK(send_it(&p, &s, VDC_Write, buffer, 64 * KIB));
			cmd = got(&p, VDC_Write);
			EQ(cmd->buffer[0], 16 * i + j);
			EQ(cmd->buffer[64 * KIB - 1], 16 * i + j);
			complete(&p, cmd, 0, 64 * KIB, 0);
			settle(&p, &s);
		}
	}
	pair_down(&p);
}

RULE("8", growth_by_handle, "a client can map the handle of a buffer in a part of the area that it has not mapped yet")
{
	struct pair p = { .buffer_count = 1 };
	struct vdi_client *second;
	struct VDC_Command *cmd;
	uint8_t *buffer, *there;
	uint32_t handle;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(vdi_client_new(&second));
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	buffer_of(&p, 64 * KIB);
	OK(vdi_server_request_buffers(p.server, 64 * KIB, 0, 40));
	buffer = buffer_of(&p, 64 * KIB);
	buffer[0] = 0x99;
	OK(send_it(&p, &s, VDC_Write, buffer, 64 * KIB));
	cmd = got(&p, VDC_Write);
	OK(vdi_client_get_buffer_handle(p.client, cmd->buffer, &handle));
	OK(vdi_client_map_buffer_handle(second, handle, &there));
	EQ(there[0], 0x99);
	complete(&p, cmd, 0, 64 * KIB, 0);
	settle(&p, &s);
	OK(vdi_client_close(second));
	vdi_client_free(second);
	pair_down(&p);
}

RULE("8", kept_until_close, "after an abort, a buffer remains valid on each side until that side closes")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	OK(send_it(&p, &s, VDC_Write, buffer, 64 * KIB));
	cmd = got(&p, VDC_Write);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	OK(vdi_server_close(p.server));
	memset(cmd->buffer, 5, 64 * KIB);
	EQ(cmd->buffer[100], 5);
	OK(vdi_client_close(p.client));
}

static void check_blocks(struct pair *p, uint8_t *buffer, int code)
{
	struct sent s;

	execute(p, &s, code, buffer, 1024, 0, 1024, 0);
	execute(p, &s, code, buffer, 3072, 0, 3072, 0);
	execute(p, &s, code, buffer, 0, 0, 0, 0);
	EQ(send_it(p, &s, code, buffer, 1), VD_E_INVALID);
	EQ(send_it(p, &s, code, buffer, 512), VD_E_INVALID);
	EQ(send_it(p, &s, code, buffer, 1000), VD_E_INVALID);
}

RULE("8", whole_blocks, "VD_E_INVALID: the size of a transfer is not a multiple of blockSize")
{
	struct pair p = { .block_size = 1024,
			  .direction = VDF_WriteMedia | VDF_ReadMedia };
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	check_blocks(&p, buffer, VDC_Write);
	check_blocks(&p, buffer, VDC_Read);
	pair_down(&p);
}
