/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace.h - tracepoints: changes of sets and devices, kicks and waits
 *
 * A set is identified by its number, which is never reused; vdiset_create also has its
 * name. A device is identified by set and index. Commands and completions are not
 * traced: the kernel does not parse them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vdiset

#if !defined(VDISET_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VDISET_TRACE_H

#include <linux/ctype.h>
#include <linux/tracepoint.h>

#include "compat.h"
#include "vdiset.h"

#ifndef VDISET_TRACE_NAMES
#define VDISET_TRACE_NAMES
/* The device index of an event that concerns the whole set. */
#define VDISET_ALL_DEVICES	(-1)

#define vdiset_show_state(state)				\
	__print_symbolic(state,					\
		{ VDISET_STATE_CREATED, "created" },		\
		{ VDISET_STATE_CONNECTED, "connected" },	\
		{ VDISET_STATE_CONFIGURABLE, "configurable" },	\
		{ VDISET_STATE_INITIALIZING, "initializing" },	\
		{ VDISET_STATE_ACTIVE, "active" },		\
		{ VDISET_STATE_TERMINATED, "terminated" },	\
		{ VDISET_STATE_ABORTED, "aborted" })

#define vdiset_show_role(role)					\
	__print_symbolic(role,					\
		{ VDISET_ROLE_PRIMARY, "primary" },		\
		{ VDISET_ROLE_SECONDARY, "secondary" },		\
		{ VDISET_ROLE_SERVER, "server" },		\
		{ VDISET_ROLE_OBSERVER, "observer" })

#define vdiset_show_reason(reason)				\
	__print_symbolic(reason,				\
		{ VDISET_REASON_SIGNAL, "signal" },		\
		{ VDISET_REASON_PROTOCOL, "protocol" },		\
		{ VDISET_REASON_TIMEOUT, "timeout" },		\
		{ VDISET_REASON_CLOSED, "closed" },		\
		{ VDISET_REASON_DIED, "died" })

#define vdiset_trace_side(side)					\
	__print_symbolic(side,					\
		{ VDISET_SERVER, "server" },			\
		{ VDISET_CLIENT, "client" })

/* A change of a party */
enum vdiset_trace_party {
	VDISET_TRACE_JOINS,
	VDISET_TRACE_LEAVES,
	VDISET_TRACE_DIED,
};

#define vdiset_trace_what(what)					\
	__print_symbolic(what,					\
		{ VDISET_TRACE_JOINS, "joins" },		\
		{ VDISET_TRACE_LEAVES, "leaves" },		\
		{ VDISET_TRACE_DIED, "died" })

/* Names may contain any byte; a newline would look like another event. */
static inline void vdiset_trace_printable(char *name)
{
	for (; *name; name++) {
		if (!isascii(*name) || !isprint(*name))
			*name = '?';
	}
}
#endif

/* for perf and trace-cmd, which read the format of an event */
TRACE_DEFINE_ENUM(VDISET_STATE_CREATED);
TRACE_DEFINE_ENUM(VDISET_STATE_CONNECTED);
TRACE_DEFINE_ENUM(VDISET_STATE_CONFIGURABLE);
TRACE_DEFINE_ENUM(VDISET_STATE_INITIALIZING);
TRACE_DEFINE_ENUM(VDISET_STATE_ACTIVE);
TRACE_DEFINE_ENUM(VDISET_STATE_TERMINATED);
TRACE_DEFINE_ENUM(VDISET_STATE_ABORTED);
TRACE_DEFINE_ENUM(VDISET_ROLE_PRIMARY);
TRACE_DEFINE_ENUM(VDISET_ROLE_SECONDARY);
TRACE_DEFINE_ENUM(VDISET_ROLE_SERVER);
TRACE_DEFINE_ENUM(VDISET_ROLE_OBSERVER);
TRACE_DEFINE_ENUM(VDISET_REASON_SIGNAL);
TRACE_DEFINE_ENUM(VDISET_REASON_PROTOCOL);
TRACE_DEFINE_ENUM(VDISET_REASON_TIMEOUT);
TRACE_DEFINE_ENUM(VDISET_REASON_CLOSED);
TRACE_DEFINE_ENUM(VDISET_REASON_DIED);
TRACE_DEFINE_ENUM(VDISET_TRACE_JOINS);
TRACE_DEFINE_ENUM(VDISET_TRACE_LEAVES);
TRACE_DEFINE_ENUM(VDISET_TRACE_DIED);
TRACE_DEFINE_ENUM(VDISET_SERVER);
TRACE_DEFINE_ENUM(VDISET_CLIENT);

/* A set was created. */
TRACE_EVENT(vdiset_create,
	TP_PROTO(const struct vdiset_set *set),
	TP_ARGS(set),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u32, devices)
		__field(u32, features)
		__string(name, set->name)
	),
	TP_fast_assign(
		__entry->set = set->id;
		__entry->devices = set->config.device_count;
		__entry->features = set->config.features;
		vdiset_assign_str(name, set->name);
		vdiset_trace_printable(__get_str(name));
	),
	TP_printk("set=%llu devices=%u features=%#x name=%s", __entry->set,
		  __entry->devices, __entry->features, __get_str(name))
);

