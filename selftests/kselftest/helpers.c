// SPDX-License-Identifier: GPL-2.0
/* Requests, names, system, rings and whole sets: see vdiset_test.h */
#define _GNU_SOURCE
#include "vdiset_test.h"

static void vd_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/*
 * Skips the program if the module is not loaded. The harness cannot skip a whole
 * program, so this runs before its main().
 */
static void __attribute__((constructor)) vd_need_module(void)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return;
	}
	printf("TAP version 13\n1..0 # SKIP %s: %s\n", VDISET_DEVICE_PATH,
	       strerror(errno));
	exit(4);
}

int vd_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

int vd_open(void)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vd_create_mode(int fd, const char *name, unsigned int devices,
		   unsigned int mode)
{
	struct vdiset_create c = {
		.size = sizeof(c),
		.name = (uintptr_t)name,
		.name_len = name ? strlen(name) : 0,
		.mode = mode,
		.uid = -1,
		.gid = -1,
		.config.device_count = devices,
	};

	return vd_ioctl(fd, VDISET_CREATE, &c);
}

int vd_create(int fd, const char *name, unsigned int devices)
{
	return vd_create_mode(fd, name, devices, 0600);
}

int vd_attach_of(int fd, unsigned int role, uid_t creator, const char *name)
{
	struct vdiset_attach a = {
		.size = sizeof(a),
		.flags = VDISET_ATTACH_BY_NAME,
		.role = role,
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.creator = creator,
	};

	return vd_ioctl(fd, VDISET_ATTACH, &a);
}

/* The user that runs the test; its child processes may switch to other users. */
static uid_t runs_the_test;

static void __attribute__((constructor)) note_user(void)
{
	runs_the_test = geteuid();
}

int vd_attach(int fd, unsigned int role, const char *name)
{
	return vd_attach_of(fd, role, runs_the_test, name);
}

int vd_attach_id(int fd, unsigned int role, uint64_t id)
{
	struct vdiset_attach a = {
		.size = sizeof(a),
		.flags = VDISET_ATTACH_BY_ID,
		.role = role,
		.id = id,
	};

	return vd_ioctl(fd, VDISET_ATTACH, &a);
}

int vd_attach_fd(int fd, unsigned int role, int other)
{
	struct vdiset_attach a = {
		.size = sizeof(a),
		.flags = VDISET_ATTACH_BY_FD,
		.role = role,
		.fd = other,
	};

	return vd_ioctl(fd, VDISET_ATTACH, &a);
}

int vd_configure(int fd, unsigned int depth)
{
	struct vdiset_configure c = {
		.size = sizeof(c),
		.block_size = 512,
		.alignment = 4096,
		.max_transfer_size = 1 << 20,
		.depth = depth,
	};

	return vd_ioctl(fd, VDISET_CONFIGURE, &c);
}

int vd_name_device(int fd, const char *name, unsigned int index)
{
	struct vdiset_name_device n = {
		.size = sizeof(n),
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.index = index,
	};

	return vd_ioctl(fd, VDISET_NAME_DEVICE, &n);
}

int vd_request_buffers(int fd, uint64_t bytes, uint64_t *area_size)
{
	struct vdiset_request_buffers r = { .size = sizeof(r), .bytes = bytes };
	int ret = vd_ioctl(fd, VDISET_REQUEST_BUFFERS, &r);

	if (area_size)
		*area_size = r.out_area_size;
	return ret;
}

int vd_end_config(int fd)
{
	struct vdiset_end_config e = { .size = sizeof(e) };

	return vd_ioctl(fd, VDISET_END_CONFIG, &e);
}

int vd_get_config(int fd, unsigned int flags, int64_t timeout_ns,
		  struct vdiset_get_config *out)
{
	struct vdiset_get_config g = {
		.size = sizeof(g),
		.flags = flags,
		.timeout_ns = timeout_ns,
	};
	int ret = vd_ioctl(fd, VDISET_GET_CONFIG, &g);

	if (out)
		*out = g;
	return ret;
}

