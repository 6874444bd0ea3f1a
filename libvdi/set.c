// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * set.c - what clients and servers have in common
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "module.h"
#include "set.h"
#include "spin.h"

/* ------------------------------------------------------------------- time */

int64_t vdi_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* See vdi_deadline_left(). */
int64_t vdi_deadline_read(struct vdi_deadline *deadline)
{
	int64_t now = vdi_now_ns();

	if (!deadline->end_ns &&
	    __builtin_add_overflow(now, deadline->timeout_ns,
				   &deadline->end_ns)) {
		deadline->timeout_ns = -1;
		return -1;
	}
	return deadline->end_ns > now ? deadline->end_ns - now : 0;
}

/* --------------------------------------------------------------- messages */

int vdi_set_fail_text(struct vdi_set *set, int code, const char *text)
{
	return vdi_set_fail(set, code, "%s", text);
}

/* *@buf = the kernel's name of a set, or the reason why it cannot be one. */
int vdi_set_name(struct vdi_set *set, const char *what, const char *instance,
		 const char *name, char buf[VDI_NAME_BUF])
{
	int code = vdi_name_of_set(instance, name, buf);

	if (!code)
		return NOERROR;
	if (!name)
		return vdi_set_fail_null(set, what, "name");
	return vdi_set_fail(set, code, "%s: the %s is empty, has a backslash, "
			    "or is longer than %d bytes", what,
			    code == VD_E_INSTANCE_NAME ? "instance" : "name",
			    VDISET_NAME_MAX);
}

/* Can @name be the name of a device? */
int vdi_set_check_name(struct vdi_set *set, const char *what, const char *name)
{
	if (!name)
		return vdi_set_fail_null(set, what, "name");
	if (vdi_name_check(name))
		return vdi_set_fail(set, VD_E_INVALID, "%s: the name is empty, "
				    "has a backslash, or is longer than %d "
				    "bytes", what, VDISET_NAME_MAX);
	return NOERROR;
}

/* A configuration was refused: @wrong names the rule, the fields follow. */
int vdi_set_fail_config(struct vdi_set *set, const char *what,
			const char *wrong, const struct vdiset_config *config)
{
	char text[VDI_CONFIG_TEXT];

	vdi_config_describe(config, text);
	return vdi_set_fail(set, VD_E_NOTSUPPORTED, "%s: %s (%s)", what, wrong,
			    text);
}

/*
 * The last failure of this thread. Threads of one object fail at the same time,
 * and each wants its own reason.
 */
static __thread struct {
	uint64_t id;			/* of the set */
	char text[VDI_MESSAGE_SIZE];
} own_message;

/* Store a message and return @code. */
int vdi_set_fail(struct vdi_set *set, int code, const char *format, ...)
{
	char text[VDI_MESSAGE_SIZE];
	va_list args;

	if (vdi_set_forked(set))	/* the lock may be held for ever */
		return code;
	/* the arguments may be parts of the message before */
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	vdi_clean_text(text);	/* the peer chooses names of devices */
	own_message.id = set->id;
	strcpy(own_message.text, text);
	pthread_mutex_lock(&set->message_lock);
	strcpy(set->message, text);
	pthread_mutex_unlock(&set->message_lock);
	if (vdi_log_on())
		vdi_log(set->name, "%s [%s]", text, vdi_strerror(code));
	return code;
}

/* The end of a call; the failures are logged by vdi_set_fail(). */
int vdi_set_done(struct vdi_set *set, int code, const char *what)
{
	if (vdi_log_on() && code == NOERROR)
		vdi_log(set->name, "%s: done", what);
	return code;
}

void vdi_set_message(struct vdi_set *set, char *buf, size_t size)
{
	if (!buf || !size)
		return;
	*buf = '\0';
	if (!set)
		return;
	if (vdi_set_forked(set)) {
		snprintf(buf, size, "this process is not the one that opened "
			 "the set");
		return;
	}
	if (own_message.id == set->id) {
		snprintf(buf, size, "%s", own_message.text);
		return;
	}
	pthread_mutex_lock(&set->message_lock);
	snprintf(buf, size, "%s", set->message);
	pthread_mutex_unlock(&set->message_lock);
}

