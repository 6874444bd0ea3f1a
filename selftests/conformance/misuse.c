// SPDX-License-Identifier: GPL-2.0
/*
 * misuse.c - random calls of any thread with any arguments: each returns a code, and
 * none crashes or hangs (section 13)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* Random numbers that depend on the seed only */
static uint32_t dice(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % n;
}

/* An "internal error" is not a valid result. */
static bool known_code(int code)
{
	if (code == VD_E_UNEXPECTED)
		return false;
	return code == NOERROR || ((uint32_t)code >= 0x80770002 &&
				   (uint32_t)code <= 0x80770011);
}

struct stage_set {
	struct pair p;
	struct vdi_client_device *cdev;
	struct vdi_server_device *sdev;
	struct VDC_Command *cmd;
	struct sent s;
	uint8_t *buffer;
	uint32_t seed;
};

static uint32_t size_of(struct stage_set *t)
{
	static const uint32_t sizes[] = { 0, 1, 511, 512, 64 * KIB, 4 * MIB,
					  0x7fffffff, UINT32_MAX };

	return sizes[dice(&t->seed, 8)];
}

static void *pointer_of(struct stage_set *t)
{
	switch (dice(&t->seed, 4)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(uintptr_t)dice(&t->seed, UINT32_MAX);
	case 2:
		return t;
	default:
		return t->buffer ? t->buffer + dice(&t->seed, 70000) : NULL;
	}
}

static int client_call(struct stage_set *t)
{
	struct vdi_client *c = t->p.client;
	struct vdi_client_device *device;
	struct vdi_abort_info info;
	struct VDConfig config;
	uint32_t handle;
	uint8_t *buffer;
	int code;

	switch (dice(&t->seed, 12)) {
	case 0:
		return vdi_client_create(c, NULL, t->p.name, &t->p.asked,
					 NULL);
	case 1:
		return vdi_client_get_configuration(c, dice(&t->seed, 2),
						    &config);
	case 2:
		code = vdi_client_open_device(c, dice(&t->seed, 4) ?
					      t->p.name : "b", &device);
		if (!code)
			t->cdev = device;
		return code;
	case 3:
	case 4:
	case 5:
		return vdi_client_get_command(t->cdev, dice(&t->seed, 2),
					      &t->cmd);
	case 6:
	case 7:
		return vdi_client_complete_command(t->cdev,
			dice(&t->seed, 4) ? t->cmd : pointer_of(t),
			dice(&t->seed, 4) ? 0 : size_of(t), size_of(t), 0);
	case 8:
		if (dice(&t->seed, 8))
			return vdi_client_abort_info(c, &info);
		return vdi_client_signal_abort(c, 0, NULL);
	case 9:
		if (dice(&t->seed, 4))
			return NOERROR;
		code = vdi_client_close(c);
		return code;
	case 10:
		return vdi_client_get_buffer_handle(c, pointer_of(t),
						    &handle);
	default:
		return vdi_client_map_buffer_handle(c, size_of(t), &buffer);
	}
}

static int server_configures(struct stage_set *t)
{
	struct vdi_server *s = t->p.server;
	struct VDConfig config;
	uint32_t count;

	switch (dice(&t->seed, 7)) {
	case 0:
		return vdi_server_open(s, NULL, t->p.name);
	case 1:
		return vdi_server_get_configuration(s, &config);
	case 2:
		return vdi_server_begin_configuration(s, VDF_WriteMedia, 0, 0,
			dice(&t->seed, 2) ? 0 : size_of(t), 0);
	case 3:
		return vdi_server_request_buffers(s, dice(&t->seed, 2) ?
			64 * KIB : size_of(t), 0, 1 + dice(&t->seed, 3));
	case 4:
		return vdi_server_query_available_buffers(s, size_of(t),
							  0, &count);
	case 5:
		return vdi_server_end_configuration(s);
	default:
		return vdi_server_name_device(s, dice(&t->seed, 3), "b");
	}
}

