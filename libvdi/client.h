/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * client.h - the client's set and devices, shared by client.c, client_log.c,
 * client_pace.c, outcome.c, client_device.c and client_commands.c
 *
 * Order of locks: set.life, device->core.lock, client->lock. A violation is
 * found with a device's lock held, and recorded under client->lock.
 */
#ifndef VDI_CLIENT_H
#define VDI_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <libvdi.h>

#include "device.h"
#include "pace.h"
#include "set.h"
#include "spin.h"

/*
 * A command that the client holds. The program sees @cmd, and may overwrite it;
 * completing relies on the other fields only. One cache line each.
 */
struct vdi_slot {
	struct VDC_Command cmd;		/* first, see slot_of() */
	uint32_t code;
	uint32_t max_bytes;		/* see vdi_command_max_bytes() */
	bool held;
	int64_t since;			/* if calls are logged; 0 = logged */
} __attribute__((aligned(64)));

/* What vdi_client_outcome() has to know; see outcome.c. */
struct vdi_history {
	uint64_t written;		/* bytes of completed Writes */
	bool flushed, discarded, completed;
	uint64_t flushed_at;		/* value of written at the last Flush */
	uint64_t discarded_at;		/* ... at the last Discard */
	uint32_t error_command;		/* the last one that failed */
	int error_code;
	uint32_t failed_command;	/* the first whose data may be lost */
	int failed_code;
};

struct vdi_client_device {
	struct vdi_device core;
	struct vdi_client *client;

	bool getting;			/* a thread is in get_command */

	/* used only by that thread */
	struct vdi_spin spin;
	uint32_t sleep_seq;
	bool pending_kick;		/* completions were not kicked for yet */
	bool closed;			/* VD_E_CLOSE was returned */
	bool clear_held_back;		/* ClearError waits in clear */
	struct vdiset_command clear;

	/* protected by core.lock */
	struct vdi_history history;
	bool in_error;
	bool idle_waiter;		/* a thread waits until held is 0 */
	uint32_t held;
	struct vdi_slot slots[];	/* by tag */
};

/* Why calls must end; one word, since it is checked for each command. */
enum vdi_client_stop {
	VDI_STOP_GAVE_UP	= 1 << 0,	/* see give_up() */
	VDI_STOP_CLOSING	= 1 << 1	/* vdi_client_close() was called */
};

struct vdi_client {
	struct vdi_set set;		/* first */
	uint32_t role;
	uint32_t stops;			/* enum vdi_client_stop */
	pthread_mutex_t lock;		/* protects what follows */
	bool configured;
	struct vdiset_config config;
	struct vdi_client_device *devices[VDISET_MAX_DEVICES];
	struct vdi_device *retired;	/* devices of the previous set */
	bool held_logged;		/* once for each set */
	struct vdi_pace pace;
	int64_t paced_at;		/* ns, last look at other processes; 0 = none */
	uint64_t paced[VDISET_MAX_DEVICES];	/* bytes that were seen there */

	/* this client's abort of a terminated set: see give_up() */
	struct vdi_abort_info own_abort;
};

int vdi_client_fail_abort(struct vdi_client *client);
void vdi_history_note(struct vdi_history *history, uint32_t command,
		      bool failed, int code, uint64_t written);
void vdi_client_abort(struct vdi_client *client, const char *text);
bool vdi_client_configured(const struct vdi_client *client);

/* If vdi_channel_rate(), after completing @count commands; without a lock. */
void vdi_client_pace(struct vdi_client_device *device,
		     const struct vdi_completion *done, unsigned int count)
	__attribute__((cold));

/* Only if vdi_log_on(). */
void vdi_client_log_completed(struct vdi_client_device *device,
			      const struct vdi_completion *done,
			      unsigned int count) __attribute__((cold));
void vdi_client_log_received(struct vdi_client_device *device,
			     struct VDC_Command **cmds, unsigned int count)
	__attribute__((cold));
int64_t vdi_client_log_waiting(struct vdi_client_device *device, int64_t left)
	__attribute__((cold));
void vdi_client_log_held(struct vdi_client *client, const char *when)
	__attribute__((cold));

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
