// SPDX-License-Identifier: LGPL-2.1-or-later
/* server_buffers.c - the server's buffers: announcing, allocating, freeing */
#include <errno.h>
#include <unistd.h>

#include "server.h"

/* No system call if a device is open: this is called in normal operation. */
static bool aborted(struct vdi_server *server)
{
	const struct vdi_server_device *device;
	struct vdi_abort_info info;

	device = __atomic_load_n(&server->first_opened, __ATOMIC_ACQUIRE);
	if (device)
		return vdi_channel_aborted(&device->core.ch);
	return !vdi_set_abort_info(&server->set, &info) && info.reason;
}

/* *@area_size = the new size; the kernel may add more than was requested. */
static int add_buffers(struct vdi_server *server, uint64_t bytes,
		       uint64_t *area_size)
{
	struct vdiset_request_buffers req = { .size = sizeof(req) };
	uint64_t page = sysconf(_SC_PAGESIZE);
	int err;

	req.bytes = (bytes + page - 1) & ~(page - 1);
	err = vdi_set_ioctl_resumed(&server->set, VDISET_REQUEST_BUFFERS, &req);
	if (err)
		return vdi_set_fail_errno(&server->set, err,
					  "request buffers");
	*area_size = req.out_area_size;
	return NOERROR;
}

/*
 * Prepare buffers at *@from: in what the last growth has left, if they fit
 * there, else at the end of the area. Never partly in both, since a client may
 * have mapped the two parts apart. 0 or -errno.
 */
static int prepare(struct vdi_server *server, uint32_t size,
		   uint32_t alignment, uint32_t count, uint64_t *from,
		   struct vdi_slots **slots, uint64_t *bytes)
{
	uint64_t left = server->area_size - server->area_used;
	int err;

	if ((uint64_t)size * count <= left) {
		*from = server->area_used;
		err = vdi_alloc_announce(&server->alloc, size, alignment, count,
					 *from, slots, bytes);
		if (err || *bytes <= left)
			return err;
		vdi_alloc_discard(*slots);
	}
	*from = server->area_size;
	return vdi_alloc_announce(&server->alloc, size, alignment, count, *from,
				  slots, bytes);
}

/* In state Configurable: the kernel adds up the requests. */
static int reserve(struct vdi_server *server, uint64_t bytes)
{
	int code = add_buffers(server, bytes, &server->area_size);

	server->area_used = server->area_size;
	return code;
}

/*
 * After configuration. server->lock is released while memory is allocated and
 * mapped, so that completion routines can free and allocate buffers meanwhile;
 * server->growth protects area_size and area_used. What was allocated and
 * cannot be mapped is left for the next request.
 */
static int grow(struct vdi_server *server, uint64_t from, uint64_t bytes)
{
	uint64_t old = server->area_size, size = old;
	int code = NOERROR;

	pthread_mutex_unlock(&server->lock);
	if (from == old)
		code = add_buffers(server, bytes, &size);
	if (!code)
		code = vdi_set_map_area(&server->set, size, NULL);
	pthread_mutex_lock(&server->lock);
	if (size != old)
		server->area_used = old;
	server->area_size = size;
	if (!code)
		server->area_used = from + bytes;
	return code;
}

/* With server->growth and server->lock held. */
static int announce(struct vdi_server *server, uint32_t size,
		    uint32_t alignment, uint32_t count)
{
	struct vdi_slots *slots;
	uint64_t from, bytes;
	int err, code;

	if (server->phase < VDI_SERVER_CONFIGURABLE ||
	    vdi_server_all_closed(server))
		return vdi_set_fail_order(&server->set, "request buffers",
					  server->phase < VDI_SERVER_CONFIGURABLE ?
					  VDI_NEED_BEGIN : NULL);
	if (server->phase == VDI_SERVER_READY && aborted(server))
		return vdi_set_fail_abort(&server->set);
	err = prepare(server, size, alignment, count, &from, &slots, &bytes);
	if (err == -EINVAL)
		return vdi_set_fail(&server->set, VD_E_INVALID, "request "
				    "buffers: %u of %u bytes with alignment "
				    "%u: " VDI_BAD_SHAPE, count, size,
				    alignment);
	if (err)
		return vdi_set_fail_errno(&server->set, err,
					  "request buffers");
	code = server->phase == VDI_SERVER_READY ? grow(server, from, bytes) :
						   reserve(server, bytes);
	if (code)
		vdi_alloc_discard(slots);
	else
		vdi_alloc_commit(&server->alloc, slots);
	return code;
}

