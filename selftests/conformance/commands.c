// SPDX-License-Identifier: GPL-2.0
/*
 * commands.c - the nineteen commands, their inputs, outputs and codes, and the
 * error protocol (section 7)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

RULE("7.1", client_block, "VDC_Command: commandCode, size, position, buffer; 24 bytes on 64-bit machines")
{
	EQ(sizeof(struct VDC_Command), 24);
	EQ(offsetof(struct VDC_Command, commandCode), 0);
	EQ(offsetof(struct VDC_Command, size), 4);
	EQ(offsetof(struct VDC_Command, position), 8);
	EQ(offsetof(struct VDC_Command, buffer), 16);
}

RULE("7.1", server_block, "VDS_Command: 56 bytes, inputs and outputs in the order of the header")
{
	EQ(sizeof(struct VDS_Command), 56);
	EQ(offsetof(struct VDS_Command, commandCode), 0);
	EQ(offsetof(struct VDS_Command, size), 4);
	EQ(offsetof(struct VDS_Command, inPosition), 8);
	EQ(offsetof(struct VDS_Command, outPosition), 16);
	EQ(offsetof(struct VDS_Command, buffer), 24);
	EQ(offsetof(struct VDS_Command, completionRoutine), 32);
	EQ(offsetof(struct VDS_Command, completionContext), 40);
	EQ(offsetof(struct VDS_Command, completionCode), 48);
	EQ(offsetof(struct VDS_Command, bytesTransferred), 52);
}

RULE("7.1", codes, "the commands have the numbers of the header, 1 to 19")
{
	EQ(VDC_Read, 1);
	EQ(VDC_Write, 2);
	EQ(VDC_ClearError, 3);
	EQ(VDC_Rewind, 4);
	EQ(VDC_WriteMark, 5);
	EQ(VDC_SkipMarks, 6);
	EQ(VDC_SkipBlocks, 7);
	EQ(VDC_Load, 8);
	EQ(VDC_GetPosition, 9);
	EQ(VDC_SetPosition, 10);
	EQ(VDC_Discard, 11);
	EQ(VDC_Flush, 12);
	EQ(VDC_Snapshot, 13);
	EQ(VDC_MountSnapshot, 14);
	EQ(VDC_PrepareToFreeze, 15);
	EQ(VDC_FileInfoBegin, 16);
	EQ(VDC_FileInfoEnd, 17);
	EQ(VDC_GetError, 18);
	EQ(VDC_Complete, 19);
	EQ(VDC_Beginning, 0);
	EQ(VDC_Current, 1);
	EQ(VDC_End, 2);
}

RULE("7.2", every_command_completes, "every command receives a completion code, and its routine runs once")
{
	struct pair p = { 0 };
	struct sent s[16];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 16; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	for (i = 0; i < 8; i++)
		complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	vdi_server_execute_completion_agent(p.server);
	for (i = 0; i < 16; i++) {
		EQ(s[i].routines, 1);
		TRUE(s[i].cmd.completionCode == 0 ||
		     s[i].cmd.completionCode == ERROR_OPERATION_ABORTED);
	}
}

RULE("7.2", unknown_command, "the client completes an unknown command with 50; the set continues")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, 99, NULL, 0, ERROR_NOT_SUPPORTED, 0, 0);
	execute(&p, &s, VDC_ClearError, NULL, 0, 0, 0, 0);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

/* -------------------------------------------------------- 7.3, each command */

enum { NONE = 0, DATA = 1, COUNT = 2, WHENCE = 4, PLACE = 8, ANSWER = 16 };

