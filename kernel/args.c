// SPDX-License-Identifier: GPL-2.0
/*
 * args.c - copying arguments from and to user space
 */
#include <linux/uaccess.h>

#include "vdiset.h"

/* Copy the answer out. Members that this kernel does not have are not written. */
int vdiset_respond(const struct vdiset_call *call)
{
	if (copy_to_user(call->uargs, call->args,
			 min(call->usize, call->ksize)))
		return -EFAULT;
	return 0;
}

/*
 * Inline, because the requests that wait are frequent and their structures short.
 * The size of each structure is a multiple of a word, see VDISET_REQUEST().
 */
static __always_inline int vdiset_copy_words(u64 *to, const u64 __user *from,
					     u32 words)
{
	u32 i;

	if (!user_read_access_begin(from, words * sizeof(u64)))
		return -EFAULT;
	/* unsafe_get_user() may evaluate its arguments more than once */
	for (i = 0; i < words; i++)
		unsafe_get_user(to[i], from + i, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

/**
 * vdiset_copy_args - copy the argument of a request from user space
 * @args: destination
 * @size: size of the structure in this kernel
 * @min_size: size of its first version
 * @uargs: the caller's structure; its first member is its size
 * @usize: where to store that size
 *
 * Members that the caller's version lacks are set to 0; members that only the
 * caller's version has must be 0. The fast path is for equal versions: one copy.
 *
 * Return: 0, -EFAULT, -EINVAL for a size below @min_size, -E2BIG for a size above a
 * page or a member that is unknown here and not 0.
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
	/* use the validated size: the caller may have changed its copy */
	*(u32 *)args = *usize;
	return 0;
}

/* Copy a name of @len bytes, and terminate it. Returns 0 or an error. */
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
