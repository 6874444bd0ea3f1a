// SPDX-License-Identifier: GPL-2.0
/* Shows which role, state and values each request accepts. */
#define _GNU_SOURCE
#include "requests.h"

/* The set is in the state of the valid call; the file has each other role. */
TEST_F(request, wrong_role)
{
	int fd[5] = { 0 }, role;

	if (variant->on == ON_UNBOUND)
		SKIP(return, "binds a file, or needs no bound file");
	if (on_device(variant)) {
		if (variant->request == VDISET_DEVICE_WAIT)
			SKIP(return, "valid for both sides");
		EXPECT_EQ(-EPERM, vd_ioctl(self->client.fd, variant->request,
					   &self->arg));
		EXPECT_EQ(0, good_call(self, variant));
		return;
	}
	if (variant->roles == ANY_ROLE)
		SKIP(return, "valid for every role");
	self->observer = vd_open();
	ASSERT_EQ(0, vd_attach(self->observer, VDISET_ROLE_OBSERVER,
			       self->s.name));
	fd[VDISET_ROLE_PRIMARY] = self->s.primary;
	fd[VDISET_ROLE_SERVER] = self->s.server;
	fd[VDISET_ROLE_OBSERVER] = self->observer;
	if (variant->state >= VDISET_STATE_INITIALIZING) {
		self->secondary = vd_open();
		ASSERT_EQ(0, vd_attach(self->secondary, VDISET_ROLE_SECONDARY,
				       self->s.name));
		fd[VDISET_ROLE_SECONDARY] = self->secondary;
	}
	for (role = VDISET_ROLE_PRIMARY; role <= VDISET_ROLE_OBSERVER; role++) {
		if (!fd[role] || variant->roles & 1 << role)
			continue;
		EXPECT_EQ(-EPERM, vd_ioctl(fd[role], variant->request,
					   &self->arg))
			TH_LOG("role %d", role);
	}
	EXPECT_EQ(0, good_call(self, variant));
}

/* The same file and argument in each state that does not permit the request */
TEST_F(request, wrong_state)
{
	int state;

	if (variant->states == ANY_STATE || variant->on == ON_UNBOUND)
		SKIP(return, "legal in every state");
	if (on_device(variant))
		SKIP(return, "device files only exist in ACTIVE");
	for (state = VDISET_STATE_CREATED; state <= VDISET_STATE_ABORTED; state++) {
		FIXTURE_DATA(request) other = { .unbound = -1 };
		int want = state == VDISET_STATE_ABORTED ? -ECANCELED : -EBADFD;
		int fd;

		if (variant->states & 1 << state ||
		    (state == VDISET_STATE_CREATED && variant->on == ON_SERVER))
			continue;
		/* the header does not specify WAIT in INITIALIZING and in ended sets */
		if (variant->request == VDISET_WAIT &&
		    (state == VDISET_STATE_INITIALIZING ||
		     state == VDISET_STATE_TERMINATED))
			continue;
		/* nor DEVICE_STATUS of an aborted set */
		if (variant->request == VDISET_DEVICE_STATUS)
			continue;
		ASSERT_EQ(0, reach(&other, state)) TH_LOG("state %d", state);
		fd = variant->on == ON_SERVER ? other.s.server : other.s.primary;
		good_arg(&other, variant);
		EXPECT_EQ(want, vd_ioctl(fd, variant->request, &other.arg))
			TH_LOG("state %d", state);
		EXPECT_EQ(state, vd_state(fd));
		vd_dev_release(&other.client);
		vd_dev_release(&other.server);
		vd_set_down(&other.s);
	}
}

TEST_F(request, legal_states)
{
	int state;

	if (variant->on == ON_UNBOUND || variant->request == VDISET_CLOSE)
		SKIP(return, "independent of states, or ends the set");
	if (on_device(variant))
		SKIP(return, "device files only exist in ACTIVE");
	for (state = VDISET_STATE_CREATED; state <= VDISET_STATE_ABORTED; state++) {
		FIXTURE_DATA(request) other = { .unbound = -1 };

		if (!(variant->states & 1 << state))
			continue;
		ASSERT_EQ(0, reach(&other, state)) TH_LOG("state %d", state);
		good_arg(&other, variant);
		EXPECT_EQ(0, vd_ioctl(variant->on == ON_SERVER ? other.s.server :
				      other.s.primary, variant->request, &other.arg))
			TH_LOG("state %d", state);
		vd_dev_release(&other.client);
		vd_dev_release(&other.server);
		vd_set_down(&other.s);
	}
}

TEST_F(request, aborted)
{
	if (variant->on == ON_UNBOUND || variant->states & 1 << VDISET_STATE_ABORTED)
		SKIP(return, "legal in ABORTED");
	if (variant->request == VDISET_DEVICE_STATUS)
		SKIP(return, "not specified by the header");
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(-ECANCELED, vd_ioctl(self->fd, variant->request, &self->arg));
	/* ECANCELED takes precedence over errors in the argument */
	EXPECT_EQ(-ECANCELED, good_call(self, variant));
}