int vdi_set_fail_abort(struct vdi_set *set)
{
	struct vdi_abort_info info;
	char text[VDI_MESSAGE_SIZE];

	if (vdi_set_abort_info(set, &info) || !info.reason)
		return vdi_set_fail(set, VD_E_ABORT, "the set is aborted");
	vdi_abort_describe(&info, text, sizeof(text));
	return vdi_set_fail_text(set, VD_E_ABORT, text);
}

/* The object has no set, or the device belongs to a set that was closed. */
int vdi_set_fail_gone(struct vdi_set *set, const char *what)
{
	return vdi_set_fail(set, VD_E_PROTOCOL, "%s: the object has no set", what);
}

/* The object has a set and cannot take another. */
int vdi_set_fail_exists(struct vdi_set *set, const char *what)
{
	return vdi_set_fail(set, VD_E_PROTOCOL, "%s: this object has a set; "
			    "close it first", what);
}

/* A pointer that the call needs is NULL. */
int vdi_set_fail_null(struct vdi_set *set, const char *what,
		      const char *parameter)
{
	return vdi_set_fail(set, VD_E_INVALID, "%s: %s is NULL", what,
			    parameter);
}

/*
 * The call is out of order; @why says what is missing (NULL = the state says
 * it). In an aborted set every call but close is, so that the abort is what is
 * reported. For calls inside the gate.
 */
int vdi_set_fail_order(struct vdi_set *set, const char *what, const char *why)
{
	struct vdiset_status status = { .size = sizeof(status) };

	if (vdi_set_ioctl(set, VDISET_STATUS, &status))
		status.out_state = 0;
	if (status.out_abort.reason)
		return vdi_set_fail_abort(set);
	return vdi_set_fail(set, VD_E_PROTOCOL, "%s: the set is in state %s%s%s",
			    what, vdi_state_name(status.out_state),
			    why ? ": " : "", why ? why : "");
}

/* The VD_E_* code for an errno where the call has no special one. */
static int code_of_errno(int err)
{
	switch (err) {
	case ECANCELED:
		return VD_E_ABORT;
	case EBADFD:
	case ENOTCONN:
		return VD_E_PROTOCOL;
	case EINVAL:
	case ENAMETOOLONG:
		return VD_E_INVALID;
	case ENOMEM:
	case EDQUOT:
		return VD_E_MEMORY;
	case EACCES:
	case EPERM:
		return VD_E_SECURITY;
	case ETIMEDOUT:
		return VD_E_TIMEOUT;
	case EPIPE:
		return VD_E_CLOSE;
	case EBUSY:
		return VD_E_BUSY;
	default:
		return VD_E_UNEXPECTED;
	}
}

static const char *text_of_errno(int err)
{
	switch (err) {
	case ETIMEDOUT:
		return "timed out";
	case EPIPE:
		return "closed by the server";
	case EDQUOT:
		return "a limit of the user is reached";
	default:
		return strerror(err);
	}
}

int vdi_set_code(int err)
{
	return code_of_errno(err < 0 ? -err : err);
}

/* Fail with the general code and text of an errno; @err may be negative. */
int vdi_set_fail_errno(struct vdi_set *set, int err, const char *what)
{
	if (err < 0)
		err = -err;
	if (err == ECANCELED)
		return vdi_set_fail_abort(set);
	if (err == EBADFD)
		return vdi_set_fail_order(set, what, NULL);
	return vdi_set_fail(set, code_of_errno(err), "%s: %s", what,
			    text_of_errno(err));
}

/* ------------------------------------------------------------- life cycle */

/*
 * Allocate a page that is wiped in a forked child: it distinguishes the process
 * of a party from its children, without a getpid() in every call.
 */
static uint32_t *map_alive(void)
{
	uint32_t *alive;

	alive = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (alive == MAP_FAILED)
		return NULL;
	if (madvise(alive, sysconf(_SC_PAGESIZE), MADV_WIPEONFORK)) {
		munmap(alive, sysconf(_SC_PAGESIZE));
		return NULL;
	}
	return alive;
}

