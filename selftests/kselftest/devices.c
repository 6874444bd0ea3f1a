// SPDX-License-Identifier: GPL-2.0
/* Shows how devices are opened, named and closed, and how the area grows. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include "vdiset_test.h"
#include "harness.h"

FIXTURE(dev) {
	struct vd_set s;
	int secondary;
};

FIXTURE_SETUP(dev)
{
	self->secondary = vd_open();
	ASSERT_LE(0, self->secondary);
	ASSERT_EQ(0, vd_set_up(&self->s, 3, 4, 65536,
			       VDISET_STATE_CONFIGURABLE));
}

FIXTURE_TEARDOWN(dev)
{
	close(self->secondary);
	vd_set_down(&self->s);
}

/* END_CONFIG, and a secondary client */
static int begin(FIXTURE_DATA(dev) *self)
{
	int ret = vd_request_buffers(self->s.server, 65536, NULL);

	if (!ret)
		ret = vd_end_config(self->s.server);
	if (!ret)
		ret = vd_attach(self->secondary, VDISET_ROLE_SECONDARY,
				self->s.name);
	return ret;
}

static int index_of(int set, const char *name)
{
	struct vdiset_open_device o;
	int ret = vd_open_device(set, name, &o);

	return ret < 0 ? ret : (int)o.out_index;
}

TEST_F(dev, first_has_name_of_set)
{
	ASSERT_EQ(0, begin(self));
	EXPECT_EQ(0, index_of(self->s.server, self->s.name));
	EXPECT_EQ(0, index_of(self->s.primary, self->s.name));
}

TEST_F(dev, first_open_binds_the_name)
{
	struct vdiset_device_status ds;
	int a, b;

	ASSERT_EQ(0, begin(self));
	a = index_of(self->s.server, "a");
	b = index_of(self->s.primary, "b");
	EXPECT_LE(1, a);
	EXPECT_LE(1, b);
	EXPECT_EQ(3, a + b);
	EXPECT_EQ(b, index_of(self->s.server, "b"));
	EXPECT_EQ(a, index_of(self->secondary, "a"));
	ASSERT_EQ(0, vd_device_status(self->s.primary, a, &ds));
	EXPECT_STREQ("a", ds.out_name);
	EXPECT_EQ(1, ds.out_name_len);
	EXPECT_EQ(VDISET_ROLE_SECONDARY, ds.out_client.role);
}

TEST_F(dev, unknown_name_when_all_are_named)
{
	ASSERT_EQ(0, begin(self));
	ASSERT_LE(0, index_of(self->s.server, "a"));
	ASSERT_LE(0, index_of(self->s.server, "b"));
	EXPECT_EQ(-ENOENT, index_of(self->s.primary, "c"));
	EXPECT_EQ(-ENOENT, index_of(self->secondary, "A"));
	EXPECT_LE(0, index_of(self->secondary, "a"));
}

TEST_F(dev, opened_twice_by_one_side)
{
	ASSERT_EQ(0, begin(self));
	ASSERT_LE(0, index_of(self->s.server, "a"));
	EXPECT_EQ(-EBUSY, index_of(self->s.server, "a"));
	ASSERT_LE(0, index_of(self->s.primary, "a"));
	EXPECT_EQ(-EBUSY, index_of(self->s.primary, "a"));
	/* primary and secondary clients count as one side */
	EXPECT_EQ(-EBUSY, index_of(self->secondary, "a"));
	EXPECT_LE(0, index_of(self->secondary, "b"));
	EXPECT_EQ(-EBUSY, index_of(self->s.primary, "b"));
}

TEST_F(dev, all_opened_by_one_side)
{
	ASSERT_EQ(0, begin(self));
	ASSERT_LE(0, index_of(self->s.server, "a"));
	ASSERT_LE(0, index_of(self->s.server, "b"));
	ASSERT_LE(0, index_of(self->s.server, self->s.name));
	EXPECT_EQ(-ENOSPC, index_of(self->s.server, "d"));
	ASSERT_LE(0, index_of(self->s.primary, "a"));
	ASSERT_LE(0, index_of(self->secondary, "b"));
	ASSERT_LE(0, index_of(self->secondary, self->s.name));
	EXPECT_EQ(-ENOSPC, index_of(self->s.primary, "d"));
	EXPECT_EQ(-ENOSPC, index_of(self->secondary, "d"));
}

