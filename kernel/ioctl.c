// SPDX-License-Identifier: GPL-2.0
/*
 * ioctl.c - the tables of requests
 */
#include "vdiset.h"

/* What the caller's structure gets back. */
enum vdiset_answer {
	VDISET_NO_ANSWER,
	VDISET_ANSWER,
	/*
	 * Copied out before the request is carried out, too: so a structure
	 * that cannot be written is found while nothing has happened yet.
	 */
	VDISET_ANSWER_PROBED,
};

struct vdiset_request {
	unsigned int cmd;
	u32 size;
	u32 min_size;
	u32 roles;
	enum vdiset_answer answer;
	int (*handler)(struct vdiset_call *call);
};

/* Which roles a request is for: bits, or one of the two special values. */
#define VDISET_ROLE_BIT(role)	(1U << (role))
#define VDISET_ANY_FILE		0U	/* also an unbound one */
#define VDISET_BOUND		(~0U)
#define VDISET_SERVER_ONLY	VDISET_ROLE_BIT(VDISET_ROLE_SERVER)
#define VDISET_PARTIES		(~VDISET_ROLE_BIT(VDISET_ROLE_OBSERVER))

/*
 * @last is the last member of the first version of the structure: what a
 * caller must at least bring.
 */
#define VDISET_REQUEST(_cmd, _type, _last, _roles, _answer, _handler)	\
	{								\
		.cmd = (_cmd),						\
		.size = sizeof(struct _type) +				\
			BUILD_BUG_ON_ZERO(offsetof(struct _type, size)),\
		.min_size = offsetofend(struct _type, _last),		\
		.roles = (_roles),					\
		.answer = VDISET_##_answer,				\
		.handler = (_handler),					\
	}

static const struct vdiset_request vdiset_file_requests[] = {
	VDISET_REQUEST(VDISET_INFO, vdiset_info, out_total_bytes,
		       VDISET_ANY_FILE, ANSWER, vdiset_info_ioctl),
	VDISET_REQUEST(VDISET_CREATE, vdiset_create, out_id,
		       VDISET_ANY_FILE, ANSWER_PROBED, vdiset_create_ioctl),
	VDISET_REQUEST(VDISET_ATTACH, vdiset_attach, out_id,
		       VDISET_ANY_FILE, ANSWER_PROBED, vdiset_attach_ioctl),
	VDISET_REQUEST(VDISET_GET_CONFIG, vdiset_get_config, reserved,
		       VDISET_BOUND, ANSWER, vdiset_get_config_ioctl),
	VDISET_REQUEST(VDISET_CONFIGURE, vdiset_configure, reserved,
		       VDISET_SERVER_ONLY, NO_ANSWER, vdiset_configure_ioctl),
	VDISET_REQUEST(VDISET_NAME_DEVICE, vdiset_name_device, index,
		       VDISET_SERVER_ONLY, NO_ANSWER, vdiset_name_device_ioctl),
	VDISET_REQUEST(VDISET_REQUEST_BUFFERS, vdiset_request_buffers, out_area_size,
		       VDISET_SERVER_ONLY, ANSWER_PROBED, vdiset_request_buffers_ioctl),
	VDISET_REQUEST(VDISET_END_CONFIG, vdiset_end_config, out_config,
		       VDISET_SERVER_ONLY, ANSWER_PROBED, vdiset_end_config_ioctl),
	VDISET_REQUEST(VDISET_OPEN_DEVICE, vdiset_open_device, reserved,
		       VDISET_PARTIES, ANSWER_PROBED, vdiset_open_device_ioctl),
	VDISET_REQUEST(VDISET_ABORT, vdiset_abort, text,
		       VDISET_BOUND, NO_ANSWER, vdiset_abort_ioctl),
	VDISET_REQUEST(VDISET_STATUS, vdiset_status, out_creator,
		       VDISET_BOUND, ANSWER, vdiset_status_ioctl),
	VDISET_REQUEST(VDISET_DEVICE_STATUS, vdiset_device_status, reserved,
		       VDISET_BOUND, ANSWER, vdiset_device_status_ioctl),
	VDISET_REQUEST(VDISET_LIST, vdiset_list, reserved,
		       VDISET_ANY_FILE, ANSWER, vdiset_list_ioctl),
	VDISET_REQUEST(VDISET_CLOSE, vdiset_close, flags,
		       VDISET_BOUND, NO_ANSWER, vdiset_close_ioctl),
};

