// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that random calls of several processes with several threads do no harm. They
 * create, join, use, misuse and close sets, which they find by name, by number and by
 * descriptors that they pass to each other. No call may hang or return an error that
 * is not documented, no set may return to an earlier state, and in the end no set
 * remains and a new one works.
 *
 *	VDISET_FUZZ_CALLS	number of calls (200000)
 *	VDISET_FUZZ_SECONDS	longest run time (60)
 *	VDISET_FUZZ_SEED	seed of the random numbers
 *	VDISET_FUZZ_WORKERS	processes (3)
 *	VDISET_FUZZ_THREADS	threads of each process (2)
 *
 * The numbers of a thread depend only on the seed, the worker, its generation and the
 * thread. With one worker of one thread, the whole run is repeatable.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "vdiset_test.h"
#include "harness.h"

#define MAX_WORKERS	16
#define MAX_THREADS	16
#define ERRNOS		134
#define STATES		1024		/* sets whose last state is kept */
#define NAMES		6
#define SLOTS		48
#define WINDOWS		24
#define WINDOW_SIZE	(8 * MIB)
#define MOST_FDS	96		/* so that EMFILE happens */
#define HIGH_FD		200		/* descriptors that are not fuzzed */
#define GENERATION	4000		/* calls of a thread before it ends */
#define HANGS		(60 * SEC)	/* longer than any call on any machine */
#define NOBODY		65534
#define PAGE		4096

/* Requests first, in the order of specs[]. */
enum op {
	R_INFO, R_CREATE, R_ATTACH, R_GET_CONFIG, R_CONFIGURE, R_NAME_DEVICE,
	R_REQUEST_BUFFERS, R_END_CONFIG, R_OPEN_DEVICE, R_WAIT, R_ABORT,
	R_STATUS, R_DEVICE_STATUS, R_LIST, R_CLOSE, R_SET_RATE, R_DEVICE_WAIT,
	R_DEVICE_CLOSE, R_UNKNOWN,
	O_OPEN, O_DUP, O_CLOSE, O_CLOSE_ALL, O_SEND, O_RECEIVE, O_POLL,
	O_EPOLL, O_FILE, O_FDINFO, O_MAP_FILES,
	O_MAP_AREA, O_MAP_RO, O_MAP_RW, O_MAP_WILD, O_UNMAP, O_REMAP,
	O_PROTECT, O_ADVISE, O_LOCK, O_TOUCH, O_COPY, O_FORK, O_UNSHARE,
	OPS,
	M_BUILD = OPS,			/* many calls: a valid set */
	CHOICES
};

enum kind {
	K_NONE, K_UNBOUND, K_PRIMARY, K_SECONDARY, K_SERVER, K_OBSERVER,
	K_SERVER_DEVICE, K_CLIENT_DEVICE, K_OTHER
};

#define BIT(kind)	(1U << (kind))
#define CLIENTS		(BIT(K_PRIMARY) | BIT(K_SECONDARY))
#define PARTIES		(CLIENTS | BIT(K_SERVER))
#define BOUND		(PARTIES | BIT(K_OBSERVER))
#define DEVICES		(BIT(K_SERVER_DEVICE) | BIT(K_CLIENT_DEVICE))
#define ANY		(~0U)

/* Shared by all processes */
struct world {
	_Atomic long calls;
	_Atomic int stop;
	_Atomic long results[OPS][ERRNOS];
	_Atomic long faults;		/* accesses to unmapped memory */
	_Atomic long traffic;		/* entries put into rings */
	_Atomic long killed;
	_Atomic uint64_t last_id;
	_Atomic uint64_t state[STATES];	/* id << 8 | state */
	_Atomic int wrong;
	char what[160];			/* the first error */
	_Atomic uint64_t crash[2];	/* the last fault: address, instruction */
	struct {
		_Atomic int op;
		_Atomic int64_t since;	/* 0 = not in a call */
	} busy[MAX_WORKERS][MAX_THREADS];
};

static struct world *world;
static uint64_t seed;
static int workers, threads, mailbox[2];

/*
 * A descriptor and its properties. Threads modify these without a lock, as they do
 * with the descriptors: stale values are part of the test.
 */
struct slot {
	volatile int fd;
	volatile int kind;
	volatile uint32_t name;
	volatile uint32_t ro_size;
	volatile uint32_t rw_size;
	volatile uint64_t area;
	volatile uint64_t id;
};

/*
 * Mappings. An address may be unmapped twice, or belong to another mapping by then.
 * So a process maps everything that it needs before it begins.
 */
struct window {
	_Atomic uint64_t place;		/* address and length of a mapping, or 0 */
	volatile int op;
};

#define LENGTH_BITS	28		/* in pages, like the address above them */

static void set_window(struct window *w, void *at, size_t length)
{
	atomic_store(&w->place, (uint64_t)(uintptr_t)at / PAGE << LENGTH_BITS |
				length / PAGE);
}

static char *window_at(uint64_t place)
{
	return (char *)(uintptr_t)((place >> LENGTH_BITS) * PAGE);
}

static size_t window_length(uint64_t place)
{
	return (place & ((1 << LENGTH_BITS) - 1)) * PAGE;
}

static struct slot slots[SLOTS];
static struct window windows[WINDOWS];
static char *arena;
static pthread_barrier_t all_there;	/* the stacks of all threads are mapped */

union arg {
	uint32_t size;
	struct vdiset_info info;
	struct vdiset_create create;
	struct vdiset_attach attach;
	struct vdiset_get_config get_config;
	struct vdiset_configure configure;
	struct vdiset_name_device name_device;
	struct vdiset_request_buffers request_buffers;
	struct vdiset_end_config end_config;
	struct vdiset_open_device open_device;
	struct vdiset_wait wait;
	struct vdiset_abort abort;
	struct vdiset_status status;
	struct vdiset_device_status device_status;
	struct vdiset_list list;
	struct vdiset_close close;
	struct vdiset_set_rate set_rate;
	struct vdiset_device_wait device_wait;
	struct vdiset_device_close device_close;
	unsigned char bytes[2 * PAGE];
};

struct thread {
	uint64_t random;
	int worker, index;
	union arg *arg;		/* two pages, followed by an unmapped one */
	char *readonly;
	char name[16];
	bool wild;		/* all arguments of this call may be invalid */
	bool child;
	volatile bool armed;
	sigjmp_buf jump;
};

static __thread struct thread *self;

/* ---------------------------------------------------------------- numbers */

static uint64_t rnd(struct thread *t)
{
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return t->random * 0x2545f4914f6cdd1dULL;
}

static unsigned int below(struct thread *t, unsigned int n)
{
	return (rnd(t) >> 32) % n;
}

static bool one_in(struct thread *t, unsigned int n)
{
	return below(t, n) == 0;
}

/* Numbers at limits */
static uint64_t number(struct thread *t)
{
	uint64_t n = 1ULL << below(t, 64);

	switch (below(t, 5)) {
	case 0:
		return below(t, 16);
	case 1:
		return n - 1;
	case 2:
		return n;
	case 3:
		return -n;
	default:
		return rnd(t);
	}
}

/* ---------------------------------------------------------------- results */

static void wrong(const char *what, long a, long b)
{
	if (atomic_fetch_add(&world->wrong, 1) == 0)
		snprintf(world->what, sizeof(world->what), "%s: %ld, %ld",
			 what, a, b);
}

static void begin(struct thread *t, enum op op)
{
	if (t->child)
		return;
	atomic_store(&world->busy[t->worker][t->index].op, op);
	atomic_store(&world->busy[t->worker][t->index].since, vd_now());
}