static int server_runs(struct stage_set *t)
{
	struct vdi_server *s = t->p.server;
	struct vdi_server_device *device;
	int code;

	switch (dice(&t->seed, 9)) {
	case 0:
		return vdi_server_allocate_buffer(s, &t->buffer, size_of(t),
						  0);
	case 1:
		return vdi_server_free_buffer(s, pointer_of(t), size_of(t));
	case 2:
		code = vdi_server_open_device(s, dice(&t->seed, 4) ?
					      t->p.name : "b", &device);
		if (!code)
			t->sdev = device;
		return code;
	case 3:
	case 4:
		if (t->s.cmd.completionContext && !t->s.routines)
			return NOERROR;	/* the command is outstanding */
		prepare(&t->s, dice(&t->seed, 21), dice(&t->seed, 2) ?
			t->buffer : NULL, size_of(t));
		code = vdi_server_send_command(t->sdev, &t->s.cmd);
		if (code == VD_E_INVALID)
			memset(&t->s, 0, sizeof(t->s));
		return code;
	case 5:
		return vdi_server_run_completions(s, dice(&t->seed, 2), NULL);
	case 6:
		if (dice(&t->seed, 4))
			return NOERROR;
		return vdi_server_close_device(t->sdev);
	case 7:
		if (dice(&t->seed, 8))
			return NOERROR;
		return vdi_server_signal_abort(s, 0, NULL);
	default:
		if (dice(&t->seed, 4))
			return NOERROR;
		return vdi_server_close(s);
	}
}

/* One valid step, so that the calls reach late states. */
static int right_step(struct stage_set *t)
{
	struct vdi_client *c = t->p.client;
	struct vdi_server *s = t->p.server;
	struct VDConfig config;
	int code;

	code = vdi_client_create(c, NULL, t->p.name, &t->p.asked, NULL);
	if (code)
		code = vdi_server_open(s, NULL, t->p.name);
	if (code)
		code = vdi_server_begin_configuration(s, VDF_WriteMedia, 0, 0,
						      0, 0);
	if (code && !t->buffer)
		code = vdi_server_request_buffers(s, 64 * KIB, 0, 2);
	if (code || t->buffer)
		code = vdi_server_end_configuration(s);
	if (!t->buffer)
		vdi_server_allocate_buffer(s, &t->buffer, 64 * KIB, 0);
	if (code)
		code = vdi_client_get_configuration(c, 0, &config);
	if (!t->cdev)
		vdi_client_open_device(c, t->p.name, &t->cdev);
	if (!t->sdev)
		vdi_server_open_device(s, t->p.name, &t->sdev);
	return code;
}

/* Returns whether a device was opened on both sides. */
static bool random_walk(uint32_t seed, unsigned int steps)
{
	struct stage_set *t = calloc(1, sizeof(*t));
	struct VDConfig asked = { .deviceCount = 1 + seed % 2 };
	bool active;
	int code;

	TRUE(t);
	t->seed = seed;
	pair_up(&t->p, DNE);
	t->p.asked = asked;
	while (steps--) {
		switch (dice(&t->seed, 4)) {
		case 0:
			code = client_call(t);
			break;
		case 1:
			code = server_configures(t);
			break;
		case 2:
			code = right_step(t);
			break;
		default:
			code = server_runs(t);
		}
		if (!known_code(code))
			printf("# seed %u\n", seed);
		TRUE(known_code(code));
	}
	active = t->cdev && t->sdev;
	vdi_server_free(t->p.server);
	vdi_client_free(t->p.client);
	free(t);
	return active;
}

RULE("13", random_order, "random calls of both sides with invalid arguments always return a code of the interface")
{
	uint32_t seed, active = 0;

	for (seed = 1; seed <= 150; seed++)
		active += random_walk(seed, 400);
	TRUE(active > 20);
}

/* ----------------------------------------------------------------- threads */

struct crowd {
	struct pair *p;
	bool stop;
	uint32_t seed;
};

static bool stopped(struct crowd *c)
{
	return __atomic_load_n(&c->stop, __ATOMIC_ACQUIRE);
}