static const struct vdiset_request vdiset_device_requests[] = {
	VDISET_REQUEST(VDISET_DEVICE_CLOSE, vdiset_device_close, flags,
		       VDISET_SERVER_ONLY, NO_ANSWER, vdiset_device_close_ioctl),
	VDISET_REQUEST(VDISET_ABORT, vdiset_abort, text,
		       VDISET_BOUND, NO_ANSWER, vdiset_abort_ioctl),
	VDISET_REQUEST(VDISET_STATUS, vdiset_status, out_creator,
		       VDISET_BOUND, ANSWER, vdiset_status_ioctl),
	VDISET_REQUEST(VDISET_INFO, vdiset_info, out_total_bytes,
		       VDISET_ANY_FILE, ANSWER, vdiset_info_ioctl),
};

static int vdiset_check_role(const struct vdiset_request *request,
			     const struct vdiset_party *party)
{
	if (request->roles == VDISET_ANY_FILE)
		return 0;
	if (!party)
		return -ENOTCONN;
	if (!(request->roles & VDISET_ROLE_BIT(party->who.role)))
		return -EPERM;
	return 0;
}

static int vdiset_run(const struct vdiset_request *request,
		      struct vdiset_call *call)
{
	int rc;

	rc = vdiset_copy_args(call->args, request->size, request->min_size,
			      call->uargs, &call->usize);
	if (rc)
		return rc;
	call->ksize = request->size;

	rc = vdiset_check_role(request, call->party);
	if (rc)
		return rc;
	if (request->answer == VDISET_ANSWER_PROBED) {
		rc = vdiset_respond(call);
		if (rc)
			return rc;
	}
	rc = request->handler(call);
	if (rc)
		return rc == VDISET_RESPONDED ? 0 : rc;
	return request->answer == VDISET_NO_ANSWER ? 0 : vdiset_respond(call);
}

/*
 * The ioctls that wait do not come here: they are called all the time, and there
 * are kernels that clear all of @args first.
 */
static long vdiset_dispatch(const struct vdiset_request *requests,
			    unsigned int count, unsigned int cmd,
			    struct vdiset_call *call)
{
	union vdiset_args args;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (requests[i].cmd != cmd)
			continue;
		call->args = &args;
		return vdiset_run(&requests[i], call);
	}
	return -ENOTTY;
}

static noinline long vdiset_file_request(struct file *filp, unsigned int cmd,
					 void __user *uargs)
{
	struct vdiset_file *file = filp->private_data;
	struct vdiset_call call = {
		.filp = filp,
		.file = file,
		.party = vdiset_file_party(file),
		.uargs = uargs,
	};

	return vdiset_dispatch(vdiset_file_requests,
			       ARRAY_SIZE(vdiset_file_requests), cmd, &call);
}

static noinline long vdiset_device_request(struct file *filp, unsigned int cmd,
					   void __user *uargs)
{
	struct vdiset_device_file *file = filp->private_data;
	struct vdiset_call call = {
		.filp = filp,
		.device_file = file,
		.party = file->party,
		.uargs = uargs,
	};

	return vdiset_dispatch(vdiset_device_requests,
			       ARRAY_SIZE(vdiset_device_requests), cmd, &call);
}

long vdiset_file_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	void __user *uargs = (void __user *)arg;

	if (cmd == VDISET_WAIT)
		return vdiset_wait_ioctl(vdiset_file_party(filp->private_data),
					 uargs);
	return vdiset_file_request(filp, cmd, uargs);
}

long vdiset_device_ioctl(struct file *filp, unsigned int cmd,
			 unsigned long arg)
{
	void __user *uargs = (void __user *)arg;

	if (cmd == VDISET_DEVICE_WAIT)
		return vdiset_device_wait_ioctl(filp->private_data, uargs);
	return vdiset_device_request(filp, cmd, uargs);
}
