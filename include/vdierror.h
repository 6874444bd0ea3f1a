/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdierror.h - return codes of the Virtual Device Interface
 *
 * Values are those of the interface's public header; the two marked "own" have
 * none there and take free numbers of the same range.
 */
#ifndef VDIERROR_H
#define VDIERROR_H

#ifndef NOERROR
#define NOERROR			0
#endif

/* Sources written for the interface make and take codes apart with these. */
#ifndef MAKE_HRESULT
#define MAKE_HRESULT(sev, fac, code) \
	((int)((unsigned int)(sev) << 31 | (unsigned int)(fac) << 16 | \
	       (unsigned int)(code)))
#endif
#ifndef VD_ERROR
#define VD_ERROR(code)		MAKE_HRESULT(1, 0x77, code)
#endif

#define VD_E_NOTOPEN		((int)0x80770002)	/* object is not open */
#define VD_E_TIMEOUT		((int)0x80770003)	/* the wait ran out */
#define VD_E_ABORT		((int)0x80770004)	/* the set is aborted */
#define VD_E_SECURITY		((int)0x80770005)	/* access denied */
#define VD_E_INVALID		((int)0x80770006)	/* bad parameter */
#define VD_E_INSTANCE_NAME	((int)0x80770007)	/* bad instance name */
#define VD_E_NOTSUPPORTED	((int)0x80770009)	/* bad configuration */
#define VD_E_MEMORY		((int)0x8077000a)	/* out of memory */
#define VD_E_UNEXPECTED		((int)0x8077000b)	/* internal error */
#define VD_E_PROTOCOL		((int)0x8077000c)	/* call out of order */
#define VD_E_OPEN		((int)0x8077000d)	/* all devices are open */
#define VD_E_CLOSE		((int)0x8077000e)	/* the server has closed it */
#define VD_E_BUSY		((int)0x8077000f)	/* resource is busy */
#define VD_E_QUEUE_FULL		((int)0x80770010)	/* own: queue is full */
#define VD_E_IO_ERROR		((int)0x80770011)	/* own: in IO-ERROR */

#endif /* VDIERROR_H */
