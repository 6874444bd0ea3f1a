// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sdk_header.cpp - what sources written for the Linux SDK rely on in vdi.h;
 * compiled, never run
 */
#include "vdi.h"
#include "vdierror.h"

#include <stddef.h>

/* names that such a source may define */
enum TapeCodes {
	ERROR_INVALID_HANDLE = 6,
	ERROR_END_OF_MEDIA = 1100,
	ERROR_FILEMARK_DETECTED,
	ERROR_NO_DATA_DETECTED = 1104,
	ERROR_IO_DEVICE = 1117
};
typedef int HRESULT;
typedef unsigned int DWORD;
static const DWORD INFINITE = 0xffffffff;
#define SUCCEEDED(code)	((code) >= 0)
#define TRUE	1

/* of the classes: one pointer, and members of exactly these types */
#define IS(a, b)	static_assert((a) == (b), #a)
IS(sizeof(ClientVirtualDevice), sizeof(void *));
IS(sizeof(ClientVirtualDeviceSet), sizeof(void *));

int (ClientVirtualDevice::*get)(time_t, VDC_Command **) =
	&ClientVirtualDevice::GetCommand;
int (ClientVirtualDevice::*complete)(VDC_Command *, int, unsigned long,
				     int64_t) =
	&ClientVirtualDevice::CompleteCommand;
int (ClientVirtualDeviceSet::*create)(char *, VDConfig *) =
	&ClientVirtualDeviceSet::Create;
int (ClientVirtualDeviceSet::*configuration)(time_t, VDConfig *) =
	&ClientVirtualDeviceSet::GetConfiguration;
int (ClientVirtualDeviceSet::*open_device)(char *, ClientVirtualDevice **) =
	&ClientVirtualDeviceSet::OpenDevice;
int (ClientVirtualDeviceSet::*close_set)() = &ClientVirtualDeviceSet::Close;
int (ClientVirtualDeviceSet::*abort_set)() =
	&ClientVirtualDeviceSet::SignalAbort;
int (ClientVirtualDeviceSet::*join)(char *) =
	&ClientVirtualDeviceSet::OpenInSecondary;
int (ClientVirtualDeviceSet::*handle)(uint8_t *, unsigned int *) =
	&ClientVirtualDeviceSet::GetBufferHandle;
int (ClientVirtualDeviceSet::*map)(int, uint8_t **) =
	&ClientVirtualDeviceSet::MapBufferHandle;
void (ClientVirtualDeviceSet::*closed)() =
	&ClientVirtualDeviceSet::RegisterDeviceClosed;

/* of the structures, on 64-bit machines */
#ifdef __LP64__
IS(sizeof(VDConfig), 44);
IS(offsetof(VDConfig, deviceCount), 0);
IS(offsetof(VDConfig, features), 4);
IS(offsetof(VDConfig, prefixZoneSize), 8);
IS(offsetof(VDConfig, alignment), 12);
IS(offsetof(VDConfig, softFileMarkBlockSize), 16);
IS(offsetof(VDConfig, EOMWarningSize), 20);
IS(offsetof(VDConfig, serverTimeOut), 24);
IS(offsetof(VDConfig, blockSize), 28);
IS(offsetof(VDConfig, maxIODepth), 32);
IS(offsetof(VDConfig, maxTransferSize), 36);
IS(offsetof(VDConfig, bufferAreaSize), 40);
IS(sizeof(VDC_Command), 24);
IS(offsetof(VDC_Command, commandCode), 0);
IS(offsetof(VDC_Command, size), 4);
IS(offsetof(VDC_Command, position), 8);
IS(offsetof(VDC_Command, buffer), 16);
IS(sizeof(VDS_Command), 56);
IS(offsetof(VDS_Command, commandCode), 0);
IS(offsetof(VDS_Command, size), 4);
IS(offsetof(VDS_Command, inPosition), 8);
IS(offsetof(VDS_Command, outPosition), 16);
IS(offsetof(VDS_Command, buffer), 24);
IS(offsetof(VDS_Command, completionRoutine), 32);
IS(offsetof(VDS_Command, completionContext), 40);
IS(offsetof(VDS_Command, completionCode), 48);
IS(offsetof(VDS_Command, bytesTransferred), 52);
#endif