static long end(struct thread *t, enum op op, long ret)
{
	int error = ret < 0 ? -ret : 0;

	if (!t->child)
		atomic_store(&world->busy[t->worker][t->index].since, 0);
	atomic_fetch_add(&world->results[op][error < ERRNOS ? error : 0], 1);
	atomic_fetch_add(&world->calls, 1);
	return ret;
}

/* Every call is recorded here, with its result 0 or -errno. */
#define CALL(t, op, call)						\
({									\
	long __ret;							\
									\
	begin(t, op);							\
	__ret = (long)(call);						\
	end(t, op, __ret == -1 ? -errno : __ret);			\
})

static void on_fault(int sig, siginfo_t *info, void *context)
{
	if (self && self->armed) {
		self->armed = false;
		siglongjmp(self->jump, 1);
	}
	atomic_store(&world->crash[0], (uintptr_t)info->si_addr);
#ifdef __x86_64__
	atomic_store(&world->crash[1],
		     ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]);
#else
	(void)context;
#endif
	signal(sig, SIG_DFL);
	raise(sig);
}

/* -------------------------------------------------------------- the slots */

static struct slot *pick(struct thread *t, unsigned int kinds)
{
	unsigned int at = below(t, SLOTS), i;

	if (t->wild && one_in(t, 8))
		kinds = ANY & ~BIT(K_NONE);
	for (i = 0; i < SLOTS; i++) {
		struct slot *s = &slots[(at + i) % SLOTS];

		if (kinds & BIT(s->kind))
			return s;
	}
	return NULL;
}

static int pick_fd(struct thread *t, unsigned int kinds)
{
	struct slot *s = pick(t, kinds);

	return s ? s->fd : -1;
}

static void drop(struct thread *t, struct slot *s)
{
	int fd = s->fd;

	s->kind = K_NONE;
	s->fd = -1;
	if (fd > 2 && fd < HIGH_FD)
		CALL(t, O_CLOSE, close(fd));
}

/* If no slot is free, a used one is replaced. */
static struct slot *keep(struct thread *t, int fd, enum kind kind)
{
	struct slot *s;

	if (fd <= 2 || fd >= HIGH_FD)
		return NULL;
	s = pick(t, BIT(K_NONE));
	if (!s || s->kind != K_NONE) {
		s = &slots[below(t, SLOTS)];
		drop(t, s);
	}
	s->fd = fd;
	s->kind = kind;
	s->area = 0;
	s->id = 0;
	return s;
}

static struct slot *open_set(struct thread *t)
{
	int flags = O_RDWR | (one_in(t, 4) ? 0 : O_CLOEXEC);

	return keep(t, CALL(t, O_OPEN, open(VDISET_DEVICE_PATH, flags)),
		    K_UNBOUND);
}

/* --------------------------------------------------------------- requests */

struct spec {
	const char *name;
	unsigned long request;
	size_t size;
	unsigned int kinds;
	int errors[8];		/* in addition to those of every request */
};

#define SPEC(NAME, type, kinds, ...)					\
	[R_##NAME] = { #NAME, VDISET_##NAME, sizeof(struct type), kinds,	\
		       { __VA_ARGS__ } }

static const struct spec specs[] = {
	SPEC(INFO, vdiset_info, ANY & ~BIT(K_NONE)),
	SPEC(CREATE, vdiset_create, BIT(K_UNBOUND), EISCONN, EEXIST, EDQUOT,
	     ENAMETOOLONG),
	SPEC(ATTACH, vdiset_attach, BIT(K_UNBOUND), EISCONN, ENOENT, EACCES,
	     EBUSY, EAGAIN, EPIPE, EDQUOT, ENAMETOOLONG),
	SPEC(GET_CONFIG, vdiset_get_config, BOUND, ETIMEDOUT, EINTR),
	SPEC(CONFIGURE, vdiset_configure, BIT(K_SERVER)),
	SPEC(NAME_DEVICE, vdiset_name_device, BIT(K_SERVER), EEXIST, EBUSY,
	     ENAMETOOLONG),
	SPEC(REQUEST_BUFFERS, vdiset_request_buffers, BIT(K_SERVER), EDQUOT,
	     EINTR),
	SPEC(END_CONFIG, vdiset_end_config, BIT(K_SERVER), EDQUOT, EINTR),
	SPEC(OPEN_DEVICE, vdiset_open_device, PARTIES, ENOENT, EBUSY, ENOSPC,
	     EMFILE, ENFILE, ENAMETOOLONG),
	SPEC(WAIT, vdiset_wait, BIT(K_SERVER), ETIMEDOUT, EINTR, EPIPE),
	SPEC(ABORT, vdiset_abort, BOUND | DEVICES, EACCES),
	SPEC(STATUS, vdiset_status, BOUND | DEVICES),
	SPEC(DEVICE_STATUS, vdiset_device_status, BOUND),
	SPEC(LIST, vdiset_list, BOUND | BIT(K_UNBOUND), ENOENT),
	SPEC(CLOSE, vdiset_close, BOUND, EBUSY),
	SPEC(SET_RATE, vdiset_set_rate, BOUND, EACCES),
	SPEC(DEVICE_WAIT, vdiset_device_wait, DEVICES, ETIMEDOUT, EINTR,
	     EPIPE),
	SPEC(DEVICE_CLOSE, vdiset_device_close, BIT(K_SERVER_DEVICE), EPIPE),
};

static const int common_errors[] = {
	ENOTTY, EFAULT, EINVAL, E2BIG, ENOTCONN, EPERM, EBADFD, ECANCELED,
	ENOMEM, EBADF,
};

static bool documented(enum op op, int error)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(common_errors); i++)
		if (error == common_errors[i])
			return true;
	for (i = 0; i < ARRAY_LEN(specs[op].errors); i++)
		if (error && error == specs[op].errors[i])
			return true;
	return false;
}

/* "fuzz-b" is a set, "fuzz-b/2" one of its devices. */
static const char *make_name(struct thread *t, uint32_t set, unsigned int dev)
{
	memcpy(t->name, "fuzz-a", 7);
	t->name[5] += set % NAMES;
	if (dev) {
		t->name[6] = '/';
		t->name[7] = '0' + dev % 64;
		t->name[8] = 0;
	}
	return t->name;
}

static void give_name(struct thread *t, __u64 *name, __u32 *len,
		      const char *text)
{
	*name = (uintptr_t)text;
	*len = strlen(text);
	if (!t->wild || !one_in(t, 4))
		return;
	switch (below(t, 4)) {
	case 0:
		*name = number(t);
		break;
	case 1:
		*len = number(t);
		break;
	case 2:		/* ends in an unmapped page */
		*name = (uintptr_t)t->arg + 2 * PAGE - below(t, 16);
		break;
	default:	/* modified while it is copied */
		*name = (uintptr_t)window_at(windows[below(t, WINDOWS)].place);
		*len = 1 + below(t, VDISET_NAME_MAX);
	}
}

static int64_t short_wait(struct thread *t)
{
	return one_in(t, 3) ? 0 : below(t, 2 * MS);
}

static void fill_create(struct thread *t, struct slot *s)
{
	static const unsigned int modes[] = { 0600, 0660, 0666, 0644, 0 };
	struct vdiset_create *c = &t->arg->create;

	s->name = below(t, NAMES);
	if (!one_in(t, 6))
		give_name(t, &c->name, &c->name_len, make_name(t, s->name, 0));
	c->mode = modes[below(t, ARRAY_LEN(modes))];
	c->uid = one_in(t, 8) ? number(t) : -1;
	c->gid = one_in(t, 8) ? number(t) : -1;
	c->config.device_count = one_in(t, 20) ? 64 : 1 + below(t, 4);
}