static const struct command {
	int code;
	const char *name;
	uint32_t features;	/* features of the client that enable it */
	int inputs;
	int errors[6];		/* error codes of the command */
} commands[] = {
	{ VDC_Read, "Read", 0, DATA, { 38, 1104, 1101 } },
	{ VDC_Write, "Write", 0, DATA, { 112, 1129 } },
	{ VDC_ClearError, "ClearError", 0, NONE, { 0 } },
	{ VDC_Rewind, "Rewind", VDF_LikeTape, NONE, { 1112 } },
	{ VDC_WriteMark, "WriteMark", VDF_LikeTape, NONE, { 112, 1129 } },
	{ VDC_SkipMarks, "SkipMarks", VDF_LikeTape, COUNT, { 1104, 1102 } },
	{ VDC_SkipBlocks, "SkipBlocks", VDF_LikeTape, COUNT,
	  { 1101, 1102, 1104 } },
	{ VDC_Load, "Load", VDF_LikeTape, COUNT, { 1112 } },
	{ VDC_GetPosition, "GetPosition", VDF_LikeTape, ANSWER, { 50 } },
	{ VDC_SetPosition, "SetPosition", VDF_LikeDisk,
	  WHENCE | PLACE | ANSWER, { 1104 } },
	{ VDC_Discard, "Discard", VDF_Discard, NONE, { 50 } },
	{ VDC_Flush, "Flush", 0, NONE, { 112, 1117 } },
	{ VDC_Snapshot, "Snapshot", 0, NONE, { 995, 1117 } },
	{ VDC_MountSnapshot, "MountSnapshot", 0, NONE, { 995, 1117 } },
	{ VDC_PrepareToFreeze, "PrepareToFreeze", VDF_SnapshotPrepare, NONE,
	  { 995 } },
	{ VDC_FileInfoBegin, "FileInfoBegin", 0, NONE, { 50 } },
	{ VDC_FileInfoEnd, "FileInfoEnd", 0, NONE, { 50 } },
	{ VDC_GetError, "GetError", 0, NONE, { 50 } },
	{ VDC_Complete, "Complete", VDF_RequestComplete, NONE, { 112, 1117 } },
};

#define NCOMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void up_for(struct pair *p, const struct command *c)
{
	memset(p, 0, sizeof(*p));
	p->asked.features = c->features;
	p->direction = VDF_WriteMedia | VDF_ReadMedia;
	if (c->features & VDF_RequestComplete)
		p->add_features = VDF_CompleteEnabled;
	pair_up(p, ACTIVE);
}

static void build(struct pair *p, struct sent *s, const struct command *c)
{
	prepare(s, c->code, NULL, 0);
	if (c->inputs & DATA) {
		s->cmd.inPosition = 0x123456789000;
		s->cmd.size = 8 * KIB;
		s->cmd.buffer = buffer_of(p, 8 * KIB);
	}
	if (c->inputs & COUNT)
		s->cmd.size = -3;
	if (c->inputs & WHENCE)
		s->cmd.size = VDC_End;
	if (c->inputs & PLACE)
		s->cmd.inPosition = -4096;
}

static void give_back(struct pair *p, struct sent *s)
{
	if (s->cmd.buffer)
		OK(vdi_server_free_buffer(p->server, s->cmd.buffer,
					  s->cmd.size));
}