/*
 * Values out of range: one member of the argument is wrong
 */
FIXTURE(range) {
	struct vd_set s;
	struct vd_dev dev;
	int fd;
};

FIXTURE_SETUP(range)
{
	self->fd = vd_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, vd_set_up(&self->s, 2, 4, 4096,
			       VDISET_STATE_CONFIGURABLE));
}

FIXTURE_TEARDOWN(range)
{
	vd_dev_release(&self->dev);
	vd_set_down(&self->s);
	close(self->fd);
}

static struct vdiset_create create_arg(const char *name)
{
	struct vdiset_create c = {
		.size = sizeof(c),
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.mode = 0600,
		.uid = -1,
		.gid = -1,
		.config.device_count = 1,
	};

	return c;
}

TEST_F(range, create_device_count)
{
	char name[64];

	vd_name(name, "count");
	EXPECT_EQ(-EINVAL, vd_create(self->fd, name, 0));
	EXPECT_EQ(-EINVAL, vd_create(self->fd, name, VDISET_MAX_DEVICES + 1));
	EXPECT_EQ(-EINVAL, vd_create(self->fd, name, -1));
	EXPECT_EQ(0, vd_create(self->fd, name, VDISET_MAX_DEVICES));
}

TEST_F(range, create_mode)
{
	char name[64];

	vd_name(name, "mode");
	EXPECT_EQ(-EINVAL, vd_create_mode(self->fd, name, 1, 01000));
	EXPECT_EQ(-EINVAL, vd_create_mode(self->fd, name, 1, 04600));
	EXPECT_EQ(-EINVAL, vd_create_mode(self->fd, name, 1, 0100600));
	EXPECT_EQ(0, vd_create_mode(self->fd, name, 1, 0777));
}

/* Members that the server or the kernel sets must be 0. */
TEST_F(range, create_rejects_members_of_the_server)
{
	struct vdiset_create c;
	char name[64];

	vd_name(name, "config");
	c = create_arg(name);
	c.config.block_size = 512;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_CREATE, &c));
	c = create_arg(name);
	c.config.max_io_depth = 1;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_CREATE, &c));
	c = create_arg(name);
	c.config.max_transfer_size = 1;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_CREATE, &c));
	c = create_arg(name);
	c.config.buffer_area_size = 1ULL << 32;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_CREATE, &c));
	c = create_arg(name);
	EXPECT_EQ(0, vd_ioctl(self->fd, VDISET_CREATE, &c));
}

TEST_F(range, attach_how)
{
	struct vdiset_attach good = {
		.size = sizeof(good),
		.flags = VDISET_ATTACH_BY_ID,
		.role = VDISET_ROLE_OBSERVER,
		.id = self->s.id,
	}, a;

	for (a = good, a.flags = 0; a.flags < 8; a.flags++) {
		struct vdiset_attach b = a;

		if (__builtin_popcount(a.flags) == 1)
			continue;
		EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_ATTACH, &b))
			TH_LOG("flags %x", a.flags);
	}
	a = good;
	a.fd = self->s.primary;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_ATTACH, &a));
	a = good;
	a.name = (uintptr_t)self->s.name;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_ATTACH, &a));
	a = good;
	a.name_len = 1;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, VDISET_ATTACH, &a));
	EXPECT_EQ(0, vd_ioctl(self->fd, VDISET_ATTACH, &good));
	EXPECT_EQ(self->s.id, good.out_id);
}

TEST_F(range, attach_role)
{
	static const unsigned int bad[] = { 0, VDISET_ROLE_PRIMARY, 5, -1 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_EQ(-EINVAL, vd_attach(self->fd, bad[i], self->s.name))
			TH_LOG("role %u", bad[i]);
	}
	EXPECT_EQ(0, vd_attach(self->fd, VDISET_ROLE_OBSERVER, self->s.name));
}

TEST_F(range, attach_fd)
{
	int other = vd_open(), file = open("/dev/null", O_RDWR | O_CLOEXEC);
	int o = VDISET_ROLE_OBSERVER;

	EXPECT_EQ(-EBADF, vd_attach_fd(self->fd, o, -1));
	EXPECT_EQ(-EBADF, vd_attach_fd(self->fd, o, 1000000));
	EXPECT_EQ(-EINVAL, vd_attach_fd(self->fd, o, file));
	EXPECT_EQ(-EINVAL, vd_attach_fd(self->fd, o, other));
	EXPECT_EQ(-EINVAL, vd_attach_fd(self->fd, o, self->fd));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0, &self->dev));
	EXPECT_EQ(-EINVAL, vd_attach_fd(self->fd, o, self->dev.fd));
	EXPECT_EQ(0, vd_attach_fd(self->fd, o, self->s.primary));
	close(other);
	close(file);
}