int vdi_server_request_buffers(struct vdi_server *server, uint32_t size,
			       uint32_t alignment, uint32_t count)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "request buffers");
	pthread_mutex_lock(&server->growth);
	pthread_mutex_lock(&server->lock);
	code = announce(server, size, alignment, count);
	pthread_mutex_unlock(&server->lock);
	pthread_mutex_unlock(&server->growth);
	vdi_set_done(&server->set, code, "request buffers");
	vdi_set_leave(&server->set);
	return code;
}

static int query(struct vdi_server *server, uint32_t size, uint32_t alignment,
		 uint32_t *count)
{
	uint64_t n;

	if (aborted(server))
		return vdi_set_fail_abort(&server->set);
	if (server->phase < VDI_SERVER_CONFIGURABLE ||
	    vdi_server_all_closed(server))
		return vdi_set_fail_order(&server->set, "query buffers",
					  server->phase < VDI_SERVER_CONFIGURABLE ?
					  VDI_NEED_BEGIN : NULL);
	n = vdi_alloc_available(&server->alloc, size, alignment);
	*count = n > UINT32_MAX ? UINT32_MAX : n;
	return NOERROR;
}

int vdi_server_query_available_buffers(struct vdi_server *server,
				       uint32_t size, uint32_t alignment,
				       uint32_t *count)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!count)
		return vdi_set_fail_null(&server->set, "query buffers",
					 "count");
	*count = 0;
	code = vdi_server_begin_call(server, "query buffers");
	if (code)
		return code;
	return vdi_server_end_call(server, query(server, size, alignment, count),
			"query buffers");
}

static int get_buffer(struct vdi_server *server, uint8_t **buffer,
		      uint32_t size, uint32_t alignment)
{
	uint64_t offset;
	int err;

	if (aborted(server))
		return vdi_set_fail_abort(&server->set);
	if (server->phase != VDI_SERVER_READY || vdi_server_all_closed(server))
		return vdi_set_fail_order(&server->set, "allocate a buffer",
					  server->phase != VDI_SERVER_READY ?
					  VDI_NEED_END : NULL);
	err = vdi_alloc_get(&server->alloc, size, alignment, &offset);
	if (err == -EINVAL)
		return vdi_set_fail(&server->set, VD_E_INVALID, "allocate a "
				    "buffer: %u bytes with alignment %u: "
				    VDI_BAD_SHAPE, size, alignment);
	if (err)
		return vdi_set_fail(&server->set, VD_E_MEMORY, "allocate a "
				    "buffer: none of %u bytes is left", size);
	*buffer = vdi_area_address(&server->set.area, offset,
				   server->alloc.prefix, size);
	return NOERROR;
}

int vdi_server_allocate_buffer(struct vdi_server *server, uint8_t **buffer,
			       uint32_t size, uint32_t alignment)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!buffer)
		return vdi_set_fail_null(&server->set, "allocate a buffer",
					 "buffer");
	*buffer = NULL;
	code = vdi_server_begin_call(server, "allocate a buffer");
	if (code)
		return code;
	return vdi_server_end_call(server, get_buffer(server, buffer, size, alignment),
			"allocate a buffer");
}

/*
 * Works after an abort and after the normal end, too: programs clean up then.
 */
static int put_buffer(struct vdi_server *server, const uint8_t *buffer,
		      uint32_t size)
{
	uint64_t offset;

	if (server->phase != VDI_SERVER_READY)
		return vdi_set_fail_order(&server->set, "free a buffer",
					  VDI_NEED_END);
	if (!vdi_area_offset(&server->set.area, buffer, 0, size, &offset))
		return vdi_set_fail(&server->set, VD_E_INVALID,
				    "free a buffer: %p is not in the buffers "
				    "of this set", (const void *)buffer);
	if (vdi_alloc_put(&server->alloc, offset, size))
		return vdi_set_fail(&server->set, VD_E_INVALID, "free a "
				    "buffer: none of %u bytes is allocated at "
				    "%p", size, (const void *)buffer);
	return NOERROR;
}

int vdi_server_free_buffer(struct vdi_server *server, uint8_t *buffer,
			   uint32_t size)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!buffer)
		return vdi_set_fail_null(&server->set, "free a buffer",
					 "buffer");
	code = vdi_server_begin_call(server, "free a buffer");
	if (code)
		return code;
	return vdi_server_end_call(server, put_buffer(server, buffer, size),
			"free a buffer");
}

int vdi_server_is_shared_buffer(struct vdi_server *server,
				const uint8_t *buffer)
{
	uint64_t offset;
	bool shared;

	if (!server || !buffer || !vdi_set_enter(&server->set))
		return 0;
	shared = vdi_area_offset(&server->set.area, buffer, 0, 1, &offset);
	vdi_set_leave(&server->set);
	return shared;
}