TEST_F(dev, named_before)
{
	struct vdiset_device_status ds;

	ASSERT_EQ(0, vd_name_device(self->s.server, "two", 2));
	EXPECT_EQ(-EEXIST, vd_name_device(self->s.server, "two", 1));
	EXPECT_EQ(-EBUSY, vd_name_device(self->s.server, "deux", 2));
	EXPECT_EQ(-EEXIST, vd_name_device(self->s.server, self->s.name, 1));
	EXPECT_EQ(-EBUSY, vd_name_device(self->s.server, "first", 0));
	ASSERT_EQ(0, vd_device_status(self->s.primary, 2, &ds));
	EXPECT_STREQ("two", ds.out_name);
	ASSERT_EQ(0, begin(self));
	EXPECT_EQ(-EBADFD, vd_name_device(self->s.server, "one", 1));
	EXPECT_EQ(2, index_of(self->s.primary, "two"));
	EXPECT_EQ(1, index_of(self->s.primary, "any"));
	EXPECT_EQ(1, index_of(self->s.server, "any"));
}

TEST_F(dev, fd_limit)
{
	struct rlimit lim = { 60, 60 };
	int fd[64], n = 0;

	ASSERT_EQ(0, begin(self));
	while (n < 64) {
		fd[n] = fcntl(0, F_DUPFD_CLOEXEC, 0);
		if (fd[n++] > 60)
			break;
	}
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
	EXPECT_EQ(-EMFILE, index_of(self->s.server, self->s.name));
	EXPECT_EQ(VDISET_STATE_INITIALIZING, vd_state(self->s.server));
	close(fd[0]);
	EXPECT_EQ(0, index_of(self->s.server, self->s.name));
	while (n > 1)
		close(fd[--n]);
}

TEST_F(dev, descriptor_is_close_on_exec)
{
	struct vdiset_open_device o;

	ASSERT_EQ(0, begin(self));
	ASSERT_LE(0, vd_open_device(self->s.server, "a", &o));
	EXPECT_EQ(FD_CLOEXEC, fcntl(o.out_fd, F_GETFD));
	EXPECT_EQ(4096, o.out_peer_offset);
	EXPECT_LT(o.out_peer_offset, o.out_ro_size);
	EXPECT_LE(sizeof(struct vdiset_region) + 4 * VD_ENTRY_SIZE, o.out_rw_size);
}

TEST_F(dev, client_opens_device_closed_by_server)
{
	struct vdiset_command cmd = { .code = 42, .buffer = VDISET_NO_BUFFER };
	struct vd_dev server, client;

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	ASSERT_EQ(0, vd_produce(&server, &cmd));
	ASSERT_EQ(0, vd_device_close(server.fd));
	ASSERT_EQ(0, vd_dev_open(&client, self->s.primary, "a"));
	EXPECT_EQ(VDISET_DEVICE_CLOSED, client.state->device_state);
	cmd.code = 0;
	EXPECT_EQ(0, vd_get(&client, &cmd, 0, SEC));
	EXPECT_EQ(42, cmd.code);
	EXPECT_EQ(-EPIPE, vd_get(&client, &cmd, 0, SEC));
	EXPECT_EQ(-EBUSY, index_of(self->s.server, "a"));
	vd_dev_release(&server);
	vd_dev_release(&client);
}

/* After DEVICE_CLOSE, closing the device file is not a death, on either side. */
TEST_F(dev, orderly_close_of_one)
{
	struct vd_dev server, client;

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	ASSERT_EQ(0, vd_dev_open(&client, self->secondary, "a"));
	ASSERT_EQ(0, vd_device_close(server.fd));
	vd_dev_release(&server);
	vd_dev_release(&client);
	vd_sleep_ms(20);
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->s.primary));
	EXPECT_EQ(0, vd_close(self->secondary));
	close(self->secondary);
	self->secondary = -1;
	vd_sleep_ms(20);
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->s.primary));
}

