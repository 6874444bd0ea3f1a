// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every copy that a request makes, failed one after the
 * other (/proc/thread-self/fail-nth, on a kernel with fault injection). Each
 * time the request works or gives the error it documents; what it was to do can
 * be done then; and everything is given back in the end.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include "vdiset_test.h"
#include "kselftest_harness.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define AREA		(2 * MIB)
#define MOST		3000		/* no request has so many sites */

/* What fail-nth may hit, and without a stack trace for each in the log. */
static const struct {
	const char *path;
	const char *value;
} settings[] = {
	{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
	{ DEBUGFS "failslab/verbose", "0" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ DEBUGFS "fail_page_alloc/min-order", "0" },
	{ DEBUGFS "fail_page_alloc/verbose", "0" },
	{ DEBUGFS "fail_usercopy/verbose", "0" },
};

static bool prepared(void)
{
	unsigned int i;

	if (access(FAIL_NTH, W_OK))
		return false;
	for (i = 0; i < ARRAY_LEN(settings); i++)
		vd_write_file(settings[i].path, settings[i].value);
	return true;
}

/* The descriptor is opened beforehand: its own allocations do not count. */
static void arm(int fd, int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fd, text, len, 0) != len)
		abort();
}

/*
 * Was the fault injected? Ends the injection where it was not. The two calls
 * that find out copy as well, and may be what the fault hits.
 */
static bool disarm(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 1)
		return false;
	if (atoi(text) == 0)
		return true;
	while (pwrite(fd, "0", 1, 0) != 1)
		;
	return false;
}

struct scene {
	struct vd_set s;
	struct vd_dev client, server;
	struct vdiset_open_device opened;
	void *map;
	size_t length;
	int fd;			/* for requests on an unbound file */
};

/*
 * The requests: how far the set must be, the call, and what it may give
 * besides 0 when something in it fails.
 */
struct step {
	const char *name;
	int state;
	bool devices;		/* open on both sides */
	int (*call)(struct scene *sc);
	int errors[4];
};

static int call_open(struct scene *sc)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(sc->fd);
	sc->fd = fd;
	return 0;
}

static int call_create(struct scene *sc)
{
	return vd_create(sc->fd, "faults", 8);
}

static int call_attach(struct scene *sc)
{
	return vd_attach(sc->s.server, VDISET_ROLE_SERVER, sc->s.name);
}

static int call_secondary(struct scene *sc)
{
	return vd_attach(sc->fd, VDISET_ROLE_SECONDARY, sc->s.name);
}

static int call_observer(struct scene *sc)
{
	return vd_attach_id(sc->fd, VDISET_ROLE_OBSERVER, sc->s.id);
}

static int call_by_fd(struct scene *sc)
{
	return vd_attach_fd(sc->fd, VDISET_ROLE_OBSERVER, sc->s.primary);
}

static int call_configure(struct scene *sc)
{
	return vd_configure(sc->s.server, 16);
}

static int call_name_device(struct scene *sc)
{
	return vd_name_device(sc->s.server, "other", 1);
}

static int call_request(struct scene *sc)
{
	return vd_request_buffers(sc->s.server, AREA, NULL);
}

static int call_end_config(struct scene *sc)
{
	int ret = vd_request_buffers(sc->s.server, AREA, NULL);

	return ret ? ret : vd_end_config(sc->s.server);
}

static int call_get_config(struct scene *sc)
{
	struct vdiset_get_config get;

	return vd_get_config(sc->s.primary, VDISET_CONFIG_WAIT, SEC, &get);
}

static int call_open_device(struct scene *sc)
{
	char name[80];

	return vd_open_device(sc->s.primary,
			      vd_device_name(name, sc->s.name, 1),
			      &sc->opened);
}

static int map(struct scene *sc, int fd, off_t offset, size_t length,
	       int prot)
{
	void *at = mmap(NULL, length, prot, MAP_SHARED, fd, offset);

	if (at == MAP_FAILED)
		return -errno;
	sc->map = at;
	sc->length = length;
	return 0;
}

static int call_map_area(struct scene *sc)
{
	return map(sc, sc->s.primary, VDISET_MMAP_AREA, AREA,
		   PROT_READ | PROT_WRITE);
}

static int call_map_ro(struct scene *sc)
{
	return map(sc, sc->client.fd, VDISET_MMAP_RO, sc->client.ro_size,
		   PROT_READ);
}

static int call_map_rw(struct scene *sc)
{
	return map(sc, sc->client.fd, VDISET_MMAP_RW, sc->client.rw_size,
		   PROT_READ | PROT_WRITE);
}

static int call_set_wait(struct scene *sc)
{
	uint32_t seen = 0;

	return vd_set_wait(sc->s.server, VDISET_WAIT_KICK | VDISET_WAIT_SLEEP,
			   MS, 1, &seen);
}

static int call_device_wait(struct scene *sc)
{
	return vd_device_wait(sc->client.fd, VDISET_WAIT_KICK |
			      VDISET_WAIT_SLEEP, MS, 0);
}