int vd_open_device(int fd, const char *name, struct vdiset_open_device *out)
{
	struct vdiset_open_device o = {
		.size = sizeof(o),
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.out_fd = -1,
	};
	int ret = vd_ioctl(fd, VDISET_OPEN_DEVICE, &o);

	if (out)
		*out = o;
	return ret ? ret : o.out_fd;
}

int vd_set_wait(int fd, unsigned int flags, int64_t timeout_ns, uint64_t kick,
		uint32_t *seen)
{
	struct vdiset_wait w = {
		.size = sizeof(w),
		.flags = flags,
		.timeout_ns = timeout_ns,
		.kick = kick,
		.seen = *seen,
	};
	int ret = vd_ioctl(fd, VDISET_WAIT, &w);

	if (!ret)
		*seen = w.out_events;
	return ret;
}

int vd_device_wait(int fd, unsigned int flags, int64_t timeout_ns,
		   uint32_t seen)
{
	struct vdiset_device_wait w = {
		.size = sizeof(w),
		.flags = flags,
		.timeout_ns = timeout_ns,
		.seen = seen,
	};

	return vd_ioctl(fd, VDISET_DEVICE_WAIT, &w);
}

int vd_device_close(int fd)
{
	struct vdiset_device_close c = { .size = sizeof(c) };

	return vd_ioctl(fd, VDISET_DEVICE_CLOSE, &c);
}

int vd_abort(int fd, unsigned int reason, unsigned int code, const char *text)
{
	struct vdiset_abort a = {
		.size = sizeof(a),
		.reason = reason,
		.code = code,
	};

	snprintf(a.text, sizeof(a.text), "%s", text);
	return vd_ioctl(fd, VDISET_ABORT, &a);
}

int vd_set_rate(int fd, uint64_t rate)
{
	struct vdiset_set_rate r = { .size = sizeof(r), .rate = rate };

	return vd_ioctl(fd, VDISET_SET_RATE, &r);
}

int vd_status(int fd, struct vdiset_status *st)
{
	memset(st, 0, sizeof(*st));
	st->size = sizeof(*st);
	return vd_ioctl(fd, VDISET_STATUS, st);
}

int vd_device_status(int fd, unsigned int index,
		     struct vdiset_device_status *st)
{
	memset(st, 0, sizeof(*st));
	st->size = sizeof(*st);
	st->index = index;
	return vd_ioctl(fd, VDISET_DEVICE_STATUS, st);
}

int vd_close(int fd)
{
	struct vdiset_close c = { .size = sizeof(c) };

	return vd_ioctl(fd, VDISET_CLOSE, &c);
}

int vd_state(int fd)
{
	struct vdiset_status st;
	int ret = vd_status(fd, &st);

	return ret ? ret : (int)st.out_state;
}

uint64_t vd_set_id(int fd)
{
	struct vdiset_status st;

	return vd_status(fd, &st) ? 0 : st.out_id;
}

int vd_listed(int fd, uint64_t id)
{
	struct vdiset_list l = { .size = sizeof(l) };
	int ret;

	while (!(ret = vd_ioctl(fd, VDISET_LIST, &l)))
		if (l.cursor == id)
			return 1;
	return ret == -ENOENT ? 0 : ret;
}

int vd_count_listed(void)
{
	struct vdiset_list l = { .size = sizeof(l) };
	int fd = vd_open();
	int n = 0;

	while (!vd_ioctl(fd, VDISET_LIST, &l))
		n++;
	close(fd);
	return n;
}

struct vdiset_info vd_info(void)
{
	struct vdiset_info info = { .size = sizeof(info) };
	int fd = vd_open();

	vd_ioctl(fd, VDISET_INFO, &info);
	close(fd);
	return info;
}

/*
 * Bytes of all areas. If no set exists, wait until pages that earlier tests had
 * pinned are no longer counted.
 */
uint64_t vd_bytes_at_rest(void)
{
	struct vdiset_info info = vd_info();
	int tries;

	for (tries = 0; tries < 100 && info.out_total_bytes && !info.out_sets;
	     tries++) {
		vd_sleep_ms(100);
		info = vd_info();
	}
	return info.out_total_bytes;
}

