// SPDX-License-Identifier: GPL-2.0
/*
 * config.c - VDConfig and the feature bits (sections 2 and 3)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

static int create_with(const struct VDConfig *config)
{
	struct vdi_client *client;
	char name[64];
	int code;

	new_name(name, sizeof(name));
	OK(vdi_client_new(&client));
	code = vdi_client_create(client, NULL, name, config, NULL);
	if (!code)
		OK(vdi_client_close(client));
	vdi_client_free(client);
	return code;
}

#define CREATE(...)							\
	create_with(&(const struct VDConfig){ __VA_ARGS__ })

RULE("2", layout, "VDConfig is eleven 32-bit fields, 44 bytes, in this order")
{
	EQ(sizeof(struct VDConfig), 44);
	EQ(offsetof(struct VDConfig, deviceCount), 0);
	EQ(offsetof(struct VDConfig, features), 4);
	EQ(offsetof(struct VDConfig, prefixZoneSize), 8);
	EQ(offsetof(struct VDConfig, alignment), 12);
	EQ(offsetof(struct VDConfig, softFileMarkBlockSize), 16);
	EQ(offsetof(struct VDConfig, EOMWarningSize), 20);
	EQ(offsetof(struct VDConfig, serverTimeOut), 24);
	EQ(offsetof(struct VDConfig, blockSize), 28);
	EQ(offsetof(struct VDConfig, maxIODepth), 32);
	EQ(offsetof(struct VDConfig, maxTransferSize), 36);
	EQ(offsetof(struct VDConfig, bufferAreaSize), 40);
}

RULE("2", device_count, "deviceCount is 1 to 64, else VD_E_NOTSUPPORTED")
{
	EQ(CREATE(.deviceCount = 0), VD_E_NOTSUPPORTED);
	OK(CREATE(.deviceCount = 1));
	OK(CREATE(.deviceCount = 64));
	EQ(CREATE(.deviceCount = 65), VD_E_NOTSUPPORTED);
	EQ(CREATE(.deviceCount = UINT32_MAX), VD_E_NOTSUPPORTED);
}

RULE("2", alignment, "alignment is 0 or a power of two up to 64 KiB")
{
	uint32_t n;

	OK(CREATE(.deviceCount = 1, .alignment = 0));
	for (n = 1; n <= 64 * KIB; n *= 2)
		OK(CREATE(.deviceCount = 1, .alignment = n));
	EQ(CREATE(.deviceCount = 1, .alignment = 3), VD_E_NOTSUPPORTED);
	EQ(CREATE(.deviceCount = 1, .alignment = 1000), VD_E_NOTSUPPORTED);
	EQ(CREATE(.deviceCount = 1, .alignment = 128 * KIB),
	   VD_E_NOTSUPPORTED);
}

RULE("2", server_fields_zero, "the server sets fields 8 to 11: the client leaves them 0")
{
	EQ(CREATE(.deviceCount = 1, .blockSize = 512), VD_E_NOTSUPPORTED);
	EQ(CREATE(.deviceCount = 1, .maxIODepth = 4), VD_E_NOTSUPPORTED);
	EQ(CREATE(.deviceCount = 1, .maxTransferSize = 64 * KIB),
	   VD_E_NOTSUPPORTED);
	EQ(CREATE(.deviceCount = 1, .bufferAreaSize = 1), VD_E_NOTSUPPORTED);
}

RULE("2", unrestricted_fields, "prefixZoneSize, softFileMarkBlockSize, EOMWarningSize and serverTimeOut may have any value")
{
	OK(CREATE(.deviceCount = 1, .prefixZoneSize = 100));
	OK(CREATE(.deviceCount = 1, .features = VDF_LikeTape,
		  .softFileMarkBlockSize = 1024));
	OK(CREATE(.deviceCount = 1, .features = VDF_LikeTape,
		  .EOMWarningSize = UINT32_MAX));
	OK(CREATE(.deviceCount = 1, .serverTimeOut = UINT32_MAX));
}

RULE("2", message_names_field, "the message of a refused configuration names the field")
{
	const struct VDConfig config = { .deviceCount = 1, .alignment = 3 };
	struct vdi_client *client;
	char text[256];

	OK(vdi_client_new(&client));
	EQ(vdi_client_create(client, NULL, "conformance-message", &config,
			     NULL), VD_E_NOTSUPPORTED);
	vdi_client_message(client, text, sizeof(text));
	TRUE(strstr(text, "alignment"));
	vdi_client_free(client);
}

RULE("2", request_seen_by_server, "the server reads every field as the client requested it")
{
	struct pair p = { .asked = {
		.deviceCount = 3, .features = VDF_LikeTape | VDF_Discard,
		.prefixZoneSize = 48, .alignment = 2048,
		.softFileMarkBlockSize = 1024, .EOMWarningSize = 12345,
		.serverTimeOut = 60000 } };
	struct VDConfig seen;

	pair_up(&p, CONNECTED);
	OK(vdi_server_get_configuration(p.server, &seen));
	OK(memcmp(&seen, &p.asked, sizeof(seen)));
	pair_down(&p);
}

RULE("2", outcome_seen_by_client, "the client reads the values that the server has set")
{
	struct pair p = { .block_size = 4096, .alignment = 8192,
			  .max_transfer = 256 * KIB };

	pair_up(&p, INITIALIZING);
	EQ(p.config.deviceCount, 1);
	EQ(p.config.blockSize, 4096);
	EQ(p.config.alignment, 8192);
	EQ(p.config.maxTransferSize, 256 * KIB);
	TRUE(p.config.features & VDF_WriteMedia);
	pair_down(&p);
}

RULE("2", outcome_does_not_change, "the values then remain the same until the end of the set, except bufferAreaSize, which may grow")
{
	struct pair p = { 0 };
	struct VDConfig later, server;

	pair_up(&p, ACTIVE);
	OK(vdi_client_get_configuration(p.client, 0, &later));
	OK(memcmp(&later, &p.config, sizeof(later)));
	OK(vdi_server_get_configuration(p.server, &server));
	OK(memcmp(&server, &p.config, sizeof(later)));
	/* except the size of the area, which may grow */
	OK(vdi_server_request_buffers(p.server, 64 * KIB, 0, 4));
	OK(vdi_client_get_configuration(p.client, 0, &later));
	TRUE(later.bufferAreaSize > p.config.bufferAreaSize);
	later.bufferAreaSize = p.config.bufferAreaSize;
	OK(memcmp(&later, &p.config, sizeof(later)));
	pair_up(&p, TERMINATED);
	OK(vdi_client_get_configuration(p.client, 0, &later));
	later.bufferAreaSize = p.config.bufferAreaSize;
	OK(memcmp(&later, &p.config, sizeof(later)));
	pair_down(&p);
}