static void *client_thread(void *arg)
{
	struct crowd *c = arg;
	struct VDC_Command *cmd;

	while (!stopped(c)) {
		int code = vdi_client_get_command(c->p->cdev[0], 5, &cmd);

		TRUE(known_code(code));
		if (!code)
			code = vdi_client_complete_command(c->p->cdev[0], cmd,
							   0, 0, 0);
		TRUE(known_code(code));
		if (code && code != VD_E_TIMEOUT && code != VD_E_BUSY)
			cf_nap(1);
	}
	return NULL;
}

static void *server_thread(void *arg)
{
	struct crowd *c = arg;
	struct sent s;

	while (!stopped(c)) {
		int code = send_it(c->p, &s, VDC_Flush, NULL, 0);

		TRUE(known_code(code));
		while (!__atomic_load_n(&s.routines, __ATOMIC_ACQUIRE)) {
			code = vdi_server_run_completions(c->p->server, 1,
							  NULL);
			TRUE(known_code(code));
		}
		cf_nap(1);
	}
	return NULL;
}

static void *info_thread(void *arg)
{
	struct crowd *c = arg;
	struct vdi_abort_info info;
	struct VDConfig config;
	char text[128];

	while (!stopped(c)) {
		vdi_client_get_configuration(c->p->client, 0, &config);
		vdi_server_get_configuration(c->p->server, &config);
		vdi_client_abort_info(c->p->client, &info);
		vdi_client_message(c->p->client, text, sizeof(text));
		vdi_server_message(c->p->server, text, sizeof(text));
		cf_nap(1);
	}
	return NULL;
}

static void close_under(bool server_first)
{
	static void *(* const fn[])(void *) = {
		client_thread, client_thread, server_thread, server_thread,
		info_thread,
	};
	enum { N = sizeof(fn) / sizeof(fn[0]) };
	struct crowd c = { 0 };
	struct pair p = { 0 };
	pthread_t thread[N];
	int i;

	c.p = &p;
	pair_up(&p, ACTIVE);
	for (i = 0; i < N; i++)
		OK(pthread_create(&thread[i], NULL, fn[i], &c));
	cf_nap(30);
	if (server_first)
		EQ(vdi_server_close(p.server), VD_E_PROTOCOL);
	else
		EQ(vdi_client_close(p.client), VD_E_OPEN);
	cf_nap(10);
	if (server_first)
		OK(vdi_client_close(p.client));
	else
		OK(vdi_server_close(p.server));
	__atomic_store_n(&c.stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < N; i++)
		OK(pthread_join(thread[i], NULL));
	vdi_client_free(p.client);
	vdi_server_free(p.server);
}

RULE("13", client_close_under_threads, "the client closes while other threads are in calls of both sides")
{
	int i;

	for (i = 0; i < 10; i++)
		close_under(false);
}

RULE("13", server_close_under_threads, "the server closes while other threads are in calls of both sides")
{
	int i;

	for (i = 0; i < 10; i++)
		close_under(true);
}

RULE("13", messages, "every failure has a message; null arguments are harmless")
{
	struct pair p = { 0 };
	struct VDConfig config;
	char text[8];

	pair_up(&p, CREATED);
	EQ(vdi_client_get_configuration(p.client, 0, &config), VD_E_TIMEOUT);
	vdi_client_message(p.client, text, sizeof(text));
	TRUE(strlen(text) == sizeof(text) - 1);
	vdi_client_message(p.client, NULL, 10);
	vdi_client_message(p.client, text, 0);
	vdi_client_message(NULL, text, sizeof(text));
	EQ(strlen(text), 0);
	vdi_server_message(NULL, text, sizeof(text));
	vdi_server_message(p.server, text, sizeof(text));
	EQ(vdi_client_abort_info(NULL, NULL), VD_E_INVALID);
	EQ(vdi_server_abort_info(NULL, NULL), VD_E_INVALID);
	EQ(vdi_client_fd(NULL), -1);
	EQ(vdi_server_fd(NULL), -1);
	EQ(vdi_client_device_fd(NULL), -1);
	vdi_abort_describe(NULL, NULL, 0);
}