static void fill_attach(struct thread *t, struct slot *s)
{
	struct vdiset_attach *a = &t->arg->attach;

	a->role = VDISET_ROLE_SECONDARY + below(t, 3);
	s->name = below(t, NAMES);
	switch (below(t, 3)) {
	case 0:
		a->flags = VDISET_ATTACH_BY_NAME;
		give_name(t, &a->name, &a->name_len, make_name(t, s->name, 0));
		a->creator = one_in(t, 8) ? number(t) : 0;
		break;
	case 1:
		a->flags = VDISET_ATTACH_BY_ID;
		a->id = atomic_load(&world->last_id) - below(t, 16);
		break;
	default:
		a->flags = VDISET_ATTACH_BY_FD;
		a->fd = pick_fd(t, t->wild ? ANY : BOUND);
	}
}

static uint64_t some_bytes(struct thread *t)
{
	if (t->wild && one_in(t, 4))
		return one_in(t, 2) ? number(t) | 1ULL << 40 : below(t, 4 * MIB);
	if (one_in(t, 100))
		return 32 * MIB;
	return one_in(t, 4) ? (1 + below(t, 2)) * 2 * MIB :
			      1 + below(t, 64) * PAGE;
}

static void fill_wait(struct thread *t)
{
	struct vdiset_wait *w = &t->arg->wait;

	w->flags = 1 + below(t, 3);
	if (w->flags & VDISET_WAIT_SLEEP)
		w->timeout_ns = short_wait(t);
	if (w->flags & VDISET_WAIT_KICK)
		w->kick = one_in(t, 2) ? 1 : below(t, 16);
	w->seen = one_in(t, 2) ? 0 : below(t, 32);
}

static void fill_device_wait(struct thread *t)
{
	struct vdiset_device_wait *w = &t->arg->device_wait;

	w->flags = 1 + below(t, 3);
	if (w->flags & VDISET_WAIT_SLEEP)
		w->timeout_ns = short_wait(t);
	w->seen = one_in(t, 4) ? below(t, 32) : 0;
}

/* An argument that is valid most of the time */
static void prepare(struct thread *t, enum op op, struct slot *s)
{
	union arg *arg = t->arg;

	memset(arg, 0, sizeof(*arg));
	switch (op) {
	case R_CREATE:
		fill_create(t, s);
		break;
	case R_ATTACH:
		fill_attach(t, s);
		break;
	case R_GET_CONFIG:
		arg->get_config.flags = below(t, 2);
		if (arg->get_config.flags)
			arg->get_config.timeout_ns = short_wait(t);
		break;
	case R_CONFIGURE:
		arg->configure.depth = one_in(t, 16) ? VDISET_MAX_DEPTH :
						       below(t, 64);
		arg->configure.features = rnd(t);
		break;
	case R_NAME_DEVICE:
		arg->name_device.index = below(t, 4);
		give_name(t, &arg->name_device.name, &arg->name_device.name_len,
			  make_name(t, s->name, arg->name_device.index));
		break;
	case R_REQUEST_BUFFERS:
		arg->request_buffers.bytes = some_bytes(t);
		break;
	case R_OPEN_DEVICE:
		give_name(t, &arg->open_device.name, &arg->open_device.name_len,
			  make_name(t, s->name, below(t, 4)));
		break;
	case R_WAIT:
		fill_wait(t);
		break;
	case R_ABORT:
		arg->abort.reason = 1 + below(t, 3);
		arg->abort.text[0] = 'f';
		break;
	case R_DEVICE_STATUS:
		arg->device_status.index = below(t, 4);
		break;
	case R_LIST:
		arg->list.cursor = one_in(t, 2) ? 0 :
				   atomic_load(&world->last_id) - below(t, 16);
		break;
	case R_SET_RATE:
		arg->set_rate.rate = below(t, 1 << 20);
		break;
	case R_DEVICE_WAIT:
		fill_device_wait(t);
		break;
	default:
		break;
	}
}

/* Modifies the argument; waits stay short. */
static void mutate(struct thread *t, enum op op)
{
	unsigned int n = below(t, 4), size = specs[op].size;

	while (n--)
		t->arg->bytes[4 + below(t, size - 4)] = number(t);
	if (op == R_WAIT)
		t->arg->wait.timeout_ns = short_wait(t);
	else if (op == R_DEVICE_WAIT)
		t->arg->device_wait.timeout_ns = short_wait(t);
	else if (op == R_GET_CONFIG)
		t->arg->get_config.timeout_ns = short_wait(t);
	else if (op == R_REQUEST_BUFFERS && one_in(t, 2))
		t->arg->request_buffers.bytes = some_bytes(t);
}

/* Sizes between a window and all of the memory would be slow: make them larger. */
static void spare_memory(struct thread *t)
{
	uint64_t *bytes = (uint64_t *)&t->arg->request_buffers.bytes;

	if (*bytes > 64 * MIB && *bytes < 1ULL << 40)
		*bytes |= 1ULL << 40;
}

static uint32_t odd_size(struct thread *t, uint32_t size)
{
	switch (below(t, 8)) {
	case 0:
		return number(t);
	case 1:
		return size - 1 - below(t, 8);
	case 2:		/* a later version, with zeros */
		return size + below(t, PAGE - size + 2);
	default:
		return size;
	}
}

/* Invalid arguments could make these wait or allocate without a limit. */
static bool must_be_sane(enum op op)
{
	return op == R_WAIT || op == R_DEVICE_WAIT || op == R_GET_CONFIG ||
	       op == R_REQUEST_BUFFERS;
}

/* Address of the structure. The result can be evaluated only if it is t->arg. */
static void *place(struct thread *t, enum op op)
{
	char *at = (char *)t->arg;
	size_t size = specs[op].size;
	uint64_t window;

	switch (below(t, 24)) {
	case 0:
		return NULL;
	case 1:
		return (void *)number(t);
	case 2:
		return (void *)(ULONG_MAX - below(t, 512));
	case 3:		/* ends in an unmapped page */
		size -= 1 + below(t, size);
		return memcpy(at + 2 * PAGE - size, at, size);
	case 4:		/* misaligned */
		return memcpy(at + PAGE + 1 + below(t, 64), at, size);
	case 5:
		return t->readonly;
	case 6:		/* memory that other threads write */
		window = atomic_load(&windows[below(t, WINDOWS)].place);
		/* space for a structure of a later version, which is a page */
		if (must_be_sane(op) || window_length(window) < 2 * PAGE)
			return at;
		return window_at(window) + below(t, 64) * 8;
	default:
		return at;
	}
}

/* States only advance: the result must not be earlier than the state before the call. */
static void check_state(uint64_t id, uint32_t state, uint64_t before)
{
	uint32_t was = before >> 8 == id ? before & 0xff : 0;

	if (state < VDISET_STATE_CREATED || state > VDISET_STATE_ABORTED)
		wrong("invalid state", state, id);
	else if (state < was)
		wrong("state went back", was, state);
	else if (was == VDISET_STATE_TERMINATED && state != was)
		wrong("aborted after termination", id, state);
	else
		atomic_store(&world->state[id % STATES], id << 8 | state);
}

static void bind_slot(struct slot *s, enum kind kind, uint64_t id)
{
	uint64_t last = atomic_load(&world->last_id);

	s->kind = kind;
	s->id = id;
	while (id > last &&
	       !atomic_compare_exchange_weak(&world->last_id, &last, id))
		;
}

