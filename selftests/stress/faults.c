// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that a failed allocation or copy in any request leaves the set intact. Each
 * one fails in turn (/proc/thread-self/fail-nth, on a kernel with fault injection), and
 * so do the functions of the module that fail for other reasons. The request must
 * succeed or return a documented error, its purpose must be achievable afterwards, and
 * all memory must be freed in the end.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "harness.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define POINTS		DEBUGFS "fail_function/"
#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define MAKE_IT_FAIL	"/proc/thread-self/make-it-fail"
#define MOST		3000		/* more than any request has */
#define ROUNDS		3

/* Which allocations fail-nth may fail; without a stack trace for each in the log */
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
	{ DEBUGFS "fail_function/verbose", "0" },
	/* without fail-nth: always, but only in threads that set MAKE_IT_FAIL */
	{ DEBUGFS "fail_function/task-filter", "Y" },
	{ DEBUGFS "fail_function/probability", "100" },
	{ DEBUGFS "fail_function/times", "1000000" },
};

/* ALLOW_ERROR_INJECTION functions, the injected error, and the error of the request */
static const struct point {
	const char *function;
	int error;
	int expected;
} points[] = {
	{ "vdiset_charge_party", EDQUOT, EDQUOT },
	{ "vdiset_charge_rings", EDQUOT, EDQUOT },
	{ "vdiset_charge_area", EDQUOT, EDQUOT },
	{ "vdiset_set_publish", EEXIST, EEXIST },
	{ "vdiset_set_publish", ENOMEM, ENOMEM },
	{ "vdiset_lock_config", EINTR, EINTR },
	{ "vdiset_area_step", ENOSPC, ENOMEM },
	{ "vdiset_area_step", EINTR, EINTR },
	{ "vdiset_device_claim", EBUSY, EBUSY },
	{ "vdiset_insert_page", ENOMEM, ENOMEM },
};

static int point_add(const char *function, int error)
{
	char path[128], value[32];
	int ret;

	ret = vd_write_file(POINTS "inject", function);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), POINTS "%s/retval", function);
	snprintf(value, sizeof(value), "%#llx", (unsigned long long)-error);
	return vd_write_file(path, value);
}

/*
 * The list of functions is valid until the module is unloaded: it is cleared first.
 * Each function is added once, with its first error.
 */
static int points_add(void)
{
	unsigned int i;
	int ret;

	ret = vd_write_file(POINTS "inject", "\n");
	for (i = 0; !ret && i < ARRAY_LEN(points); i++) {
		if (!i || strcmp(points[i].function, points[i - 1].function))
			ret = point_add(points[i].function, points[i].error);
	}
	return ret;
}

/* The file is opened beforehand, so that the allocations of open() are not counted. */
static void arm(int fd, int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fd, text, len, 0) != len)
		abort();
}

/*
 * Returns whether the fault was injected, and disarms it if not. The read and the write
 * that do so copy data as well, and the fault may hit them.
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

static bool documented(const struct step *step, int ret)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(step->errors); i++) {
		if (step->errors[i] && ret == -step->errors[i])
			return true;
	}
	return ret == 0;
}

FIXTURE(faults) {
	struct vdiset_info before;
	int fd;
};

FIXTURE_SETUP(faults)
{
	unsigned int i;

	self->fd = -1;
	if (access(FAIL_NTH, W_OK) || access(POINTS, X_OK))
		return;
	for (i = 0; i < ARRAY_LEN(settings); i++)
		vd_write_file(settings[i].path, settings[i].value);
	ASSERT_EQ(0, points_add());
	self->fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	setvbuf(stdout, NULL, _IOLBF, 0);
	self->before = vd_info();
}

FIXTURE_TEARDOWN(faults)
{
	struct vdiset_info after;

	if (self->fd < 0)
		return;
	close(self->fd);
	EXPECT_EQ(0, vd_write_file(POINTS "inject", "\n"));
	EXPECT_EQ((int)self->before.out_sets,
		  vd_wait_sets(self->before.out_sets));
	after = vd_info();
	EXPECT_EQ(self->before.out_total_bytes, after.out_total_bytes);
}

/*
 * After any error except EFAULT the request had no effect and succeeds when repeated.
 * EFAULT when the result is copied is returned after the effect.
 */
static int sweep(int fd, const struct step *step, int *count, bool *seen)
{
	struct fixture fx;
	bool injected;
	int nth, ret;

	for (nth = 1; nth < MOST; nth++) {
		ret = fixture_set_up(&fx, step);
		if (ret)
			return ret;
		arm(fd, nth);
		ret = step->call(&fx);
		injected = disarm(fd);
		if (!documented(step, ret) || (!injected && ret &&
					       ret != -ETIMEDOUT)) {
			printf("# %s: fault %d returns %d\n", step->name, nth,
			       ret);
			fixture_tear_down(&fx);
			return -EPROTO;
		}
		seen[-ret] = true;
		if (ret && ret != -EFAULT && ret != -ETIMEDOUT) {
			ret = step->call(&fx);
			if (ret) {
				printf("# %s: after fault %d it returns %d\n",
				       step->name, nth, ret);
				fixture_tear_down(&fx);
				return -EPROTO;
			}
		}
		fixture_tear_down(&fx);
		if (!injected)
			break;
	}
	*count = nth - 1;
	return 0;
}