static int call_poll(struct scene *sc)
{
	struct pollfd fds[] = { { .fd = sc->s.primary, .events = POLLIN },
				{ .fd = sc->s.server, .events = POLLIN } };

	return poll(fds, 2, 1) < 0 ? -errno : 0;
}

static int call_status(struct scene *sc)
{
	struct vdiset_device_status dev;
	struct vdiset_status st;
	int ret = vd_status(sc->s.server, &st);

	return ret ? ret : vd_device_status(sc->s.server, 0, &dev);
}

static int call_list(struct scene *sc)
{
	struct vdiset_list list = { .size = sizeof(list) };

	return vd_ioctl(sc->fd, VDISET_LIST, &list);
}

static int call_fdinfo(struct scene *sc)
{
	char path[64], buf[1024];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", sc->s.primary);
	return vd_read_file(path, buf, sizeof(buf)) > 0 ? 0 : -ENOMEM;
}

static int call_device_close(struct scene *sc)
{
	return vd_device_close(sc->server.fd);
}

static int call_abort(struct scene *sc)
{
	return vd_abort(sc->s.server, VDISET_REASON_SIGNAL, 1, "faults");
}

static int call_close(struct scene *sc)
{
	int ret = vd_close(sc->s.server);

	return ret == -EBUSY ? 0 : ret;
}

static const struct step steps[] = {
	/* the path is copied, too */
	{ "open", VDISET_STATE_CREATED, false, call_open,
	  { ENOMEM, EFAULT } },
	{ "create", VDISET_STATE_CREATED, false, call_create,
	  { ENOMEM, EFAULT } },
	{ "attach", VDISET_STATE_CREATED, false, call_attach,
	  { ENOMEM, EFAULT } },
	{ "secondary", VDISET_STATE_INITIALIZING, false, call_secondary,
	  { ENOMEM, EFAULT } },
	{ "observer", VDISET_STATE_CREATED, false, call_observer,
	  { ENOMEM, EFAULT } },
	{ "by_fd", VDISET_STATE_CREATED, false, call_by_fd,
	  { ENOMEM, EFAULT } },
	{ "configure", VDISET_STATE_CONNECTED, false, call_configure,
	  { EFAULT } },
	{ "name_device", VDISET_STATE_CONFIGURABLE, false, call_name_device,
	  { EFAULT } },
	{ "request", VDISET_STATE_CONFIGURABLE, false, call_request,
	  { EFAULT } },
	{ "end_config", VDISET_STATE_CONFIGURABLE, false, call_end_config,
	  { ENOMEM, EFAULT } },
	{ "grow", VDISET_STATE_INITIALIZING, false, call_request,
	  { ENOMEM, EFAULT } },
	{ "get_config", VDISET_STATE_INITIALIZING, false, call_get_config,
	  { EFAULT } },
	{ "open_device", VDISET_STATE_INITIALIZING, false, call_open_device,
	  { ENOMEM, EFAULT } },
	{ "map_area", VDISET_STATE_INITIALIZING, false, call_map_area,
	  { ENOMEM } },
	{ "map_ro", VDISET_STATE_INITIALIZING, true, call_map_ro,
	  { ENOMEM } },
	{ "map_rw", VDISET_STATE_INITIALIZING, true, call_map_rw,
	  { ENOMEM } },
	{ "set_wait", VDISET_STATE_INITIALIZING, true, call_set_wait,
	  { EFAULT, ETIMEDOUT } },
	{ "device_wait", VDISET_STATE_INITIALIZING, true, call_device_wait,
	  { EFAULT, ETIMEDOUT } },
	{ "poll", VDISET_STATE_INITIALIZING, true, call_poll,
	  { ENOMEM, EFAULT } },
	{ "status", VDISET_STATE_INITIALIZING, true, call_status,
	  { EFAULT } },
	{ "list", VDISET_STATE_CREATED, false, call_list, { EFAULT } },
	{ "fdinfo", VDISET_STATE_CREATED, false, call_fdinfo,
	  { ENOMEM, EFAULT } },
	{ "device_close", VDISET_STATE_INITIALIZING, true, call_device_close,
	  { EFAULT } },
	{ "abort", VDISET_STATE_INITIALIZING, true, call_abort, { EFAULT } },
	{ "close", VDISET_STATE_INITIALIZING, true, call_close, { EFAULT } },
};

static int scene_up(struct scene *sc, const struct step *step)
{
	int ret;

	memset(sc, 0, sizeof(*sc));
	sc->client.fd = sc->server.fd = sc->opened.out_fd = -1;
	sc->fd = vd_open();
	ret = vd_set_up(&sc->s, 8, 8, AREA, step->state);
	if (ret || !step->devices)
		return ret;
	ret = vd_set_open_device(&sc->s, sc->s.server, 0, &sc->server);
	if (!ret)
		ret = vd_set_open_device(&sc->s, sc->s.primary, 0, &sc->client);
	return ret;
}

static void scene_down(struct scene *sc)
{
	if (sc->map)
		munmap(sc->map, sc->length);
	if (sc->opened.out_fd > 0)
		close(sc->opened.out_fd);
	if (sc->client.own)
		vd_dev_release(&sc->client);
	if (sc->server.own)
		vd_dev_release(&sc->server);
	vd_set_down(&sc->s);
	close(sc->fd);
}

