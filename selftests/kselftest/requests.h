/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One valid call of every request, and a fixture that brings a set to the state in
 * which it succeeds. A test changes one thing in the valid call and expects an
 * error. The unchanged call must then succeed, because an error changes nothing.
 */
#ifndef VDISET_TEST_REQUESTS_H
#define VDISET_TEST_REQUESTS_H

#include "vdiset_test.h"
#include "kselftest_harness.h"

enum on_file { ON_UNBOUND, ON_PRIMARY, ON_SERVER, ON_SERVER_DEVICE,
	       ON_CLIENT_DEVICE };

FIXTURE(request) {
	struct vd_set s;
	struct vd_dev client, server;
	int unbound;
	int secondary;
	int observer;
	int fd;			/* the file of the valid call */
	char name[80];
	/* size and flags are the first members of every structure */
	union {
		struct {
			__u32 size;
			__u32 flags;
		};
		struct vdiset_create create;
		struct vdiset_attach attach;
		struct vdiset_get_config get_config;
		struct vdiset_configure configure;
		struct vdiset_name_device name_device;
		struct vdiset_request_buffers request_buffers;
		struct vdiset_open_device open_device;
		struct vdiset_wait wait;
		struct vdiset_abort abort;
		struct vdiset_device_wait device_wait;
		__u64 align;
		char bytes[2048];
	} arg;
};

FIXTURE_VARIANT(request) {
	unsigned long request;
	size_t size;
	size_t first_size;	/* of the first version, 0: the same */
	int state;		/* of the set, for the valid call */
	enum on_file on;
	__u32 known_flags;
	unsigned int roles;	/* bit n: role n may call it on a set file */
	unsigned int states;	/* bit n: legal in state n */
	int reserved[2];	/* offsets of reserved words, 0: none */
	int has_out;		/* the request writes the structure */
};

#define ANY_ROLE	0x1e
#define CLIENTS		(1 << VDISET_ROLE_PRIMARY | 1 << VDISET_ROLE_SECONDARY)
#define THE_SERVER	(1 << VDISET_ROLE_SERVER)
#define ANY_STATE	0xfe

#define REQUEST(variant_name, REQ, type, ...)				\
	FIXTURE_VARIANT_ADD(request, variant_name) {			\
		.request = VDISET_##REQ, .size = sizeof(struct vdiset_##type), \
		__VA_ARGS__						\
	}

REQUEST(info, INFO, info, .on = ON_UNBOUND, .state = VDISET_STATE_CREATED,
	.roles = ANY_ROLE, .states = ANY_STATE, .has_out = 1);
REQUEST(list, LIST, list, .on = ON_UNBOUND, .state = VDISET_STATE_CREATED,
	.roles = ANY_ROLE, .states = ANY_STATE, .has_out = 1,
	.reserved = { offsetof(struct vdiset_list, reserved) });
REQUEST(create, CREATE, create, .on = ON_UNBOUND,
	.state = VDISET_STATE_CREATED, .has_out = 1,
	.reserved = { offsetof(struct vdiset_create, reserved),
		      offsetof(struct vdiset_create, reserved) + 4 });
REQUEST(attach, ATTACH, attach, .on = ON_UNBOUND,
	.state = VDISET_STATE_CREATED, .known_flags = 7, .has_out = 1);
REQUEST(get_config, GET_CONFIG, get_config, .on = ON_PRIMARY,
	.state = VDISET_STATE_CREATED, .roles = ANY_ROLE,
	.states = ANY_STATE & ~(1 << VDISET_STATE_ABORTED),
	.known_flags = VDISET_CONFIG_WAIT, .has_out = 1,
	.reserved = { offsetof(struct vdiset_get_config, reserved) });
REQUEST(configure, CONFIGURE, configure, .on = ON_SERVER,
	.state = VDISET_STATE_CONNECTED, .roles = THE_SERVER,
	.states = 1 << VDISET_STATE_CONNECTED,
	.reserved = { offsetof(struct vdiset_configure, reserved) });