int vdi_set_init(struct vdi_set *set, vdi_violation_fn *violation)
{
	static uint64_t last_id;

	memset(set, 0, sizeof(*set));
	set->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	set->fd = -1;
	set->violation = violation;
	set->spin = vdi_spin_default();
	vdi_log_init();
	set->alive = map_alive();
	if (!set->alive)
		return VD_E_MEMORY;
	vdi_gate_init(&set->gate);
	pthread_mutex_init(&set->life, NULL);
	pthread_mutex_init(&set->message_lock, NULL);
	vdi_area_init(&set->area);
	return NOERROR;
}

void vdi_set_fini(struct vdi_set *set)
{
	munmap(set->alive, sysconf(_SC_PAGESIZE));
	pthread_mutex_destroy(&set->life);
	pthread_mutex_destroy(&set->message_lock);
	pthread_mutex_destroy(&set->area.lock);
}

int vdi_set_set_spin(struct vdi_set *set, uint32_t iterations)
{
	if (iterations > VDI_SPIN_MAX)
		return vdi_set_fail(set, VD_E_INVALID,
				    "spin: more than %u iterations",
				    VDI_SPIN_MAX);
	__atomic_store_n(&set->spin, iterations, __ATOMIC_RELAXED);
	return NOERROR;
}

static int open_node(struct vdi_set *set)
{
	char text[VDI_MESSAGE_SIZE];
	int fd, code;

	fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
		code = vdi_module_load(text, sizeof(text));
		if (code)
			return vdi_set_fail_text(set, code, text);
		fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0) {
		code = code_of_errno(errno);
		vdi_module_explain(errno, text, sizeof(text));
		return vdi_set_fail_text(set, code, text);
	}
	/* after set->alive: see vdi_set_forked() */
	__atomic_store_n(&set->fd, fd, __ATOMIC_RELEASE);
	return NOERROR;
}

/* Open a file that is not bound to a set yet. */
int vdi_set_open(struct vdi_set *set)
{
	pthread_mutex_lock(&set->message_lock);
	memset(&set->ended, 0, sizeof(set->ended));
	set->has_untrusted = false;
	pthread_mutex_unlock(&set->message_lock);
	__atomic_store_n(set->alive, 1, __ATOMIC_RELAXED);
	return open_node(set);
}

/* The file is bound to a set: let calls in. */
void vdi_set_ready(struct vdi_set *set)
{
	vdi_gate_open(&set->gate);
}

/*
 * Release descriptors and memory, when no call is inside the gate any more. In
 * a forked child, locks and gate are reset first: their state is that of the
 * parent's threads at the time of the fork.
 */
void vdi_set_release(struct vdi_set *set)
{
	if (vdi_set_forked(set)) {
		pthread_mutex_init(&set->life, NULL);
		pthread_mutex_init(&set->message_lock, NULL);
		pthread_mutex_init(&set->area.lock, NULL);
		vdi_gate_init(&set->gate);
	}
	vdi_area_unmap(&set->area);
	if (set->fd >= 0)
		close(set->fd);
	__atomic_store_n(&set->fd, -1, __ATOMIC_RELAXED);
	set->name[0] = '\0';
}

/* Does the object have a set, and is this the process that opened it? */
bool vdi_set_exists(const struct vdi_set *set)
{
	return vdi_gate_is_open(&set->gate) && vdi_set_mine(set);
}

/* Does the object have a file? May be called outside the gate. */
bool vdi_set_has_file(const struct vdi_set *set)
{
	return __atomic_load_n(&set->fd, __ATOMIC_ACQUIRE) >= 0;
}

/*
 * Is this a forked child's copy of a set? May be called outside the gate: the
 * file is stored after set->alive, and is loaded first here.
 */
bool vdi_set_forked(const struct vdi_set *set)
{
	return vdi_set_has_file(set) && !vdi_set_mine(set);
}

/* Begin a call that uses the set; false if there is none. */
bool vdi_set_enter(struct vdi_set *set)
{
	if (!vdi_gate_enter(&set->gate))
		return false;
	if (vdi_set_mine(set))
		return true;
	vdi_gate_leave(&set->gate);
	return false;
}

