// SPDX-License-Identifier: GPL-2.0
/*
 * matrix_server.c - every call of the server in every state (0s1f, and the pages of
 * the calls for the column Connected)
 *
 * In states without devices they are those of the previous set; see matrix_client.c.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

enum call {
	OPEN,
	GET_CONFIGURATION,
	BEGIN_CONFIGURATION,
	REQUEST_BUFFERS,
	QUERY_AVAILABLE_BUFFERS,
	END_CONFIGURATION,
	OPEN_DEVICE,
	EXECUTE_COMPLETION_AGENT,
	ALLOCATE_BUFFER,
	FREE_BUFFER,
	IS_SHARED_BUFFER,
	SEND_COMMAND,
	CLOSE_DEVICE,
	SIGNAL_ABORT,
	CLOSE,
	CALLS
};

static const char * const call_name[] = {
	[OPEN] = "Open",
	[GET_CONFIGURATION] = "GetConfiguration",
	[BEGIN_CONFIGURATION] = "BeginConfiguration",
	[REQUEST_BUFFERS] = "RequestBuffers",
	[QUERY_AVAILABLE_BUFFERS] = "QueryAvailableBuffers",
	[END_CONFIGURATION] = "EndConfiguration",
	[OPEN_DEVICE] = "OpenDevice",
	[EXECUTE_COMPLETION_AGENT] = "ExecuteCompletionAgent",
	[ALLOCATE_BUFFER] = "AllocateBuffer",
	[FREE_BUFFER] = "FreeBuffer",
	[IS_SHARED_BUFFER] = "IsSharedBuffer",
	[SEND_COMMAND] = "SendCommand",
	[CLOSE_DEVICE] = "CloseDevice",
	[SIGNAL_ABORT] = "SignalAbort",
	[CLOSE] = "Close",
};

enum state { S_DNE, S_CONNECTED, S_CONFIGURABLE, S_INITIALIZING, S_ACTIVE,
	     S_TERMINATED, S_ABORT, S_STATES };

static const char * const state_name[] = {
	[S_DNE] = "DNE",
	[S_CONNECTED] = "Connected",
	[S_CONFIGURABLE] = "Configurable",
	[S_INITIALIZING] = "Initializing",
	[S_ACTIVE] = "Active",
	[S_TERMINATED] = "NormallyTerminated",
	[S_ABORT] = "AbnormallyTerminated",
};

static const enum stage stage_of[] = {
	[S_DNE] = CREATED,
	[S_CONNECTED] = CONNECTED,
	[S_CONFIGURABLE] = CONFIGURABLE,
	[S_INITIALIZING] = INITIALIZING,
	[S_ACTIVE] = ACTIVE,
	[S_TERMINATED] = TERMINATED,
	[S_ABORT] = ABORTED,
};

struct cell {
	int code;
	enum state next;
};

#define P	VD_E_PROTOCOL
#define A	VD_E_ABORT
#define SHARED	1
#define ROW(a, b, c, d, e, f, g) {					\
	{ a, S_DNE }, { b, S_CONNECTED }, { c, S_CONFIGURABLE },	\
	{ d, S_INITIALIZING }, { e, S_ACTIVE }, { f, S_TERMINATED },	\
	{ g, S_ABORT } }

/*
 * In Initializing and Active the agent runs until it is stopped, here by an abort; in
 * NormallyTerminated it returns at once. FreeBuffer and IsSharedBuffer are called with
 * a buffer if one can be allocated.
 */