/* of the constants; enumerators have their enumeration, codes are long */
VDFeatures feature = VDF_LatchStats;
VDCommands command = VDC_Complete;
VDWhence whence = VDC_End;
IS(sizeof(ERROR_SUCCESS), sizeof(long));
IS(ERROR_SUCCESS, 0);
IS(ERROR_ARENA_TRASHED, 7);
IS(ERROR_HANDLE_EOF, 38);
IS(ERROR_HANDLE_DISK_FULL, 39);
IS(ERROR_NOT_SUPPORTED, 50);
IS(ERROR_DISK_FULL, 112);
IS(ERROR_OPERATION_ABORTED, 995);
IS(VDF_LikePipe, 0);
IS(VDF_Removable, 0x1);
IS(VDF_Rewind, 0x2);
IS(VDF_Position, 0x10);
IS(VDF_SkipBlocks, 0x20);
IS(VDF_ReversePosition, 0x40);
IS(VDF_Discard, 0x80);
IS(VDF_FileMarks, 0x100);
IS(VDF_RandomAccess, 0x200);
IS(VDF_SnapshotPrepare, 0x400);
IS(VDF_EnumFrozenFiles, 0x800);
IS(VDF_VSSWriter, 0x1000);
IS(VDF_RequestComplete, 0x2000);
IS(VDF_WriteMedia, 0x10000);
IS(VDF_ReadMedia, 0x20000);
IS(VDF_CompleteEnabled, 0x40000);
IS(VDF_LatchStats, 0x80000000);
IS(VDF_LikeTape, 0x173);
IS(VDF_LikeDisk, 0x200);
IS(VDC_Read, 1);
IS(VDC_Write, 2);
IS(VDC_ClearError, 3);
IS(VDC_Rewind, 4);
IS(VDC_WriteMark, 5);
IS(VDC_SkipMarks, 6);
IS(VDC_SkipBlocks, 7);
IS(VDC_Load, 8);
IS(VDC_GetPosition, 9);
IS(VDC_SetPosition, 10);
IS(VDC_Discard, 11);
IS(VDC_Flush, 12);
IS(VDC_Snapshot, 13);
IS(VDC_MountSnapshot, 14);
IS(VDC_PrepareToFreeze, 15);
IS(VDC_FileInfoBegin, 16);
IS(VDC_FileInfoEnd, 17);
IS(VDC_GetError, 18);
IS(VDC_Complete, 19);
IS(VDC_Beginning, 0);
IS(VDC_Current, 1);
IS(VDC_End, 2);

bool known(int status)
{
	switch (status) {
	case (int)0x80770002:
		return status == VD_E_NOTOPEN;
	case VD_E_TIMEOUT:
	case VD_E_ABORT:
	case VD_E_SECURITY:
	case VD_E_INVALID:
	case VD_E_INSTANCE_NAME:
	case VD_E_NOTSUPPORTED:
	case VD_E_MEMORY:
	case VD_E_UNEXPECTED:
	case VD_E_PROTOCOL:
	case VD_E_OPEN:
	case VD_E_CLOSE:
	case VD_ERROR(15):
		return status != MAKE_HRESULT(0, 0x77, 15);
	}
	return SUCCEEDED(status) || (unsigned int)status == INFINITE;
}

/* as many files begin */
HRESULT use(char *name)
{
	VDConfig config = VDConfig(), other = config;
	ClientVirtualDeviceSet *vds = new ClientVirtualDeviceSet();
	ClientVirtualDevice *vd = NULL, one;
	struct VDC_Command *cmd;

	config.features = VDF_LikePipe | VDF_RequestComplete;
	other.deviceCount = config.deviceCount;
	vds->Create(name, other.deviceCount ? &other : &config);
	vds->OpenDevice(name, &vd);
	one.GetCommand(90, &cmd);
	return vd->CompleteCommand(cmd, ERROR_SUCCESS, (size_t)cmd->size, 0);
}
