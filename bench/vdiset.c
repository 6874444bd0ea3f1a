// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdiset.c - virtual devices, with libvdi's public interface on both sides
 *
 * The producer is the server: it sends VDC_Write commands on all devices and runs the
 * completion agent. The consumer is the client, with one thread per device. The sum is
 * returned as the position of the completion.
 *
 * vdiset uses the library as intended: the next command is queued in the completion
 * routine of the previous one, and one call completes and fetches commands. vdi-1 makes
 * one call for each command and each completion, as programs for other VDIs do.
 * vdi-default is vdiset with the library's default number of spin iterations before it
 * sleeps, vdi-spin has many of them.
 */
#include <err.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libvdi.h>

#include "bench.h"

#define TRANSFER_UNIT	65536	/* maxTransferSize is a multiple of it */
#define BLOCK		4096
#define LONG_SPIN	(1U << 20)
#define LIBRARY_SPIN	UINT_MAX	/* the default of the library */

struct sent {
	struct VDS_Command cmd;
	struct run *run;
	uint32_t device;
	uint32_t tag;
};

struct vdiset {
	unsigned int spin;
	struct vdi_server *server;
	struct vdi_server_device *to[MAX_DEVICES];
	struct sent *sent[MAX_DEVICES];		/* by tag */
	struct vdi_client *client;
	struct vdi_client_device *from[MAX_DEVICES];
	struct batch {
		uint32_t completed;		/* completed, but not passed on yet */
		struct vdi_completion *done;
		struct VDC_Command **cmds;
	} batch[MAX_DEVICES];
};

static const char *device_name(const struct run *run, uint32_t device,
			       char name[64])
{
	if (device)
		snprintf(name, 64, "%s%u", run->name, device);
	else
		snprintf(name, 64, "%s", run->name);
	return name;
}

static __attribute__((noinline, cold)) void
client_failed(struct vdiset *v, int code, const char *doing)
{
	char text[256];

	vdi_client_message(v->client, text, sizeof(text));
	errx(1, "vdiset: %s: %s", doing, *text ? text : vdi_strerror(code));
}

static __attribute__((noinline, cold)) void
server_failed(struct vdiset *v, int code, const char *doing)
{
	char text[256];

	vdi_server_message(v->server, text, sizeof(text));
	errx(1, "vdiset: %s: %s", doing, *text ? text : vdi_strerror(code));
}

static inline void need_client(struct vdiset *v, int code, const char *doing)
{
	if (code != NOERROR)
		client_failed(v, code, doing);
}

static inline void need_server(struct vdiset *v, int code, const char *doing)
{
	if (code != NOERROR)
		server_failed(v, code, doing);
}

static void completed(struct VDS_Command *cmd)
{
	struct sent *s = cmd->completionContext;

	if (cmd->completionCode != ERROR_SUCCESS ||
	    cmd->bytesTransferred != (uint32_t)cmd->size)
		errx(1, "vdiset: a command failed: %s",
		     vdi_completion_name(cmd->completionCode));
	case_settle(s->run, s->device, s->tag, cmd->outPosition);
}

static void prepare_command(struct run *run, struct vdiset *v, uint32_t device,
			    uint32_t tag)
{
	struct sent *s = &v->sent[device][tag];

	s->run = run;
	s->device = device;
	s->tag = tag;
	s->cmd.commandCode = VDC_Write;
	s->cmd.size = run->c.size;
	s->cmd.completionRoutine = completed;
	s->cmd.completionContext = s;
	need_server(v, vdi_server_allocate_buffer(v->server, &s->cmd.buffer,
						  run->size, 0), "buffer");
	memset(s->cmd.buffer, 1, run->size);
}

static void open_server(struct run *run, struct vdiset *v)
{
	uint32_t transfer = (run->size + TRANSFER_UNIT - 1) / TRANSFER_UNIT *
			    TRANSFER_UNIT;
	uint32_t n = run->c.devices * run->c.depth, device, tag;
	char name[64];

	if (vdi_server_new(&v->server))
		errx(1, "memory");
	if (v->spin != LIBRARY_SPIN)
		need_server(v, vdi_server_set_spin(v->server, v->spin), "spin");
	run->meet(run);		/* the set exists */
	need_server(v, vdi_server_open(v->server, NULL, run->name), "open");
	need_server(v, vdi_server_begin_configuration(v->server, VDF_WriteMedia,
						      BLOCK, 0, transfer, -1),
		    "configuration");
	need_server(v, vdi_server_request_buffers(v->server, run->size, 0, n),
		    "buffers");
	need_server(v, vdi_server_end_configuration(v->server),
		    "configuration");
	for (device = 0; device < run->c.devices; device++) {
		device_name(run, device, name);
		need_server(v, vdi_server_open_device(v->server, name,
						      &v->to[device]), name);
		v->sent[device] = calloc(run->c.depth, sizeof(struct sent));
		if (!v->sent[device])
			err(1, "memory");
		for (tag = 0; tag < run->c.depth; tag++)
			prepare_command(run, v, device, tag);
	}
}

