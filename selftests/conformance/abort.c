// SPDX-License-Identifier: GPL-2.0
/*
 * abort.c - SignalAbort and its effect on calls and commands (section 9), and the
 * order of commands around snapshots (section 11)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"

/* One thread in each call that waits, and one abort */
struct sleeper {
	struct pair *p;
	int kind;
	int code;
	int64_t back;
	pthread_t thread;
};

enum { GET_COMMAND_0, GET_COMMAND_1, AGENT, SLEEPERS };

static void *sleeper(void *arg)
{
	struct sleeper *s = arg;
	struct VDC_Command *cmd;

	switch (s->kind) {
	case AGENT:
		s->code = vdi_server_execute_completion_agent(s->p->server);
		break;
	default:
		s->code = vdi_client_get_command(s->p->cdev[s->kind], -1,
						 &cmd);
	}
	s->back = cf_now();
	return NULL;
}

static void abort_sleepers(bool by_server)
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct sleeper s[SLEEPERS];
	int64_t start;
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < SLEEPERS; i++) {
		s[i] = (struct sleeper){ .p = &p, .kind = i };
		OK(pthread_create(&s[i].thread, NULL, sleeper, &s[i]));
	}
	cf_nap(150);
	start = cf_now();
	if (by_server)
		OK(vdi_server_signal_abort(p.server, 0, NULL));
	else
		OK(vdi_client_signal_abort(p.client, 0, NULL));
	for (i = 0; i < SLEEPERS; i++) {
		OK(pthread_join(s[i].thread, NULL));
		EQ(s[i].code, VD_E_ABORT);
		TRUE(s[i].back - start < SOON);
	}
}

RULE("9", wakes_all_by_client, "the client's abort ends every wait on both sides with VD_E_ABORT")
{
	abort_sleepers(false);
}

RULE("9", wakes_all_by_server, "the server's abort ends every wait on both sides with VD_E_ABORT")
{
	abort_sleepers(true);
}

static const enum stage stages[] = { CREATED, CONNECTED, CONFIGURABLE,
				     INITIALIZING, ACTIVE };

RULE("9", client_any_time, "the client may abort at any time while the set exists")
{
	unsigned int i;

	for (i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		struct pair p = { 0 };
		struct VDConfig config;

		pair_up(&p, stages[i]);
		OK(vdi_client_signal_abort(p.client, 0, NULL));
		EQ(vdi_client_get_configuration(p.client, -1, &config),
		   VD_E_ABORT);
		if (stages[i] >= CONNECTED)
			EQ(vdi_server_get_configuration(p.server, &config),
			   VD_E_ABORT);
		OK(vdi_client_close(p.client));
		vdi_server_free(p.server);
	}
}

RULE("9", server_any_time, "the server may abort at any time while it is connected")
{
	unsigned int i;

	for (i = 1; i < sizeof(stages) / sizeof(stages[0]); i++) {
		struct pair p = { 0 };
		struct VDConfig config;

		pair_up(&p, stages[i]);
		OK(vdi_server_signal_abort(p.server, 0, NULL));
		EQ(vdi_client_get_configuration(p.client, -1, &config),
		   VD_E_ABORT);
		OK(vdi_server_close(p.server));
		OK(vdi_client_close(p.client));
	}
}

RULE("9", no_command_delivered, "after an abort GetCommand delivers no command, not even a queued one")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_client_get_command(p.cdev[0], -1, &cmd), VD_E_ABORT);
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_ABORT);
}

RULE("9", no_command_accepted, "after an abort SendCommand, AllocateBuffer and OpenDevice fail")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_server_device *sdevice;
	struct vdi_client_device *cdevice;
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, INITIALIZING);
	OK(vdi_server_open_device(p.server, p.name, &p.sdev[0]));
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_ABORT);
	EQ(vdi_server_allocate_buffer(p.server, &buffer, KIB, 0), VD_E_ABORT);
	EQ(vdi_server_open_device(p.server, "b", &sdevice), VD_E_ABORT);
	EQ(vdi_client_open_device(p.client, "b", &cdevice), VD_E_ABORT);
}

