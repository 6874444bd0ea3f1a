// SPDX-License-Identifier: GPL-2.0
/*
 * matrix_client.c - every call of the client in every state (7tyr)
 *
 * Configurable means that the server has not configured the set yet, Initializing
 * that GetConfiguration has returned. GetCommand and CompleteCommand need a device;
 * in states without one it is a device of the set that this client object had before,
 * as in a program with a bug.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

enum call {
	CREATE,
	GET_CONFIGURATION,
	OPEN_DEVICE,
	GET_COMMAND,
	COMPLETE_COMMAND,
	SIGNAL_ABORT,
	CLOSE,
	OPEN_IN_SECONDARY,
	GET_BUFFER_HANDLE,
	MAP_BUFFER_HANDLE,
	CALLS
};

static const char * const call_name[] = {
	[CREATE] = "Create",
	[GET_CONFIGURATION] = "GetConfiguration",
	[OPEN_DEVICE] = "OpenDevice",
	[GET_COMMAND] = "GetCommand",
	[COMPLETE_COMMAND] = "CompleteCommand",
	[SIGNAL_ABORT] = "SignalAbort",
	[CLOSE] = "Close",
	[OPEN_IN_SECONDARY] = "OpenInSecondary",
	[GET_BUFFER_HANDLE] = "GetBufferHandle",
	[MAP_BUFFER_HANDLE] = "MapBufferHandle",
};

enum state { C_DNE, C_CONFIGURABLE, C_INITIALIZING, C_ACTIVE, C_TERMINATED,
	     C_ABORT, C_STATES };

static const char * const state_name[] = {
	[C_DNE] = "DNE",
	[C_CONFIGURABLE] = "Configurable",
	[C_INITIALIZING] = "Initializing",
	[C_ACTIVE] = "Active",
	[C_TERMINATED] = "NormallyTerminated",
	[C_ABORT] = "Abort",
};

static const enum stage stage_of[] = {
	[C_DNE] = DNE,
	[C_CONFIGURABLE] = CONFIGURABLE,
	[C_INITIALIZING] = INITIALIZING,
	[C_ACTIVE] = ACTIVE,
	[C_TERMINATED] = TERMINATED,
	[C_ABORT] = ABORTED,
};

/* Result of the call, and the state after it */
struct cell {
	int code;
	enum state next;
};

#define P	VD_E_PROTOCOL
#define A	VD_E_ABORT
#define STAY(code, s)	{ code, s }
#define ROW(a, b, c, d, e, f) {						\
	STAY(a, C_DNE), STAY(b, C_CONFIGURABLE), STAY(c, C_INITIALIZING), \
	STAY(d, C_ACTIVE), STAY(e, C_TERMINATED), STAY(f, C_ABORT) }

/*
 * Points that docs/conformance.md decides: GetConfiguration in Configurable waits, and
 * times out here; OpenDevice in Active is called for a device that is open; Close in
 * Active returns VD_E_OPEN.
 */
static const struct cell cells[CALLS][C_STATES] = {
	[CREATE] = {
		{ NOERROR, C_CONFIGURABLE }, STAY(P, C_CONFIGURABLE),
		STAY(P, C_INITIALIZING), STAY(P, C_ACTIVE),
		STAY(P, C_TERMINATED), STAY(P, C_ABORT) },
	[GET_CONFIGURATION] = ROW(P, VD_E_TIMEOUT, NOERROR, NOERROR, NOERROR,
				  A),
	[OPEN_DEVICE] = {
		STAY(P, C_DNE), STAY(P, C_CONFIGURABLE),
		{ NOERROR, C_ACTIVE }, STAY(P, C_ACTIVE),
		STAY(P, C_TERMINATED), STAY(A, C_ABORT) },
	[GET_COMMAND] = ROW(P, P, P, NOERROR, P, A),
	[COMPLETE_COMMAND] = ROW(P, P, P, NOERROR, P, A),
	[SIGNAL_ABORT] = {
		STAY(P, C_DNE), { NOERROR, C_ABORT }, { NOERROR, C_ABORT },
		{ NOERROR, C_ABORT }, { NOERROR, C_ABORT },
		STAY(NOERROR, C_ABORT) },
	[CLOSE] = {
		STAY(P, C_DNE), { NOERROR, C_DNE }, { NOERROR, C_DNE },
		{ VD_E_OPEN, C_DNE }, { NOERROR, C_DNE }, { NOERROR, C_DNE } },
	/* not in the table; according to the pages of the calls */
	[OPEN_IN_SECONDARY] = {
		STAY(NOERROR, C_DNE), STAY(P, C_CONFIGURABLE),
		STAY(P, C_INITIALIZING), STAY(P, C_ACTIVE),
		STAY(P, C_TERMINATED), STAY(P, C_ABORT) },
	[GET_BUFFER_HANDLE] = ROW(P, P, NOERROR, NOERROR, NOERROR, NOERROR),
	[MAP_BUFFER_HANDLE] = ROW(P, P, NOERROR, NOERROR, NOERROR, NOERROR),
};