int vd_sets(void)
{
	struct vdiset_info info = { .size = sizeof(info) };
	int fd = vd_open();
	int ret = vd_ioctl(fd, VDISET_INFO, &info);

	close(fd);
	return ret ? ret : (int)info.out_sets;
}

int vd_wait_sets(int want)
{
	int64_t end = vd_now() + VD_HANG;
	int n;

	while ((n = vd_sets()) != want && vd_now() < end)
		vd_sleep_ms(5);
	return n;
}

const char *vd_name(char *buf, const char *what)
{
	static unsigned int count;

	snprintf(buf, 64, "t%d-%u-%.32s", getpid(), count++, what);
	return buf;
}

const char *vd_device_name(char *buf, const char *set, unsigned int index)
{
	if (index)
		snprintf(buf, 80, "%s/%u", set, index);
	else
		snprintf(buf, 80, "%s", set);
	return buf;
}

int64_t vd_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

void vd_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * MS };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

long vd_meminfo(const char *field)
{
	FILE *f = fopen("/proc/meminfo", "r");
	size_t len = strlen(field);
	char line[128];
	long kb = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, len) && line[len] == ':')
			kb = strtol(line + len + 1, NULL, 10);
	if (f)
		fclose(f);
	return kb;
}

int vd_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return n;
	buf[n] = 0;
	return n;
}

int vd_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int vd_thread_state(pid_t pid, pid_t tid)
{
	char path[64], buf[512], *p;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	if (vd_read_file(path, buf, sizeof(buf)) <= 0)
		return 0;
	p = strrchr(buf, ')');
	return p && p[1] ? p[2] : 0;
}

bool vd_wait_asleep(pid_t pid, pid_t tid)
{
	int64_t end = vd_now() + VD_HANG;
	int in_a_row = 0;

	/* Twice: the first time it may sleep in a page fault. */
	while (vd_now() < end) {
		if (vd_thread_state(pid, tid) != 'S')
			in_a_row = 0;
		else if (++in_a_row == 2)
			return true;
		vd_sleep_ms(1);
	}
	return false;
}

bool vd_wait_word(const _Atomic int *word, int want, int64_t timeout_ns)
{
	int64_t end = vd_now() + timeout_ns;

	while (atomic_load(word) < want) {
		if (vd_now() > end)
			return false;
		vd_sleep_ms(1);
	}
	return true;
}

void *vd_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int vd_dev_map(struct vd_dev *d, const struct vdiset_open_device *o)
{
	char *ro, *rw;

	memset(d, 0, sizeof(*d));
	d->fd = o->out_fd;
	d->index = o->out_index;
	d->depth = o->out_depth;
	d->ro_size = o->out_ro_size;
	d->rw_size = o->out_rw_size;
	ro = mmap(NULL, d->ro_size, PROT_READ, MAP_SHARED, d->fd,
		  VDISET_MMAP_RO);
	if (ro == MAP_FAILED)
		return -errno;
	rw = mmap(NULL, d->rw_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		  VDISET_MMAP_RW);
	if (rw == MAP_FAILED) {
		int ret = -errno;

		munmap(ro, d->ro_size);
		return ret;
	}
	d->state = (const volatile void *)ro;
	d->peer = (const volatile void *)(ro + o->out_peer_offset);
	d->own = (volatile void *)rw;
	return 0;
}

int vd_dev_open(struct vd_dev *d, int set, const char *name)
{
	struct vdiset_open_device o;
	int ret = vd_open_device(set, name, &o);

	if (ret < 0)
		return ret;
	ret = vd_dev_map(d, &o);
	if (ret)
		close(o.out_fd);
	return ret;
}

void vd_dev_unmap(struct vd_dev *d)
{
	if (!d->own)
		return;
	munmap((void *)d->own, d->rw_size);
	munmap((void *)d->state, d->ro_size);
	d->own = NULL;
}

void vd_dev_release(struct vd_dev *d)
{
	vd_dev_unmap(d);
	if (d->fd > 0)
		close(d->fd);
	d->fd = -1;
}