static const struct cell cells[CALLS][S_STATES] = {
	[OPEN] = {
		{ NOERROR, S_CONNECTED }, { P, S_CONNECTED },
		{ P, S_CONFIGURABLE }, { P, S_INITIALIZING }, { P, S_ACTIVE },
		{ P, S_TERMINATED }, { P, S_ABORT } },
	[GET_CONFIGURATION] = ROW(P, NOERROR, NOERROR, NOERROR, NOERROR,
				  NOERROR, A),
	[BEGIN_CONFIGURATION] = {
		{ P, S_DNE }, { NOERROR, S_CONFIGURABLE },
		{ P, S_CONFIGURABLE }, { P, S_INITIALIZING }, { P, S_ACTIVE },
		{ P, S_TERMINATED }, { A, S_ABORT } },
	[REQUEST_BUFFERS] = ROW(P, P, NOERROR, NOERROR, NOERROR, P, A),
	[QUERY_AVAILABLE_BUFFERS] = ROW(P, P, NOERROR, NOERROR, NOERROR, P, A),
	[END_CONFIGURATION] = {
		{ P, S_DNE }, { P, S_CONNECTED }, { NOERROR, S_INITIALIZING },
		{ P, S_INITIALIZING }, { P, S_ACTIVE }, { P, S_TERMINATED },
		{ A, S_ABORT } },
	[OPEN_DEVICE] = {
		{ P, S_DNE }, { P, S_CONNECTED }, { P, S_CONFIGURABLE },
		{ NOERROR, S_ACTIVE }, { VD_E_OPEN, S_ACTIVE },
		{ P, S_TERMINATED }, { A, S_ABORT } },
	[EXECUTE_COMPLETION_AGENT] = {
		{ P, S_DNE }, { P, S_CONNECTED }, { P, S_CONFIGURABLE },
		{ A, S_ABORT }, { A, S_ABORT }, { NOERROR, S_TERMINATED },
		{ A, S_ABORT } },
	[ALLOCATE_BUFFER] = ROW(P, P, P, NOERROR, NOERROR, P, A),
	[FREE_BUFFER] = ROW(P, P, P, NOERROR, NOERROR, NOERROR, NOERROR),
	[IS_SHARED_BUFFER] = ROW(0, 0, 0, SHARED, SHARED, SHARED, SHARED),
	[SEND_COMMAND] = ROW(P, P, P, P, NOERROR, P, A),
	[CLOSE_DEVICE] = {
		{ P, S_DNE }, { P, S_CONNECTED }, { P, S_CONFIGURABLE },
		{ P, S_INITIALIZING }, { NOERROR, S_TERMINATED },
		{ VD_E_CLOSE, S_TERMINATED }, { A, S_ABORT } },
	[SIGNAL_ABORT] = {
		{ P, S_DNE }, { NOERROR, S_ABORT }, { NOERROR, S_ABORT },
		{ NOERROR, S_ABORT }, { NOERROR, S_ABORT },
		{ NOERROR, S_TERMINATED }, { NOERROR, S_ABORT } },
	[CLOSE] = {
		{ P, S_DNE }, { NOERROR, S_DNE }, { NOERROR, S_DNE },
		{ NOERROR, S_DNE }, { P, S_DNE }, { NOERROR, S_DNE },
		{ NOERROR, S_DNE } },
};

struct fixture {
	struct pair p;
	struct sent sent;
	struct vdi_server_device *device;
	uint8_t *buffer;
};

static void previous_set(struct fixture *s)
{
	pair_up(&s->p, ACTIVE);
	s->device = s->p.sdev[0];
	pair_up(&s->p, TERMINATED);
	OK(vdi_server_close(s->p.server));
	OK(vdi_client_close(s->p.client));
	s->p.stage = DNE;
	new_name(s->p.name, sizeof(s->p.name));
}

static void set_up_fixture(struct fixture *s, enum state state)
{
	memset(s, 0, sizeof(*s));
	previous_set(s);
	s->buffer = (uint8_t *)s;
	if (state >= S_INITIALIZING) {
		pair_up(&s->p, INITIALIZING);
		s->buffer = buffer_of(&s->p, 4 * KIB);
	}
	if (state >= S_ACTIVE) {
		pair_up(&s->p, ACTIVE);
		s->device = s->p.sdev[0];
	}
	if (s->p.stage != stage_of[state])
		pair_up(&s->p, stage_of[state]);
}

static void *abort_soon(void *arg)
{
	struct fixture *s = arg;

	cf_nap(50);
	OK(vdi_client_signal_abort(s->p.client, 0, NULL));
	return NULL;
}

static int run_agent(struct fixture *s, enum state state)
{
	bool stopped = state == S_INITIALIZING || state == S_ACTIVE;
	pthread_t thread;
	int code;

	if (stopped)
		OK(pthread_create(&thread, NULL, abort_soon, s));
	code = vdi_server_execute_completion_agent(s->p.server);
	if (stopped)
		pthread_join(thread, NULL);
	return code;
}

/* The routine of a refused command runs during SendCommand. */
static int send_one(struct fixture *s)
{
	static const struct { int code, completion; } pairs[] = {
		{ P, ERROR_INVALID_HANDLE },
		{ A, ERROR_OPERATION_ABORTED },
	};
	unsigned int i;
	int code;

	prepare(&s->sent, VDC_Flush, NULL, 0);
	code = vdi_server_send_command(s->device, &s->sent.cmd);
	EQ(s->sent.routines, code != NOERROR);
	for (i = 0; i < 2; i++) {
		if (code == pairs[i].code)
			EQ(s->sent.cmd.completionCode, pairs[i].completion);
	}
	return code;
}