static void test_inputs(const struct cf_rule *rule)
{
	const struct command *c = &commands[rule->a];
	struct VDC_Command *cmd;
	struct pair p;
	struct sent s;

	up_for(&p, c);
	build(&p, &s, c);
	if (c->inputs & DATA)
		memset(s.cmd.buffer, 0x3c, 8 * KIB);
	OK(vdi_server_send_command(p.sdev[0], &s.cmd));
	cmd = got(&p, c->code);
	EQ(cmd->size, s.cmd.size);
	EQ(cmd->position, s.cmd.inPosition);
	EQ(!!cmd->buffer, !!(c->inputs & DATA));
	if (cmd->buffer) {
		EQ(cmd->buffer[0], 0x3c);
		EQ(cmd->buffer[8 * KIB - 1], 0x3c);
	}
	complete(&p, cmd, 0, c->inputs & DATA ? 8 * KIB : 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

/* Completed with success, and the results of the command; the device continues. */
static void test_success(const struct cf_rule *rule)
{
	const struct command *c = &commands[rule->a];
	struct VDC_Command *cmd;
	struct pair p;
	struct sent s;

	up_for(&p, c);
	build(&p, &s, c);
	OK(vdi_server_send_command(p.sdev[0], &s.cmd));
	cmd = got(&p, c->code);
	if (c->code == VDC_Read)
		memset(cmd->buffer, 0x11, 8 * KIB);
	complete(&p, cmd, 0, c->inputs & DATA ? 8 * KIB : 0,
		 c->inputs & ANSWER ? 777 : 0);
	settle(&p, &s);
	EQ(s.cmd.completionCode, ERROR_SUCCESS);
	EQ(s.cmd.bytesTransferred, c->inputs & DATA ? 8 * KIB : 0);
	EQ(s.cmd.outPosition, c->inputs & ANSWER ? 777 : 0);
	if (c->code == VDC_Read) {
		EQ(s.cmd.buffer[0], 0x11);
		EQ(s.cmd.buffer[8 * KIB - 1], 0x11);
	}
	give_back(&p, &s);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

/* The routine receives each error, and ClearError makes the device active again. */
static void fail_with(struct pair *p, const struct command *c, int code)
{
	struct sent s, t;

	build(p, &s, c);
	OK(vdi_server_send_command(p->sdev[0], &s.cmd));
	complete(p, got(p, c->code), code, 0, 0);
	settle(p, &s);
	EQ(s.cmd.completionCode, code);
	EQ(s.cmd.bytesTransferred, 0);
	EQ(send_it(p, &t, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
	execute(p, &t, VDC_ClearError, NULL, 0, 0, 0, 0);
	execute(p, &t, VDC_Flush, NULL, 0, 0, 0, 0);
	give_back(p, &s);
}

static void test_error(const struct cf_rule *rule)
{
	const struct command *c = &commands[rule->a];
	struct pair p;

	up_for(&p, c);
	fail_with(&p, c, rule->b);
	pair_down(&p);
}

static void add(const char *id, const char *text, const struct command *c,
		void (*test)(const struct cf_rule *rule), int b)
{
	cf_add(&(const struct cf_rule){ .section = "7.3", .id = id,
		.text = text, .test = test, .a = c - commands, .b = b });
}

static char *format(const char *pattern, const struct command *c, int code,
		    const char *more)
{
	char *text;

	if (asprintf(&text, pattern, c->name, code, more) < 0)
		abort();
	return text;
}

static const char *inputs_of(const struct command *c)
{
	if (c->inputs & DATA)
		return "buffer, size and position are delivered";
	if (c->inputs & WHENCE)
		return "position and whence are delivered";
	if (c->inputs & COUNT)
		return "size is delivered, with its sign";
	return "no inputs, no buffer";
}

static const char *outputs_of(const struct command *c)
{
	if (c->inputs & DATA)
		return "0, with the number of bytes";
	if (c->inputs & ANSWER)
		return "0, with the position";
	return "0";
}

static void __attribute__((constructor)) add_commands(void)
{
	const struct command *c;
	unsigned int i, j;

	for (i = 0; i < NCOMMANDS; i++) {
		c = &commands[i];
		add(format("%s_inputs", c, 0, ""),
		    format("%1$s: %3$s", c, 0, inputs_of(c)), c, test_inputs,
		    0);
		add(format("%s_success", c, 0, ""),
		    format("%1$s: %3$s", c, 0, outputs_of(c)), c,
		    test_success, 0);
		for (j = 0; j < 6 && c->errors[j]; j++) {
			int code = c->errors[j];

			add(format("%s_%d", c, code, ""),
			    format("%1$s: %3$s", c, code,
				   vdi_completion_name(code)), c, test_error,
			    code);
		}
	}
}

RULE("7.3", Read_short, "Read: 38 with the bytes that were left before the end of the data")
{
	struct pair p = { .direction = VDF_ReadMedia };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Read, buffer_of(&p, 8 * KIB), 8 * KIB,
		ERROR_HANDLE_EOF, 1000, 0);
	EQ(s.cmd.bytesTransferred, 1000);
	pair_down(&p);
}

RULE("7.3", Read_short_with_0, "Read: a short count with code 0 is accepted, and reported to the server")
{
	struct pair p = { .direction = VDF_ReadMedia };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Read, buffer_of(&p, 8 * KIB), 8 * KIB,
		ERROR_SUCCESS, 512, 0);
	EQ(s.cmd.bytesTransferred, 512);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.3", Write_partial, "Write: 112 with the number of bytes that were stored")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Write, buffer_of(&p, 8 * KIB), 8 * KIB,
		ERROR_DISK_FULL, 4096, 0);
	EQ(s.cmd.bytesTransferred, 4096);
	pair_down(&p);
}

RULE("7.3", Write_1100_all, "Write: 1100 with all bytes stored is a warning and does not enter IO-ERROR")
{
	struct pair p = { .asked = { .features = VDF_LikeTape } };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Write, buffer_of(&p, 8 * KIB), 8 * KIB,
		ERROR_END_OF_MEDIA, 8 * KIB, 0);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.3", Write_1100_fewer, "Write: 1100 with fewer bytes stored is an error; the count is reported to the server")
{
	struct pair p = { .asked = { .features = VDF_LikeTape } };
	struct sent s, t;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Write, buffer_of(&p, 8 * KIB), 8 * KIB,
		ERROR_END_OF_MEDIA, 4 * KIB, 0);
	EQ(s.cmd.bytesTransferred, 4 * KIB);
	EQ(send_it(&p, &t, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
	execute(&p, &t, VDC_ClearError, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.3", transfer_limits, "Read and Write: at most MAXTRANSFERSIZE, more is VD_E_INVALID")
{
	struct pair p = { .max_transfer = 128 * KIB, .buffer_count = 2 };
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_request_buffers(p.server, 256 * KIB, 0, 1));
	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 256 * KIB);
	execute(&p, &s, VDC_Write, buffer, 128 * KIB, 0, 128 * KIB, 0);
	EQ(send_it(&p, &s, VDC_Write, buffer, 128 * KIB + 512),
	   VD_E_INVALID);
	pair_down(&p);
}

RULE("7.3", zero_bytes, "Read and Write of zero bytes need no buffer")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Write, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.3", positions_are_64_bit, "positions are signed 64-bit numbers in both directions")
{
	struct pair p = { .asked = { .features = VDF_LikeDisk } };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	prepare(&s, VDC_SetPosition, NULL, VDC_Beginning);
	s.cmd.inPosition = INT64_MIN;
	OK(vdi_server_send_command(p.sdev[0], &s.cmd));
	cmd = got(&p, VDC_SetPosition);
	EQ(cmd->position, INT64_MIN);
	complete(&p, cmd, 0, 0, INT64_MAX);
	settle(&p, &s);
	EQ(s.cmd.outPosition, INT64_MAX);
	pair_down(&p);
}

RULE("7.3", Complete_not_enabled, "Complete: refused unless requested and enabled")
{
	struct pair p = { .asked = { .features = VDF_RequestComplete } };
	struct pair q = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	EQ(send_it(&p, &s, VDC_Complete, NULL, 0), VD_E_INVALID);
	pair_down(&p);
	pair_up(&q, ACTIVE);
	EQ(send_it(&q, &s, VDC_Complete, NULL, 0), VD_E_INVALID);
	pair_down(&q);
}

/* ------------------------------------------------------------ 7.4 IO-ERROR */

RULE("7.4", enters, "every completion code except 0 puts the device into IO-ERROR")
{
	static const int codes[] = { 6, 7, 38, 39, 50, 112, 995, 1101, 1102,
				     1104, 1112, 1117, 1129, 1450, 12345 };
	struct pair p = { 0 };
	struct sent s, t;
	unsigned int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		execute(&p, &s, VDC_Flush, NULL, 0, codes[i], 0, 0);
		EQ(send_it(&p, &t, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
		execute(&p, &t, VDC_ClearError, NULL, 0, 0, 0, 0);
	}
	pair_down(&p);
}

RULE("7.4", queued_end_with_1117, "queued commands that were not delivered are completed with 1117; the client never receives them")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s[6], clear;
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 6; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	complete(&p, got(&p, VDC_Flush), ERROR_IO_DEVICE, 0, 0);
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_TIMEOUT);
	for (i = 0; i < 6; i++) {
		settle(&p, &s[i]);
		EQ(s[i].cmd.completionCode, ERROR_IO_DEVICE);
	}
	execute(&p, &clear, VDC_ClearError, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.4", held_commands, "the client completes the commands that it holds, with their own codes")
{
	struct pair p = { 0 };
	struct VDC_Command *a, *b;
	struct sent s, t, clear;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(send_it(&p, &t, VDC_Flush, NULL, 0));
	a = got(&p, VDC_Flush);
	b = got(&p, VDC_Flush);
	complete(&p, a, ERROR_IO_DEVICE, 0, 0);
	complete(&p, b, ERROR_SUCCESS, 0, 0);
	settle(&p, &s);
	settle(&p, &t);
	EQ(s.cmd.completionCode, ERROR_IO_DEVICE);
	EQ(t.cmd.completionCode, ERROR_SUCCESS);
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
	execute(&p, &clear, VDC_ClearError, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.4", clear_error_is_deferred, "ClearError is not delivered until the client has completed all commands that it holds")
{
	struct pair p = { 0 };
	struct VDC_Command *a, *b, *cmd;
	struct sent s, t, clear;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(send_it(&p, &t, VDC_Flush, NULL, 0));
	a = got(&p, VDC_Flush);
	b = got(&p, VDC_Flush);
	complete(&p, a, ERROR_IO_DEVICE, 0, 0);
	settle(&p, &s);
	OK(send_it(&p, &clear, VDC_ClearError, NULL, 0));
	EQ(vdi_client_get_command(p.cdev[0], 100, &cmd), VD_E_TIMEOUT);
	complete(&p, b, ERROR_SUCCESS, 0, 0);
	cmd = got(&p, VDC_ClearError);
	complete(&p, cmd, 0, 0, 0);
	settle(&p, &clear);
	EQ(clear.cmd.completionCode, ERROR_SUCCESS);
	pair_down(&p);
}

RULE("7.4", active_again, "ClearError completed with 0 makes the device active again")
{
	struct pair p = { 0 };
	struct sent s;
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 10; i++) {
		execute(&p, &s, VDC_Flush, NULL, 0, ERROR_IO_DEVICE, 0, 0);
		execute(&p, &s, VDC_ClearError, NULL, 0, 0, 0, 0);
		execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	}
	pair_down(&p);
}

RULE("7.4", clear_error_fails, "ClearError completed with an error leaves the device in IO-ERROR")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, ERROR_IO_DEVICE, 0, 0);
	execute(&p, &s, VDC_ClearError, NULL, 0, ERROR_IO_DEVICE, 0, 0);
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
	execute(&p, &s, VDC_ClearError, NULL, 0, 0, 0, 0);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.4", clear_error_without_error, "ClearError on a device without an error is delivered like any command")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_ClearError, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("7.4", close_instead, "the server may close the device instead of sending ClearError")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, ERROR_IO_DEVICE, 0, 0);
	OK(vdi_server_close_device(p.sdev[0]));
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_CLOSE);
	p.stage = TERMINATED;
	pair_down(&p);
}

RULE("7.4", abort_instead, "the server may abort instead of sending ClearError")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, ERROR_IO_DEVICE, 0, 0);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_ABORT);
}

