// SPDX-License-Identifier: GPL-2.0
/* Shows the states of a set from CREATE to its end, as every request reports them. */
#define _GNU_SOURCE
#include "vdiset_test.h"
#include "harness.h"

FIXTURE(life) {
	struct vd_set s;
	struct vd_dev c[3], d[3];
	int fd;
	int sets;
};

FIXTURE_SETUP(life)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(self->c); i++)
		self->c[i].fd = self->d[i].fd = -1;
	self->sets = vd_sets();
	self->fd = vd_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(life)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(self->c); i++) {
		vd_dev_release(&self->c[i]);
		vd_dev_release(&self->d[i]);
	}
	vd_set_down(&self->s);
	close(self->fd);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
}

/* Opens every device of self->s on both sides: the set is ACTIVE. */
static int open_all(FIXTURE_DATA(life) *self)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < self->s.devices; i++) {
		ret = vd_set_open_device(&self->s, self->s.primary, i,
					 &self->c[i]);
		if (!ret)
			ret = vd_set_open_device(&self->s, self->s.server, i,
						 &self->d[i]);
	}
	return ret;
}

static int close_all(FIXTURE_DATA(life) *self)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < self->s.devices; i++)
		ret = vd_device_close(self->d[i].fd);
	return ret;
}

#define CHECK_STATE(want) do {						\
	struct vdiset_get_config g;					\
	EXPECT_EQ(want, vd_state(self->s.primary));			\
	EXPECT_EQ(0, vd_get_config(self->s.primary, 0, 0, &g));		\
	EXPECT_EQ(want, g.out_state);					\
	EXPECT_EQ(1, vd_listed(self->fd, self->s.id));			\
} while (0)