TEST_F(dev, device_file_outlives_set_file)
{
	struct vdiset_completion done = { .code = 7 };
	struct vd_dev server, client;

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	ASSERT_EQ(0, vd_dev_open(&client, self->s.primary, "a"));
	/* the secondary has no device: CLOSE is permitted, and close(2) after it */
	EXPECT_EQ(0, vd_close(self->secondary));
	EXPECT_EQ(0, vd_put(&client, &done));
	done.code = 0;
	EXPECT_EQ(0, vd_get(&server, &done, 0, SEC));
	EXPECT_EQ(7, done.code);
	vd_dev_release(&server);
	vd_dev_release(&client);
}

/*
 * CLOSE
 */
TEST_F(dev, close_too_early)
{
	struct vdiset_status st;

	EXPECT_EQ(-EBUSY, vd_close(self->s.server));
	EXPECT_EQ(-EBADFD, vd_close(self->s.server));
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_CLOSED, st.out_abort.reason);
	EXPECT_EQ(VDISET_ROLE_SERVER, st.out_abort.by.role);
	EXPECT_EQ(getpid(), st.out_abort.by.pid);
	EXPECT_EQ(0, st.out_server.role);
	EXPECT_EQ(0, vd_close(self->s.primary));
	EXPECT_EQ(-EBADFD, vd_close(self->s.primary));
	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(self->s.primary));
}

TEST_F(dev, close_of_primary_too_early)
{
	struct vdiset_status st;

	ASSERT_EQ(0, begin(self));
	EXPECT_EQ(-EBUSY, vd_close(self->s.primary));
	ASSERT_EQ(0, vd_status(self->s.server, &st));
	EXPECT_EQ(VDISET_REASON_CLOSED, st.out_abort.reason);
	EXPECT_EQ(VDISET_ROLE_PRIMARY, st.out_abort.by.role);
	EXPECT_EQ(0, st.out_primary.role);
	EXPECT_EQ(0, vd_close(self->secondary));
	EXPECT_EQ(0, vd_close(self->s.server));
}

TEST_F(dev, close_of_secondary)
{
	struct vdiset_status st;
	struct vd_dev server, client;

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	ASSERT_EQ(0, vd_dev_open(&client, self->secondary, "a"));
	EXPECT_EQ(-EBUSY, vd_close(self->secondary));
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_CLOSED, st.out_abort.reason);
	EXPECT_EQ(VDISET_ROLE_SECONDARY, st.out_abort.by.role);
	EXPECT_EQ(0, st.out_secondaries);
	vd_dev_release(&server);
	vd_dev_release(&client);
}

TEST_F(dev, close_of_observer)
{
	int fd = vd_open();

	ASSERT_EQ(0, vd_attach(fd, VDISET_ROLE_OBSERVER, self->s.name));
	EXPECT_EQ(0, vd_close(fd));
	EXPECT_EQ(-EBADFD, vd_close(fd));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(fd));
	close(fd);
	fd = vd_open();
	/* and an observer that closes its file without CLOSE */
	ASSERT_EQ(0, vd_attach(fd, VDISET_ROLE_OBSERVER, self->s.name));
	close(fd);
	vd_sleep_ms(20);
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(self->s.primary));
}

/*
 * The area
 */
TEST_F(dev, requests_add_up)
{
	struct vdiset_get_config g;
	uint64_t size;

	EXPECT_EQ(0, vd_request_buffers(self->s.server, 65536, &size));
	EXPECT_EQ(65536, size);
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 1, &size));
	EXPECT_EQ(65536 + 4096, size);
	ASSERT_EQ(0, vd_get_config(self->s.primary, 0, 0, &g));
	EXPECT_EQ(0, g.out_config.buffer_area_size);
	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_get_config(self->s.primary, 0, 0, &g));
	EXPECT_EQ(2 * 65536 + 4096, g.out_config.buffer_area_size);
}