/* Stores what a result reveals about the descriptor. */
static void learn(struct thread *t, enum op op, struct slot *s,
		  uint64_t before)
{
	const union arg *arg = t->arg;
	struct slot *dev;

	switch (op) {
	case R_CREATE:
		bind_slot(s, K_PRIMARY, arg->create.out_id);
		break;
	case R_ATTACH:
		bind_slot(s, K_PRIMARY + arg->attach.role - 1,
			  arg->attach.out_id);
		break;
	case R_GET_CONFIG:
		s->area = arg->get_config.out_config.buffer_area_size;
		break;
	case R_REQUEST_BUFFERS:
		s->area = arg->request_buffers.out_area_size;
		break;
	case R_STATUS:
		s->area = arg->status.out_config.buffer_area_size;
		if (arg->status.out_id == s->id)
			check_state(s->id, arg->status.out_state, before);
		break;
	case R_LIST:
		if (arg->list.out_state < VDISET_STATE_CREATED ||
		    arg->list.out_state > VDISET_STATE_ABORTED ||
		    arg->list.out_name_len > VDISET_NAME_MAX)
			wrong("LIST", arg->list.out_state,
			      arg->list.out_name_len);
		break;
	case R_OPEN_DEVICE:
		dev = keep(t, arg->open_device.out_fd, s->kind == K_SERVER ?
			   K_SERVER_DEVICE : K_CLIENT_DEVICE);
		if (!dev)
			break;
		dev->ro_size = arg->open_device.out_ro_size;
		dev->rw_size = arg->open_device.out_rw_size;
		dev->id = s->id;
		break;
	default:
		break;
	}
}

static long request(struct thread *t, enum op op, struct slot *s)
{
	const struct spec *spec = &specs[op];
	uint64_t before = atomic_load(&world->state[s->id % STATES]);
	void *at = t->arg;
	long ret;

	t->arg->size = spec->size;
	if (t->wild) {
		mutate(t, op);
		t->arg->size = odd_size(t, spec->size);
		if (op == R_REQUEST_BUFFERS)
			spare_memory(t);
		at = place(t, op);
	}
	ret = CALL(t, op, ioctl(s->fd, spec->request, at));
	if (ret < 0 && !documented(op, -ret))
		wrong(spec->name, ret, s->kind);
	if (!ret && at == t->arg)
		learn(t, op, s, before);
	return ret;
}

static void do_build(struct thread *t);

static void do_request(struct thread *t, enum op op)
{
	struct slot *s = pick(t, specs[op].kinds);

	if (!s && !(specs[op].kinds & BIT(K_UNBOUND)) && !one_in(t, 8)) {
		do_build(t);
		return;
	}
	if (!s)
		s = open_set(t);
	if (!s)
		return;
	prepare(t, op, s);
	request(t, op, s);
}

/* An unknown request, or one of the other kind of file */
static void do_unknown(struct thread *t)
{
	unsigned long number_of = _IO(VDISET_IOC_TYPE, below(t, 256));

	if (one_in(t, 2))
		number_of = specs[below(t, R_UNKNOWN)].request |
			    (1 + below(t, 3)) << 30;
	memset(t->arg, 0, sizeof(*t->arg));
	t->arg->size = below(t, 1024);
	CALL(t, R_UNKNOWN, ioctl(pick_fd(t, ANY & ~BIT(K_NONE)), number_of,
				 t->arg));
}

/* ---------------------------------------------------------------- mappings */

static void map(struct thread *t, enum op op, int fd, uint64_t offset,
		size_t length, int prot, int flags)
{
	unsigned int i = below(t, WINDOWS);
	struct window *w = &windows[i];
	char *at = arena + i * WINDOW_SIZE;
	long ret;

	if (length > WINDOW_SIZE || one_in(t, 4))
		at = NULL;
	ret = CALL(t, op, mmap(at, length, prot, flags | (at ? MAP_FIXED : 0),
			       fd, offset));
	if (ret < 0 && ret > -4096)
		return;
	w->op = op;
	set_window(w, (void *)ret, length);
}

static void map_area(struct thread *t, struct slot *s)
{
	uint64_t size = s->area, offset = 0;

	if (!size)
		size = PAGE;
	if (one_in(t, 4) && size > PAGE) {
		offset = below(t, size / PAGE) * PAGE;
		size = PAGE * (1 + below(t, (size - offset) / PAGE));
	}
	map(t, O_MAP_AREA, s->fd, VDISET_MMAP_AREA + offset, size,
	    PROT_READ | PROT_WRITE,
	    MAP_SHARED | (one_in(t, 8) ? MAP_POPULATE : 0));
}

static void do_map(struct thread *t, enum op op)
{
	struct slot *s = pick(t, op == O_MAP_AREA ? PARTIES : DEVICES);

	if (!s)
		return;
	if (op == O_MAP_AREA)
		map_area(t, s);
	else if (op == O_MAP_RO)
		map(t, op, s->fd, VDISET_MMAP_RO, s->ro_size, PROT_READ,
		    MAP_SHARED);
	else
		map(t, op, s->fd, VDISET_MMAP_RW, s->rw_size,
		    PROT_READ | PROT_WRITE, MAP_SHARED);
}

/* Random offset and length, private, executable */
static void do_map_wild(struct thread *t)
{
	static const uint64_t offsets[] = { VDISET_MMAP_RO, VDISET_MMAP_RW };
	struct slot *s = pick(t, PARTIES | DEVICES | BIT(K_OTHER));
	uint64_t offset = offsets[below(t, 2)] + below(t, 3) * PAGE;

	if (s)
		map(t, O_MAP_WILD, s->fd, one_in(t, 8) ? number(t) : offset,
		    PAGE * (1 + below(t, 40)), below(t, 8),
		    one_in(t, 3) ? MAP_PRIVATE : MAP_SHARED);
}

/* A mapping that exists or existed, or a part of it */
static struct window *pick_window(struct thread *t, uint64_t *place, char **at,
				  size_t *length)
{
	unsigned int first = below(t, WINDOWS), i;
	size_t pages, skip;

	for (i = 0; i < WINDOWS; i++) {
		struct window *w = &windows[(first + i) % WINDOWS];

		*place = atomic_load(&w->place);
		*at = window_at(*place);
		*length = window_length(*place);
		if (!*length)
			continue;
		pages = *length / PAGE;
		if (pages > 1 && one_in(t, 2)) {
			skip = below(t, pages);
			*at += skip * PAGE;
			*length = PAGE * (1 + below(t, pages - skip));
		}
		return w;
	}
	return NULL;
}

static void remap(struct thread *t, struct window *w, char *at, size_t length)
{
	unsigned int i = below(t, WINDOWS);
	size_t wanted = one_in(t, 2) ? length : PAGE * (1 + below(t, 512));
	int flags = one_in(t, 4) ? 0 : MREMAP_MAYMOVE;
	long ret;

	/* memory after the last window belongs to the process itself */
	if (flags && wanted <= WINDOW_SIZE && one_in(t, 2))
		flags |= MREMAP_FIXED;
	if (flags && one_in(t, 8))
		flags |= MREMAP_DONTUNMAP;
	ret = CALL(t, O_REMAP, mremap(at, length, wanted, flags,
				      arena + i * WINDOW_SIZE));
	if (ret < 0 && ret > -4096)
		return;
	set_window(w, (void *)ret, wanted);
}

