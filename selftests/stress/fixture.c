// SPDX-License-Identifier: GPL-2.0
/*
 * fixture.c - one call of every request, with the set that it needs
 */
#define _GNU_SOURCE
#include "fixture.h"

static int call_open(struct fixture *fx)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fx->fd);
	fx->fd = fd;
	return 0;
}

static int call_create(struct fixture *fx)
{
	return vd_create(fx->fd, "faults", 8);
}

static int call_attach(struct fixture *fx)
{
	return vd_attach(fx->s.server, VDISET_ROLE_SERVER, fx->s.name);
}

static int call_secondary(struct fixture *fx)
{
	return vd_attach(fx->fd, VDISET_ROLE_SECONDARY, fx->s.name);
}

static int call_observer(struct fixture *fx)
{
	return vd_attach_id(fx->fd, VDISET_ROLE_OBSERVER, fx->s.id);
}

static int call_by_fd(struct fixture *fx)
{
	return vd_attach_fd(fx->fd, VDISET_ROLE_OBSERVER, fx->s.primary);
}

static int call_configure(struct fixture *fx)
{
	return vd_configure(fx->s.server, 16);
}

static int call_name_device(struct fixture *fx)
{
	return vd_name_device(fx->s.server, "other", 1);
}

static int call_request(struct fixture *fx)
{
	return vd_request_buffers(fx->s.server, FIXTURE_AREA, NULL);
}

static int call_end_config(struct fixture *fx)
{
	int ret = vd_request_buffers(fx->s.server, FIXTURE_AREA, NULL);

	return ret ? ret : vd_end_config(fx->s.server);
}

static int call_get_config(struct fixture *fx)
{
	struct vdiset_get_config get;

	return vd_get_config(fx->s.primary, VDISET_CONFIG_WAIT, SEC, &get);
}

static int call_open_device(struct fixture *fx)
{
	char name[80];
	int fd = vd_open_device(fx->s.primary,
				vd_device_name(name, fx->s.name, 1),
				&fx->opened);

	return fd < 0 ? fd : 0;
}

static int map(struct fixture *fx, int fd, off_t offset, size_t length,
	       int prot)
{
	void *at = mmap(NULL, length, prot, MAP_SHARED, fd, offset);

	if (at == MAP_FAILED)
		return -errno;
	fx->map = at;
	fx->length = length;
	return 0;
}

int fixture_map_area(struct fixture *fx)
{
	return map(fx, fx->s.primary, VDISET_MMAP_AREA, FIXTURE_AREA,
		   PROT_READ | PROT_WRITE);
}

static int call_map_ro(struct fixture *fx)
{
	return map(fx, fx->client.fd, VDISET_MMAP_RO, fx->client.ro_size,
		   PROT_READ);
}

static int call_map_rw(struct fixture *fx)
{
	return map(fx, fx->client.fd, VDISET_MMAP_RW, fx->client.rw_size,
		   PROT_READ | PROT_WRITE);
}

static int call_set_wait(struct fixture *fx)
{
	uint32_t seen = 0;

	return vd_set_wait(fx->s.server, VDISET_WAIT_KICK | VDISET_WAIT_SLEEP,
			   MS, 1, &seen);
}

static int call_device_wait(struct fixture *fx)
{
	return vd_device_wait(fx->client.fd, VDISET_WAIT_KICK |
			      VDISET_WAIT_SLEEP, MS, 0);
}

static int call_poll(struct fixture *fx)
{
	struct pollfd fds[] = { { .fd = fx->s.primary, .events = POLLIN },
				{ .fd = fx->s.server, .events = POLLIN } };

	return poll(fds, 2, 1) < 0 ? -errno : 0;
}

static int call_status(struct fixture *fx)
{
	struct vdiset_device_status dev;
	struct vdiset_status st;
	int ret = vd_status(fx->s.server, &st);

	return ret ? ret : vd_device_status(fx->s.server, 0, &dev);
}

