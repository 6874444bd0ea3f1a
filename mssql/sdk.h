/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sdk.h - the client's classes of the Virtual Device Interface's Linux SDK, from a library
 * that is found at run time
 *
 * The library is SQL Server's libsqlvdi.so, or another one with the same classes. Codes are
 * those of vdierror.h. The functions of a set may be called by any thread, those of a device
 * by one thread only.
 */
#ifndef VDI_MSSQL_SDK_H
#define VDI_MSSQL_SDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vdierror.h>
#include <vditypes.h>

#define SDK_LIBRARY "/opt/mssql/lib/libsqlvdi.so"

struct sdk_set;
struct sdk_device;

/*
 * Load the library; `trace`: print every call with its result to standard error. False: the
 * reason is in `why`.
 */
bool sdk_load(const char *library, bool trace, char *why, size_t size);

/* An object for one set. NULL: out of memory. */
struct sdk_set *sdk_set_new(void);
/* The set must be closed, or never have been created. */
void sdk_set_free(struct sdk_set *set);
int sdk_create(struct sdk_set *set, const char *name,
	       const struct VDConfig *config);
/* Does not wait. VD_E_TIMEOUT: the server has not configured the set yet. */
int sdk_get_configuration(struct sdk_set *set, struct VDConfig *config);
int sdk_open_device(struct sdk_set *set, const char *name,
		    struct sdk_device **out);
int sdk_signal_abort(struct sdk_set *set);
int sdk_close(struct sdk_set *set);

/*
 * The next command. VD_E_TIMEOUT: there is none now, and `wait` is false; VD_E_CLOSE: the
 * server has closed the device.
 */
int sdk_get_command(struct sdk_device *device, bool wait,
		    struct VDC_Command **command);
int sdk_complete_command(struct sdk_device *device, struct VDC_Command *command,
			 int code, uint32_t bytes, int64_t position);

#endif /* VDI_MSSQL_SDK_H */