void vdi_set_leave(struct vdi_set *set)
{
	vdi_gate_leave(&set->gate);
}

/* ----------------------------------------------------------------- ioctls */

/*
 * vdi_set_ioctl() for calls that allocate memory. If a signal interrupts such a
 * call, the kernel keeps what it has allocated and continues from there in the
 * next call. So signal handlers run meanwhile, a fatal signal ends the process,
 * and an abort of the set ends the loop with ECANCELED.
 */
int vdi_set_ioctl_resumed(const struct vdi_set *set, unsigned long request,
			  void *arg)
{
	int err;

	do
		err = vdi_set_ioctl(set, request, arg);
	while (err == -EINTR);
	return err;
}

static int learn_name(struct vdi_set *set)
{
	struct vdiset_status status = { .size = sizeof(status) };
	int err;

	err = vdi_set_ioctl(set, VDISET_STATUS, &status);
	if (err)
		return err;
	if (status.out_name_len > VDISET_NAME_MAX)
		return -EPROTO;
	memcpy(set->name, status.out_name, status.out_name_len);
	set->name[status.out_name_len] = '\0';
	return 0;
}

/*
 * Join the set @name of @creator or, if @name is NULL, that of @fd. 0 or
 * -errno.
 */
int vdi_set_attach(struct vdi_set *set, uint32_t role, const char *name,
		   uid_t creator, int fd)
{
	struct vdiset_attach attach = {
		.size = sizeof(attach),
		.flags = VDISET_ATTACH_BY_FD,
		.role = role,
		.fd = fd,
	};
	int err;

	if (name) {
		attach.flags = VDISET_ATTACH_BY_NAME;
		attach.fd = 0;
		attach.name = (uintptr_t)name;
		attach.name_len = strlen(name);
		attach.creator = creator;
	}
	err = vdi_set_ioctl(set, VDISET_ATTACH, &attach);
	if (err)
		return err;
	return learn_name(set);
}

int vdi_set_get_config(const struct vdi_set *set, uint32_t flags,
		       int64_t timeout_ns, struct vdiset_get_config *get)
{
	memset(get, 0, sizeof(*get));
	get->size = sizeof(*get);
	get->flags = flags;
	get->timeout_ns = timeout_ns;
	return vdi_set_ioctl(set, VDISET_GET_CONFIG, get);
}

/* The resource limit that may have made a mapping fail; "" if there is none. */
static void describe_limit(char *buf, size_t size, bool locking)
{
	struct rlimit limit;

	*buf = '\0';
	if (!getrlimit(locking ? RLIMIT_MEMLOCK : RLIMIT_AS, &limit) &&
	    limit.rlim_cur != RLIM_INFINITY)
		snprintf(buf, size, "; %s is %llu bytes", locking ?
			 "RLIMIT_MEMLOCK" : "RLIMIT_AS",
			 (unsigned long long)limit.rlim_cur);
}

/*
 * Map the area up to @size. A failure is an error of this process, and never
 * the peer's fault. It is described in the message and in @text, of
 * VDI_MESSAGE_SIZE bytes, for the text of an abort (NULL = not needed).
 */
int vdi_set_map_area(struct vdi_set *set, uint64_t size, char *text)
{
	char buf[VDI_MESSAGE_SIZE], limit[64];
	bool locking;
	int err;

	err = vdi_area_map(&set->area, set->fd, size, &locking);
	if (!err)
		return NOERROR;
	if (!text)
		text = buf;
	describe_limit(limit, sizeof(limit), locking);
	snprintf(text, VDI_MESSAGE_SIZE, "cannot %s the buffers: %s%s",
		 locking ? "lock" : "map", strerror(-err), limit);
	/* mlock(2) reports its limit by several errors */
	return vdi_set_fail_text(set, locking ? VD_E_MEMORY :
				 code_of_errno(-err), text);
}

/*
 * Leave the set. -EBUSY: the set had not ended, and was aborted by it. *@state
 * is the state of the set before.
 */
