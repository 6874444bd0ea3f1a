/* SPDX-License-Identifier: GPL-2.0 */
/*
 * request.h - the tables of requests (ioctls)
 *
 * main.c has the table of set files, device.c the table of device files.
 */
#ifndef VDISET_REQUEST_H
#define VDISET_REQUEST_H

#include "vdiset.h"

/* Whether and when the structure is copied back to the caller */
enum vdiset_answer {
	VDISET_NO_ANSWER,
	VDISET_ANSWER,
	/*
	 * Also copied out before the request is executed, so that EFAULT is
	 * returned before anything has changed.
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

/* The roles that may make a request: a bit mask, or one of these values */
#define VDISET_ROLE_BIT(role)	(1U << (role))
#define VDISET_ANY_FILE		0U	/* even an unbound one */
#define VDISET_BOUND		(~0U)
#define VDISET_SERVER_ONLY	VDISET_ROLE_BIT(VDISET_ROLE_SERVER)
#define VDISET_PARTIES		(~VDISET_ROLE_BIT(VDISET_ROLE_OBSERVER))

/*
 * @last is the last member of the first version of the structure; a smaller structure
 * is refused.
 */
#define VDISET_REQUEST(_cmd, _type, _last, _roles, _answer, _handler)	\
	{								\
		.cmd = (_cmd),						\
		.size = sizeof(struct _type) +				\
			BUILD_BUG_ON_ZERO(offsetof(struct _type, size)) +\
			BUILD_BUG_ON_ZERO(sizeof(struct _type) % sizeof(u64)),\
		.min_size = offsetofend(struct _type, _last),		\
		.roles = (_roles),					\
		.answer = VDISET_##_answer,				\
		.handler = (_handler),					\
	}

long vdiset_dispatch(const struct vdiset_request *requests, unsigned int count,
		     unsigned int cmd, struct vdiset_call *call);

#endif /* VDISET_REQUEST_H */