/* All advice except that which poisons memory */
static int some_advice(struct thread *t)
{
	static const unsigned char advice[] = {
		0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
		20, 21, 22, 23, 24, 25,
	};

	return advice[below(t, ARRAY_LEN(advice))];
}

static void do_memory(struct thread *t, enum op op)
{
	uint64_t place;
	size_t length;
	char *at;
	struct window *w = pick_window(t, &place, &at, &length);

	if (!w)
		return;
	switch (op) {
	case O_UNMAP:
		if (at == window_at(place))
			atomic_compare_exchange_strong(&w->place, &place, 0);
		CALL(t, op, munmap(at, length));
		break;
	case O_REMAP:
		remap(t, w, at, length);
		break;
	case O_PROTECT:
		CALL(t, op, mprotect(at, length, below(t, 8)));
		break;
	case O_ADVISE:
		CALL(t, op, madvise(at, length, some_advice(t)));
		break;
	default:
		CALL(t, op, one_in(t, 2) ? mlock(at, length) :
					   munlock(at, length));
	}
}

/* A valid entry and the index after it */
static void produce(struct thread *t, volatile struct vdiset_region *own)
{
	volatile uint64_t *entry = (volatile uint64_t *)(own + 1);
	unsigned int i;

	for (i = 0; i < 4; i++)
		entry[i] = rnd(t);
	own->tail++;
	if (one_in(t, 2))
		own->head++;
	own->need_wakeup = below(t, 4);
	own->operations++;
	atomic_fetch_add(&world->traffic, 1);
}

static void touch(struct thread *t, char *at, size_t length, int op)
{
	volatile uint64_t *word;

	if (op == O_MAP_RW && one_in(t, 2)) {
		produce(t, (volatile struct vdiset_region *)at);
		return;
	}
	word = (volatile uint64_t *)(at + (rnd(t) % length & ~7ULL));
	if (op == O_MAP_RO && !one_in(t, 8))
		(void)*word;
	else
		*word = number(t);
}

/* Accesses memory that another thread may unmap. */
static void do_touch(struct thread *t)
{
	uint64_t place;
	size_t length;
	char *at;
	struct window *w = pick_window(t, &place, &at, &length);
	volatile long ret = 0;

	if (!w)
		return;
	if (sigsetjmp(t->jump, 0)) {
		atomic_fetch_add(&world->faults, 1);
		ret = -EFAULT;
	} else {
		t->armed = true;
		touch(t, window_at(place), window_length(place), w->op);
		t->armed = false;
	}
	end(t, O_TOUCH, ret);
}

/* Access by the kernel, which takes other paths (get_user_pages) */
static void do_copy(struct thread *t)
{
	uint64_t place;
	size_t length;
	char *at;
	struct iovec ours = { t->arg, PAGE }, theirs;

	if (!pick_window(t, &place, &at, &length))
		return;
	theirs.iov_base = at;
	theirs.iov_len = PAGE;
	if (one_in(t, 2))
		CALL(t, O_COPY, process_vm_readv(getpid(), &ours, 1, &theirs,
						 1, 0));
	else
		CALL(t, O_COPY, process_vm_writev(getpid(), &ours, 1, &theirs,
						  1, 0));
}

/* ------------------------------------------------------------- descriptors */

static void do_dup(struct thread *t)
{
	struct slot *s = pick(t, ANY & ~BIT(K_NONE)), *copy;
	int fd;

	if (!s)
		return;
	fd = CALL(t, O_DUP, one_in(t, 2) ? dup(s->fd) :
		  fcntl(s->fd, F_DUPFD_CLOEXEC, 3 + below(t, MOST_FDS)));
	copy = keep(t, fd, s->kind);
	if (!copy)
		return;
	copy->name = s->name;
	copy->id = s->id;
	copy->area = s->area;
	copy->ro_size = s->ro_size;
	copy->rw_size = s->rw_size;
}

static void do_close_all(struct thread *t)
{
	unsigned int i;

	CALL(t, O_CLOSE_ALL, syscall(SYS_close_range, 3, HIGH_FD - 1,
				     one_in(t, 4) ? 2 /* unshare */ : 0));
	for (i = 0; i < SLOTS; i++)
		slots[i].kind = K_NONE;
}

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void do_send(struct thread *t)
{
	struct slot *s = pick(t, ANY & ~BIT(K_NONE));
	uint32_t what[2];
	struct iovec iov = { what, sizeof(what) };
	union control control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (!s)
		return;
	fd = s->fd;
	what[0] = s->kind;
	what[1] = s->name;
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	CALL(t, O_SEND, sendmsg(mailbox[0], &msg, MSG_DONTWAIT));
}

