/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vditypes.h - structures and constants of the Virtual Device Interface
 *
 * Shared by libvdi.h (the C interface) and the C++ headers. Layouts and values
 * are those of the interface's Linux header.
 */
#ifndef VDITYPES_H
#define VDITYPES_H

#include <stdint.h>

/* The buffer area, which may exceed 4 GiB, is mapped in one piece. */
#ifndef __LP64__
#error "libvdi is for 64-bit programs only: a 32-bit program cannot map a set's buffers"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#pragma pack(push, 8)

/* Configuration of a set: the client sets fields 1-7, the server 8-11. */
struct VDConfig {
	uint32_t deviceCount;		/* 1-64 */
	uint32_t features;		/* VDF_* */
	uint32_t prefixZoneSize;	/* bytes before each buffer's data */
	uint32_t alignment;		/* bytes, power of two; 0 = any */
	uint32_t softFileMarkBlockSize;	/* bytes */
	uint32_t EOMWarningSize;	/* bytes */
	uint32_t serverTimeOut;		/* milliseconds; 0 = infinite */
	uint32_t blockSize;		/* bytes, power of two, 512-65536 */
	uint32_t maxIODepth;		/* commands outstanding on a device */
	uint32_t maxTransferSize;	/* bytes, multiple of 64 KiB */
	uint32_t bufferAreaSize;	/* bytes; UINT32_MAX when larger */
};

/* A command as the client sees it. */
struct VDC_Command {
	int32_t commandCode;		/* VDC_* */
	int32_t size;			/* bytes to move, or see the command */
	int64_t position;		/* input of positioning commands */
	uint8_t *buffer;		/* data, in shared memory */
};

/* A command as the server sees it. */
struct VDS_Command {
	/* inputs, set by the server before SendCommand */
	int32_t commandCode;
	int32_t size;
	int64_t inPosition;
	/* output */
	int64_t outPosition;
	/* inputs */
	uint8_t *buffer;
	void (*completionRoutine)(struct VDS_Command *cmd);
	void *completionContext;
	/* outputs, valid in the completion routine */
	int32_t completionCode;
	uint32_t bytesTransferred;
};

#pragma pack(pop)

#ifndef __cplusplus
typedef struct VDConfig VDConfig;
typedef struct VDC_Command VDC_Command;
typedef struct VDS_Command VDS_Command;
#endif

/* Feature bits; those marked are set by the server. */
enum VDFeatures {
	VDF_LikePipe		= 0x0,
	VDF_Removable		= 0x1,
	VDF_Rewind		= 0x2,
	VDF_Position		= 0x10,
	VDF_SkipBlocks		= 0x20,
	VDF_ReversePosition	= 0x40,
	VDF_Discard		= 0x80,
	VDF_FileMarks		= 0x100,
	VDF_RandomAccess	= 0x200,
	VDF_SnapshotPrepare	= 0x400,
	VDF_EnumFrozenFiles	= 0x800,
	VDF_VSSWriter		= 0x1000,
	VDF_RequestComplete	= 0x2000,
	VDF_WriteMedia		= 0x10000,	/* server: a backup */
	VDF_ReadMedia		= 0x20000,	/* server: a restore */
	VDF_CompleteEnabled	= 0x40000,	/* server: Complete will come */
#ifdef __cplusplus
	VDF_LatchStats		= 0x80000000U,
#endif
	VDF_LikeDisk		= VDF_RandomAccess,
	VDF_LikeTape		= VDF_FileMarks | VDF_Removable | VDF_Rewind |
				  VDF_Position | VDF_SkipBlocks |
				  VDF_ReversePosition
};
#ifndef __cplusplus
/* no int, which an enumerator of C has to be */
#define VDF_LatchStats		0x80000000U
#endif

enum VDCommands {
	VDC_Read		= 1,
	VDC_Write		= 2,
	VDC_ClearError		= 3,
	VDC_Rewind		= 4,
	VDC_WriteMark		= 5,
	VDC_SkipMarks		= 6,
	VDC_SkipBlocks		= 7,
	VDC_Load		= 8,
	VDC_GetPosition		= 9,
	VDC_SetPosition		= 10,
	VDC_Discard		= 11,
	VDC_Flush		= 12,
	VDC_Snapshot		= 13,
	VDC_MountSnapshot	= 14,
	VDC_PrepareToFreeze	= 15,
	VDC_FileInfoBegin	= 16,
	VDC_FileInfoEnd		= 17,
	VDC_GetError		= 18,
	VDC_Complete		= 19
};

enum VDWhence {
	VDC_Beginning		= 0,
	VDC_Current		= 1,
	VDC_End			= 2
};

/* Completion codes: Win32 error numbers. */
#ifndef ERROR_SUCCESS
#define ERROR_SUCCESS			0L
#endif
#ifndef ERROR_ARENA_TRASHED
#define ERROR_ARENA_TRASHED		7L
#endif
#ifndef ERROR_HANDLE_EOF
#define ERROR_HANDLE_EOF		38L
#endif
#ifndef ERROR_HANDLE_DISK_FULL
#define ERROR_HANDLE_DISK_FULL		39L
#endif
#ifndef ERROR_NOT_SUPPORTED
#define ERROR_NOT_SUPPORTED		50L
#endif
#ifndef ERROR_DISK_FULL
#define ERROR_DISK_FULL			112L
#endif
#ifndef ERROR_OPERATION_ABORTED
#define ERROR_OPERATION_ABORTED		995L
#endif

#ifdef __cplusplus
}
#endif

#endif /* VDITYPES_H */

/*
 * Codes that vdi.h of the Linux SDK does not have. Programs written for it may
 * define these names, so our vdi.h leaves them out. They are outside of the
 * include guard, for programs that include libvdi.h after it.
 */
#if !defined(VDITYPES_AS_SDK) && !defined(VDITYPES_CODES)
#define VDITYPES_CODES
#ifndef ERROR_INVALID_HANDLE
#define ERROR_INVALID_HANDLE		6L
#endif
#ifndef ERROR_END_OF_MEDIA
#define ERROR_END_OF_MEDIA		1100L
#endif
#ifndef ERROR_FILEMARK_DETECTED
#define ERROR_FILEMARK_DETECTED		1101L
#endif
#ifndef ERROR_BEGINNING_OF_MEDIA
#define ERROR_BEGINNING_OF_MEDIA	1102L
#endif
#ifndef ERROR_NO_DATA_DETECTED
#define ERROR_NO_DATA_DETECTED		1104L
#endif
#ifndef ERROR_NO_MEDIA_IN_DRIVE
#define ERROR_NO_MEDIA_IN_DRIVE		1112L
#endif
#ifndef ERROR_IO_DEVICE
#define ERROR_IO_DEVICE			1117L
#endif
#ifndef ERROR_EOM_OVERFLOW
#define ERROR_EOM_OVERFLOW		1129L
#endif
#ifndef ERROR_NO_SYSTEM_RESOURCES
#define ERROR_NO_SYSTEM_RESOURCES	1450L
#endif
#endif /* VDITYPES_CODES */