static void open_client(struct run *run, struct vdiset *v)
{
	struct VDConfig config = { .deviceCount = run->c.devices };
	char name[64];
	uint32_t i;

	if (vdi_client_new(&v->client))
		errx(1, "memory");
	if (v->spin != LIBRARY_SPIN)
		need_client(v, vdi_client_set_spin(v->client, v->spin), "spin");
	need_client(v, vdi_client_create(v->client, NULL, run->name, &config,
					 NULL), "create");
	run->meet(run);
	need_client(v, vdi_client_get_configuration(v->client, 60000, &config),
		    "configuration");
	for (i = 0; i < run->c.devices; i++) {
		device_name(run, i, name);
		need_client(v, vdi_client_open_device(v->client, name,
						      &v->from[i]), name);
		v->batch[i].done = calloc(run->c.depth,
					  sizeof(*v->batch[i].done));
		v->batch[i].cmds = calloc(run->c.depth,
					  sizeof(*v->batch[i].cmds));
		if (!v->batch[i].done || !v->batch[i].cmds)
			err(1, "memory");
	}
}

static void open_side(struct run *run, enum side side, unsigned int spin)
{
	struct vdiset *v = calloc(1, sizeof(*v));

	if (!v)
		err(1, "memory");
	v->spin = spin;
	run->priv = v;
	if (side == PRODUCER)
		open_server(run, v);
	else
		open_client(run, v);
}

static void vdiset_open(struct run *run, enum side side)
{
	open_side(run, side, 0);
}

static void default_open(struct run *run, enum side side)
{
	open_side(run, side, LIBRARY_SPIN);
}

static void spin_open(struct run *run, enum side side)
{
	open_side(run, side, LONG_SPIN);
}

static struct sent *sent_at(struct run *run, uint32_t device, uint32_t tag)
{
	return &((struct vdiset *)run->priv)->sent[device][tag];
}

static uint8_t *vdiset_buffer(struct run *run, uint32_t device, uint32_t tag)
{
	return sent_at(run, device, tag)->cmd.buffer;
}

static void vdiset_send(struct run *run, uint32_t device, uint32_t tag)
{
	struct vdiset *v = run->priv;
	int code = vdi_server_send_command(v->to[device],
					   &sent_at(run, device, tag)->cmd);

	need_server(v, code, "send");
}

/* Called in a completion routine; the agent kicks once for several commands. */
static void vdiset_queue(struct run *run, uint32_t device, uint32_t tag)
{
	struct vdiset *v = run->priv;
	int code = vdi_server_queue_command(v->to[device],
					    &sent_at(run, device, tag)->cmd);

	need_server(v, code, "send");
}

static uint32_t vdiset_reap(struct run *run, uint32_t device,
			    struct done *done)
{
	struct vdiset *v = run->priv;
	unsigned int count;

	(void)device;
	(void)done;
	need_server(v, vdi_server_run_completions(v->server, -1, &count),
		    "completions");
	return count;
}

static void vdiset_agent(struct run *run)
{
	struct vdiset *v = run->priv;

	need_server(v, vdi_server_execute_completion_agent(v->server),
		    "completions");
}

static void vdiset_stop(struct run *run)
{
	struct vdiset *v = run->priv;
	uint32_t i;

	for (i = 0; i < run->c.devices; i++)
		need_server(v, vdi_server_close_device(v->to[i]), "close");
}

static void take_command(struct run *run, struct VDC_Command *cmd,
			 struct item *item)
{
	if (cmd->commandCode != VDC_Write ||
	    (uint32_t)cmd->size != run->c.size)
		errx(1, "vdiset: wrong command");
	item->data = cmd->buffer;
	item->handle = cmd;
}

static uint32_t vdiset_receive(struct run *run, uint32_t device,
			       struct item *items)
{
	struct vdiset *v = run->priv;
	struct batch *batch = &v->batch[device];
	unsigned int i, n;
	int code;