RULE("9", outstanding_995, "every other outstanding command is completed with 995: queued, held by the client, or completed after the abort")
{
	struct pair p = { 0 };
	struct VDC_Command *held;
	struct sent s[3];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 3; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	held = got(&p, VDC_Flush);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_client_complete_command(p.cdev[0], held, 0, 0, 0), VD_E_ABORT);
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	for (i = 0; i < 3; i++) {
		EQ(s[i].routines, 1);
		EQ(s[i].cmd.completionCode, ERROR_OPERATION_ABORTED);
		EQ(s[i].cmd.bytesTransferred, 0);
	}
}

/* Five commands: two completed with success, two with errors, one held */
enum { RECORDED = 4 };

static const struct {
	int code;
	uint32_t bytes;
	int64_t position;
} recorded[RECORDED] = {
	{ ERROR_SUCCESS, 4 * KIB, 11 },
	{ ERROR_DISK_FULL, 512, 12 },
	{ ERROR_SUCCESS, 4 * KIB, 13 },
	{ ERROR_END_OF_MEDIA, 512, INT64_MIN },
};

static void record_some(struct pair *p, struct sent *s)
{
	struct VDC_Command *cmd[RECORDED + 1];
	int i;

	p->buffer_count = RECORDED + 1;
	p->buffer_size = 4 * KIB;
	pair_up(p, ACTIVE);
	for (i = 0; i <= RECORDED; i++)
		OK(send_it(p, &s[i], VDC_Write, buffer_of(p, 4 * KIB),
			   4 * KIB));
	for (i = 0; i <= RECORDED; i++)
		cmd[i] = got(p, VDC_Write);
	for (i = 0; i < RECORDED; i++)
		complete(p, cmd[i], recorded[i].code, recorded[i].bytes,
			 recorded[i].position);
	for (i = 0; i <= RECORDED; i++)
		EQ(s[i].routines, 0);
}

static void check_recorded(const struct sent *s)
{
	int i;

	for (i = 0; i < RECORDED; i++) {
		EQ(s[i].routines, 1);
		EQ(s[i].cmd.completionCode, recorded[i].code);
		EQ(s[i].cmd.bytesTransferred, recorded[i].bytes);
		EQ(s[i].cmd.outPosition, recorded[i].position);
	}
	EQ(s[i].routines, 1);
	EQ(s[i].cmd.completionCode, ERROR_OPERATION_ABORTED);
	EQ(s[i].cmd.bytesTransferred, 0);
}

RULE("9", recorded_before, "a completion recorded before the client's abort is delivered with its recorded result")
{
	struct sent s[RECORDED + 1];
	struct pair p = { 0 };
	unsigned int count;

	record_some(&p, s);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_run_completions(p.server, WAIT, &count), VD_E_ABORT);
	EQ(count, RECORDED + 1);
	check_recorded(s);
	EQ(vdi_server_run_completions(p.server, WAIT, &count), VD_E_ABORT);
	EQ(count, 0);
}

RULE("9", recorded_before_server_abort, "a completion recorded before the server's abort is delivered with its recorded result")
{
	struct sent s[RECORDED + 1];
	struct pair p = { 0 };

	record_some(&p, s);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	check_recorded(s);
}

RULE("9", recorded_before_close, "the same applies if Close of the client or of the server caused the abort")
{
	struct sent s[RECORDED + 1];
	struct pair p = { 0 }, q = { 0 };

	record_some(&p, s);
	EQ(vdi_client_close(p.client), VD_E_OPEN);
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	check_recorded(s);

	record_some(&q, s);
	EQ(vdi_server_close(q.server), VD_E_PROTOCOL);
	check_recorded(s);
}

RULE("9", recorded_on_every_device, "the same applies to every device, including a device that is being closed")
{
	struct pair p = { .asked = { .deviceCount = 8 } };
	struct VDC_Command *cmd;
	struct sent s[8];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 8; i++) {
		prepare(&s[i], VDC_Flush, NULL, 0);
		OK(vdi_server_send_command(p.sdev[i], &s[i].cmd));
		if (i & 1)
			OK(vdi_server_close_device(p.sdev[i]));
		OK(vdi_client_get_command(p.cdev[i], WAIT, &cmd));
		OK(vdi_client_complete_command(p.cdev[i], cmd, 100 + i, 0, 0));
	}
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	for (i = 0; i < 8; i++) {
		EQ(s[i].routines, 1);
		EQ(s[i].cmd.completionCode, 100 + i);
	}
}