TEST_F(life, states_in_order)
{
	struct vdiset_device_status ds;
	struct vdiset_create c = {
		.size = sizeof(c), .mode = 0640, .uid = -1, .gid = -1,
		.config = {
			.device_count = 2, .features = 0x12345,
			.prefix_zone_size = 7, .alignment = 512,
			.soft_file_mark_block_size = 11,
			.eom_warning_size = 13, .server_timeout = 17,
		},
	};
	struct vdiset_configure cf = {
		.size = sizeof(cf), .features = 0x345, .block_size = 1024,
		.alignment = 4096, .max_transfer_size = 65536, .depth = 5,
	};
	struct vdiset_status st;

	self->s.devices = 2;
	self->s.primary = vd_open();
	self->s.server = vd_open();
	c.name = (uintptr_t)vd_name(self->s.name, "life");
	c.name_len = strlen(self->s.name);
	ASSERT_EQ(0, vd_ioctl(self->s.primary, VDISET_CREATE, &c));
	self->s.id = c.out_id;
	EXPECT_NE(0, c.out_id);
	EXPECT_EQ(self->sets + 1, vd_sets());
	CHECK_STATE(VDISET_STATE_CREATED);

	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(c.out_id, st.out_id);
	EXPECT_EQ(VDISET_ROLE_PRIMARY, st.out_role);
	EXPECT_EQ(0640, st.out_mode);
	EXPECT_EQ(geteuid(), st.out_uid);
	EXPECT_EQ(getegid(), st.out_gid);
	EXPECT_EQ(VDISET_ROLE_PRIMARY, st.out_primary.role);
	EXPECT_EQ(getpid(), st.out_primary.pid);
	EXPECT_EQ(geteuid(), st.out_primary.uid);
	EXPECT_EQ(getegid(), st.out_primary.gid);
	EXPECT_EQ(0, st.out_server.role);
	EXPECT_EQ(0, st.out_abort.reason);
	EXPECT_EQ(0, memcmp(&c.config, &st.out_config, sizeof(c.config)));
	EXPECT_EQ(strlen(self->s.name), st.out_name_len);
	EXPECT_STREQ(self->s.name, st.out_name);

	ASSERT_EQ(0, vd_attach(self->s.server, VDISET_ROLE_SERVER,
			       self->s.name));
	CHECK_STATE(VDISET_STATE_CONNECTED);
	ASSERT_EQ(0, vd_status(self->s.server, &st));
	EXPECT_EQ(VDISET_ROLE_SERVER, st.out_role);
	EXPECT_EQ(VDISET_ROLE_SERVER, st.out_server.role);
	EXPECT_EQ(getpid(), st.out_server.pid);

	ASSERT_EQ(0, vd_ioctl(self->s.server, VDISET_CONFIGURE, &cf));
	CHECK_STATE(VDISET_STATE_CONFIGURABLE);
	ASSERT_EQ(0, vd_request_buffers(self->s.server, 10000, NULL));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	CHECK_STATE(VDISET_STATE_INITIALIZING);
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(2, st.out_config.device_count);
	EXPECT_EQ(0x345, st.out_config.features);
	EXPECT_EQ(7, st.out_config.prefix_zone_size);
	EXPECT_EQ(4096, st.out_config.alignment);
	EXPECT_EQ(11, st.out_config.soft_file_mark_block_size);
	EXPECT_EQ(13, st.out_config.eom_warning_size);
	EXPECT_EQ(17, st.out_config.server_timeout);
	EXPECT_EQ(1024, st.out_config.block_size);
	EXPECT_EQ(8, st.out_config.max_io_depth);
	EXPECT_EQ(65536, st.out_config.max_transfer_size);
	EXPECT_EQ(3 * 4096, st.out_config.buffer_area_size);

	ASSERT_EQ(0, vd_device_status(self->s.primary, 0, &ds));
	EXPECT_EQ(VDISET_DEVICE_IDLE, ds.out_state);
	EXPECT_STREQ(self->s.name, ds.out_name);
	ASSERT_EQ(0, vd_device_status(self->s.primary, 1, &ds));
	EXPECT_EQ(0, ds.out_name_len);
	EXPECT_EQ(0, ds.out_client.role);
	EXPECT_EQ(0, ds.out_server.role);

	ASSERT_EQ(0, open_all(self));
	CHECK_STATE(VDISET_STATE_ACTIVE);
	EXPECT_EQ(VDISET_STATE_ACTIVE, self->c[0].state->set_state);
	EXPECT_EQ(VDISET_STATE_ACTIVE, self->d[1].state->set_state);
	EXPECT_EQ(VDISET_DEVICE_OPEN, self->c[0].state->device_state);
	EXPECT_EQ(8, self->c[0].state->depth);
	EXPECT_EQ(3 * 4096, self->c[0].state->area_size);
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(2, st.out_client_devices);
	EXPECT_EQ(2, st.out_server_devices);
	ASSERT_EQ(0, vd_device_status(self->s.primary, 1, &ds));
	EXPECT_EQ(VDISET_DEVICE_OPEN, ds.out_state);
	EXPECT_EQ(VDISET_ROLE_PRIMARY, ds.out_client.role);
	EXPECT_EQ(getpid(), ds.out_client.pid);
	EXPECT_EQ(VDISET_ROLE_SERVER, ds.out_server.role);

	ASSERT_EQ(0, vd_device_close(self->d[0].fd));
	CHECK_STATE(VDISET_STATE_ACTIVE);
	EXPECT_EQ(VDISET_DEVICE_CLOSED, self->c[0].state->device_state);
	EXPECT_EQ(VDISET_DEVICE_OPEN, self->c[1].state->device_state);
	ASSERT_EQ(0, vd_device_close(self->d[1].fd));
	CHECK_STATE(VDISET_STATE_TERMINATED);
	EXPECT_EQ(VDISET_STATE_TERMINATED, self->c[0].state->set_state);
	EXPECT_EQ(VDISET_STATE_TERMINATED, self->c[1].state->set_state);
	ASSERT_EQ(0, vd_device_status(self->s.primary, 1, &ds));
	EXPECT_EQ(VDISET_DEVICE_CLOSED, ds.out_state);
	EXPECT_EQ(-EPIPE, vd_device_close(self->d[1].fd));

	EXPECT_EQ(0, vd_close(self->s.server));
	EXPECT_EQ(0, vd_close(self->s.primary));
	EXPECT_EQ(-EBADFD, vd_close(self->s.primary));
	EXPECT_EQ(VDISET_STATE_TERMINATED, vd_state(self->s.primary));
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(0, st.out_primary.role);
	EXPECT_EQ(0, st.out_server.role);
	EXPECT_EQ(0, st.out_abort.reason);
}