RULE("2", defaults, "defaults: BLOCKSIZE 512, MAXTRANSFERSIZE 64 KiB, alignment equal to the block size")
{
	struct pair p = { 0 };

	pair_up(&p, CONNECTED);
	OK(vdi_server_begin_configuration(p.server, VDF_WriteMedia, 0, 0, 0,
					  0));
	p.stage = CONFIGURABLE;
	pair_up(&p, INITIALIZING);
	EQ(p.config.blockSize, 512);
	EQ(p.config.alignment, 512);
	EQ(p.config.maxTransferSize, 64 * KIB);
	pair_down(&p);
}

RULE("2", max_io_depth, "maxIODepth reports the queue depth of a device: 32 unless the server requests another")
{
	struct pair p = { 0 }, q = { .depth = 4 }, r = { .depth = 5 };

	pair_up(&p, INITIALIZING);
	EQ(p.config.maxIODepth, 32);
	pair_down(&p);
	pair_up(&q, INITIALIZING);
	EQ(q.config.maxIODepth, 4);
	pair_down(&q);
	pair_up(&r, INITIALIZING);
	EQ(r.config.maxIODepth, 8);
	pair_down(&r);
}

RULE("2", buffer_area_size, "bufferAreaSize is the size of the whole area in bytes")
{
	struct pair p = { .buffer_count = 8, .max_transfer = 64 * KIB };

	pair_up(&p, INITIALIZING);
	TRUE(p.config.bufferAreaSize >= 8 * 64 * KIB);
	pair_down(&p);
}