REQUEST(name_device, NAME_DEVICE, name_device, .on = ON_SERVER,
	.state = VDISET_STATE_CONFIGURABLE, .roles = THE_SERVER,
	.states = 1 << VDISET_STATE_CONFIGURABLE);
REQUEST(request_buffers, REQUEST_BUFFERS, request_buffers, .on = ON_SERVER,
	.state = VDISET_STATE_CONFIGURABLE, .roles = THE_SERVER,
	.states = 1 << VDISET_STATE_CONFIGURABLE |
		  1 << VDISET_STATE_INITIALIZING | 1 << VDISET_STATE_ACTIVE,
	.has_out = 1);
REQUEST(end_config, END_CONFIG, end_config, .on = ON_SERVER,
	.state = VDISET_STATE_CONFIGURABLE, .roles = THE_SERVER,
	.states = 1 << VDISET_STATE_CONFIGURABLE, .has_out = 1);
REQUEST(open_device, OPEN_DEVICE, open_device, .on = ON_SERVER,
	.state = VDISET_STATE_INITIALIZING, .roles = THE_SERVER | CLIENTS,
	.states = 1 << VDISET_STATE_INITIALIZING | 1 << VDISET_STATE_ACTIVE,
	.has_out = 1,
	.reserved = { offsetof(struct vdiset_open_device, reserved) });
REQUEST(wait, WAIT, wait, .on = ON_SERVER, .state = VDISET_STATE_ACTIVE,
	.roles = THE_SERVER, .states = 1 << VDISET_STATE_ACTIVE,
	.known_flags = VDISET_WAIT_KICK | VDISET_WAIT_SLEEP, .has_out = 1);
REQUEST(abort, ABORT, abort, .on = ON_PRIMARY, .state = VDISET_STATE_CREATED,
	.roles = ANY_ROLE, .states = ANY_STATE);
REQUEST(status, STATUS, status, .on = ON_PRIMARY,
	.first_size = offsetof(struct vdiset_status, out_rate),
	.state = VDISET_STATE_CREATED, .roles = ANY_ROLE, .states = ANY_STATE,
	.has_out = 1);
REQUEST(device_status, DEVICE_STATUS, device_status, .on = ON_PRIMARY,
	.state = VDISET_STATE_CREATED, .roles = ANY_ROLE,
	.states = ANY_STATE & ~(1 << VDISET_STATE_ABORTED),
	.reserved = { offsetof(struct vdiset_device_status, reserved) },
	.has_out = 1);
REQUEST(set_rate, SET_RATE, set_rate, .on = ON_PRIMARY,
	.state = VDISET_STATE_CREATED, .roles = ANY_ROLE,
	.states = ANY_STATE & ~(1 << VDISET_STATE_TERMINATED |
				1 << VDISET_STATE_ABORTED));
REQUEST(close, CLOSE, close, .on = ON_PRIMARY, .state = VDISET_STATE_ABORTED,
	.roles = ANY_ROLE, .states = ANY_STATE);
REQUEST(device_wait, DEVICE_WAIT, device_wait, .on = ON_CLIENT_DEVICE,
	.state = VDISET_STATE_ACTIVE,
	.known_flags = VDISET_WAIT_KICK | VDISET_WAIT_SLEEP,
	.reserved = { offsetof(struct vdiset_device_wait, reserved) });
REQUEST(device_close, DEVICE_CLOSE, device_close, .on = ON_SERVER_DEVICE,
	.state = VDISET_STATE_ACTIVE);

static bool on_device(const FIXTURE_VARIANT(request) *variant)
{
	return variant->on == ON_SERVER_DEVICE ||
	       variant->on == ON_CLIENT_DEVICE;
}