/* A set is freed. */
TRACE_EVENT(vdiset_free,
	TP_PROTO(const struct vdiset_set *set),
	TP_ARGS(set),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->set = set->id;
		__entry->state = set->state;
	),
	TP_printk("set=%llu state=%s", __entry->set,
		  vdiset_show_state(__entry->state))
);

/* A set enters a state. */
TRACE_EVENT(vdiset_state,
	TP_PROTO(const struct vdiset_set *set, u32 state),
	TP_ARGS(set, state),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u32, from)
		__field(u32, to)
	),
	TP_fast_assign(
		__entry->set = set->id;
		__entry->from = set->state;
		__entry->to = state;
	),
	TP_printk("set=%llu from=%s to=%s", __entry->set,
		  vdiset_show_state(__entry->from),
		  vdiset_show_state(__entry->to))
);

/* A process joins a set, or leaves it: in order, or because it died. */
TRACE_EVENT(vdiset_party,
	TP_PROTO(const struct vdiset_party *party, bool joins, bool died),
	TP_ARGS(party, joins, died),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u32, role)
		__field(int, pid)
		__field(u32, what)
	),
	TP_fast_assign(
		__entry->set = party->set->id;
		__entry->role = party->who.role;
		__entry->pid = pid_nr(party->who.pid);
		/* observers have nothing to say before they go */
		__entry->what = joins ? VDISET_TRACE_JOINS :
				died && party->who.role != VDISET_ROLE_OBSERVER ?
				VDISET_TRACE_DIED : VDISET_TRACE_LEAVES;
	),
	TP_printk("set=%llu role=%s pid=%d %s", __entry->set,
		  vdiset_show_role(__entry->role), __entry->pid,
		  vdiset_trace_what(__entry->what))
);

/* A set is aborted: the process and the reason. */
TRACE_EVENT(vdiset_abort,
	TP_PROTO(const struct vdiset_set *set, u32 reason,
		 const struct vdiset_identity *by),
	TP_ARGS(set, reason, by),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u32, reason)
		__field(u32, role)
		__field(int, pid)
	),
	TP_fast_assign(
		__entry->set = set->id;
		__entry->reason = reason;
		__entry->role = by->role;
		__entry->pid = pid_nr(by->pid);
	),
	TP_printk("set=%llu reason=%s role=%s pid=%d", __entry->set,
		  vdiset_show_reason(__entry->reason),
		  vdiset_show_role(__entry->role), __entry->pid)
);

/* The buffer area is allocated or grows. */
TRACE_EVENT(vdiset_area,
	TP_PROTO(const struct vdiset_set *set, u64 bytes, int error),
	TP_ARGS(set, bytes, error),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u64, bytes)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->set = set->id;
		__entry->bytes = bytes;
		__entry->error = error;
	),
	TP_printk("set=%llu bytes=%llu error=%d", __entry->set,
		  __entry->bytes, __entry->error)
);

DECLARE_EVENT_CLASS(vdiset_device,
	TP_PROTO(const struct vdiset_device *device, enum vdiset_side side),
	TP_ARGS(device, side),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(int, device)
		__field(int, side)
	),
	TP_fast_assign(
		__entry->set = device->set->id;
		__entry->device = device->index;
		__entry->side = side;
	),
	TP_printk("set=%llu device=%d side=%s", __entry->set, __entry->device,
		  vdiset_trace_side(__entry->side))
);

/* A side opens a device. */
DEFINE_EVENT(vdiset_device, vdiset_device_open,
	TP_PROTO(const struct vdiset_device *device, enum vdiset_side side),
	TP_ARGS(device, side)
);

/* The server closes a device. */
DEFINE_EVENT(vdiset_device, vdiset_device_close,
	TP_PROTO(const struct vdiset_device *device, enum vdiset_side side),
	TP_ARGS(device, side)
);

/* A side of a device kicks the other one. */
DEFINE_EVENT(vdiset_device, vdiset_kick,
	TP_PROTO(const struct vdiset_device *device, enum vdiset_side side),
	TP_ARGS(device, side)
);

/*
 * A side has waited: for a device, or, the server, for all devices of the set. The error
 * is that of the wait, 0 for a new entry.
 */
TRACE_EVENT(vdiset_wait,
	TP_PROTO(const struct vdiset_set *set, int device,
		 enum vdiset_side side, u64 waited_ns, int error),
	TP_ARGS(set, device, side, waited_ns, error),
	TP_STRUCT__entry(
		__field(u64, set)
		__field(u64, waited_ns)
		__field(int, device)
		__field(int, side)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->set = set->id;
		__entry->device = device;
		__entry->side = side;
		__entry->waited_ns = waited_ns;
		__entry->error = error;
	),
	TP_printk("set=%llu device=%d side=%s waited_ns=%llu error=%d",
		  __entry->set, __entry->device,
		  vdiset_trace_side(__entry->side), __entry->waited_ns,
		  __entry->error)
);

#endif /* VDISET_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