	code = vdi_client_exchange_commands(v->from[device], batch->done,
					    batch->completed, -1, batch->cmds,
					    run->c.depth, &n);
	need_client(v, code, "exchange commands");
	batch->completed = 0;
	for (i = 0; i < n; i++)
		take_command(run, batch->cmds[i], &items[i]);
	return n;
}

static void vdiset_complete(struct run *run, uint32_t device,
			    const struct item *items, const struct done *done,
			    uint32_t n)
{
	struct batch *batch = &((struct vdiset *)run->priv)->batch[device];
	uint32_t i;

	for (i = 0; i < n; i++)
		batch->done[i] = (struct vdi_completion){
			.cmd = items[i].handle,
			.code = ERROR_SUCCESS,
			.bytes = run->c.size,
			.position = done[i].sum,
		};
	batch->completed = n;
}

static void vdiset_settle(struct run *run, uint32_t device)
{
	struct vdiset *v = run->priv;
	struct batch *batch = &v->batch[device];

	if (batch->completed)
		need_client(v, vdi_client_complete_commands(v->from[device],
						batch->done, batch->completed),
			    "complete");
	batch->completed = 0;
}

static uint32_t single_receive(struct run *run, uint32_t device,
			       struct item *items)
{
	struct vdiset *v = run->priv;
	struct VDC_Command *cmd;

	need_client(v, vdi_client_get_command(v->from[device], -1, &cmd),
		    "get command");
	take_command(run, cmd, items);
	return 1;
}

static void single_complete(struct run *run, uint32_t device,
			    const struct item *items, const struct done *done,
			    uint32_t n)
{
	struct vdiset *v = run->priv;
	uint32_t i;
	int code;

	for (i = 0; i < n; i++) {
		code = vdi_client_complete_command(v->from[device],
						   items[i].handle,
						   ERROR_SUCCESS, run->c.size,
						   done[i].sum);
		need_client(v, code, "complete");
	}
}

static void close_server(struct run *run, struct vdiset *v)
{
	if (!run->c.transport->agent)
		vdiset_stop(run);
	need_server(v, vdi_server_close(v->server), "close");
	vdi_server_free(v->server);
}

static void close_client(struct run *run, struct vdiset *v)
{
	struct VDC_Command *cmd;
	uint32_t i;
	int code;

	for (i = 0; i < run->c.devices; i++) {
		code = vdi_client_get_command(v->from[i], 60000, &cmd);
		if (code == NOERROR)
			errx(1, "vdiset: unexpected command");
		if (code != VD_E_CLOSE)
			need_client(v, code, "end the set");
	}
	need_client(v, vdi_client_close(v->client), "close");
	vdi_client_free(v->client);
}

static void vdiset_close(struct run *run, enum side side)
{
	if (side == PRODUCER)
		close_server(run, run->priv);
	else
		close_client(run, run->priv);
}

const struct transport transport_vdiset = {
	.name = "vdiset",
	.what = "virtual devices of libvdi; a side sleeps when it is idle",
	.one_thread = true,
	.open = vdiset_open,
	.buffer = vdiset_buffer,
	.send = vdiset_queue,
	.agent = vdiset_agent,
	.stop = vdiset_stop,
	.receive = vdiset_receive,
	.complete = vdiset_complete,
	.settle = vdiset_settle,
	.close = vdiset_close,
};

const struct transport transport_vdi_default = {
	.name = "vdi-default",
	.what = "the same, with the library's default spin before sleeping",
	.one_thread = true,
	.open = default_open,
	.buffer = vdiset_buffer,
	.send = vdiset_queue,
	.agent = vdiset_agent,
	.stop = vdiset_stop,
	.receive = vdiset_receive,
	.complete = vdiset_complete,
	.settle = vdiset_settle,
	.close = vdiset_close,
};

const struct transport transport_vdi_spin = {
	.name = "vdi-spin",
	.what = "the same, with a long spin before sleeping",
	.one_thread = true,
	.open = spin_open,
	.buffer = vdiset_buffer,
	.send = vdiset_queue,
	.agent = vdiset_agent,
	.stop = vdiset_stop,
	.receive = vdiset_receive,
	.complete = vdiset_complete,
	.settle = vdiset_settle,
	.close = vdiset_close,
};

const struct transport transport_vdi_1 = {
	.name = "vdi-1",
	.what = "virtual devices of libvdi, one call per command",
	.one_thread = true,
	.open = vdiset_open,
	.buffer = vdiset_buffer,
	.send = vdiset_send,
	.reap = vdiset_reap,
	.receive = single_receive,
	.complete = single_complete,
	.close = vdiset_close,
};