/* The first run of the routine stores the result and sends the command again. */
struct resent {
	struct sent sent;
	struct pair *p;
	int first;			/* completion code of the first run */
	int returned;			/* result of the second SendCommand */
};

static void send_again(struct VDS_Command *cmd)
{
	struct resent *r = cmd->completionContext;

	if (r->sent.routines++)
		return;
	r->first = cmd->completionCode;
	r->returned = vdi_server_queue_command(r->p->sdev[0], cmd);
}

RULE("9", sent_by_routine, "a command sent by the routine of such a completion is refused: VD_E_ABORT, routine with 995")
{
	struct pair p = { 0 };
	struct resent r;

	pair_up(&p, ACTIVE);
	prepare(&r.sent, VDC_Flush, NULL, 0);
	r.p = &p;
	r.sent.cmd.completionRoutine = send_again;
	r.sent.cmd.completionContext = &r;
	OK(vdi_server_send_command(p.sdev[0], &r.sent.cmd));
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	EQ(r.sent.routines, 2);
	EQ(r.first, 0);
	EQ(r.returned, VD_E_ABORT);
	EQ(r.sent.cmd.completionCode, ERROR_OPERATION_ABORTED);
}

RULE("9", deferred_clear_error, "a deferred ClearError is not delivered after an abort; it is completed with 995")
{
	struct VDC_Command *cmd, *first, *second;
	struct pair p = { 0 };
	struct sent s[3];

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s[0], VDC_Flush, NULL, 0));
	OK(send_it(&p, &s[1], VDC_Flush, NULL, 0));
	first = got(&p, VDC_Flush);
	second = got(&p, VDC_Flush);
	complete(&p, first, ERROR_DISK_FULL, 0, 0);
	settle(&p, &s[0]);
	OK(send_it(&p, &s[2], VDC_ClearError, NULL, 0));
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_TIMEOUT);
	complete(&p, second, 0, 0, 0);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_ABORT);
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	EQ(s[1].cmd.completionCode, ERROR_SUCCESS);
	EQ(s[2].routines, 1);
	EQ(s[2].cmd.completionCode, ERROR_OPERATION_ABORTED);
}

RULE("9", every_device, "the commands of every device of the set are completed")
{
	struct pair p = { .asked = { .deviceCount = 8 } };
	struct sent s[8];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 8; i++) {
		prepare(&s[i], VDC_Flush, NULL, 0);
		OK(vdi_server_send_command(p.sdev[i], &s[i].cmd));
	}
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	for (i = 0; i < 8; i++)
		EQ(s[i].cmd.completionCode, ERROR_OPERATION_ABORTED);
}

RULE("9", no_close_after_abort, "VD_E_CLOSE is not returned after an abort")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;

	pair_up(&p, ABORTED);
	EQ(vdi_server_close_device(p.sdev[0]), VD_E_ABORT);
	OK(vdi_server_close(p.server));
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_ABORT);
	OK(vdi_client_close(p.client));
}

RULE("9", close_only, "after an abort only Close is useful; it succeeds on both sides")
{
	struct pair p = { 0 };

	pair_up(&p, ABORTED);
	OK(vdi_client_close(p.client));
	OK(vdi_server_close(p.server));
}

RULE("9", reason_on_both_sides, "both sides can read which party aborted the set, and why")
{
	struct pair p = { 0 };
	struct vdi_abort_info info;
	char text[256];

	pair_up(&p, ACTIVE);
	OK(vdi_client_signal_abort(p.client, 112, "no space left"));
	OK(vdi_server_abort_info(p.server, &info));
	EQ(info.role, VDI_ROLE_PRIMARY);
	EQ(info.code, 112);
	EQ(info.pid, getpid());
	vdi_abort_describe(&info, text, sizeof(text));
	TRUE(strstr(text, "no space left"));
	TRUE(strstr(text, "primary client"));
	OK(vdi_client_abort_info(p.client, &info));
	EQ(info.code, 112);
}