int vd_produce(struct vd_dev *d, const void *entry)
{
	char *ring = (char *)(d->own + 1);

	/* F: a slot is free once the consumer has published that it copied the entry */
	if (d->tail - __atomic_load_n(&d->peer->head, __ATOMIC_ACQUIRE) >=
	    d->depth)
		return -EAGAIN;
	memcpy(ring + (d->tail & (d->depth - 1)) * VD_ENTRY_SIZE, entry,
	       VD_ENTRY_SIZE);
	/* A */
	__atomic_store_n(&d->own->tail, ++d->tail, __ATOMIC_RELEASE);
	/* C */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&d->peer->need_wakeup, __ATOMIC_RELAXED) != 0;
}

int vd_consume(struct vd_dev *d, void *entry)
{
	const char *ring = (const char *)(d->peer + 1);
	/* B */
	uint32_t tail = __atomic_load_n(&d->peer->tail, __ATOMIC_ACQUIRE);

	if (tail == d->head)
		return -EAGAIN;
	if (tail - d->head > d->depth)
		return -EPROTO;
	memcpy(entry, ring + (d->head & (d->depth - 1)) * VD_ENTRY_SIZE,
	       VD_ENTRY_SIZE);
	/* E */
	__atomic_store_n(&d->own->head, ++d->head, __ATOMIC_RELEASE);
	return 0;
}

int vd_kick(struct vd_dev *d)
{
	return vd_device_wait(d->fd, VDISET_WAIT_KICK, 0, 0);
}

int vd_put(struct vd_dev *d, const void *entry)
{
	int ret = vd_produce(d, entry);

	return ret == 1 ? vd_kick(d) : ret;
}

/* Has the peer or the kernel ended the set or device? Needs no system call. */
static bool vd_over(const struct vd_dev *d)
{
	return d->state->device_state == VDISET_DEVICE_CLOSED ||
	       d->state->set_state >= VDISET_STATE_TERMINATED;
}

int vd_get(struct vd_dev *d, void *entry, unsigned int spins,
	   int64_t timeout_ns)
{
	unsigned int i;
	int ret;

	for (i = 0; i < spins && !vd_over(d); i++) {
		ret = vd_consume(d, entry);
		if (ret != -EAGAIN)
			return ret;
		vd_relax();
	}
	for (;;) {
		__atomic_store_n(&d->own->need_wakeup, 1, __ATOMIC_RELAXED);
		/* D */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		ret = vd_consume(d, entry);
		if (ret != -EAGAIN)
			break;
		ret = vd_device_wait(d->fd, VDISET_WAIT_SLEEP, timeout_ns,
				     d->head);
		if (ret)
			break;
	}
	__atomic_store_n(&d->own->need_wakeup, 0, __ATOMIC_RELAXED);
	return ret;
}

int vd_set_up(struct vd_set *s, unsigned int devices, unsigned int depth,
	      uint64_t bytes, int state)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->devices = devices;
	vd_name(s->name, "set");
	s->primary = vd_open();
	s->server = vd_open();
	if (s->primary < 0 || s->server < 0)
		return -EBADF;
	ret = vd_create(s->primary, s->name, devices);
	s->id = vd_set_id(s->primary);
	if (!ret && state >= VDISET_STATE_CONNECTED)
		ret = vd_attach_of(s->server, VDISET_ROLE_SERVER, geteuid(),
				   s->name);
	if (!ret && state >= VDISET_STATE_CONFIGURABLE)
		ret = vd_configure(s->server, depth);
	if (!ret && state >= VDISET_STATE_INITIALIZING && bytes)
		ret = vd_request_buffers(s->server, bytes, NULL);
	if (!ret && state >= VDISET_STATE_INITIALIZING)
		ret = vd_end_config(s->server);
	return ret;
}

void vd_set_down(struct vd_set *s)
{
	if (s->server > 0)
		close(s->server);
	if (s->primary > 0)
		close(s->primary);
	s->server = s->primary = -1;
}

int vd_set_open_device(struct vd_set *s, int fd, unsigned int index,
		       struct vd_dev *d)
{
	char name[80];

	return vd_dev_open(d, fd, vd_device_name(name, s->name, index));
}