TEST_F_TIMEOUT(faults, every_request, 1500)
{
	static bool seen[512];
	int count, round, total = 0;
	unsigned int i;

	if (self->fd < 0)
		SKIP(return, "kernel without fault injection");
	for (i = 0; i < n_steps; i++) {
		/* A cache that is refilled adds a site and shifts the others. */
		for (round = 0; round < ROUNDS; round++) {
			count = 0;
			EXPECT_EQ(0, sweep(self->fd, &steps[i], &count, seen))
				TH_LOG("%s", steps[i].name);
			total += count;
		}
		TH_LOG("%s: %d faults", steps[i].name, count);
	}
	TH_LOG("%d faults injected in %d rounds", total, ROUNDS);
	EXPECT_LT(50 * ROUNDS, total);
	EXPECT_TRUE(seen[ENOMEM] && seen[EFAULT]);
}

/* The same for one function of the module, in every request that calls it */
static int fail_in_steps(const struct point *point)
{
	struct fixture fx;
	unsigned int i;
	int ret, failed = 0;

	for (i = 0; i < n_steps; i++) {
		ret = fixture_set_up(&fx, &steps[i]);
		if (ret)
			return ret;
		if (vd_write_file(MAKE_IT_FAIL, "1"))
			abort();
		ret = steps[i].call(&fx);
		if (vd_write_file(MAKE_IT_FAIL, "0"))
			abort();
		if (ret && ret != -ETIMEDOUT) {
			failed++;
			if (ret == -point->expected && documented(&steps[i], ret))
				ret = steps[i].call(&fx);
			if (ret && ret != -ETIMEDOUT) {
				printf("# %s: while %s fails, or after it: %d\n",
				       steps[i].name, point->function, ret);
				fixture_tear_down(&fx);
				return -EPROTO;
			}
		}
		fixture_tear_down(&fx);
	}
	return failed;
}

TEST_F(faults, every_function)
{
	unsigned int i;
	int ret;

	if (self->fd < 0)
		SKIP(return, "kernel without fault injection");
	for (i = 0; i < ARRAY_LEN(points); i++) {
		ASSERT_EQ(0, vd_write_file(POINTS "inject", "\n"));
		ASSERT_EQ(0, point_add(points[i].function, points[i].error));
		ret = fail_in_steps(&points[i]);
		EXPECT_LT(0, ret)
			TH_LOG("%s", points[i].function);
		TH_LOG("%s with %s fails %d of the requests",
		       points[i].function, strerror(points[i].error),
		       ret < 0 ? 0 : ret);
	}
}

/* From CREATE to a command and its completion, in one run */
static int whole_backup(struct fixture *fx)
{
	struct vdiset_completion done = { .tag = 7 };
	struct vdiset_command cmd = { .code = 2, .tag = 7,
				      .buffer = VDISET_NO_BUFFER };
	char *area;
	int ret;

	ret = vd_set_up(&fx->s, 1, 8, FIXTURE_AREA, VDISET_STATE_INITIALIZING);
	if (ret)
		return ret;
	ret = vd_set_open_device(&fx->s, fx->s.server, 0, &fx->server);
	if (!ret)
		ret = vd_set_open_device(&fx->s, fx->s.primary, 0,
					 &fx->client);
	if (!ret)
		ret = fixture_map_area(fx);
	if (ret)
		return ret;
	area = fx->map;
	area[0] = 1;
	area[FIXTURE_AREA - 1] = 1;
	ret = vd_put(&fx->server, &cmd);
	if (!ret)
		ret = vd_get(&fx->client, &cmd, 0, SEC);
	if (!ret)
		ret = vd_put(&fx->client, &done);
	if (!ret)
		ret = vd_get(&fx->server, &done, 0, SEC);
	if (!ret)
		ret = vd_device_close(fx->server.fd);
	if (!ret)
		ret = vd_close(fx->s.primary);
	if (!ret)
		ret = vd_close(fx->s.server);
	return ret;
}

static bool is_fault(int ret)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(points); i++) {
		if (ret == -points[i].error)
			return true;
	}
	return ret == -ENOMEM || ret == -EFAULT || ret == -EBADF;
}

TEST_F_TIMEOUT(faults, a_whole_backup, 1500)
{
	int nth, ret, failed = 0;
	struct fixture fx;
	bool injected;

	if (self->fd < 0)
		SKIP(return, "kernel without fault injection");
	for (nth = 1; nth < MOST; nth++) {
		memset(&fx, 0, sizeof(fx));
		fx.client.fd = fx.server.fd = fx.opened.out_fd = fx.fd = -1;
		fx.s.primary = fx.s.server = -1;
		arm(self->fd, nth);
		ret = whole_backup(&fx);
		injected = disarm(self->fd);
		fixture_tear_down(&fx);
		EXPECT_TRUE(ret == 0 || is_fault(ret))
			TH_LOG("fault %d returns %d", nth, ret);
		failed += ret != 0;
		if (!injected)
			break;
	}
	EXPECT_EQ(0, ret);
	EXPECT_LT(20, failed);
	TH_LOG("%d faults, %d of them made the run fail", nth - 1, failed);
}

TEST_HARNESS_MAIN
