// SPDX-License-Identifier: GPL-2.0
/*
 * ioctl.c - executing the requests of a table
 */
#include "request.h"

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
 * Not for the requests that wait: they are frequent, and some kernel configurations
 * clear all of @args at each call.
 */
long vdiset_dispatch(const struct vdiset_request *requests,
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