static void do_receive(struct thread *t)
{
	uint32_t what[2] = { 0 };
	struct iovec iov = { what, sizeof(what) };
	union control control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct slot *s;
	int fd;

	memset(&control, 0, sizeof(control));
	if (CALL(t, O_RECEIVE, recvmsg(mailbox[1], &msg, MSG_DONTWAIT)) < 0 ||
	    control.header.cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	s = keep(t, fd, what[0] % (K_OTHER + 1));
	if (!s)
		return;
	s->name = what[1];
	s->ro_size = 2 * PAGE;
	s->rw_size = PAGE;
}

static void do_poll(struct thread *t)
{
	struct pollfd fds[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		fds[i].fd = pick_fd(t, BOUND | DEVICES | BIT(K_OTHER));
		fds[i].events = POLLIN | POLLOUT;
	}
	CALL(t, O_POLL, poll(fds, 1 + below(t, 3), below(t, 3)));
}

static void do_epoll(struct thread *t)
{
	static const int what[] = { EPOLL_CTL_ADD, EPOLL_CTL_ADD,
				    EPOLL_CTL_MOD, EPOLL_CTL_DEL };
	struct epoll_event event = { .events = EPOLLIN | (one_in(t, 2) ?
				     EPOLLET : one_in(t, 4) ? EPOLLONESHOT : 0) };
	int fd = pick_fd(t, BIT(K_OTHER));

	if (fd < 0 || one_in(t, 32))
		keep(t, CALL(t, O_EPOLL, epoll_create1(EPOLL_CLOEXEC)),
		     K_OTHER);
	else if (one_in(t, 2))
		CALL(t, O_EPOLL, epoll_ctl(fd, what[below(t, 4)],
					   pick_fd(t, ANY & ~BIT(K_NONE)),
					   &event));
	else
		CALL(t, O_EPOLL, epoll_wait(fd, &event, 1, below(t, 2)));
}

/* Operations of files other than requests */
static long file_call(struct thread *t, int fd)
{
	switch (below(t, 10)) {
	case 0:
		return ftruncate(fd, below(t, 4 * MIB));
	case 1:
		return fallocate(fd, below(t, 8), below(t, 4) * PAGE,
				 1 + below(t, 4) * PAGE);
	case 2:
		return lseek(fd, below(t, MIB), SEEK_SET);
	case 3:
		return read(fd, t->arg, PAGE);
	case 4:
		return write(fd, t->arg, PAGE);
	case 5:
		return fcntl(fd, F_SETFL, rnd(t) & (O_NONBLOCK | O_ASYNC |
						    O_APPEND | O_DIRECT));
	case 6:
		return fcntl(fd, F_SETFD, below(t, 2));
	case 7:
		return fsync(fd);
	case 8:
		return pread(fd, t->arg, PAGE, below(t, MIB));
	default:
		return pwrite(fd, t->arg, PAGE, below(t, MIB));
	}
}

static void do_file(struct thread *t)
{
	int fd = pick_fd(t, ANY & ~BIT(K_NONE));

	if (fd > 2 && fd < HIGH_FD)
		CALL(t, O_FILE, file_call(t, fd));
}

static char *hex(char *to, uint64_t n)
{
	int shift = 60;

	while (shift && !(n >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[n >> shift & 15];
	*to = 0;
	return to;
}

static void do_fdinfo(struct thread *t)
{
	int of = pick_fd(t, ANY & ~BIT(K_NONE)), fd;
	char path[40] = "/proc/self/fdinfo/";
	char *p = path + strlen(path);

	if (of < 0 || of > 99)
		return;
	*p++ = '0' + of / 10;
	*p++ = '0' + of % 10;
	*p = 0;
	if (of < 10)
		memmove(p - 2, p - 1, 2);
	fd = CALL(t, O_FDINFO, open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0)
		return;
	CALL(t, O_FDINFO, read(fd, t->arg, sizeof(*t->arg)));
	close(fd);
}

/* The file of the area, which only an administrator can open */
static void do_map_files(struct thread *t)
{
	char path[80] = "/proc/self/map_files/";
	uint64_t place;
	size_t length;
	char *at, *p = path + strlen(path);

	if (!pick_window(t, &place, &at, &length))
		return;
	p = hex(p, (uintptr_t)window_at(place));
	*p++ = '-';
	hex(p, (uintptr_t)window_at(place) + window_length(place));
	keep(t, CALL(t, O_MAP_FILES, open(path, O_RDWR | O_CLOEXEC)), K_OTHER);
}

/* ---------------------------------------------------------- a valid set */

static long valid(struct thread *t, enum op op, struct slot *s)
{
	prepare(t, op, s);
	return request(t, op, s);
}

static long build_attach(struct thread *t, struct slot *s,
			 const struct slot *primary, unsigned int role)
{
	struct vdiset_attach *a = &t->arg->attach;

	prepare(t, R_ATTACH, s);
	memset(a, 0, sizeof(*a));
	a->role = role;
	s->name = primary->name;
	if (one_in(t, 3)) {
		a->flags = VDISET_ATTACH_BY_FD;
		a->fd = primary->fd;
	} else {
		a->flags = VDISET_ATTACH_BY_ID;
		a->id = primary->id;
	}
	return request(t, R_ATTACH, s);
}

/* One party opens and maps devices 0 to @count - 1 and uses some of them. */
static void build_devices(struct thread *t, struct slot *s, unsigned int count)
{
	struct slot *dev;
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct vdiset_open_device *o = &t->arg->open_device;

		prepare(t, R_OPEN_DEVICE, s);
		give_name(t, &o->name, &o->name_len,
			  make_name(t, s->name, i));
		if (request(t, R_OPEN_DEVICE, s))
			return;
		if (one_in(t, 2))
			do_map(t, O_MAP_RW);
		if (one_in(t, 2))
			do_map(t, O_MAP_RO);
		do_touch(t);
		dev = pick(t, DEVICES);
		if (dev)
			valid(t, R_DEVICE_WAIT, dev);
		if (s->kind == K_SERVER)
			valid(t, R_WAIT, s);
	}
}

/* The server closes its devices, then the set. */
static void build_end(struct thread *t, struct slot *p, struct slot *s)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		if (slots[i].kind == K_SERVER_DEVICE && slots[i].id == s->id)
			valid(t, R_DEVICE_CLOSE, &slots[i]);
	}
	valid(t, R_STATUS, s);
	valid(t, R_CLOSE, s);
	valid(t, R_CLOSE, p);
}

static void do_build(struct thread *t)
{
	struct slot *p, *s, *second;
	unsigned int devices;

	t->wild = false;
	p = open_set(t);
	if (!p || valid(t, R_CREATE, p))
		return;
	devices = t->arg->create.config.device_count;
	if (devices > 4)
		devices = 4;
	s = open_set(t);
	if (!s || build_attach(t, s, p, VDISET_ROLE_SERVER) ||
	    one_in(t, 12) || valid(t, R_CONFIGURE, s))
		return;
	if (one_in(t, 3))
		valid(t, R_NAME_DEVICE, s);
	if (!one_in(t, 8))
		valid(t, R_REQUEST_BUFFERS, s);
	if (one_in(t, 12) || valid(t, R_END_CONFIG, s))
		return;
	valid(t, R_GET_CONFIG, p);
	if (one_in(t, 2)) {
		second = open_set(t);
		if (second && !build_attach(t, second, p, VDISET_ROLE_SECONDARY))
			build_devices(t, second, 1);
	}
	build_devices(t, s, devices);
	build_devices(t, p, devices);
	map_area(t, one_in(t, 2) ? s : p);
	valid(t, R_STATUS, p);
	if (one_in(t, 3))
		build_end(t, p, s);
}

/* ---------------------------------------------------------------- choosing */

static void step(struct thread *t);

static void child(struct thread *t)
{
	unsigned int n = below(t, 40);

	t->child = true;
	while (n--)
		step(t);
	if (one_in(t, 16))
		execl("/bin/true", "true", NULL);
	_exit(0);
}