TEST_F(range, configure_depth)
{
	static const unsigned int depth[][2] = {
		{ 0, VDISET_DEFAULT_DEPTH }, { 1, 1 }, { 2, 2 }, { 3, 4 },
		{ 33, 64 }, { 1000, 1024 }, { 1024, 1024 },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(depth); i++) {
		struct vdiset_open_device o;
		struct vdiset_get_config g;
		struct vd_set s;

		ASSERT_EQ(0, vd_set_up(&s, 1, depth[i][0], 4096,
				       VDISET_STATE_INITIALIZING));
		ASSERT_EQ(0, vd_get_config(s.primary, 0, 0, &g));
		EXPECT_EQ(depth[i][1], g.out_config.max_io_depth);
		ASSERT_LE(0, vd_open_device(s.server, s.name, &o));
		EXPECT_EQ(depth[i][1], o.out_depth);
		close(o.out_fd);
		vd_set_down(&s);
	}
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 0, 0, VDISET_STATE_CONNECTED));
	EXPECT_EQ(-EINVAL, vd_configure(self->s.server, VDISET_MAX_DEPTH + 1));
	EXPECT_EQ(-EINVAL, vd_configure(self->s.server, -1));
	EXPECT_EQ(0, vd_configure(self->s.server, VDISET_MAX_DEPTH));
}

TEST_F(range, device_index)
{
	struct vdiset_device_status st;

	EXPECT_EQ(-EINVAL, vd_name_device(self->s.server, "x", 2));
	EXPECT_EQ(-EINVAL, vd_name_device(self->s.server, "x", -1));
	EXPECT_EQ(-EINVAL, vd_device_status(self->s.server, 2, &st));
	EXPECT_EQ(-EINVAL, vd_device_status(self->s.server, -1, &st));
	EXPECT_EQ(0, vd_device_status(self->s.server, 1, &st));
}

TEST_F(range, request_buffers)
{
	uint64_t size;

	EXPECT_EQ(-EINVAL, vd_request_buffers(self->s.server, 0, NULL));
	/* a sum that overflows must fail */
	EXPECT_EQ(-ENOMEM, vd_request_buffers(self->s.server, ~0ULL, NULL));
	EXPECT_EQ(-ENOMEM, vd_request_buffers(self->s.server, ~4095ULL, NULL));
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 1, &size));
	EXPECT_EQ(4096, size);
	EXPECT_EQ(-ENOMEM, vd_request_buffers(self->s.server, ~4095ULL, NULL));
	EXPECT_EQ(0, vd_request_buffers(self->s.server, 4097, &size));
	EXPECT_EQ(3 * 4096, size);
}

TEST_F(range, abort_reason_and_text)
{
	static const unsigned int bad[] = {
		0, VDISET_REASON_CLOSED, VDISET_REASON_DIED, 6, -1
	};
	struct vdiset_abort a = {
		.size = sizeof(a),
		.reason = VDISET_REASON_TIMEOUT,
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_EQ(-EINVAL, vd_abort(self->s.server, bad[i], 0, ""))
			TH_LOG("reason %u", bad[i]);
	}
	memset(a.text, 'x', sizeof(a.text));
	EXPECT_EQ(-EINVAL, vd_ioctl(self->s.server, VDISET_ABORT, &a));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(self->s.primary));
	a.text[sizeof(a.text) - 1] = 0;
	EXPECT_EQ(0, vd_ioctl(self->s.server, VDISET_ABORT, &a));
}

TEST_F(range, get_config)
{
	/* a time-out is invalid for a call that does not wait */
	EXPECT_EQ(-EINVAL, vd_get_config(self->s.primary, 0, 1, NULL));
	EXPECT_EQ(-EINVAL, vd_get_config(self->s.primary, 0, -1, NULL));
	EXPECT_EQ(0, vd_get_config(self->s.primary, 0, 0, NULL));
}

TEST_F(range, waits)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, vd_end_config(self->s.server));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0, &self->dev));
	EXPECT_EQ(-EINVAL, vd_device_wait(self->dev.fd, 0, 0, 0));
	EXPECT_EQ(-EINVAL, vd_device_wait(self->dev.fd, VDISET_WAIT_KICK, 1, 0));
	EXPECT_EQ(-EINVAL, vd_device_wait(self->dev.fd, VDISET_WAIT_KICK, -1, 0));
	EXPECT_EQ(-EINVAL, vd_set_wait(self->s.server, 0, 0, 0, &seen));
	EXPECT_EQ(-EINVAL, vd_set_wait(self->s.server, VDISET_WAIT_KICK, 1, 0,
				       &seen));
	/* devices to kick without the flag, and devices that do not exist */
	EXPECT_EQ(-EINVAL, vd_set_wait(self->s.server, VDISET_WAIT_SLEEP, 0, 1,
				       &seen));
	EXPECT_EQ(-EINVAL, vd_set_wait(self->s.server, VDISET_WAIT_KICK, 0, 4,
				       &seen));
	EXPECT_EQ(-EINVAL, vd_set_wait(self->s.server, VDISET_WAIT_KICK, 0,
				       1ULL << 63, &seen));
	EXPECT_EQ(0, vd_set_wait(self->s.server, VDISET_WAIT_KICK, 0, 3, &seen));
}

TEST_HARNESS_MAIN
