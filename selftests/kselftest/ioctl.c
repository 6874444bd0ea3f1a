// SPDX-License-Identifier: GPL-2.0
/* Shows the rules of every request: sizes, flags, reserved words, pointers. */
#define _GNU_SOURCE
#include "requests.h"

TEST_F(request, valid_call_succeeds)
{
	EXPECT_EQ(0, good_call(self, variant));
}

TEST_F(request, size_zero)
{
	self->arg.size = 0;
	EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, variant->request, &self->arg));
	EXPECT_EQ(0, good_call(self, variant));
}

/* What is shorter than the first version of a structure is invalid. */
TEST_F(request, size_short)
{
	size_t size, first = variant->first_size ? : variant->size;

	for (size = 1; size < first; size++) {
		self->arg.size = size;
		EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, variant->request,
					    &self->arg))
			TH_LOG("with size %zu", size);
	}
	EXPECT_EQ(0, good_call(self, variant));
}

TEST_F(request, size_long_zero_tail)
{
	self->arg.size = variant->size + 64;
	EXPECT_EQ(0, vd_ioctl(self->fd, variant->request, &self->arg));
}

TEST_F(request, size_long_dirty_tail)
{
	size_t i;

	self->arg.size = variant->size + 64;
	for (i = 0; i < 64; i += 7) {
		self->arg.bytes[variant->size + i] = 1;
		EXPECT_EQ(-E2BIG, vd_ioctl(self->fd, variant->request,
					   &self->arg))
			TH_LOG("with byte %zu after the end", i);
		self->arg.bytes[variant->size + i] = 0;
	}
	EXPECT_EQ(0, good_call(self, variant));
}

TEST_F(request, unknown_flags)
{
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		if (variant->known_flags & 1U << bit)
			continue;
		good_arg(self, variant);
		self->arg.flags |= 1U << bit;
		EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, variant->request,
					    &self->arg))
			TH_LOG("with flag %u", bit);
	}
	EXPECT_EQ(0, good_call(self, variant));
}

TEST_F(request, reserved)
{
	size_t i;

	if (!variant->reserved[0])
		SKIP(return, "the structure has no reserved member");
	for (i = 0; i < ARRAY_LEN(variant->reserved); i++) {
		if (!variant->reserved[i])
			continue;
		good_arg(self, variant);
		self->arg.bytes[variant->reserved[i] + i] = 1;
		EXPECT_EQ(-EINVAL, vd_ioctl(self->fd, variant->request,
					    &self->arg));
	}
	EXPECT_EQ(0, good_call(self, variant));
}

TEST_F(request, bad_pointer)
{
	long page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t there;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + page, page));
	EXPECT_EQ(-EFAULT, vd_ioctl(self->fd, variant->request, NULL));
	EXPECT_EQ(-EFAULT, vd_ioctl(self->fd, variant->request,
				    (void *)~0xfffUL));
	EXPECT_EQ(-EFAULT, vd_ioctl(self->fd, variant->request, p + page));
	/* size can be read, but the structure extends into an unmapped page */
	for (there = 4; there < variant->size; there += 4) {
		char *arg = p + page - there;

		memcpy(arg, &self->arg, there);
		EXPECT_EQ(-EFAULT, vd_ioctl(self->fd, variant->request, arg))
			TH_LOG("with %zu bytes mapped", there);
	}
	EXPECT_EQ(0, good_call(self, variant));
}

/* A request whose result cannot be written has no effect. */
TEST_F(request, result_cannot_be_written)
{
	long page = sysconf(_SC_PAGESIZE);
	char *p;

	if (!variant->has_out)
		SKIP(return, "the structure is only read");
	p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	memcpy(p, &self->arg, variant->size);
	ASSERT_EQ(0, mprotect(p, page, PROT_READ));
	EXPECT_EQ(-EFAULT, vd_ioctl(self->fd, variant->request, p));
	EXPECT_EQ(variant->state, vd_state(self->s.primary));
	EXPECT_EQ(0, good_call(self, variant));
	/* pages of the failed request must not be counted */
	if (variant->request == VDISET_REQUEST_BUFFERS) {
		EXPECT_EQ(4096, self->arg.request_buffers.out_area_size);
	}
}

TEST_F(request, other_kind_of_file)
{
	FIXTURE_DATA(request) other = { .unbound = -1 };

	if (variant->request == VDISET_INFO || variant->request == VDISET_ABORT ||
	    variant->request == VDISET_STATUS)
		SKIP(return, "valid on any file");
	if (on_device(variant)) {
		EXPECT_EQ(-ENOTTY, vd_ioctl(self->s.primary, variant->request,
					    &self->arg));
		EXPECT_EQ(-ENOTTY, vd_ioctl(self->s.server, variant->request,
					    &self->arg));
		EXPECT_EQ(-ENOTTY, vd_ioctl(self->unbound, variant->request,
					    &self->arg));
		return;
	}
	ASSERT_EQ(0, reach(&other, VDISET_STATE_ACTIVE));
	EXPECT_EQ(-ENOTTY, vd_ioctl(other.client.fd, variant->request,
				    &self->arg));
	EXPECT_EQ(-ENOTTY, vd_ioctl(other.server.fd, variant->request,
				    &self->arg));
	vd_dev_release(&other.client);
	vd_dev_release(&other.server);
	vd_set_down(&other.s);
}