TEST_F(life, first_open_by_either_side)
{
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0,
					&self->c[0]));
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->s.server));
	/* only the server's open makes the device OPEN */
	EXPECT_EQ(VDISET_DEVICE_IDLE, self->c[0].state->device_state);
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0,
					&self->d[0]));
	EXPECT_EQ(VDISET_DEVICE_OPEN, self->c[0].state->device_state);
}

TEST_F(life, age)
{
	struct vdiset_status a, b;

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CREATED));
	ASSERT_EQ(0, vd_status(self->s.primary, &a));
	vd_sleep_ms(50);
	ASSERT_EQ(0, vd_status(self->s.primary, &b));
	EXPECT_LE(50 * MS, b.out_age_ns - a.out_age_ns);
	EXPECT_GT(VD_HANG, b.out_age_ns);
}

TEST_F(life, bound_once)
{
	char name[64];

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CONNECTED));
	vd_name(name, "again");
	EXPECT_EQ(-EISCONN, vd_create(self->s.primary, name, 1));
	EXPECT_EQ(-EISCONN, vd_create(self->s.server, name, 1));
	EXPECT_EQ(-EISCONN, vd_attach(self->s.primary, VDISET_ROLE_OBSERVER,
				      self->s.name));
	EXPECT_EQ(-EISCONN, vd_attach(self->s.server, VDISET_ROLE_SERVER,
				      self->s.name));
	/* nor after an abort and CLOSE */
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	ASSERT_EQ(0, vd_close(self->s.primary));
	EXPECT_EQ(-EISCONN, vd_create(self->s.primary, name, 1));
}

TEST_F(life, name_in_use)
{
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CREATED));
	EXPECT_EQ(-EEXIST, vd_create(self->fd, self->s.name, 1));
	/* the file of the failed CREATE is not bound */
	EXPECT_EQ(-ENOTCONN, vd_state(self->fd));
}

TEST_F(life, name_free_after_abort)
{
	int fd = vd_open();

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, vd_abort(self->s.server, VDISET_REASON_SIGNAL, 0, ""));
	/* both parties still have the old set open */
	EXPECT_EQ(0, vd_create(self->fd, self->s.name, 1));
	/* the name refers to the new set */
	EXPECT_EQ(0, vd_attach(fd, VDISET_ROLE_SERVER, self->s.name));
	EXPECT_EQ(vd_set_id(self->fd), vd_set_id(fd));
	EXPECT_NE(self->s.id, vd_set_id(self->fd));
	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(self->s.primary));
	EXPECT_EQ(VDISET_STATE_CONNECTED, vd_state(self->fd));
	close(fd);
}

/* A name refers to the set that used it last, even while older sets are held. */
TEST_F(life, name_finds_the_last)
{
	int first = vd_open(), second = vd_open(), fd = vd_open();

	vd_name(self->s.name, "last");
	ASSERT_EQ(0, vd_create(first, self->s.name, 1));
	ASSERT_EQ(0, vd_abort(first, VDISET_REASON_SIGNAL, 0, ""));
	ASSERT_EQ(0, vd_create(second, self->s.name, 1));
	ASSERT_EQ(0, vd_abort(second, VDISET_REASON_SIGNAL, 0, ""));
	ASSERT_EQ(0, vd_attach(self->fd, VDISET_ROLE_OBSERVER, self->s.name));
	EXPECT_EQ(vd_set_id(second), vd_set_id(self->fd));
	/* after that set is released, the name does not exist */
	close(self->fd);
	close(second);
	self->fd = vd_open();
	EXPECT_EQ(-ENOENT, vd_attach(fd, VDISET_ROLE_OBSERVER, self->s.name));
	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(first));
	close(first);
	close(fd);
}

TEST_F(life, name_free_after_termination)
{
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, open_all(self));
	EXPECT_EQ(-EEXIST, vd_create(self->fd, self->s.name, 1));
	ASSERT_EQ(0, close_all(self));
	EXPECT_EQ(0, vd_create(self->fd, self->s.name, 1));
	EXPECT_EQ(VDISET_STATE_TERMINATED, vd_state(self->s.primary));
}

TEST_F(life, name_free_after_death)
{
	char name[64];
	int i;

	vd_name(name, "short");
	for (i = 0; i < 200; i++) {
		int fd = vd_open();

		ASSERT_EQ(0, vd_create(fd, name, 1));
		close(fd);
	}
}

