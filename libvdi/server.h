/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * server.h - the server's set and devices, shared by server.c,
 * server_device.c and server_agent.c
 *
 * Locks, in this order; completion routines run with agent, and where a close
 * calls back what was outstanding, with set.life:
 *
 *	set.life	opening, closing
 *	agent		held by whoever runs the completion agent
 *	server->growth	announcing buffers; held while memory is allocated
 *	server->lock	configuration, allocator, opening of devices
 *	device->core.lock	sending, and what completes
 */
#ifndef VDI_SERVER_H
#define VDI_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <libvdi.h>

#include "alloc.h"
#include "config.h"
#include "device.h"
#include "set.h"
#include "spin.h"

enum vdi_server_phase {
	VDI_SERVER_NONE,
	VDI_SERVER_CONNECTED,
	VDI_SERVER_CONFIGURABLE,
	VDI_SERVER_READY	/* configured; the kernel knows the rest */
};

struct vdi_server {
	struct vdi_set set;		/* first */

	pthread_mutex_t growth;		/* of the area, with the lock */
	pthread_mutex_t lock;		/* what follows */
	enum vdi_server_phase phase;
	uint32_t depth;			/* wish, 0 = default */
	struct vdiset_config config;
	struct vdi_alloc alloc;
	uint64_t area_size;		/* as announced, then as it is */
	uint64_t area_used;		/* up to where buffers were announced */

	/* written once each under the lock, read by anyone */
	struct vdi_server_device *devices[VDISET_MAX_DEVICES];
	struct vdi_server_device *first_opened;
	uint32_t opened;
	uint32_t closed;		/* in order */
	bool closing;			/* vdi_server_close() was called */
	bool violated;			/* the client broke the rules */
	struct vdi_device *retired;	/* devices of the set before */

	pthread_mutex_t agent;		/* what follows */
	void *agent_thread;		/* vdi_self() */
	bool agent_runs;
	bool armed;			/* some need_wakeup may be set */
	uint32_t sleep_seq;
	uint32_t seen;			/* events of VDISET_WAIT */
	uint64_t pending_kicks;		/* devices with commands without a kick so far */
	uint32_t rotate;		/* where the next scan begins */
	int64_t silent_since;		/* commands wait and none completes */
	struct vdi_spin spin;
};

/* A command that was sent and not completed; cmd NULL = the tag is free. */
struct vdi_request {
	struct VDS_Command *cmd;
	uint32_t code;
	uint32_t max_bytes;		/* see vdi_command_max_bytes() */
};

enum vdi_server_device_state {
	VDI_DEVICE_OPEN,
	VDI_DEVICE_CLOSING,		/* waits for what is outstanding */
	VDI_DEVICE_CLOSED
};

/* Reasons why commands cannot be sent. */
enum vdi_server_device_block {
	VDI_BLOCK_CLOSED	= 1 << 0,	/* the state is not OPEN */
	VDI_BLOCK_DRAINED	= 1 << 1,	/* by an abort */
	VDI_BLOCK_IO_ERROR	= 1 << 2	/* but ClearError */
};

struct vdi_server_device {
	struct vdi_device core;		/* core.ch.ring.head: the agent's */
	struct vdi_server *server;
	uint64_t bit;			/* among the devices of the set */

	/* with core.lock held */
	enum vdi_server_device_state state;
	uint32_t blocks;		/* enum vdi_server_device_block */
	uint32_t free_count;		/* read by anyone */
	uint32_t *free_tags;		/* a stack; the others are outstanding */
	struct vdi_request *requests;	/* by tag */
};

int vdi_server_fail_order(struct vdi_server *server, const char *what);

int vdi_server_device_run(struct vdi_server_device *device,
			  unsigned int *count);
struct VDS_Command *vdi_server_device_drain(struct vdi_server_device *device);

bool vdi_server_claim_agent(struct vdi_server *server, bool wait);
void vdi_server_leave_agent(struct vdi_server *server);
unsigned int vdi_server_drain(struct vdi_server *server);

/* Was something sent that is not complete? Without the lock, a moment ago. */
static inline bool
vdi_server_device_busy(const struct vdi_server_device *device)
{
	return __atomic_load_n(&device->free_count, __ATOMIC_RELAXED) <
	       device->core.limits.depth;
}

static inline struct vdi_server_device *
vdi_server_device_at(const struct vdi_server *server, uint32_t index)
{
	return __atomic_load_n(&server->devices[index], __ATOMIC_ACQUIRE);
}

static inline bool vdi_server_violated(const struct vdi_server *server)
{
	return __atomic_load_n(&server->violated, __ATOMIC_ACQUIRE);
}

/* Has the set terminated? */
static inline bool vdi_server_all_closed(const struct vdi_server *server)
{
	return server->config.device_count &&
	       __atomic_load_n(&server->closed, __ATOMIC_ACQUIRE) ==
	       server->config.device_count;
}

/* What no other living thread of the process has. */
static inline void *vdi_self(void)
{
#if defined(__x86_64__) && __GNUC__ >= 11
	return __builtin_thread_pointer();	/* and no call */
#else
	return (void *)pthread_self();
#endif
}

/* Called from a completion routine? */
static inline bool vdi_server_in_agent(const struct vdi_server *server)
{
	return __atomic_load_n(&server->agent_runs, __ATOMIC_ACQUIRE) &&
	       vdi_self() == __atomic_load_n(&server->agent_thread,
					     __ATOMIC_RELAXED);
}

#endif /* VDI_SERVER_H */