TEST_F(dev, area_grows)
{
	struct vdiset_status st;
	struct vd_dev server;
	uint64_t size;
	char *old, *new;

	ASSERT_EQ(0, begin(self));
	old = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED,
		   self->s.primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, old);
	memset(old, 0x5a, 65536);
	/* it at least doubles; larger requests are rounded up to pages */
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 5000, &size));
	EXPECT_EQ(2 * 65536, size);
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 3 * 65536 - 5000, &size));
	EXPECT_EQ(5 * 65536 - 4096, size);
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	EXPECT_EQ(5 * 65536 - 4096, server.state->area_size);
	/* in ACTIVE too; the state pages are updated */
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 2 * MIB, &size));
	EXPECT_EQ(5 * 65536 - 4096 + 2 * MIB, size);
	EXPECT_EQ(size, server.state->area_size);
	new = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   self->s.server, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, new);
	EXPECT_EQ(0x5a, new[0]);
	EXPECT_EQ(0x5a, new[65535]);
	EXPECT_EQ(0, new[65536]);
	EXPECT_EQ(0, new[size - 1]);
	new[100] = 1;
	EXPECT_EQ(1, old[100]);
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(size, st.out_config.buffer_area_size);
	vd_dev_release(&server);
}

TEST_F(dev, area_is_counted)
{
	struct vdiset_info before = { .size = sizeof(before) }, after;

	after = before;
	ASSERT_EQ(0, vd_ioctl(self->secondary, VDISET_INFO, &before));
	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_ioctl(self->secondary, VDISET_INFO, &after));
	EXPECT_EQ(before.out_total_bytes + 65536, after.out_total_bytes);
	ASSERT_EQ(0, vd_request_buffers(self->s.server, 65536, NULL));
	ASSERT_EQ(0, vd_ioctl(self->secondary, VDISET_INFO, &after));
	EXPECT_EQ(before.out_total_bytes + 2 * 65536, after.out_total_bytes);
}

/* A set without buffers is permitted: commands without data need none. */
TEST_F(dev, no_area)
{
	struct vd_dev server;

	ASSERT_EQ(0, vd_end_config(self->s.server));
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	EXPECT_EQ(0, server.state->area_size);
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 4096, NULL));
	EXPECT_EQ(4096, server.state->area_size);
	vd_dev_release(&server);
}

/* The rate limit is set in any live state, and published to both sides at once. */
TEST_F(dev, rate)
{
	struct vdiset_status st;
	struct vd_dev server, client;
	unsigned int i;
	int fd[] = { self->s.primary, self->s.server, self->secondary };

	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(0, st.out_rate);
	ASSERT_EQ(0, vd_set_rate(self->s.primary, 12345));
	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_dev_open(&server, self->s.server, "a"));
	EXPECT_EQ(12345, server.state->rate);
	ASSERT_EQ(0, vd_dev_open(&client, self->s.primary, "a"));
	EXPECT_EQ(12345, client.state->rate);
	for (i = 0; i < ARRAY_LEN(fd); i++) {
		ASSERT_EQ(0, vd_set_rate(fd[i], ~0ULL - i));
		EXPECT_EQ(~0ULL - i, server.state->rate);
		EXPECT_EQ(~0ULL - i, client.state->rate);
		ASSERT_EQ(0, vd_status(self->s.server, &st));
		EXPECT_EQ(~0ULL - i, st.out_rate);
	}
	ASSERT_EQ(0, vd_set_rate(self->s.primary, 0));
	EXPECT_EQ(0, server.state->rate);
	/* a caller that was compiled before the member existed */
	memset(&st, 0x5a, sizeof(st));
	st.size = offsetof(struct vdiset_status, out_rate);
	st.flags = 0;
	ASSERT_EQ(0, vd_set_rate(self->s.primary, 7));
	ASSERT_EQ(0, vd_ioctl(self->s.primary, VDISET_STATUS, &st));
	EXPECT_EQ(0x5a5a5a5a5a5a5a5aULL, st.out_rate);
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(-ECANCELED, vd_set_rate(self->s.primary, 1));
	EXPECT_EQ(7, server.state->rate);
	vd_dev_release(&client);
	vd_dev_release(&server);
}

TEST_HARNESS_MAIN