RULE("2", client_alignment_raises, "a larger alignment of the client raises that of the set")
{
	struct pair p = { .asked = { .alignment = 16 * KIB },
			  .block_size = 1024 };

	pair_up(&p, ACTIVE);
	EQ(p.config.alignment, 16 * KIB);
	EQ((uintptr_t)buffer_of(&p, 1024) % (16 * KIB), 0);
	pair_down(&p);
}

/* ------------------------------------------------------- BeginConfiguration */

static int begin_with(uint32_t block_size, uint32_t alignment,
		      uint32_t max_transfer)
{
	struct pair p = { 0 };
	int code;

	pair_up(&p, CONNECTED);
	code = vdi_server_begin_configuration(p.server, VDF_WriteMedia,
					      block_size, alignment,
					      max_transfer, 0);
	vdi_server_free(p.server);
	vdi_client_free(p.client);
	return code;
}

RULE("2", block_size, "blockSize is a power of two from 512 to 64 KiB")
{
	uint32_t n;

	for (n = 512; n <= 64 * KIB; n *= 2)
		OK(begin_with(n, 0, 128 * KIB));
	EQ(begin_with(256, 0, 0), VD_E_NOTSUPPORTED);
	EQ(begin_with(1000, 0, 0), VD_E_NOTSUPPORTED);
	EQ(begin_with(128 * KIB, 0, 0), VD_E_NOTSUPPORTED);
}

RULE("2", begin_alignment, "the server's alignment is a power of two from blockSize to 64 KiB; 0 means blockSize")
{
	OK(begin_with(1024, 0, 0));
	OK(begin_with(1024, 1024, 0));
	OK(begin_with(1024, 64 * KIB, 0));
	EQ(begin_with(1024, 512, 0), VD_E_NOTSUPPORTED);
	EQ(begin_with(1024, 3000, 0), VD_E_NOTSUPPORTED);
	EQ(begin_with(1024, 128 * KIB, 0), VD_E_NOTSUPPORTED);
}

RULE("2", max_transfer_size, "maxTransferSize is a multiple of 64 KiB, up to 4 MiB")
{
	OK(begin_with(0, 0, 64 * KIB));
	OK(begin_with(0, 0, 192 * KIB));
	OK(begin_with(0, 0, 4 * MIB));
	EQ(begin_with(0, 0, 32 * KIB), VD_E_NOTSUPPORTED);
	EQ(begin_with(0, 0, 65 * KIB), VD_E_NOTSUPPORTED);
	EQ(begin_with(0, 0, 4 * MIB + 64 * KIB), VD_E_NOTSUPPORTED);
}

RULE("2", refused_stays_connected, "after a refused configuration the set remains Connected")
{
	struct pair p = { 0 };

	pair_up(&p, CONNECTED);
	EQ(vdi_server_begin_configuration(p.server, VDF_WriteMedia, 100, 0, 0,
					  0), VD_E_NOTSUPPORTED);
	pair_up(&p, CONFIGURABLE);
	pair_down(&p);
}

/* ------------------------------------------------------------ serverTimeOut */

static int64_t silence(uint32_t interval, bool pending)
{
	struct pair p = { .asked = { .serverTimeOut = interval } };
	unsigned int count;
	struct sent s;
	int64_t start;

	pair_up(&p, ACTIVE);
	if (pending)
		OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	start = cf_now();
	if (!pending) {
		EQ(vdi_server_run_completions(p.server, 5 * interval, &count),
		   VD_E_TIMEOUT);
		pair_down(&p);
		return 0;
	}
	EQ(vdi_server_run_completions(p.server, WAIT, &count), VD_E_ABORT);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
	EQ(abort_reason(&p), VDI_REASON_TIMEOUT);
	return cf_now() - start;
}

