// SPDX-License-Identifier: GPL-2.0
/*
 * args.c - copying arguments in and answers out
 */
#include <linux/uaccess.h>

#include "vdiset.h"

/* Copy the answer out; what is longer than we know stays as it is. */
int vdiset_respond(const struct vdiset_call *call)
{
	if (copy_to_user(call->uargs, call->args,
			 min(call->usize, call->ksize)))
		return -EFAULT;
	return 0;
}

/*
 * In line: the requests that wait are made all the time, and are short. All
 * structures consist of whole words, see VDISET_REQUEST().
 */
static __always_inline int vdiset_copy_words(u64 *to, const u64 __user *from,
					     u32 words)
{
	u32 i;

	if (!user_read_access_begin(from, words * sizeof(u64)))
		return -EFAULT;
	/* a macro, which may evaluate its arguments more than once */
	for (i = 0; i < words; i++)
		unsafe_get_user(to[i], from + i, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

/**
 * vdiset_copy_args - copy a caller's structure in
 * @args: where to
 * @size: size the kernel knows
 * @min_size: size of its first version
 * @uargs: the caller's structure; its first member is its size
 * @usize: that size
 *
 * What the caller's version lacks becomes 0, what it has more must be 0. Nearly
 * always it is the same version, and one copy does.
 */
int vdiset_copy_args(void *args, u32 size, u32 min_size,
		     const void __user *uargs, u32 *usize)
{
	int rc;

	if (likely(!vdiset_copy_words(args, uargs, size / sizeof(u64)) &&
		   *(u32 *)args == size)) {
		*usize = size;
		return 0;
	}
	if (get_user(*usize, (const u32 __user *)uargs))
		return -EFAULT;
	if (*usize < min_size)
		return -EINVAL;
	if (*usize > PAGE_SIZE)
		return -E2BIG;
	rc = copy_struct_from_user(args, size, uargs, *usize);
	if (rc)
		return rc;
	/* the size counts that was checked, not what may stand there now */
	*(u32 *)args = *usize;
	return 0;
}

int vdiset_copy_name(char *name, u64 uname, u32 len)
{
	if (!len)
		return -EINVAL;
	if (len > VDISET_NAME_MAX)
		return -ENAMETOOLONG;
	if (copy_from_user(name, u64_to_user_ptr(uname), len))
		return -EFAULT;
	if (memchr(name, '\0', len))
		return -EINVAL;
	name[len] = '\0';
	return 0;
}