RULE("7.4", abort_while_deferred, "an abort completes a deferred ClearError")
{
	struct pair p = { 0 };
	struct VDC_Command *a, *cmd;
	struct sent s, t, clear;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(send_it(&p, &t, VDC_Flush, NULL, 0));
	a = got(&p, VDC_Flush);
	got(&p, VDC_Flush);
	complete(&p, a, ERROR_IO_DEVICE, 0, 0);
	settle(&p, &s);
	OK(send_it(&p, &clear, VDC_ClearError, NULL, 0));
	EQ(vdi_client_get_command(p.cdev[0], 10, &cmd), VD_E_TIMEOUT);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	EQ(vdi_client_get_command(p.cdev[0], -1, &cmd), VD_E_ABORT);
}

RULE("7.4", per_device, "an error does not affect the other devices of the set")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct VDC_Command *cmd;
	unsigned int count;
	struct sent s, t;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, ERROR_IO_DEVICE, 0, 0);
	prepare(&t, VDC_Flush, NULL, 0);
	OK(vdi_server_send_command(p.sdev[1], &t.cmd));
	OK(vdi_client_get_command(p.cdev[1], WAIT, &cmd));
	OK(vdi_client_complete_command(p.cdev[1], cmd, 0, 0, 0));
	OK(vdi_server_run_completions(p.server, WAIT, &count));
	EQ(t.cmd.completionCode, 0);
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
	pair_down(&p);
}

