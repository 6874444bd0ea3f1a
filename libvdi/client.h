/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * client.h - the client's set and devices, shared by client.c and
 * client_device.c
 *
 * Locks, in this order: set.life, device->core.lock, client->lock. A violation is
 * found with a device's lock held, and noted under that of the client.
 */
#ifndef VDI_CLIENT_H
#define VDI_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <libvdi.h>

#include "device.h"
#include "set.h"
#include "spin.h"

/*
 * A command held by the client. @cmd is what the client sees and may spoil;
 * the other fields are what completing relies on. A cache line each.
 */
struct vdi_slot {
	struct VDC_Command cmd;		/* first, see slot_of() */
	uint32_t code;
	uint32_t max_bytes;		/* see vdi_command_max_bytes() */
	bool held;
} __attribute__((aligned(64)));

struct vdi_client_device {
	struct vdi_device core;
	struct vdi_client *client;

	bool getting;			/* a thread is in get_command */

	/* of that thread */
	struct vdi_spin spin;
	uint32_t sleep_seq;
	bool pending_kick;		/* completions without a kick so far */
	bool closed;			/* VD_E_CLOSE was given */
	bool clear_held_back;		/* ClearError is held back */
	struct vdiset_command clear;

	/* with core.lock held, which completing takes, too */
	bool in_error;
	bool idle_waiter;		/* a thread waits for held to be 0 */
	uint32_t held;
	struct vdi_slot slots[];	/* by tag */
};

/* Why calls are to end, in one word for those that look each time. */
enum vdi_client_stop {
	VDI_STOP_GAVE_UP	= 1 << 0,	/* see give_up() */
	VDI_STOP_CLOSING	= 1 << 1	/* vdi_client_close() was called */
};

struct vdi_client {
	struct vdi_set set;		/* first */
	uint32_t role;
	uint32_t stops;			/* enum vdi_client_stop */
	pthread_mutex_t lock;		/* what follows */
	bool configured;
	struct vdiset_config config;
	struct vdi_client_device *devices[VDISET_MAX_DEVICES];
	struct vdi_device *retired;	/* devices of the set before */

	/* this client's abort of a set that had terminated: see give_up() */
	struct vdi_abort_info own_abort;
};

int vdi_client_fail_order(struct vdi_client *client, const char *what);
int vdi_client_fail_abort(struct vdi_client *client);
void vdi_client_abort(struct vdi_client *client, const char *text);
bool vdi_client_configured(const struct vdi_client *client);

static inline uint32_t vdi_client_stops(const struct vdi_client *client)
{
	return __atomic_load_n(&client->stops, __ATOMIC_ACQUIRE);
}

static inline bool vdi_client_gave_up(const struct vdi_client *client)
{
	return vdi_client_stops(client) & VDI_STOP_GAVE_UP;
}

static inline bool vdi_client_closing(const struct vdi_client *client)
{
	return vdi_client_stops(client) & VDI_STOP_CLOSING;
}

#endif /* VDI_CLIENT_H */