static int make_call(struct fixture *s, enum call call, enum state state)
{
	struct vdi_server *server = s->p.server;
	struct vdi_server_device *device;
	struct VDConfig config;
	uint8_t *buffer;
	uint32_t count;
	int code;

	switch (call) {
	case OPEN:
		return vdi_server_open(server, NULL, s->p.name);
	case GET_CONFIGURATION:
		return vdi_server_get_configuration(server, &config);
	case BEGIN_CONFIGURATION:
		return vdi_server_begin_configuration(server, VDF_WriteMedia,
						      0, 0, 0, 0);
	case REQUEST_BUFFERS:
		return vdi_server_request_buffers(server, 4 * KIB, 0, 1);
	case QUERY_AVAILABLE_BUFFERS:
		return vdi_server_query_available_buffers(server, 4 * KIB, 0,
							  &count);
	case END_CONFIGURATION:
		return vdi_server_end_configuration(server);
	case OPEN_DEVICE:
		code = vdi_server_open_device(server, s->p.name, &device);
		EQ(!device, code != NOERROR);
		return code;
	case EXECUTE_COMPLETION_AGENT:
		return run_agent(s, state);
	case ALLOCATE_BUFFER:
		code = vdi_server_allocate_buffer(server, &buffer, 4 * KIB, 0);
		EQ(!buffer, code != NOERROR);
		return code;
	case FREE_BUFFER:
		return vdi_server_free_buffer(server, s->buffer, 4 * KIB);
	case IS_SHARED_BUFFER:
		return vdi_server_is_shared_buffer(server, s->buffer);
	case SEND_COMMAND:
		return send_one(s);
	case CLOSE_DEVICE:
		return vdi_server_close_device(s->device);
	case SIGNAL_ABORT:
		return vdi_server_signal_abort(server, 0, NULL);
	case CLOSE:
		return vdi_server_close(server);
	default:
		abort();
	}
}

/* Checks the state by calls whose results depend on it. */
static void expect_state(struct fixture *s, enum state state)
{
	struct vdi_server *server = s->p.server;
	struct vdi_server_device *device;
	struct VDConfig config;
	uint32_t count;

	EQ(vdi_server_get_configuration(server, &config),
	   state == S_DNE ? P : state == S_ABORT ? A : NOERROR);
	if (state == S_DNE || state == S_ABORT)
		return;
	EQ(vdi_server_query_available_buffers(server, KIB, 0, &count),
	   state == S_CONNECTED || state == S_TERMINATED ? P : NOERROR);
	if (state == S_CONNECTED)
		OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0,
						  0, 0));
	if (state == S_CONFIGURABLE)
		OK(vdi_server_end_configuration(server));
	if (state == S_INITIALIZING)
		OK(vdi_server_open_device(server, s->p.name, &device));
	if (state == S_ACTIVE)
		EQ(vdi_server_open_device(server, s->p.name, &device),
		   VD_E_OPEN);
}

static void test_cell(const struct cf_rule *rule)
{
	const struct cell *cell = &cells[rule->a][rule->b];
	static struct fixture s;

	set_up_fixture(&s, rule->b);
	EQ(make_call(&s, rule->a, rule->b), cell->code);
	expect_state(&s, cell->next);
	vdi_server_free(s.p.server);
	vdi_client_free(s.p.client);
}

static const char *code_name(enum call call, int code)
{
	const char *text = vdi_strerror(code);
	static char name[32];

	if (call == IS_SHARED_BUFFER)
		return code ? "TRUE" : "FALSE";
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, ":"), text);
	return name;
}

static void __attribute__((constructor)) add_cells(void)
{
	int call, state;

	for (call = 0; call < CALLS; call++) {
		for (state = 0; state < S_STATES; state++) {
			const struct cell *cell = &cells[call][state];
			char *id, *text;

			if (asprintf(&id, "%s_%s", call_name[call],
				     state_name[state]) < 0 ||
			    asprintf(&text, "server %s in %s: %s, then %s",
				     call_name[call], state_name[state],
				     code_name(call, cell->code),
				     state_name[cell->next]) < 0)
				abort();
			cf_add(&(const struct cf_rule){ .section = "4.2",
				.id = id, .text = text, .test = test_cell,
				.a = call, .b = state });
		}
	}
}