RULE("7.5", values, "the completion codes have the values of Win32")
{
	EQ(ERROR_SUCCESS, 0);
	EQ(ERROR_INVALID_HANDLE, 6);
	EQ(ERROR_ARENA_TRASHED, 7);
	EQ(ERROR_HANDLE_EOF, 38);
	EQ(ERROR_HANDLE_DISK_FULL, 39);
	EQ(ERROR_NOT_SUPPORTED, 50);
	EQ(ERROR_DISK_FULL, 112);
	EQ(ERROR_OPERATION_ABORTED, 995);
	EQ(ERROR_END_OF_MEDIA, 1100);
	EQ(ERROR_FILEMARK_DETECTED, 1101);
	EQ(ERROR_BEGINNING_OF_MEDIA, 1102);
	EQ(ERROR_NO_DATA_DETECTED, 1104);
	EQ(ERROR_NO_MEDIA_IN_DRIVE, 1112);
	EQ(ERROR_IO_DEVICE, 1117);
	EQ(ERROR_EOM_OVERFLOW, 1129);
	EQ(ERROR_NO_SYSTEM_RESOURCES, 1450);
}

RULE("5.0", values, "the return codes have the values of the header")
{
	EQ(NOERROR, 0);
	EQ((uint32_t)VD_E_NOTOPEN, 0x80770002);
	EQ((uint32_t)VD_E_TIMEOUT, 0x80770003);
	EQ((uint32_t)VD_E_ABORT, 0x80770004);
	EQ((uint32_t)VD_E_SECURITY, 0x80770005);
	EQ((uint32_t)VD_E_INVALID, 0x80770006);
	EQ((uint32_t)VD_E_INSTANCE_NAME, 0x80770007);
	EQ((uint32_t)VD_E_NOTSUPPORTED, 0x80770009);
	EQ((uint32_t)VD_E_MEMORY, 0x8077000a);
	EQ((uint32_t)VD_E_UNEXPECTED, 0x8077000b);
	EQ((uint32_t)VD_E_PROTOCOL, 0x8077000c);
	EQ((uint32_t)VD_E_OPEN, 0x8077000d);
	EQ((uint32_t)VD_E_CLOSE, 0x8077000e);
	EQ((uint32_t)VD_E_BUSY, 0x8077000f);
	EQ((uint32_t)VD_E_QUEUE_FULL, 0x80770010);
	EQ((uint32_t)VD_E_IO_ERROR, 0x80770011);
}