/* A set, with a command and a buffer for calls that need them */
struct fixture {
	struct pair p;
	struct sent sent;
	struct VDC_Command *cmd;
	struct vdi_client_device *device;
	uint8_t *buffer;
	uint32_t handle;
};

/* Runs and closes a set, whose device and command remain in the fixture. */
static void previous_set(struct fixture *s)
{
	pair_up(&s->p, ACTIVE);
	OK(send_it(&s->p, &s->sent, VDC_Flush, NULL, 0));
	s->cmd = got(&s->p, VDC_Flush);
	complete(&s->p, s->cmd, ERROR_SUCCESS, 0, 0);
	settle(&s->p, &s->sent);
	s->device = s->p.cdev[0];
	pair_up(&s->p, TERMINATED);
	OK(vdi_server_close(s->p.server));
	OK(vdi_client_close(s->p.client));
	s->p.stage = DNE;
	new_name(s->p.name, sizeof(s->p.name));
}

static void provide_command(struct fixture *s, bool taken)
{
	uint8_t *buffer = buffer_of(&s->p, 4 * KIB);

	OK(send_it(&s->p, &s->sent, VDC_Write, buffer, 4 * KIB));
	if (!taken)
		return;
	s->cmd = got(&s->p, VDC_Write);
	s->buffer = s->cmd->buffer;
	OK(vdi_client_get_buffer_handle(s->p.client, s->buffer, &s->handle));
}

/* In states without a command the buffer is the one that has handle 1. */
static void provide_buffer(struct fixture *s)
{
	if (s->p.stage < INITIALIZING) {
		s->buffer = (uint8_t *)s;
		s->handle = 1;
		return;
	}
	/* the first buffer of an area without prefix zones has handle 1 */
	s->handle = 1;
	OK(vdi_client_map_buffer_handle(s->p.client, 1, &s->buffer));
}

/* One device is open, in a set of two. */
static void one_of_two(struct fixture *s)
{
	struct pair *p = &s->p;

	p->asked.deviceCount = 2;
	pair_up(p, INITIALIZING);
	OK(vdi_server_open_device(p->server, p->name, &p->sdev[0]));
	OK(vdi_client_open_device(p->client, p->name, &p->cdev[0]));
	s->device = p->cdev[0];
	p->stage = ACTIVE;
}

static void set_up_fixture(struct fixture *s, enum call call, enum state state)
{
	memset(s, 0, sizeof(*s));
	previous_set(s);
	if (state == C_ACTIVE && call == OPEN_DEVICE) {
		one_of_two(s);
		return;
	}
	if (state >= C_ACTIVE) {
		pair_up(&s->p, ACTIVE);
		s->device = s->p.cdev[0];
	}
	if (state == C_ACTIVE && call == GET_COMMAND)
		provide_command(s, false);
	if ((state == C_ACTIVE || state == C_ABORT) &&
	    call == COMPLETE_COMMAND)
		provide_command(s, true);
	if (state == C_TERMINATED && call == COMPLETE_COMMAND) {
		provide_command(s, true);
		complete(&s->p, s->cmd, ERROR_SUCCESS, 4 * KIB, 0);
		settle(&s->p, &s->sent);
	}
	if (s->p.stage != stage_of[state])
		pair_up(&s->p, stage_of[state]);
	if (call == GET_BUFFER_HANDLE || call == MAP_BUFFER_HANDLE)
		provide_buffer(s);
}