static bool documented(const struct step *step, int ret)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(step->errors); i++) {
		if (step->errors[i] && ret == -step->errors[i])
			return true;
	}
	return ret == 0;
}

static struct vdiset_info get_info(void)
{
	struct vdiset_info info = { .size = sizeof(info) };
	int fd = vd_open();

	vd_ioctl(fd, VDISET_INFO, &info);
	close(fd);
	return info;
}

FIXTURE(faults) {
	struct vdiset_info before;
	int fd;
};

FIXTURE_SETUP(faults)
{
	if (!prepared())
		SKIP(return, "this kernel injects no faults");
	self->fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	setvbuf(stdout, NULL, _IOLBF, 0);
	self->before = get_info();
}

FIXTURE_TEARDOWN(faults)
{
	struct vdiset_info after;

	if (self->fd <= 0)
		return;
	close(self->fd);
	EXPECT_EQ((int)self->before.out_sets,
		  vd_wait_sets(self->before.out_sets));
	after = get_info();
	EXPECT_EQ(self->before.out_total_bytes, after.out_total_bytes);
}

/*
 * After ENOMEM nothing has happened, and the call works when repeated. EFAULT
 * in the answer comes when it has.
 */
static int sweep(int fd, const struct step *step, int *count)
{
	struct scene sc;
	bool injected;
	int nth, ret;

	for (nth = 1; nth < MOST; nth++) {
		ret = scene_up(&sc, step);
		if (ret)
			return ret;
		arm(fd, nth);
		ret = step->call(&sc);
		injected = disarm(fd);
		if (!documented(step, ret) || (!injected && ret &&
					       ret != -ETIMEDOUT)) {
			printf("# %s: fault %d gives %d\n", step->name, nth,
			       ret);
			scene_down(&sc);
			return -EPROTO;
		}
		if (ret == -ENOMEM) {
			ret = step->call(&sc);
			if (ret) {
				printf("# %s: after fault %d it gives %d\n",
				       step->name, nth, ret);
				scene_down(&sc);
				return -EPROTO;
			}
		}
		scene_down(&sc);
		if (!injected)
			break;
	}
	*count = nth - 1;
	return 0;
}

TEST_F_TIMEOUT(faults, every_request, 500)
{
	unsigned int i;
	int count, total = 0;

	for (i = 0; i < ARRAY_LEN(steps); i++) {
		count = 0;
		EXPECT_EQ(0, sweep(self->fd, &steps[i], &count))
			TH_LOG("%s", steps[i].name);
		TH_LOG("%s: %d faults", steps[i].name, count);
		total += count;
	}
	TH_LOG("%d faults injected", total);
	EXPECT_LT(50, total);
}

/* From nothing to a command and its completion, in one go. */
static int whole_backup(struct scene *sc)
{
	struct vdiset_completion done = { .tag = 7 };
	struct vdiset_command cmd = { .code = 2, .tag = 7,
				      .buffer = VDISET_NO_BUFFER };
	char *area;
	int ret;

	ret = vd_set_up(&sc->s, 1, 8, AREA, VDISET_STATE_INITIALIZING);
	if (ret)
		return ret;
	ret = vd_set_open_device(&sc->s, sc->s.server, 0, &sc->server);
	if (!ret)
		ret = vd_set_open_device(&sc->s, sc->s.primary, 0,
					 &sc->client);
	if (!ret)
		ret = call_map_area(sc);
	if (ret)
		return ret;
	area = sc->map;
	area[0] = 1;
	area[AREA - 1] = 1;
	ret = vd_put(&sc->server, &cmd);
	if (!ret)
		ret = vd_get(&sc->client, &cmd, 0, SEC);
	if (!ret)
		ret = vd_put(&sc->client, &done);
	if (!ret)
		ret = vd_get(&sc->server, &done, 0, SEC);
	if (!ret)
		ret = vd_device_close(sc->server.fd);
	if (!ret)
		ret = vd_close(sc->s.primary);
	if (!ret)
		ret = vd_close(sc->s.server);
	return ret;
}

TEST_F_TIMEOUT(faults, a_whole_backup, 500)
{
	int nth, ret, failed = 0;
	struct scene sc;
	bool injected;

	for (nth = 1; nth < MOST; nth++) {
		memset(&sc, 0, sizeof(sc));
		sc.client.fd = sc.server.fd = sc.opened.out_fd = sc.fd = -1;
		sc.s.primary = sc.s.server = -1;
		arm(self->fd, nth);
		ret = whole_backup(&sc);
		injected = disarm(self->fd);
		scene_down(&sc);
		EXPECT_TRUE(ret == 0 || ret == -ENOMEM || ret == -EFAULT ||
			    ret == -EBADF)
			TH_LOG("fault %d gives %d", nth, ret);
		failed += ret != 0;
		if (!injected)
			break;
	}
	EXPECT_EQ(0, ret);
	EXPECT_LT(20, failed);
	TH_LOG("%d faults, %d of them fatal", nth - 1, failed);
}

TEST_HARNESS_MAIN