int vdi_set_close(struct vdi_set *set, uint32_t *state)
{
	struct vdiset_status status = { .size = sizeof(status) };
	struct vdiset_close end = { .size = sizeof(end) };

	*state = VDISET_STATE_ACTIVE;
	if (!vdi_set_ioctl(set, VDISET_STATUS, &status))
		*state = status.out_state;
	return vdi_set_ioctl(set, VDISET_CLOSE, &end);
}

/* ------------------------------------------------------------------ abort */

/* An older module does not know the request. */
int vdi_set_set_rate(struct vdi_set *set, uint64_t bytes_per_second)
{
	struct vdiset_set_rate args = {
		.size = sizeof(args),
		.rate = bytes_per_second,
	};
	int err = vdi_set_ioctl(set, VDISET_SET_RATE, &args);

	switch (err) {
	case 0:
		return NOERROR;
	case -ENOTTY:
		return vdi_set_fail(set, VD_E_NOTSUPPORTED, "set rate: the "
				    "kernel module is too old for rate limits");
	case -ECANCELED:
		return vdi_set_fail_abort(set);
	case -EBADFD:
		return vdi_set_fail(set, VD_E_CLOSE,
				    "set rate: the set has terminated");
	default:
		return vdi_set_fail_errno(set, err, "set the rate");
	}
}

int vdi_set_abort(struct vdi_set *set, uint32_t reason, uint32_t code,
		  const char *text)
{
	struct vdiset_abort end = {
		.size = sizeof(end),
		.reason = reason,
		.code = code,
	};
	int err;

	if (text)
		snprintf(end.text, sizeof(end.text), "%s", text);
	err = vdi_set_ioctl(set, VDISET_ABORT, &end);
	return err ? vdi_set_fail_errno(set, err, "abort") : NOERROR;
}

void vdi_set_copy_abort(const struct vdiset_abort_record *record,
			struct vdi_abort_info *info)
{
	memset(info, 0, sizeof(*info));
	info->reason = record->reason;
	info->code = record->code;
	info->role = record->by.role;
	info->pid = record->by.pid;
	info->uid = record->by.uid;
	info->time_ns = record->time_ns;
	memcpy(info->comm, record->by.comm, VDI_COMM_SIZE - 1);
	memcpy(info->text, record->text, VDI_TEXT_SIZE - 1);
}

int vdi_set_abort_info(const struct vdi_set *set, struct vdi_abort_info *info)
{
	struct vdiset_status status = { .size = sizeof(status) };

	if (vdi_set_ioctl(set, VDISET_STATUS, &status))
		return VD_E_UNEXPECTED;
	vdi_set_copy_abort(&status.out_abort, info);
	return NOERROR;
}

/* ------------------------------------------------------------------- peers */

void vdi_set_copy_peer(const struct vdiset_peer *from, struct vdi_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	peer->role = from->role;
	peer->pid = from->pid;
	peer->uid = from->uid;
	peer->gid = from->gid;
	memcpy(peer->comm, from->comm, VDI_COMM_SIZE - 1);
}

/* Fill in the primary client or the server, as the kernel recorded it. */
int vdi_set_get_peer(struct vdi_set *set, uint32_t role, struct vdi_peer *peer)
{
	struct vdiset_status status = { .size = sizeof(status) };
	const struct vdiset_peer *from = role == VDI_ROLE_SERVER ?
		&status.out_server : &status.out_primary;
	int err;

	err = vdi_set_ioctl(set, VDISET_STATUS, &status);
	if (err)
		return vdi_set_fail_errno(set, err, "get peer");
	if (!from->role)
		return vdi_set_fail(set, VD_E_PROTOCOL, "get peer: the set has "
				    "no %s at present", vdi_role_name(role));
	vdi_set_copy_peer(from, peer);
	return NOERROR;
}

int vdi_set_get_creator(struct vdi_set *set, uid_t *creator)
{
	struct vdiset_status status = { .size = sizeof(status) };
	int err;

	err = vdi_set_ioctl(set, VDISET_STATUS, &status);
	if (err)
		return vdi_set_fail_errno(set, err, "get creator");
	*creator = status.out_creator;
	return NOERROR;
}