RULE("2", server_timeout, "serverTimeOut: the set is aborted if commands are outstanding and none is completed for more than two intervals")
{
	int64_t ms = silence(200, true);

	/* libvdi checks once per interval */
	TRUE(ms >= 400 && ms < 600 + SOON);
}

RULE("2", server_timeout_idle, "serverTimeOut: an idle set is not aborted")
{
	silence(50, false);
}

RULE("2", server_timeout_progress, "serverTimeOut: each completion restarts the interval")
{
	struct pair p = { .asked = { .serverTimeOut = 1000 } };
	struct sent s[5];
	unsigned int i, count;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s[0], VDC_Flush, NULL, 0));
	for (i = 0; i < 4; i++) {
		/* a command is outstanding all the time: 6 s in all */
		OK(send_it(&p, &s[i + 1], VDC_Flush, NULL, 0));
		EQ(vdi_server_run_completions(p.server, 1500, &count),
		   VD_E_TIMEOUT);
		complete(&p, got(&p, VDC_Flush), 0, 0, 0);
		settle(&p, &s[i]);
	}
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	settle(&p, &s[4]);
	pair_down(&p);
}

RULE("2", server_timeout_infinite, "serverTimeOut: 0 means no limit")
{
	struct pair p = { 0 };
	unsigned int count;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	EQ(vdi_server_run_completions(p.server, 500, &count), VD_E_TIMEOUT);
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

/* ---------------------------------------------------------------- features */

#define FEATURES(bits)	CREATE(.deviceCount = 1, .features = (bits))

RULE("3", values, "the feature bits have the values of the header")
{
	EQ(VDF_LikePipe, 0);
	EQ(VDF_Removable, 0x1);
	EQ(VDF_Rewind, 0x2);
	EQ(VDF_Position, 0x10);
	EQ(VDF_SkipBlocks, 0x20);
	EQ(VDF_ReversePosition, 0x40);
	EQ(VDF_Discard, 0x80);
	EQ(VDF_FileMarks, 0x100);
	EQ(VDF_RandomAccess, 0x200);
	EQ(VDF_SnapshotPrepare, 0x400);
	EQ(VDF_EnumFrozenFiles, 0x800);
	EQ(VDF_VSSWriter, 0x1000);
	EQ(VDF_RequestComplete, 0x2000);
	EQ(VDF_WriteMedia, 0x10000);
	EQ(VDF_ReadMedia, 0x20000);
	EQ(VDF_CompleteEnabled, 0x40000);
	EQ(VDF_LikeTape, 0x173);
	EQ(VDF_LikeDisk, 0x200);
}

RULE("3", pipe, "LikePipe, with or without Removable, is a profile")
{
	OK(FEATURES(VDF_LikePipe));
	OK(FEATURES(VDF_LikePipe | VDF_Removable));
}

RULE("3", disk, "LikeDisk, with or without Removable, is a profile")
{
	OK(FEATURES(VDF_LikeDisk));
	OK(FEATURES(VDF_LikeDisk | VDF_Removable));
}

RULE("3", tape, "LikeTape is a profile, with all its bits")
{
	OK(FEATURES(VDF_LikeTape));
}

RULE("3", tape_bit_missing, "VD_E_NOTSUPPORTED: a tape without one of its bits")
{
	EQ(FEATURES(VDF_LikeTape & ~VDF_FileMarks), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_LikeTape & ~VDF_Removable), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_LikeTape & ~VDF_Rewind), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_LikeTape & ~VDF_Position), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_LikeTape & ~VDF_SkipBlocks), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_LikeTape & ~VDF_ReversePosition), VD_E_NOTSUPPORTED);
}

RULE("3", two_profiles, "VD_E_NOTSUPPORTED: a mixture of profiles")
{
	EQ(FEATURES(VDF_LikeTape | VDF_LikeDisk), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_Position), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_FileMarks), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_LikeDisk | VDF_Rewind), VD_E_NOTSUPPORTED);
}