RULE("9", normal_end_after_errors, "after an error the server may end the set normally, without an abort")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, ERROR_DISK_FULL, 0, 0);
	OK(vdi_server_close_device(p.sdev[0]));
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_CLOSE);
	p.stage = TERMINATED;
	pair_down(&p);
}

struct aborter {
	struct pair *p;
	pthread_t thread;
	uint32_t code;
};

static void *abort_it(void *arg)
{
	struct aborter *a = arg;
	char text[16];

	snprintf(text, sizeof(text), "by %u", a->code);
	OK(vdi_client_signal_abort(a->p->client, a->code, text));
	return NULL;
}

RULE("9", concurrent_aborts, "concurrent aborts of many threads are recorded as one")
{
	struct vdi_abort_info first, later;
	struct pair p = { 0 };
	struct aborter a[8];
	char text[16];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 8; i++) {
		a[i] = (struct aborter){ .p = &p, .code = 100 + i };
		OK(pthread_create(&a[i].thread, NULL, abort_it, &a[i]));
	}
	while (!abort_reason(&p))
		;
	OK(vdi_server_abort_info(p.server, &first));
	for (i = 0; i < 8; i++)
		OK(pthread_join(a[i].thread, NULL));
	OK(vdi_client_abort_info(p.client, &later));
	OK(memcmp(&first, &later, sizeof(first)));
	snprintf(text, sizeof(text), "by %u", first.code);
	OK(strcmp(first.text, text));
}

/* ------------------------------------------------------------------ snapshot */

RULE("11", backup_order, "BACKUP WITH SNAPSHOT: metadata, PrepareToFreeze, metadata, Snapshot, then VD_E_CLOSE")
{
	struct pair p = { .asked = { .features = VDF_SnapshotPrepare } };
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 4 * KIB);
	execute(&p, &s, VDC_Write, buffer, 4 * KIB, 0, 4 * KIB, 0);
	execute(&p, &s, VDC_PrepareToFreeze, NULL, 0, 0, 0, 0);
	execute(&p, &s, VDC_Write, buffer, 4 * KIB, 0, 4 * KIB, 0);
	execute(&p, &s, VDC_Snapshot, NULL, 0, 0, 0, 0);
	pair_up(&p, TERMINATED);
	pair_down(&p);
}

RULE("11", freeze_waits, "the database freezes only after PrepareToFreeze was completed with 0")
{
	struct pair p = { .asked = { .features = VDF_SnapshotPrepare } };
	struct VDC_Command *cmd;
	unsigned int count;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_PrepareToFreeze, NULL, 0));
	cmd = got(&p, VDC_PrepareToFreeze);
	EQ(vdi_server_run_completions(p.server, 100, &count), VD_E_TIMEOUT);
	EQ(s.routines, 0);
	complete(&p, cmd, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("11", snapshot_fails, "the client cancels a snapshot with 995, or with SignalAbort")
{
	struct pair p = { 0 }, q = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Snapshot, NULL, 0, ERROR_OPERATION_ABORTED, 0, 0);
	OK(vdi_server_close_device(p.sdev[0]));
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_CLOSE);
	p.stage = TERMINATED;
	pair_down(&p);

	pair_up(&q, ACTIVE);
	OK(send_it(&q, &s, VDC_Snapshot, NULL, 0));
	got(&q, VDC_Snapshot);
	OK(vdi_client_signal_abort(q.client, 0, "no snapshot"));
	EQ(vdi_server_execute_completion_agent(q.server), VD_E_ABORT);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
}

RULE("11", restore_order, "RESTORE WITH SNAPSHOT: metadata, MountSnapshot, then VD_E_CLOSE")
{
	struct pair p = { .direction = VDF_ReadMedia };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Read, buffer_of(&p, 4 * KIB), 4 * KIB, 0, 4 * KIB,
		0);
	execute(&p, &s, VDC_MountSnapshot, NULL, 0, 0, 0, 0);
	pair_up(&p, TERMINATED);
	pair_down(&p);
}
