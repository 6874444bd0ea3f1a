/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * server.h - the server's set and devices, shared by server.c,
 * server_buffers.c, server_device.c and server_agent.c
 *
 * Order of locks. Completion routines run with agent held, and with set.life if
 * a close completes outstanding commands:
 *
 *	set.life	opening, closing
 *	agent		held by the thread that runs the completion agent
 *	server->growth	announcing buffers; held while memory is allocated
 *	server->lock	configuration, allocator, opening of devices
 *	device->core.lock	sending, and completions
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
	VDI_SERVER_READY	/* configured; other states are the kernel's */
};

struct vdi_server {
	struct vdi_set set;		/* first */

	pthread_mutex_t growth;		/* for growth of the area */
	pthread_mutex_t lock;		/* what follows */
	enum vdi_server_phase phase;
	uint32_t depth;			/* requested; 0 = default */
	struct vdiset_config config;
	struct vdi_alloc alloc;
	uint64_t area_size;		/* announced, then allocated */
	uint64_t area_used;		/* end of the announced buffers */

	/* each written once with the lock held, read without it */
	struct vdi_server_device *devices[VDISET_MAX_DEVICES];
	struct vdi_server_device *first_opened;
	uint32_t opened;
	uint32_t closed;		/* in order */
	bool closing;			/* vdi_server_close() was called */
	bool violated;			/* the client broke the rules */
	struct vdi_device *retired;	/* devices of the previous set */

	pthread_mutex_t agent;		/* what follows */
	void *agent_thread;		/* vdi_self() */
	bool agent_runs;
	bool armed;			/* a need_wakeup may be set */
	uint32_t sleep_seq;
	uint32_t seen;			/* out_events of the last VDISET_WAIT */
	uint64_t pending_kicks;		/* devices that need a kick */
	uint32_t rotate;		/* where the next scan begins */
	int64_t silent_since;		/* no completion since then */
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
	VDI_DEVICE_CLOSING,		/* commands are outstanding */
	VDI_DEVICE_CLOSED
};

/* Why commands cannot be sent. */
enum vdi_server_device_block {
	VDI_BLOCK_CLOSED	= 1 << 0,	/* the state is not OPEN */
	VDI_BLOCK_DRAINED	= 1 << 1,	/* drained after an abort */
	VDI_BLOCK_IO_ERROR	= 1 << 2	/* only ClearError can be sent */
};

struct vdi_server_device {
	struct vdi_device core;		/* the agent uses core.ch.ring.head */
	struct vdi_server *server;
	uint64_t bit;			/* its bit in vdi_server.pending_kicks */

	/* protected by core.lock */
	enum vdi_server_device_state state;
	uint32_t blocks;		/* enum vdi_server_device_block */
	uint32_t free_count;		/* read without the lock */
	uint32_t *free_tags;		/* a stack; other tags are outstanding */
	struct vdi_request *requests;	/* by tag */
};


int vdi_server_begin_call(struct vdi_server *server, const char *what);
int vdi_server_end_call(struct vdi_server *server, int code, const char *what);

int vdi_server_device_run(struct vdi_server_device *device,
			  unsigned int *count);
struct VDS_Command *vdi_server_device_drain(struct vdi_server_device *device);

bool vdi_server_claim_agent(struct vdi_server *server, bool wait);
void vdi_server_leave_agent(struct vdi_server *server);
unsigned int vdi_server_drain(struct vdi_server *server);

/* Are commands outstanding? Without the lock, the answer may be outdated. */
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

/* A value that differs from that of all other threads of the process. */
static inline void *vdi_self(void)
{
#if defined(__x86_64__) && __GNUC__ >= 11
	return __builtin_thread_pointer();	/* without a call */
#else
	return (void *)pthread_self();
#endif
}

/* Is this called from a completion routine? */
static inline bool vdi_server_in_agent(const struct vdi_server *server)
{
	return __atomic_load_n(&server->agent_runs, __ATOMIC_ACQUIRE) &&
	       vdi_self() == __atomic_load_n(&server->agent_thread,
					     __ATOMIC_RELAXED);
}

#endif /* VDI_SERVER_H */