RULE("3", discard, "Discard may be combined with any profile")
{
	OK(FEATURES(VDF_LikePipe | VDF_Discard));
	OK(FEATURES(VDF_LikeDisk | VDF_Discard));
	OK(FEATURES(VDF_LikeTape | VDF_Discard));
	OK(FEATURES(VDF_LikePipe | VDF_Removable | VDF_Discard));
}

RULE("3", snapshot_and_complete, "SnapshotPrepare and RequestComplete may be combined with a profile")
{
	OK(FEATURES(VDF_LikePipe | VDF_SnapshotPrepare));
	OK(FEATURES(VDF_LikePipe | VDF_RequestComplete));
	OK(FEATURES(VDF_LikeTape | VDF_RequestComplete));
}

RULE("3", server_bits, "the client may not set the bits of the server")
{
	EQ(FEATURES(VDF_WriteMedia), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_ReadMedia), VD_E_NOTSUPPORTED);
	EQ(FEATURES(VDF_CompleteEnabled), VD_E_NOTSUPPORTED);
}

RULE("3", unknown_bits, "VD_E_NOTSUPPORTED: undefined bits")
{
	EQ(FEATURES(0x4), VD_E_NOTSUPPORTED);
	EQ(FEATURES(0x100000), VD_E_NOTSUPPORTED);
	EQ(FEATURES(UINT32_MAX), VD_E_NOTSUPPORTED);
}

static int begin_features(uint32_t asked, uint32_t features)
{
	struct pair p = { .asked = { .features = asked } };
	int code;

	pair_up(&p, CONNECTED);
	code = vdi_server_begin_configuration(p.server, features, 0, 0, 0, 0);
	vdi_server_free(p.server);
	vdi_client_free(p.client);
	return code;
}

RULE("3", direction, "the server adds WriteMedia, ReadMedia or both, and the client reads the result")
{
	struct pair r = { .direction = VDF_ReadMedia };
	struct pair w = { .direction = VDF_WriteMedia };
	struct pair b = { .direction = VDF_WriteMedia | VDF_ReadMedia };

	pair_up(&r, INITIALIZING);
	EQ(r.config.features, VDF_ReadMedia);
	pair_down(&r);
	pair_up(&w, INITIALIZING);
	EQ(w.config.features, VDF_WriteMedia);
	pair_down(&w);
	pair_up(&b, INITIALIZING);
	EQ(b.config.features, VDF_WriteMedia | VDF_ReadMedia);
	pair_down(&b);
}

RULE("3", complete_enabled, "the server sets CompleteEnabled only in response to RequestComplete")
{
	OK(begin_features(VDF_RequestComplete, VDF_RequestComplete |
			  VDF_CompleteEnabled | VDF_WriteMedia));
	OK(begin_features(VDF_RequestComplete, VDF_RequestComplete |
			  VDF_WriteMedia));
	EQ(begin_features(0, VDF_CompleteEnabled | VDF_WriteMedia),
	   VD_E_NOTSUPPORTED);
}

RULE("3", not_offered, "the server cannot use features that the client has not offered")
{
	EQ(begin_features(VDF_LikePipe, VDF_LikeDisk | VDF_WriteMedia),
	   VD_E_NOTSUPPORTED);
	EQ(begin_features(VDF_LikePipe, VDF_Discard | VDF_WriteMedia),
	   VD_E_NOTSUPPORTED);
}

RULE("3", server_lowers, "the server may drop optional features or select a pipe, but not part of a profile")
{
	OK(begin_features(VDF_LikeTape | VDF_Discard,
			  VDF_LikeTape | VDF_WriteMedia));
	OK(begin_features(VDF_LikeTape, VDF_LikePipe | VDF_WriteMedia));
	EQ(begin_features(VDF_LikeTape, VDF_Position | VDF_WriteMedia),
	   VD_E_NOTSUPPORTED);
}