static void do_fork(struct thread *t)
{
	uint64_t random = rnd(t);
	pid_t pid;

	if (t->child)
		return;
	pid = CALL(t, O_FORK, fork());
	if (!pid) {
		t->random ^= random | 1;
		child(t);
	}
	if (pid < 0)
		return;
	if (one_in(t, 2)) {
		if (one_in(t, 2))
			usleep(below(t, 2000));
		kill(pid, SIGKILL);
		atomic_fetch_add(&world->killed, 1);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Out of 1000. Calls that end a set are rare, so that sets reach late states. */
static const struct {
	int what;
	unsigned int weight;
} choices[] = {
	{ M_BUILD, 30 }, { R_INFO, 10 }, { R_CREATE, 20 }, { R_ATTACH, 40 },
	{ R_GET_CONFIG, 40 }, { R_CONFIGURE, 25 }, { R_NAME_DEVICE, 20 },
	{ R_REQUEST_BUFFERS, 20 }, { R_END_CONFIG, 15 },
	{ R_OPEN_DEVICE, 60 }, { R_WAIT, 60 }, { R_ABORT, 4 },
	{ R_STATUS, 50 }, { R_DEVICE_STATUS, 40 }, { R_LIST, 20 },
	{ R_CLOSE, 6 }, { R_SET_RATE, 10 }, { R_DEVICE_WAIT, 80 }, { R_DEVICE_CLOSE, 12 },
	{ R_UNKNOWN, 8 }, { O_OPEN, 20 }, { O_DUP, 15 }, { O_CLOSE, 20 },
	{ O_CLOSE_ALL, 1 }, { O_SEND, 12 }, { O_RECEIVE, 12 },
	{ O_POLL, 30 }, { O_EPOLL, 30 }, { O_FILE, 20 }, { O_FDINFO, 8 },
	{ O_MAP_FILES, 4 }, { O_MAP_AREA, 30 }, { O_MAP_RO, 20 },
	{ O_MAP_RW, 20 }, { O_MAP_WILD, 15 }, { O_UNMAP, 12 },
	{ O_REMAP, 10 }, { O_PROTECT, 12 }, { O_ADVISE, 20 },
	{ O_LOCK, 8 }, { O_TOUCH, 70 }, { O_COPY, 15 }, { O_FORK, 4 },
	{ O_UNSHARE, 1 },
};

static int choose(struct thread *t)
{
	unsigned int total = 0, at, i;

	for (i = 0; i < ARRAY_LEN(choices); i++)
		total += choices[i].weight;
	at = below(t, total);
	for (i = 0; at >= choices[i].weight; i++)
		at -= choices[i].weight;
	return choices[i].what;
}

static void step(struct thread *t)
{
	int what = choose(t);
	struct slot *s;

	t->wild = one_in(t, 3);
	if (what < R_UNKNOWN) {
		do_request(t, what);
		return;
	}
	switch (what) {
	case R_UNKNOWN:
		do_unknown(t);
		break;
	case O_OPEN:
		open_set(t);
		break;
	case O_DUP:
		do_dup(t);
		break;
	case O_CLOSE:
		s = pick(t, ANY & ~BIT(K_NONE));
		if (s)
			drop(t, s);
		break;
	case O_CLOSE_ALL:
		do_close_all(t);
		break;
	case O_SEND:
		do_send(t);
		break;
	case O_RECEIVE:
		do_receive(t);
		break;
	case O_POLL:
		do_poll(t);
		break;
	case O_EPOLL:
		do_epoll(t);
		break;
	case O_FILE:
		do_file(t);
		break;
	case O_FDINFO:
		do_fdinfo(t);
		break;
	case O_MAP_FILES:
		do_map_files(t);
		break;
	case O_MAP_AREA:
	case O_MAP_RO:
	case O_MAP_RW:
		do_map(t, what);
		break;
	case O_MAP_WILD:
		do_map_wild(t);
		break;
	case O_TOUCH:
		do_touch(t);
		break;
	case O_COPY:
		do_copy(t);
		break;
	case O_FORK:
		do_fork(t);
		break;
	case O_UNSHARE:
		CALL(t, O_UNSHARE, unshare(CLONE_FILES));
		break;
	case M_BUILD:
		do_build(t);
		break;
	default:
		do_memory(t, what);
	}
}

/* ----------------------------------------------------------------- workers */

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	int n;

	self = t;
	pthread_barrier_wait(&all_there);
	for (n = 0; n < GENERATION && !atomic_load(&world->stop); n++)
		step(t);
	return NULL;
}

static void *pages(size_t size, int prot)
{
	void *at = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS |
			MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		_exit(1);
	return at;
}

static void init_thread(struct thread *t, int worker, int index,
			int generation)
{
	int i;

	memset(t, 0, sizeof(*t));
	t->worker = worker;
	t->index = index;
	t->random = (seed + 1) * 0x9e3779b97f4a7c15ULL +
		    (worker << 24 | index << 16 | (generation & 0xffff));
	for (i = 0; i < 8; i++)
		t->random = rnd(t) | 1;
	t->arg = pages(3 * PAGE, PROT_READ | PROT_WRITE);
	mprotect((char *)t->arg + 2 * PAGE, PAGE, PROT_NONE);
	t->readonly = pages(PAGE, PROT_READ);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void handle_signals(void)
{
	struct sigaction fault = { .sa_sigaction = on_fault,
				   .sa_flags = SA_NODEFER | SA_SIGINFO };
	struct sigaction other = { .sa_handler = on_signal };

	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGUSR1, &other, NULL);
	sigaction(SIGIO, &other, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
}

/* Exits with open files and mappings, as most processes do. */
static void work(int worker, int generation)
{
	struct rlimit files = { MOST_FDS, MOST_FDS };
	struct rlimit cores = { 0, 0 };
	struct thread t[MAX_THREADS];
	pthread_t id[MAX_THREADS];
	int i;

	handle_signals();
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &cores);
	/* one worker runs as another user */
	if (worker == 2 && !getuid() && setresuid(NOBODY, NOBODY, NOBODY))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	arena = pages(WINDOWS * WINDOW_SIZE, PROT_NONE);
	for (i = 0; i < SLOTS; i++)
		slots[i].fd = -1;
	for (i = 0; i < threads; i++)
		init_thread(&t[i], worker, i, generation);
	if (pthread_barrier_init(&all_there, NULL, threads))
		_exit(1);
	for (i = 1; i < threads; i++)
		if (pthread_create(&id[i], NULL, run_thread, &t[i]))
			_exit(1);
	run_thread(&t[0]);
	for (i = 1; i < threads; i++)
		pthread_join(id[i], NULL);
	_exit(0);
}

/* --------------------------------------------------------------- conductor */

static const char *const op_names[] = {
	[R_UNKNOWN] = "unknown", [O_OPEN] = "open", [O_DUP] = "dup",
	[O_CLOSE] = "close", [O_CLOSE_ALL] = "close_range", [O_SEND] = "sendmsg",
	[O_RECEIVE] = "recvmsg", [O_POLL] = "poll", [O_EPOLL] = "epoll",
	[O_FILE] = "file calls", [O_FDINFO] = "fdinfo",
	[O_MAP_FILES] = "map_files", [O_MAP_AREA] = "mmap area",
	[O_MAP_RO] = "mmap ro", [O_MAP_RW] = "mmap rw",
	[O_MAP_WILD] = "mmap wild", [O_UNMAP] = "munmap", [O_REMAP] = "mremap",
	[O_PROTECT] = "mprotect", [O_ADVISE] = "madvise", [O_LOCK] = "mlock",
	[O_TOUCH] = "touch", [O_COPY] = "process_vm", [O_FORK] = "fork",
	[O_UNSHARE] = "unshare",
};

static const char *op_name(int op)
{
	return op < R_UNKNOWN ? specs[op].name : op_names[op];
}

static void print_statistics(int64_t ns)
{
	long ok, all;
	int op, e;

	for (op = 0; op < OPS; op++) {
		char line[512];
		int at = 0;

		for (all = 0, e = 0; e < ERRNOS; e++)
			all += world->results[op][e];
		ok = world->results[op][0];
		for (e = 1; e < ERRNOS && at < (int)sizeof(line) - 32; e++)
			if (world->results[op][e])
				at += snprintf(line + at, sizeof(line) - at,
					       " %s %ld", strerrorname_np(e),
					       (long)world->results[op][e]);
		printf("# %-16s %8ld calls, %8ld ok%s%s\n", op_name(op), all,
		       ok, at ? ";" : "", at ? line : "");
	}
	printf("# %ld calls in %lld ms, seed %llu; %ld entries put into rings, %ld faults, %ld processes killed\n",
	       (long)world->calls, (long long)(ns / MS),
	       (unsigned long long)seed, (long)world->traffic,
	       (long)world->faults, (long)world->killed);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* The mailbox uses descriptors that workers do not fuzz. */
static int make_mailbox(void)
{
	int pair[2], i;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	for (i = 0; i < 2; i++) {
		mailbox[i] = fcntl(pair[i], F_DUPFD_CLOEXEC, HIGH_FD);
		close(pair[i]);
		if (mailbox[i] < 0)
			return -1;
	}
	return 0;
}

static bool some_hang(void)
{
	int64_t now = vd_now();
	int w, i;

	for (w = 0; w < workers; w++) {
		for (i = 0; i < threads; i++) {
			int64_t since = atomic_load(&world->busy[w][i].since);

			if (!since || now - since < HANGS)
				continue;
			printf("# worker %d, thread %d: %s for %lld ms\n",
			       w, i, op_name(world->busy[w][i].op),
			       (long long)((now - since) / MS));
			return true;
		}
	}
	return false;
}

struct conductor {
	pid_t pid[MAX_WORKERS];
	int generation[MAX_WORKERS];
	struct thread dice;
	int crashed;
};

static void start(struct conductor *c, int worker)
{
	int generation = c->generation[worker]++;
	int i;

	for (i = 0; i < threads; i++)
		atomic_store(&world->busy[worker][i].since, 0);
	fflush(NULL);
	c->pid[worker] = fork();
	if (!c->pid[worker])
		work(worker, generation);
}

/* Also reaps the children of killed workers. */
static bool reap(struct conductor *c, bool again)
{
	int status, i;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < workers && c->pid[i] != pid; i++)
			;
		if (i == workers)
			continue;
		c->pid[i] = 0;
		if (WIFEXITED(status) ? WEXITSTATUS(status) :
					WTERMSIG(status) != SIGKILL) {
			printf("# worker %d exited with status %#x; the last fault, at %#llx, accessed %#llx\n",
			       i, status, (unsigned long long)world->crash[1],
			       (unsigned long long)world->crash[0]);
			c->crashed++;
		}
		if (again)
			start(c, i);
	}
	return pid < 0;		/* no child is left */
}