static int join_another(struct fixture *s, enum state state)
{
	struct pair other = { 0 };
	int code;

	pair_up(&other, ACTIVE);
	code = vdi_client_open_in_secondary(s->p.client, NULL, other.name);
	if (state == C_DNE && !code)
		OK(vdi_client_close(s->p.client));
	pair_down(&other);
	return code;
}

static int make_call(struct fixture *s, enum call call, enum state state)
{
	struct vdi_client *client = s->p.client;
	struct vdi_client_device *device;
	struct VDC_Command *cmd;
	struct VDConfig config;
	uint32_t handle;
	uint8_t *buffer;
	char name[64];
	int code;

	switch (call) {
	case CREATE:
		new_name(name, sizeof(name));
		return vdi_client_create(client, NULL, name, &s->p.asked,
					 NULL);
	case GET_CONFIGURATION:
		return vdi_client_get_configuration(client, 0, &config);
	case OPEN_DEVICE:
		code = vdi_client_open_device(client, s->p.name, &device);
		EQ(!device, code != NOERROR);
		if (!code)
			s->device = device;
		return code;
	case GET_COMMAND:
		code = vdi_client_get_command(s->device, 0, &cmd);
		EQ(!cmd, code != NOERROR);
		return code;
	case COMPLETE_COMMAND:
		return vdi_client_complete_command(s->device, s->cmd,
						   ERROR_SUCCESS, 0, 0);
	case SIGNAL_ABORT:
		return vdi_client_signal_abort(client, 0, NULL);
	case CLOSE:
		return vdi_client_close(client);
	case OPEN_IN_SECONDARY:
		return join_another(s, state);
	case GET_BUFFER_HANDLE:
		return vdi_client_get_buffer_handle(client, s->buffer,
						    &handle);
	case MAP_BUFFER_HANDLE:
		return vdi_client_map_buffer_handle(client, s->handle,
						    &buffer);
	default:
		abort();
	}
}

/* Checks the state by calls whose results depend on it. */
static void expect_state(struct fixture *s, enum state state)
{
	static const int configuration[] = {
		[C_DNE] = P,
		[C_CONFIGURABLE] = VD_E_TIMEOUT,
		[C_INITIALIZING] = NOERROR,
		[C_ACTIVE] = NOERROR,
		[C_TERMINATED] = NOERROR,
		[C_ABORT] = A,
	};
	struct vdi_client_device *device;
	struct VDC_Command *cmd;
	struct VDConfig config;

	EQ(vdi_client_get_configuration(s->p.client, 0, &config),
	   configuration[state]);
	switch (state) {
	case C_INITIALIZING:
		OK(vdi_client_open_device(s->p.client, s->p.name, &device));
		break;
	case C_ACTIVE:
		TRUE(vdi_client_get_command(s->device, 0, &cmd) != P);
		break;
	case C_TERMINATED:
		EQ(vdi_client_get_command(s->device, 0, &cmd), P);
		break;
	default:
		break;
	}
}

static void test_cell(const struct cf_rule *rule)
{
	const struct cell *cell = &cells[rule->a][rule->b];
	static struct fixture s;

	set_up_fixture(&s, rule->a, rule->b);
	EQ(make_call(&s, rule->a, rule->b), cell->code);
	expect_state(&s, cell->next);
	vdi_client_free(s.p.client);
	vdi_server_free(s.p.server);
}

static const char *code_name(int code)
{
	const char *text = vdi_strerror(code);
	static char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, ":"), text);
	return name;
}

static void __attribute__((constructor)) add_cells(void)
{
	int call, state;

	for (call = 0; call < CALLS; call++) {
		for (state = 0; state < C_STATES; state++) {
			const struct cell *cell = &cells[call][state];
			char *id, *text;

			if (asprintf(&id, "%s_%s", call_name[call],
				     state_name[state]) < 0 ||
			    asprintf(&text, "client %s in %s: %s, then %s",
				     call_name[call], state_name[state],
				     code_name(cell->code),
				     state_name[cell->next]) < 0)
				abort();
			cf_add(&(const struct cf_rule){ .section = "4.1",
				.id = id, .text = text, .test = test_cell,
				.a = call, .b = state });
		}
	}
}