static int call_list(struct fixture *fx)
{
	struct vdiset_list list = { .size = sizeof(list) };

	return vd_ioctl(fx->fd, VDISET_LIST, &list);
}

static int call_fdinfo(struct fixture *fx)
{
	char path[64], buf[1024];
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fx->s.primary);
	ret = vd_read_file(path, buf, sizeof(buf));
	if (!ret)		/* no memory for seq_file */
		return -ENOMEM;
	return ret < 0 ? ret : 0;
}

static int call_device_close(struct fixture *fx)
{
	return vd_device_close(fx->server.fd);
}

static int call_abort(struct fixture *fx)
{
	return vd_abort(fx->s.server, VDISET_REASON_SIGNAL, 1, "faults");
}

static int call_close(struct fixture *fx)
{
	int ret = vd_close(fx->s.server);

	return ret == -EBUSY ? 0 : ret;
}

const struct step steps[] = {
	/* the path is copied by the kernel as well */
	{ "open", VDISET_STATE_CREATED, false, call_open,
	  { ENOMEM, EFAULT } },
	{ "create", VDISET_STATE_CREATED, false, call_create,
	  { ENOMEM, EFAULT, EDQUOT, EEXIST } },
	{ "attach", VDISET_STATE_CREATED, false, call_attach,
	  { ENOMEM, EFAULT, EDQUOT } },
	{ "secondary", VDISET_STATE_INITIALIZING, false, call_secondary,
	  { ENOMEM, EFAULT, EDQUOT } },
	{ "observer", VDISET_STATE_CREATED, false, call_observer,
	  { ENOMEM, EFAULT, EDQUOT } },
	{ "by_fd", VDISET_STATE_CREATED, false, call_by_fd,
	  { ENOMEM, EFAULT, EDQUOT } },
	{ "configure", VDISET_STATE_CONNECTED, false, call_configure,
	  { EFAULT } },
	{ "name_device", VDISET_STATE_CONFIGURABLE, false, call_name_device,
	  { EFAULT } },
	{ "request", VDISET_STATE_CONFIGURABLE, false, call_request,
	  { EFAULT, EINTR } },
	{ "end_config", VDISET_STATE_CONFIGURABLE, false, call_end_config,
	  { ENOMEM, EFAULT, EDQUOT, EINTR } },
	{ "grow", VDISET_STATE_INITIALIZING, false, call_request,
	  { ENOMEM, EFAULT, EDQUOT, EINTR } },
	{ "get_config", VDISET_STATE_INITIALIZING, false, call_get_config,
	  { EFAULT } },
	{ "open_device", VDISET_STATE_INITIALIZING, false, call_open_device,
	  { ENOMEM, EFAULT, EBUSY } },
	{ "map_area", VDISET_STATE_INITIALIZING, false, fixture_map_area,
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

const unsigned int n_steps = ARRAY_LEN(steps);

int fixture_set_up(struct fixture *fx, const struct step *step)
{
	int ret;

	memset(fx, 0, sizeof(*fx));
	fx->client.fd = fx->server.fd = fx->opened.out_fd = -1;
	fx->fd = vd_open();
	ret = vd_set_up(&fx->s, 8, 8, FIXTURE_AREA, step->state);
	if (ret || !step->devices)
		return ret;
	ret = vd_set_open_device(&fx->s, fx->s.server, 0, &fx->server);
	if (!ret)
		ret = vd_set_open_device(&fx->s, fx->s.primary, 0, &fx->client);
	return ret;
}

void fixture_tear_down(struct fixture *fx)
{
	if (fx->map)
		munmap(fx->map, fx->length);
	if (fx->opened.out_fd > 0)
		close(fx->opened.out_fd);
	if (fx->client.own)
		vd_dev_release(&fx->client);
	if (fx->server.own)
		vd_dev_release(&fx->server);
	vd_set_down(&fx->s);
	close(fx->fd);
}
