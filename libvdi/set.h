/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * set.h - what clients and servers have in common: a file of /dev/vdiset, the
 * mapped area, error codes of errno values, the last message
 */
#ifndef VDI_SET_H
#define VDI_SET_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <libvdi.h>
#include <linux/vdiset.h>

#include "area.h"
#include "gate.h"
#include "log.h"
#include "names.h"

/* What vdi_set_fail_order() says is missing. */
#define VDI_NEED_GET_CONFIG	"call GetConfiguration until it succeeds first"
#define VDI_NEED_BEGIN		"call BeginConfiguration first"
#define VDI_NEED_END		"call EndConfiguration first"

/* Users whose sets may be joined by name; see find.c. */
struct vdi_trust {
	unsigned int count;		/* 0 = the default */
	uid_t user[VDI_MAX_TRUSTED_USERS];
};

struct vdi_set;

/* Abort the set since the peer broke the rules. Returns VD_E_ABORT. */
typedef int vdi_violation_fn(struct vdi_set *set, const char *text);

/*
 * The gate is open while the object has a set; calls enter it. The life lock is
 * held to create, join and close, by calls that are not inside the gate.
 */
struct vdi_set {
	uint64_t id;			/* never used again, unlike the address */
	int fd;				/* -1 = no set */
	uint32_t *alive;		/* reads 0 in a forked child */
	vdi_violation_fn *violation;	/* of the client or the server */
	struct vdi_gate gate;
	pthread_mutex_t life;
	uint32_t spin;			/* most iterations before a sleep */
	char name[VDI_NAME_BUF];	/* with the instance, as in the kernel */
	struct vdi_area area;
	pthread_mutex_t message_lock;	/* protects what follows */
	char message[VDI_MESSAGE_SIZE];
	struct vdi_trust trust;
	struct vdi_abort_info ended;	/* of the set that was not joined */
	bool has_untrusted;
	uid_t untrusted;		/* user whose set was not joined */
};

/* The end of a time-out that is given in milliseconds. */
struct vdi_deadline {
	int64_t timeout_ns;		/* negative = never */
	int64_t end_ns;			/* 0 = the clock has not been read yet */
};

int vdi_set_init(struct vdi_set *set, vdi_violation_fn *violation);
void vdi_set_fini(struct vdi_set *set);
int vdi_set_set_spin(struct vdi_set *set, uint32_t iterations);
int vdi_set_open(struct vdi_set *set);
void vdi_set_ready(struct vdi_set *set);
void vdi_set_release(struct vdi_set *set);
bool vdi_set_has_file(const struct vdi_set *set);
bool vdi_set_exists(const struct vdi_set *set);
bool vdi_set_forked(const struct vdi_set *set);
bool vdi_set_enter(struct vdi_set *set);
void vdi_set_leave(struct vdi_set *set);

int vdi_set_ioctl_resumed(const struct vdi_set *set, unsigned long request,
			  void *arg);
int vdi_set_attach(struct vdi_set *set, uint32_t role, const char *name,
		   uid_t creator, int fd);
int vdi_set_get_config(const struct vdi_set *set, uint32_t flags,
		       int64_t timeout_ns, struct vdiset_get_config *get);
int vdi_set_map_area(struct vdi_set *set, uint64_t size, char *text);
int vdi_set_close(struct vdi_set *set, uint32_t *state);

int vdi_set_abort(struct vdi_set *set, uint32_t reason, uint32_t code,
		  const char *text);
int vdi_set_set_rate(struct vdi_set *set, uint64_t bytes_per_second);
int vdi_set_abort_info(const struct vdi_set *set, struct vdi_abort_info *info);
void vdi_set_copy_abort(const struct vdiset_abort_record *record,
			struct vdi_abort_info *info);
void vdi_set_copy_peer(const struct vdiset_peer *from, struct vdi_peer *peer);
int vdi_set_get_peer(struct vdi_set *set, uint32_t role,
		     struct vdi_peer *peer);
int vdi_set_get_creator(struct vdi_set *set, uid_t *creator);

int vdi_set_fail(struct vdi_set *set, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int vdi_set_name(struct vdi_set *set, const char *what, const char *instance,
		 const char *name, char buf[VDI_NAME_BUF]);
int vdi_set_check_name(struct vdi_set *set, const char *what, const char *name);
int vdi_set_fail_config(struct vdi_set *set, const char *what,
			const char *wrong, const struct vdiset_config *config);
int vdi_set_fail_text(struct vdi_set *set, int code, const char *text);
int vdi_set_fail_errno(struct vdi_set *set, int err, const char *what);
int vdi_set_code(int err);
int vdi_set_fail_abort(struct vdi_set *set);
int vdi_set_done(struct vdi_set *set, int code, const char *what);
int vdi_set_fail_order(struct vdi_set *set, const char *what,
		       const char *why);
int vdi_set_fail_null(struct vdi_set *set, const char *what,
		      const char *parameter);
int vdi_set_fail_gone(struct vdi_set *set, const char *what);
int vdi_set_fail_exists(struct vdi_set *set, const char *what);
void vdi_set_message(struct vdi_set *set, char *buf, size_t size);

int64_t vdi_now_ns(void);
int64_t vdi_deadline_read(struct vdi_deadline *deadline);

static inline void vdi_deadline_init(struct vdi_deadline *deadline,
				     int64_t timeout_ms)
{
	deadline->end_ns = 0;
	if (timeout_ms < 0 ||
	    __builtin_mul_overflow(timeout_ms, INT64_C(1000000),
				   &deadline->timeout_ns))
		deadline->timeout_ns = -1;
}

/*
 * Nanoseconds left; negative = without limit. The first call starts the clock.
 */
static inline int64_t vdi_deadline_left(struct vdi_deadline *deadline)
{
	return deadline->timeout_ns <= 0 ? deadline->timeout_ns :
					   vdi_deadline_read(deadline);
}

/* 0 or -errno. */
static inline int vdi_set_ioctl(const struct vdi_set *set,
				unsigned long request, void *arg)
{
	return ioctl(set->fd, request, arg) < 0 ? -errno : 0;
}

/*
 * Every violation of the protocol by the peer ends here: the set is aborted,
 * and nothing else that the peer has written is used.
 */
static inline int vdi_set_violation(struct vdi_set *set, const char *text)
{
	return set->violation(set, text);
}

/* Is this the process that opened the set, rather than a child of it? */
static inline bool vdi_set_mine(const struct vdi_set *set)
{
	return __atomic_load_n(set->alive, __ATOMIC_RELAXED);
}

#endif /* VDI_SET_H */