/* Returns true if a call hangs; the workers are then left as they are. */
static bool conduct(struct conductor *c, long calls, int64_t until)
{
	long reported = 0;
	int i;

	for (i = 0; i < workers; i++)
		start(c, i);
	while (atomic_load(&world->calls) < calls && vd_now() < until &&
	       !atomic_load(&world->wrong)) {
		vd_sleep_ms(5 + below(&c->dice, 20));
		reap(c, true);
		if (atomic_load(&world->calls) / 1000000 > reported)
			printf("# %ld million calls\n", ++reported);
		i = below(&c->dice, workers);
		if (c->pid[i] <= 0)
			continue;
		if (one_in(&c->dice, 60)) {
			kill(c->pid[i], SIGKILL);
			atomic_fetch_add(&world->killed, 1);
		} else {
			kill(c->pid[i], SIGUSR1);
		}
		if (some_hang())
			return true;
	}
	return false;
}

/* Waits until all workers have exited; kills them when the time-out expires. */
static bool all_end(struct conductor *c)
{
	int64_t since = vd_now();
	bool killed = false;
	int i;

	atomic_store(&world->stop, 1);
	while (!reap(c, false)) {
		if (vd_now() - since > 2 * HANGS)
			return false;
		if (!killed && vd_now() - since > HANGS) {
			killed = true;
			for (i = 0; i < workers; i++)
				if (c->pid[i] > 0)
					kill(c->pid[i], SIGKILL);
		}
		vd_sleep_ms(10);
	}
	return !killed;
}

/* Some files are freed later: Unix sockets, deferred work. */
static bool all_gone(const struct vdiset_info *before)
{
	struct vdiset_info now;
	int i;

	for (i = 0; i < 200; i++) {
		now = vd_info();
		if (now.out_sets == before->out_sets &&
		    now.out_total_bytes == before->out_total_bytes)
			return true;
		vd_sleep_ms(100);
	}
	printf("# not freed: %u sets, %llu bytes\n", now.out_sets - before->out_sets,
	       (unsigned long long)(now.out_total_bytes -
				    before->out_total_bytes));
	return false;
}

/* One command, its completion, and the normal end */
static int use_a_set(void)
{
	struct vdiset_command cmd = { .code = 2, .buffer = VDISET_NO_BUFFER };
	struct vdiset_completion done = { .bytes = 0 };
	struct vd_dev server, client;
	struct vd_set s;
	int ret;

	ret = vd_set_up(&s, 1, 8, MIB, VDISET_STATE_INITIALIZING);
	if (!ret)
		ret = vd_set_open_device(&s, s.server, 0, &server);
	if (!ret)
		ret = vd_set_open_device(&s, s.primary, 0, &client);
	if (!ret)
		ret = vd_put(&server, &cmd);
	if (!ret)
		ret = vd_get(&client, &cmd, 0, SEC);
	if (!ret)
		ret = vd_put(&client, &done);
	if (!ret)
		ret = vd_get(&server, &done, 0, SEC);
	if (!ret)
		ret = vd_device_close(server.fd);
	if (!ret)
		ret = vd_close(s.server);
	if (!ret)
		ret = vd_close(s.primary);
	if (ret)
		return ret;
	vd_dev_release(&server);
	vd_dev_release(&client);
	vd_set_down(&s);
	return 0;
}

#define RING_LIMIT	"/sys/module/vdiset/parameters/max_ring_mb"

/* The largest rings, with a limit that permits one such set */
static int largest_rings(void)
{
	char was[32];
	struct vd_set s;
	int ret;

	if (vd_read_file(RING_LIMIT, was, sizeof(was)) < 0 ||
	    vd_write_file(RING_LIMIT, "5") < 0)
		return 0;
	ret = vd_set_up(&s, VDISET_MAX_DEVICES, VDISET_MAX_DEPTH, PAGE,
			VDISET_STATE_INITIALIZING);
	vd_set_down(&s);
	vd_write_file(RING_LIMIT, was);
	return ret;
}

/* Each of these must have succeeded at least once for the result to be meaningful. */
static const enum op deep[] = {
	R_CREATE, R_ATTACH, R_CONFIGURE, R_NAME_DEVICE, R_REQUEST_BUFFERS,
	R_END_CONFIG, R_GET_CONFIG, R_OPEN_DEVICE, R_DEVICE_WAIT, R_WAIT,
	R_STATUS, R_DEVICE_CLOSE, R_CLOSE, R_ABORT, O_MAP_AREA, O_MAP_RO,
	O_MAP_RW, O_SEND, O_RECEIVE, O_FORK,
};

FIXTURE(fuzz) {
	struct vdiset_info before;
	struct conductor c;
};

FIXTURE_SETUP(fuzz)
{
	seed = setting("VDISET_FUZZ_SEED", 1);
	workers = setting("VDISET_FUZZ_WORKERS", 3);
	threads = setting("VDISET_FUZZ_THREADS", 2);
	ASSERT_TRUE(workers > 0 && workers <= MAX_WORKERS);
	ASSERT_TRUE(threads > 0 && threads <= MAX_THREADS);
	world = vd_shared(sizeof(*world));
	ASSERT_NE(NULL, world);
	ASSERT_EQ(0, make_mailbox());
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	/* before the workers start; line-buffered for the log */
	signal(SIGUSR1, on_signal);
	setvbuf(stdout, NULL, _IOLBF, 0);
	self->before = vd_info();
	self->c.dice.random = seed + 1;
}

FIXTURE_TEARDOWN(fuzz)
{
}

TEST_F_TIMEOUT(fuzz, random_calls, 36000)
{
	long calls = setting("VDISET_FUZZ_CALLS", 200000);
	int64_t since = vd_now();
	unsigned int i;

	ASSERT_FALSE(conduct(&self->c, calls, since + SEC *
			     (int64_t)setting("VDISET_FUZZ_SECONDS", 60)));
	EXPECT_TRUE(all_end(&self->c));
	print_statistics(vd_now() - since);
	EXPECT_EQ(0, self->c.crashed);
	EXPECT_EQ(0, (int)world->wrong)
		TH_LOG("%s", world->what);
	close(mailbox[0]);
	close(mailbox[1]);
	EXPECT_TRUE(all_gone(&self->before));
	EXPECT_EQ(0, use_a_set());
	EXPECT_EQ(0, largest_rings());
	if (atomic_load(&world->calls) < 20000)
		return;
	for (i = 0; i < ARRAY_LEN(deep); i++)
		EXPECT_LT(0, (long)world->results[deep[i]][0])
			TH_LOG("%s never succeeded", op_name(deep[i]));
}

TEST_HARNESS_MAIN