static void good_arg(FIXTURE_DATA(request) *self,
		     const FIXTURE_VARIANT(request) *variant)
{
	memset(&self->arg, 0, sizeof(self->arg));
	self->arg.size = variant->size;
	switch (variant->request) {
	case VDISET_CREATE:
		vd_name(self->name, "new");
		self->arg.create.name = (uintptr_t)self->name;
		self->arg.create.name_len = strlen(self->name);
		self->arg.create.mode = 0600;
		self->arg.create.uid = -1;
		self->arg.create.gid = -1;
		self->arg.create.config.device_count = 1;
		break;
	case VDISET_ATTACH:
		self->arg.attach.flags = VDISET_ATTACH_BY_NAME;
		self->arg.attach.role = VDISET_ROLE_SERVER;
		self->arg.attach.name = (uintptr_t)self->s.name;
		self->arg.attach.name_len = strlen(self->s.name);
		self->arg.attach.creator = geteuid();
		break;
	case VDISET_NAME_DEVICE:
		vd_device_name(self->name, self->s.name, 1);
		self->arg.name_device.name = (uintptr_t)self->name;
		self->arg.name_device.name_len = strlen(self->name);
		self->arg.name_device.index = 1;
		break;
	case VDISET_REQUEST_BUFFERS:
		self->arg.request_buffers.bytes = 4096;
		break;
	case VDISET_OPEN_DEVICE:
		vd_device_name(self->name, self->s.name, 1);
		self->arg.open_device.name = (uintptr_t)self->name;
		self->arg.open_device.name_len = strlen(self->name);
		break;
	case VDISET_ABORT:
		self->arg.abort.reason = VDISET_REASON_SIGNAL;
		break;
	case VDISET_WAIT:
	case VDISET_DEVICE_WAIT:
		self->arg.flags = VDISET_WAIT_KICK;
		break;
	}
}

/* Advances self->s from INITIALIZING to a later state. */
static int reach(FIXTURE_DATA(request) *self, int state)
{
	int ret = vd_set_up(&self->s, 2, 4, 65536,
			    state < VDISET_STATE_ACTIVE ? state :
			    VDISET_STATE_INITIALIZING);

	if (!ret && state >= VDISET_STATE_ACTIVE) {
		ret = vd_set_open_device(&self->s, self->s.primary, 0,
					 &self->client);
		if (!ret)
			ret = vd_set_open_device(&self->s, self->s.server, 0,
						 &self->server);
	}
	if (!ret && state == VDISET_STATE_TERMINATED) {
		struct vd_dev second = { .fd = -1 };

		ret = vd_set_open_device(&self->s, self->s.server, 1, &second);
		if (!ret)
			ret = vd_device_close(second.fd);
		if (!ret)
			ret = vd_device_close(self->server.fd);
		vd_dev_release(&second);
	}
	if (!ret && state == VDISET_STATE_ABORTED)
		ret = vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, "");
	return ret;
}

FIXTURE_SETUP(request)
{
	self->client.fd = self->server.fd = -1;
	self->secondary = self->observer = -1;
	self->unbound = vd_open();
	ASSERT_LE(0, self->unbound);
	ASSERT_EQ(0, reach(self, variant->state));
	ASSERT_EQ(variant->state, vd_state(self->s.primary));
	switch (variant->on) {
	case ON_UNBOUND:
		self->fd = self->unbound;
		break;
	case ON_PRIMARY:
		self->fd = self->s.primary;
		break;
	case ON_SERVER:
		self->fd = self->s.server;
		break;
	case ON_SERVER_DEVICE:
		self->fd = self->server.fd;
		break;
	case ON_CLIENT_DEVICE:
		self->fd = self->client.fd;
		break;
	}
	good_arg(self, variant);
}

FIXTURE_TEARDOWN(request)
{
	vd_dev_release(&self->client);
	vd_dev_release(&self->server);
	vd_set_down(&self->s);
	close(self->unbound);
	if (self->secondary >= 0)
		close(self->secondary);
	if (self->observer >= 0)
		close(self->observer);
}

static inline int good_call(FIXTURE_DATA(request) *self,
			    const FIXTURE_VARIANT(request) *variant)
{
	good_arg(self, variant);
	return vd_ioctl(self->fd, variant->request, &self->arg);
}

#endif