TEST_F(life, ids_not_reused)
{
	uint64_t last = 0;
	char name[64];
	int i;

	vd_name(name, "number");
	for (i = 0; i < 50; i++) {
		int fd = vd_open();
		uint64_t id;

		ASSERT_EQ(0, vd_create(fd, name, 1));
		id = vd_set_id(fd);
		EXPECT_LT(last, id);
		last = id;
		close(fd);
	}
}

TEST_F(life, one_server)
{
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_CONNECTED));
	EXPECT_EQ(-EBUSY, vd_attach(self->fd, VDISET_ROLE_SERVER, self->s.name));
	ASSERT_EQ(0, vd_configure(self->s.server, 4));
	EXPECT_EQ(-EBUSY, vd_attach(self->fd, VDISET_ROLE_SERVER, self->s.name));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	EXPECT_EQ(-EBUSY, vd_attach(self->fd, VDISET_ROLE_SERVER, self->s.name));
	EXPECT_EQ(-ENOTCONN, vd_state(self->fd));
}

TEST_F(life, secondary_waits_for_configuration)
{
	struct vdiset_status st;
	int other = vd_open();

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CREATED));
	EXPECT_EQ(-EAGAIN, vd_attach(self->fd, VDISET_ROLE_SECONDARY, self->s.name));
	ASSERT_EQ(0, vd_attach(self->s.server, VDISET_ROLE_SERVER, self->s.name));
	EXPECT_EQ(-EAGAIN, vd_attach(self->fd, VDISET_ROLE_SECONDARY, self->s.name));
	ASSERT_EQ(0, vd_configure(self->s.server, 4));
	EXPECT_EQ(-EAGAIN, vd_attach(self->fd, VDISET_ROLE_SECONDARY, self->s.name));
	ASSERT_EQ(0, vd_request_buffers(self->s.server, 4096, NULL));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	EXPECT_EQ(0, vd_attach(self->fd, VDISET_ROLE_SECONDARY, self->s.name));
	EXPECT_EQ(0, vd_attach(other, VDISET_ROLE_SECONDARY, self->s.name));
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(VDISET_ROLE_SECONDARY, st.out_role);
	EXPECT_EQ(2, st.out_secondaries);
	EXPECT_EQ(0, vd_close(other));
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(1, st.out_secondaries);
	close(other);
}

TEST_F(life, attach_by_id_and_fd)
{
	int o = VDISET_ROLE_OBSERVER, fd = vd_open();

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CREATED));
	EXPECT_EQ(-ENOENT, vd_attach_id(self->fd, o, self->s.id + 1000));
	EXPECT_EQ(-ENOENT, vd_attach_id(self->fd, o, 0));
	EXPECT_EQ(0, vd_attach_id(self->fd, o, self->s.id));
	/* a bound file of any role is accepted */
	EXPECT_EQ(0, vd_attach_fd(fd, o, self->fd));
	EXPECT_EQ(0, vd_attach_fd(self->s.server, VDISET_ROLE_SERVER, fd));
	EXPECT_EQ(self->s.id, vd_set_id(self->s.server));
	EXPECT_EQ(VDISET_STATE_CONNECTED, vd_state(fd));
	close(fd);
	vd_sleep_ms(10);
	EXPECT_EQ(VDISET_STATE_CONNECTED, vd_state(self->fd));
}

TEST_F(life, attach_after_the_end)
{
	int fd = vd_open();

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, open_all(self));
	ASSERT_EQ(0, close_all(self));
	EXPECT_EQ(-EPIPE, vd_attach_id(fd, VDISET_ROLE_SECONDARY, self->s.id));
	EXPECT_EQ(-EPIPE, vd_attach_fd(fd, VDISET_ROLE_SECONDARY, self->s.primary));
	EXPECT_EQ(-ENOTCONN, vd_state(fd));
	close(fd);
}

TEST_F(life, attach_after_abort)
{
	int fd = vd_open();

	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_CREATED));
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(-ECANCELED, vd_attach_id(fd, VDISET_ROLE_SERVER, self->s.id));
	EXPECT_EQ(-ECANCELED, vd_attach_fd(fd, VDISET_ROLE_SERVER, self->s.primary));
	EXPECT_EQ(-ENOTCONN, vd_state(fd));
	close(fd);
}

