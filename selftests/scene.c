// SPDX-License-Identifier: GPL-2.0
/*
 * scene.c - every request, and the set it needs
 */
#define _GNU_SOURCE
#include "scene.h"

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
	return vd_request_buffers(sc->s.server, SCENE_AREA, NULL);
}

static int call_end_config(struct scene *sc)
{
	int ret = vd_request_buffers(sc->s.server, SCENE_AREA, NULL);

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
	int fd = vd_open_device(sc->s.primary,
				vd_device_name(name, sc->s.name, 1),
				&sc->opened);

	return fd < 0 ? fd : 0;
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

int scene_map_area(struct scene *sc)
{
	return map(sc, sc->s.primary, VDISET_MMAP_AREA, SCENE_AREA,
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
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", sc->s.primary);
	ret = vd_read_file(path, buf, sizeof(buf));
	if (!ret)		/* seq_file had no memory */
		return -ENOMEM;
	return ret < 0 ? ret : 0;
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

const struct step steps[] = {
	/* the path is copied, too */
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
	{ "map_area", VDISET_STATE_INITIALIZING, false, scene_map_area,
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

int scene_up(struct scene *sc, const struct step *step)
{
	int ret;

	memset(sc, 0, sizeof(*sc));
	sc->client.fd = sc->server.fd = sc->opened.out_fd = -1;
	sc->fd = vd_open();
	ret = vd_set_up(&sc->s, 8, 8, SCENE_AREA, step->state);
	if (ret || !step->devices)
		return ret;
	ret = vd_set_open_device(&sc->s, sc->s.server, 0, &sc->server);
	if (!ret)
		ret = vd_set_open_device(&sc->s, sc->s.primary, 0, &sc->client);
	return ret;
}

void scene_down(struct scene *sc)
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
