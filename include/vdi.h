/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdi.h - the client's classes of the Virtual Device Interface's Linux SDK
 *
 * Source-compatible with the header of that name: the same classes, structures,
 * names and values, and no others. Link with -lsqlvdi. libsqlvdi(3) lists the
 * differences; new programs should use libvdi.h (C) or libvdi.hpp (C++).
 *
 * Every int method returns 0 or a code of vdierror.h:
 *
 *   VD_E_INVALID   an argument is NULL or out of range
 *   VD_E_PROTOCOL  the call is out of order, or the object is closed
 *   VD_E_ABORT     the set is aborted
 *   VD_E_MEMORY    out of memory
 *
 * Time-outs are milliseconds; negative and 0xFFFFFFFF wait without limit, 0
 * does not wait.
 */
#ifndef VDI_H
#define VDI_H

#include <stdint.h>
#include <time.h>

#define VDITYPES_AS_SDK
#include "vditypes.h"
#undef VDITYPES_AS_SDK

#ifdef __cplusplus

class CVD;
class CVDS;
class ClientVirtualDeviceSet;

/*
 * A device. Objects returned by OpenDevice() may be deleted or not; each one
 * that is not deleted leaks a few bytes. After Close() of the set every call
 * returns VD_E_PROTOCOL.
 */
class ClientVirtualDevice {
public:
	ClientVirtualDevice();
	~ClientVirtualDevice();

	/* VD_E_TIMEOUT; VD_E_CLOSE: the server has closed it */
	int GetCommand(time_t timeOut, VDC_Command **ppCmd);
	/* VD_E_INVALID: not a command of this device, or too many bytes */
	int CompleteCommand(VDC_Command *pCmd, int completionCode,
			    unsigned long bytesTransferred, int64_t position);

private:
	CVD *cvd;
	friend class ClientVirtualDeviceSet;
};

class ClientVirtualDeviceSet {
public:
	/* VD_E_NOTSUPPORTED: a field of cfg; VD_E_SECURITY: access denied */
	int Create(char *name, VDConfig *cfg);
	/* VD_E_TIMEOUT: not configured yet, call again */
	int GetConfiguration(time_t timeout, VDConfig *cfg);
	/* VD_E_OPEN: all are open; VD_E_PROTOCOL: this one is */
	int OpenDevice(char *name, ClientVirtualDevice **ppVirtualDevice);
	/* VD_E_OPEN: before the normal end; the set is aborted and closed */
	int Close();
	int SignalAbort();
	int OpenInSecondary(char *setName);
	int GetBufferHandle(uint8_t *pBuffer, unsigned int *pBufferHandle);
	int MapBufferHandle(int dwBuffer, uint8_t **ppBuffer);
	/* has no effect; the library notices closed devices by itself */
	void RegisterDeviceClosed();

	ClientVirtualDeviceSet();
	/* closes the set if it is open */
	~ClientVirtualDeviceSet();

private:
	CVDS *cvds;
};

#endif /* __cplusplus */

#endif /* VDI_H */