/* A set without a name can be joined through its files only. */
TEST_F(life, anonymous)
{
	struct vdiset_status st;
	struct vd_dev d;
	int other = vd_open();

	memset(&self->s, 0, sizeof(self->s));
	self->s.primary = vd_open();
	self->s.server = vd_open();
	ASSERT_EQ(0, vd_create(self->s.primary, NULL, 1));
	/* the number of unnamed sets is not limited to one */
	EXPECT_EQ(0, vd_create(other, NULL, 1));
	ASSERT_EQ(0, vd_status(self->s.primary, &st));
	EXPECT_EQ(0, st.out_name_len);
	EXPECT_EQ(0, st.out_name[0]);
	ASSERT_EQ(0, vd_attach_fd(self->s.server, VDISET_ROLE_SERVER,
				  self->s.primary));
	ASSERT_EQ(0, vd_configure(self->s.server, 2));
	ASSERT_EQ(0, vd_request_buffers(self->s.server, 1, NULL));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	/* its first device is unnamed too: the first unknown name is assigned to it */
	ASSERT_EQ(0, vd_dev_open(&d, self->s.server, "dev"));
	EXPECT_EQ(-ENOENT, vd_open_device(self->s.primary, "no", NULL));
	ASSERT_EQ(0, vd_dev_open(&self->c[0], self->s.primary, "dev"));
	EXPECT_EQ(0, vd_device_close(d.fd));
	EXPECT_EQ(VDISET_STATE_TERMINATED, vd_state(self->s.primary));
	vd_dev_release(&d);
	close(other);
}

TEST_F(life, get_config_of_the_server)
{
	struct vdiset_get_config g;

	ASSERT_EQ(0, vd_set_up(&self->s, 3, 4, 0, VDISET_STATE_CONNECTED));
	ASSERT_EQ(0, vd_get_config(self->s.server, 0, 0, &g));
	EXPECT_EQ(3, g.out_config.device_count);
	EXPECT_EQ(0, g.out_config.max_io_depth);
	EXPECT_EQ(0, g.out_config.buffer_area_size);
	EXPECT_EQ(VDISET_STATE_CONNECTED, g.out_state);
}

static int fdinfo(int fd, char *buf, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return vd_read_file(path, buf, size);
}

TEST_F(life, fdinfo)
{
	char buf[4096], id[32];

	ASSERT_EQ(0, vd_set_up(&self->s, 2, 4, 4096, VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, open_all(self));
	snprintf(id, sizeof(id), "%llu", (unsigned long long)self->s.id);
	ASSERT_LT(0, fdinfo(self->s.primary, buf, sizeof(buf)));
	EXPECT_NE(NULL, strstr(buf, "pos:"));
	EXPECT_NE(NULL, strstr(buf, "vdiset"));
	EXPECT_NE(NULL, strstr(buf, id));
	ASSERT_LT(0, fdinfo(self->c[1].fd, buf, sizeof(buf)));
	EXPECT_NE(NULL, strstr(buf, "vdiset"));
	EXPECT_NE(NULL, strstr(buf, id));
	/* a set file that is not bound has fdinfo as well */
	EXPECT_LT(0, fdinfo(self->fd, buf, sizeof(buf)));
}

TEST_F(life, list_in_order)
{
	struct vdiset_list l = { .size = sizeof(l) };
	uint64_t id[20], last = 0;
	int fd[20], i, n = 0;

	for (i = 0; i < 20; i++) {
		fd[i] = vd_open();
		ASSERT_EQ(0, vd_create(fd[i], NULL, 1));
		id[i] = vd_set_id(fd[i]);
	}
	close(fd[7]);
	while (!vd_ioctl(self->fd, VDISET_LIST, &l)) {
		EXPECT_LT(last, l.cursor);
		last = l.cursor;
		EXPECT_NE(id[7], l.cursor);
		for (i = 0; i < 20; i++)
			n += id[i] == l.cursor;
	}
	EXPECT_EQ(19, n);
	l.cursor = ~0ULL;
	EXPECT_EQ(-ENOENT, vd_ioctl(self->fd, VDISET_LIST, &l));
	for (i = 0; i < 20; i++)
		if (i != 7)
			close(fd[i]);
}

TEST_HARNESS_MAIN