TEST_F(request, unbound_file)
{
	if (variant->on == ON_UNBOUND)
		SKIP(return, "valid on an unbound file");
	if (on_device(variant))
		SKIP(return, "a device file is always bound");
	EXPECT_EQ(-ENOTCONN, vd_ioctl(self->unbound, variant->request,
				      &self->arg));
	EXPECT_EQ(0, good_call(self, variant));
}

/*
 * Unknown requests, on both kinds of file
 */
FIXTURE(unknown) {
	struct vd_set s;
	struct vd_dev client, server;
	int unbound;
};

FIXTURE_SETUP(unknown)
{
	self->unbound = vd_open();
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096,
			       VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0,
					&self->client));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0,
					&self->server));
}

FIXTURE_TEARDOWN(unknown)
{
	vd_dev_release(&self->client);
	vd_dev_release(&self->server);
	vd_set_down(&self->s);
	close(self->unbound);
}

static bool known(unsigned int nr)
{
	return nr <= _IOC_NR(VDISET_SET_RATE) ||
	       nr == _IOC_NR(VDISET_DEVICE_WAIT) ||
	       nr == _IOC_NR(VDISET_DEVICE_CLOSE);
}

TEST_F(unknown, number)
{
	int fd[] = { self->unbound, self->s.primary, self->s.server,
		     self->client.fd, self->server.fd };
	struct vdiset_close arg = { .size = sizeof(arg) };
	unsigned int nr;
	size_t i;

	for (i = 0; i < ARRAY_LEN(fd); i++)
		for (nr = 0; nr < 256; nr++)
			if (!known(nr)) {
				EXPECT_EQ(-ENOTTY,
					  vd_ioctl(fd[i], _IO(VDISET_IOC_TYPE, nr), &arg))
					TH_LOG("file %zu, number %u", i, nr);
			}
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->s.primary));
}

TEST_F(unknown, type_and_direction)
{
	int fd[] = { self->unbound, self->s.primary, self->client.fd };
	struct vdiset_info arg = { .size = sizeof(arg) };
	size_t i;

	for (i = 0; i < ARRAY_LEN(fd); i++) {
		EXPECT_EQ(-ENOTTY, vd_ioctl(fd[i], _IO(0xd4, 0), &arg));
		EXPECT_EQ(-ENOTTY,
			  vd_ioctl(fd[i], _IOW(VDISET_IOC_TYPE, 0, int), &arg));
		EXPECT_EQ(-ENOTTY,
			  vd_ioctl(fd[i], _IOR(VDISET_IOC_TYPE, 0, int), &arg));
	}
}

TEST_F(unknown, read_and_write)
{
	int fd[] = { self->unbound, self->s.primary, self->s.server,
		     self->client.fd, self->server.fd };
	char byte = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(fd); i++) {
		EXPECT_EQ(-1, read(fd[i], &byte, 1));
		EXPECT_EQ(-1, write(fd[i], &byte, 1));
	}
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->s.primary));
}

/* INFO returns the same on every file, and the limits of the header. */
TEST_F(unknown, info)
{
	int fd[] = { self->unbound, self->s.primary, self->s.server,
		     self->client.fd, self->server.fd };
	size_t i;

	for (i = 0; i < ARRAY_LEN(fd); i++) {
		struct vdiset_info info = { .size = sizeof(info) };

		ASSERT_EQ(0, vd_ioctl(fd[i], VDISET_INFO, &info));
		EXPECT_EQ(VDISET_VERSION, info.out_version);
		EXPECT_EQ(VDISET_MAX_DEVICES, info.out_max_devices);
		EXPECT_EQ(VDISET_MAX_DEPTH, info.out_max_depth);
		EXPECT_EQ(VDISET_DEFAULT_DEPTH, info.out_default_depth);
		EXPECT_EQ(0, info.out_features);
		EXPECT_LT(0, info.out_max_sets);
		EXPECT_LT(0, info.out_sets);
		EXPECT_LE(4096, info.out_total_bytes);
		EXPECT_LE(info.out_total_bytes, info.out_max_total_bytes);
		EXPECT_LT(0, info.out_max_set_bytes);
		EXPECT_LT(0, info.out_max_user_bytes);
	}
}

TEST_HARNESS_MAIN
